//! The current [`Trust`], kept up to date: the bundles that flags name come from files, the rest from kube-apiserver's
//! `ConfigMap`. A change takes effect with the next request.

use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use futures_util::future::join_all;
use kube::Client;

use super::ca::CaSet;
use super::configmap;
use super::options::{Options, TrustError};
use super::trust::Trust;
use crate::causes::causes;
use crate::files::{CREDENTIAL_BYTES_MAX, Contents, ReadError, WatchedFiles};

/// A CA bundle that a flag names.
#[derive(Debug, Clone, Copy)]
enum Bundle {
    Client,
    FrontProxy,
}

/// Holds the current CAs and follows their sources.
#[derive(Debug)]
pub struct TrustStore {
    options: Options,
    current: ArcSwap<Trust>,
}

impl TrustStore {
    /// Reads the files that flags name; [`look_up`](Self::look_up) reads the `ConfigMap`.
    pub fn new(options: Options) -> Result<Self, TrustError> {
        let store = Self { options, current: ArcSwap::default() };
        store.reload_files()?;
        Ok(store)
    }

    /// Reads the `ConfigMap` once, at start. A missing one is not an error: client certificates are not accepted then.
    pub async fn look_up(&self, client: &Client) -> Result<(), TrustError> {
        if !self.options.want_lookup() {
            return Ok(());
        }
        match configmap::read(client).await {
            Ok(found) => self.use_config_map(found.as_ref()),
            Err(error) if self.options.tolerate_lookup_failure => {
                tracing::warn!(error = %causes(&error), "starting without the ConfigMap's CA bundles");
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Follows the `ConfigMap` until dropped; returns at once if it is not used. Failures are logged and retried.
    pub async fn watch(self: Arc<Self>, client: Client) {
        if self.options.want_lookup() {
            configmap::follow(client, |found| self.use_config_map(found)).await;
        }
    }

    /// Follows the files that flags name until dropped; returns at once if there are none.
    pub async fn poll_files(self: Arc<Self>) {
        join_all(self.bundles().map(|(bundle, path)| self.follow(bundle, path))).await;
    }

    async fn follow(&self, bundle: Bundle, path: &Path) {
        let mut file = watched(path);
        loop {
            if let Err(error) = self.take(bundle, path, file.changed().await) {
                tracing::warn!(error = %causes(&error), "cannot use the new CA bundle; keeping the last good one");
            }
        }
    }

    /// Reads the files that flags name. If one is not usable, the other is used nevertheless.
    pub(super) fn reload_files(&self) -> Result<(), TrustError> {
        let taken = self.bundles().map(|(bundle, path)| self.take(bundle, path, watched(path).read()));
        taken.collect::<Vec<_>>().into_iter().collect()
    }

    fn bundles(&self) -> impl Iterator<Item = (Bundle, &Path)> {
        let client = self.options.client_ca_file.as_deref().map(|path| (Bundle::Client, path));
        let front_proxy = self.options.front_proxy.client_ca_file.as_deref();
        let front_proxy = front_proxy.map(|path| (Bundle::FrontProxy, path));
        client.into_iter().chain(front_proxy)
    }

    fn take(&self, bundle: Bundle, path: &Path, read: Result<Contents, ReadError>) -> Result<(), TrustError> {
        let pem =
            read.map_err(|ReadError { path, source }| TrustError::Unreadable { path, source })?.concat();
        let set = CaSet::from_pem(&pem);
        let set = Arc::new(set.map_err(|source| TrustError::NoBundle { path: path.to_owned(), source })?);
        self.update(|trust| match bundle {
            Bundle::Client => trust.set_client(Arc::clone(&set)),
            Bundle::FrontProxy => trust.set_front_proxy(Arc::clone(&set), self.options.front_proxy.names()),
        });
        Ok(())
    }

    /// What is trusted now.
    pub(super) fn current(&self) -> Arc<Trust> {
        self.current.load_full()
    }

    /// Takes from the `ConfigMap` what flags do not set.
    fn use_config_map(&self, found: Option<&configmap::Data>) {
        let Some(data) = found else {
            tracing::warn!(
                "ConfigMap kube-system/extension-apiserver-authentication not found; \
                 keeping the last known CA certificates"
            );
            return;
        };
        self.update(|trust| {
            if self.options.client_ca_file.is_none() {
                configmap::take_client_ca(data, trust);
            }
            if self.options.front_proxy.client_ca_file.is_none() {
                configmap::take_front_proxy(data, trust);
            }
        });
    }

    fn update(&self, change: impl Fn(&mut Trust)) {
        let before = self.current.rcu(|trust| {
            let mut changed = Trust::clone(trust);
            change(&mut changed);
            changed
        });
        let now = self.current();
        if now == before {
            return;
        }
        tracing::info!(trust = ?now, "trusted CA certificates changed");
        for set in now.sets().filter(|set| before.sets().all(|known| known != *set)) {
            set.warn_unusable();
        }
        if now.is_shared() {
            tracing::warn!(
                "DANGER: the CA of the front proxy also signs client certificates, and any common name is allowed: \
                 everybody with a client certificate can act as any user; set --requestheader-allowed-names or use a \
                 separate CA"
            );
        }
    }
}

fn watched(path: &Path) -> WatchedFiles {
    WatchedFiles::new([path.to_owned()], CREDENTIAL_BYTES_MAX)
}
