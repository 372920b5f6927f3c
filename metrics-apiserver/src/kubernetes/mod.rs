//! The client of the Kubernetes API, which follows its files.
//!
//! The CA bundle and the token of a pod are replaced while it runs, and so may be a kubeconfig and what it names. When
//! one of these files changes, a new client is made of all of them, with connections of its own; requests that are
//! under way end on the old ones. What cannot be used leaves the last good client in place.
//!
//! Neither proxies nor anything else of the environment are used, but for the address of kube-apiserver in a pod.

mod connection;
mod error;
mod source;

use std::sync::Arc;

use arc_swap::ArcSwap;
use kube::Client;
use tower::service_fn;

pub use error::KubernetesError;
pub use source::Source;

use crate::causes::causes;
use crate::files::{CREDENTIAL_BYTES_MAX, WatchedFiles};

/// Keeps a client up to date with its files.
pub struct Follower {
    source: Source,
    current: Arc<ArcSwap<Client>>,
    files: WatchedFiles,
}

/// A client of the Kubernetes API, and what keeps it up to date. Connects to nothing yet.
pub async fn connect(source: Source) -> Result<(Client, Follower), KubernetesError> {
    let files = source.watched_files()?;
    let (made, namespace) = connection::client(source.load().await?)?;
    let current = Arc::new(ArcSwap::from_pointee(made));
    let latest = Arc::clone(&current);
    let client = Client::new(
        service_fn(move |request| {
            let client = latest.load_full();
            async move { client.send(request).await }
        }),
        namespace,
    );
    Ok((client, Follower { source, current, files }))
}

impl Follower {
    /// Follows the files until dropped.
    pub async fn run(mut self) {
        loop {
            let changed = self.files.changed().await;
            let made = match changed {
                Ok(_) => self.replace().await,
                Err(error) => Err(error.into()),
            };
            match made {
                Ok(()) => tracing::info!(source = %self.source, "client of the Kubernetes API replaced"),
                Err(error) => tracing::warn!(
                    source = %self.source,
                    error = %causes(&error),
                    "cannot use the changed files for the Kubernetes API; keeping the last good ones"
                ),
            }
        }
    }

    async fn replace(&mut self) -> Result<(), KubernetesError> {
        // A changed kubeconfig may name other files. These are read before they are used: what changes in between is
        // seen by the next poll. They are followed even if they cannot be used yet: one may still be missing.
        self.files = self.source.watched_files()?;
        let (client, _) = connection::client(self.source.load().await?)?;
        self.current.store(Arc::new(client));
        Ok(())
    }
}

impl Source {
    fn watched_files(&self) -> Result<WatchedFiles, KubernetesError> {
        let mut files = WatchedFiles::new(self.files()?, CREDENTIAL_BYTES_MAX);
        // An error is reported by whoever uses the files, in words of its own.
        let _ = files.read();
        Ok(files)
    }
}

#[cfg(test)]
mod tests;
