//! Clients of the Kubernetes API.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};

use crate::files;

/// The connect timeout; reviews limit their calls themselves.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A client for each of these kubeconfigs: one client with its connections for those that are the same.
pub(super) async fn clients<const N: usize>(kubeconfigs: [Option<&Path>; N]) -> anyhow::Result<[Client; N]> {
    let mut clients: Vec<Client> = Vec::with_capacity(N);
    for (index, kubeconfig) in kubeconfigs.iter().enumerate() {
        let same = kubeconfigs[..index].iter().position(|before| before == kubeconfig);
        clients.push(match same {
            Some(same) => clients[same].clone(),
            None => client(*kubeconfig).await?,
        });
    }
    clients.try_into().map_err(|_| anyhow!("not one client for each kubeconfig"))
}

/// A client by this kubeconfig, or by the in-cluster configuration. The messages of kube include their causes.
async fn client(kubeconfig: Option<&Path>) -> anyhow::Result<Client> {
    let mut config = match kubeconfig {
        Some(path) => {
            let unreadable = |error: &dyn std::fmt::Display| {
                anyhow!("cannot read the kubeconfig {}: {error}", path.display())
            };
            // kube opens the file itself, and would wait for the writer of a pipe.
            files::open(path).map_err(|error| unreadable(&error))?;
            let read = Kubeconfig::read_from(path).map_err(|error| unreadable(&error))?;
            kube::Config::from_custom_kubeconfig(read, &KubeConfigOptions::default())
                .await
                .map_err(|error| anyhow!("cannot use the kubeconfig {}: {error}", path.display()))?
        }
        None => kube::Config::incluster().map_err(|error| {
            anyhow!("cannot use the in-cluster configuration; outside a cluster, set --kubeconfig: {error}")
        })?,
    };
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    // Reviews are retried within the deadline of a read; retries of kube would come on top.
    config.default_retry = false;
    Client::try_from(config).context("cannot create a client for the Kubernetes API")
}
