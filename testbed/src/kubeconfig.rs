//! Kubeconfig files. They are written as JSON, which every reader of YAML takes.

use crate::pki::{self, IdentityFiles};
use anyhow::{Context, Result};
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::json;
use std::path::{Path, PathBuf};

/// How the holder of a kubeconfig proves who it is.
#[derive(Clone, Debug)]
pub enum Credential<'a> {
    /// A client certificate of the cluster's authority.
    Certificate(&'a IdentityFiles),
    /// A bearer token, such as a ServiceAccount's.
    Token(&'a str),
}

/// Writes `<name>.kubeconfig` into `dir` for the API server at `server`, which shows a certificate of the authority
/// `ca`.
pub fn write(
    dir: &Path,
    name: &str,
    server: &str,
    ca: &Path,
    credential: &Credential<'_>,
) -> Result<PathBuf> {
    let user = match credential {
        Credential::Certificate(files) => {
            json!({"client-certificate": files.certificate, "client-key": files.key})
        }
        Credential::Token(token) => json!({"token": token}),
    };
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "testbed", "cluster": {"server": server, "certificate-authority": ca}}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": "testbed", "user": name}}],
        "current-context": name,
    });
    let path = dir.join(format!("{name}.kubeconfig"));
    pki::write(&path, &format!("{config:#}\n"))?;
    Ok(path)
}

/// A client that acts as the holder of this kubeconfig. It belongs to the runtime it is made on.
pub async fn client(path: &Path) -> Result<kube::Client> {
    let file = Kubeconfig::read_from(path).with_context(|| format!("reading {}", path.display()))?;
    let config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
    Ok(kube::Client::try_from(config)?)
}
