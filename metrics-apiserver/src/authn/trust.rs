//! What is trusted: the CAs of client certificates, and the front proxy.
//!
//! The two sets of CAs are never mixed. The front proxy may name any user, and every kubelet has a certificate of the
//! cluster's CA.

use std::sync::Arc;

use super::ca::CaSet;
use super::headers::ProxyNames;

/// What is trusted. `None`: not configured.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Trust {
    /// Signs certificates of users.
    pub(super) client: Option<Arc<CaSet>>,
    /// Names users in headers.
    pub(super) front_proxy: Option<Arc<FrontProxy>>,
}

/// The front proxy: its CAs, its allowed names and its headers.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FrontProxy {
    pub(super) ca: Arc<CaSet>,
    pub(super) names: ProxyNames,
}

impl Trust {
    /// Sets the CAs of client certificates. An equal set stays, with its cached verdicts.
    pub(super) fn set_client(&mut self, set: Arc<CaSet>) {
        if self.client.as_ref() != Some(&set) {
            self.client = Some(set);
        }
    }

    /// Sets the front proxy, as [`set_client`](Self::set_client).
    pub(super) fn set_front_proxy(&mut self, ca: Arc<CaSet>, names: ProxyNames) {
        let proxy = FrontProxy { ca, names };
        if self.front_proxy.as_deref() != Some(&proxy) {
            self.front_proxy = Some(Arc::new(proxy));
        }
    }

    /// Both sets of CAs.
    pub(super) fn sets(&self) -> impl Iterator<Item = &Arc<CaSet>> {
        self.client.iter().chain(self.front_proxy.iter().map(|proxy| &proxy.ca))
    }

    /// Whether every client certificate is also accepted as the front proxy's.
    pub(super) fn is_shared(&self) -> bool {
        match (&self.client, &self.front_proxy) {
            (Some(client), Some(proxy)) => proxy.names.allows_any() && proxy.ca.overlaps(client),
            _ => false,
        }
    }
}
