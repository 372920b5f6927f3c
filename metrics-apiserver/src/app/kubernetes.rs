//! The clients of the Kubernetes API.

use std::path::Path;

use anyhow::anyhow;
use kube::Client;
use tokio::task::JoinSet;

use crate::kubernetes::{Source, connect};

/// A client for each of these kubeconfigs: one client with its connections for those that are the same.
pub(super) async fn clients<const N: usize>(
    kubeconfigs: [Option<&Path>; N],
    background: &mut JoinSet<()>,
) -> anyhow::Result<[Client; N]> {
    let mut clients: Vec<Client> = Vec::with_capacity(N);
    for (index, kubeconfig) in kubeconfigs.iter().enumerate() {
        let same = kubeconfigs[..index].iter().position(|before| before == kubeconfig);
        if let Some(same) = same {
            clients.push(clients[same].clone());
            continue;
        }
        let (client, follower) = connect(Source::of(*kubeconfig)).await?;
        background.spawn(follower.run());
        clients.push(client);
    }
    clients.try_into().map_err(|_| anyhow!("not one client for each kubeconfig"))
}
