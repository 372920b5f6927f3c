//! Why there is no client of the Kubernetes API.

use std::path::PathBuf;

use crate::files::ReadError;

/// Why there is no client. The messages of kube include their causes.
#[derive(Debug, thiserror::Error)]
pub enum KubernetesError {
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] ReadError),
    /// The kubeconfig is not one.
    #[error("cannot read the kubeconfig {}: {message}", path.display())]
    Unreadable {
        /// The kubeconfig.
        path: PathBuf,
        /// What kube says.
        message: String,
    },
    /// The kubeconfig, or a file that it names, cannot be used.
    #[error("cannot use the kubeconfig {}: {message}", path.display())]
    Unusable {
        /// The kubeconfig.
        path: PathBuf,
        /// What kube says, or what to change.
        message: String,
    },
    /// The file of a token has none.
    #[error("{}: no token in it", .0.display())]
    EmptyToken(PathBuf),
    /// There is no in-cluster configuration.
    #[error("cannot use the in-cluster configuration; outside a cluster, set --kubeconfig: {0}")]
    InCluster(String),
    /// The certificates, the key or the credentials cannot be used.
    #[error("cannot create a client for the Kubernetes API: {0}")]
    Client(String),
}
