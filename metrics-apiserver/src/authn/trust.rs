//! Which certificates are trusted: two sets of authorities that are never mixed, and the front proxy's headers.
//!
//! A certificate of the cluster's CA (every kubelet has one) must not pass for the front proxy's, which may
//! name any user. What flags name comes from files, the rest from kube-apiserver's `ConfigMap`. Both may
//! change at any time; the next request sees it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use futures_util::future::join_all;
use kube::Client;

use super::ca::CaSet;
use super::configmap;
use super::headers::ProxyNames;
use super::options::{Options, TrustError};
use crate::causes::causes;
use crate::files::{CREDENTIAL_BYTES_MAX, Contents, ReadError, WatchedFiles};

/// Whom we trust. `None`: this way of showing who you are is not configured.
#[derive(Debug, Clone, Default)]
pub(super) struct Trust {
    /// Vouches for users.
    pub(super) client: Option<Arc<CaSet>>,
    /// Names users.
    pub(super) front_proxy: Option<Arc<FrontProxy>>,
}

/// The front proxy: who may be it, and where it writes the user.
#[derive(Debug)]
pub(super) struct FrontProxy {
    pub(super) ca: Arc<CaSet>,
    pub(super) names: ProxyNames,
}

/// A CA bundle that a flag names.
#[derive(Debug, Clone, Copy)]
enum Bundle {
    Client,
    FrontProxy,
}

/// The current trust, and what keeps it up to date.
#[derive(Debug)]
pub struct TrustStore {
    options: Options,
    current: ArcSwap<Trust>,
    looked_up: AtomicBool,
}

impl TrustStore {
    /// Reads the files that flags name. The `ConfigMap` is read by [`look_up`](Self::look_up).
    pub fn new(options: Options) -> Result<Self, TrustError> {
        let store =
            Self { looked_up: AtomicBool::new(!options.want_lookup()), options, current: ArcSwap::default() };
        store.reload_files()?;
        Ok(store)
    }

    /// Whether all that is to be read has been read once: a readiness check. Until then client certificates and
    /// the front proxy may be refused.
    pub fn is_synced(&self) -> bool {
        self.looked_up.load(Ordering::Acquire)
    }

    /// Reads the `ConfigMap` once, at start. A missing one is not an error: client certificates then prove nothing.
    pub async fn look_up(&self, client: &Client) -> Result<(), TrustError> {
        if !self.options.want_lookup() {
            return Ok(());
        }
        match configmap::read(client).await {
            Ok(found) => self.use_config_map(found.as_ref()),
            Err(error) if self.options.tolerate_lookup_failure => {
                tracing::warn!(error = &error as &dyn std::error::Error, "starting without it");
                self.looked_up.store(true, Ordering::Release);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Follows the `ConfigMap` until dropped; returns at once if nothing is wanted of it. Failures are warned
    /// of and tried again, without end.
    pub async fn watch(self: Arc<Self>, client: Client) {
        if self.options.want_lookup() {
            configmap::follow(client, |found| self.use_config_map(found)).await;
        }
    }

    /// Follows the files that flags name until dropped; returns at once if no flag names one.
    pub async fn poll_files(self: Arc<Self>) {
        join_all(self.bundles().map(|(bundle, path)| self.follow(bundle, path))).await;
    }

    async fn follow(&self, bundle: Bundle, path: &Path) {
        let mut file = watched(path);
        loop {
            if let Err(error) = self.take(bundle, path, file.changed().await) {
                tracing::warn!(error = %causes(&error), "new CA bundle not used, keeping the last good one");
            }
        }
    }

    /// Reads the files that flags name. One that fails does not keep the other from being used.
    pub fn reload_files(&self) -> Result<(), TrustError> {
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

    /// The current trust.
    pub(super) fn current(&self) -> Arc<Trust> {
        self.current.load_full()
    }

    /// Takes from the `ConfigMap` what no flag has given.
    fn use_config_map(&self, found: Option<&configmap::Data>) {
        if let Some(data) = found {
            self.update(|trust| {
                if self.options.client_ca_file.is_none() {
                    configmap::take_client_ca(data, trust);
                }
                if self.options.front_proxy.client_ca_file.is_none() {
                    configmap::take_front_proxy(data, trust);
                }
            });
        } else {
            tracing::warn!(
                "ConfigMap kube-system/extension-apiserver-authentication not found, \
                 keeping the last known CA certificates"
            );
        }
        self.looked_up.store(true, Ordering::Release);
    }

    fn update(&self, change: impl Fn(&mut Trust)) {
        let before = self.current.rcu(|trust| {
            let mut changed = Trust::clone(trust);
            change(&mut changed);
            changed
        });
        let now = self.current();
        if !now.is(&before) {
            tracing::info!(trust = ?now, "trusted CA certificates changed");
            now.tell_left_out(&before);
            now.warn_if_shared();
        }
    }
}

impl Trust {
    /// An unchanged bundle keeps its set, and with it the verdicts.
    pub(super) fn set_client(&mut self, set: Arc<CaSet>) {
        if !self.client.as_ref().is_some_and(|now| now.same_as(&set)) {
            self.client = Some(set);
        }
    }

    /// The same for the front proxy.
    pub(super) fn set_front_proxy(&mut self, ca: Arc<CaSet>, names: ProxyNames) {
        let unchanged = |now: &Arc<FrontProxy>| now.ca.same_as(&ca) && now.names == names;
        if !self.front_proxy.as_ref().is_some_and(unchanged) {
            self.front_proxy = Some(Arc::new(FrontProxy { ca, names }));
        }
    }

    /// What is not used of the bundles that were not there `before`.
    fn tell_left_out(&self, before: &Self) {
        let sets = |trust: &Self| {
            [trust.client.clone(), trust.front_proxy.as_ref().map(|proxy| Arc::clone(&proxy.ca))]
        };
        for (now, before) in sets(self).iter().zip(&sets(before)) {
            if let Some(set) = now.as_ref().filter(|_| !same(now.as_ref(), before.as_ref())) {
                set.tell_left_out();
            }
        }
    }

    fn is(&self, other: &Self) -> bool {
        same(self.client.as_ref(), other.client.as_ref())
            && same(self.front_proxy.as_ref(), other.front_proxy.as_ref())
    }

    /// Whether anybody with a client certificate could name himself any user.
    pub(super) fn is_shared(&self) -> bool {
        match (&self.client, &self.front_proxy) {
            (Some(client), Some(proxy)) => proxy.names.allows_any() && proxy.ca.overlaps(client),
            _ => false,
        }
    }

    fn warn_if_shared(&self) {
        if self.is_shared() {
            tracing::warn!(
                "DANGER: the front proxy's CA also signs client certificates and any name is allowed, so everybody \
                 with a client certificate can act as any user: set --requestheader-allowed-names or use a \
                 separate CA"
            );
        }
    }
}

fn same<T>(one: Option<&Arc<T>>, two: Option<&Arc<T>>) -> bool {
    one.map(Arc::as_ptr) == two.map(Arc::as_ptr)
}

fn watched(path: &Path) -> WatchedFiles {
    WatchedFiles::new([path.to_owned()], CREDENTIAL_BYTES_MAX)
}
