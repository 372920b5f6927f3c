//! The `ConfigMap` in which kube-apiserver publishes the CAs that aggregated API servers should trust.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};

use super::ca::CaSet;
use super::headers::ProxyNames;
use super::options::TrustError;
use super::trust::Trust;
use crate::causes::causes;

const NAMESPACE: &str = "kube-system";
const NAME: &str = "extension-apiserver-authentication";
/// How long the first read may take at start.
const READ_DEADLINE: Duration = Duration::from_secs(10);
/// A watch without events is restarted after this time, because its connection may be dead. The API server ends watches
/// after five to ten minutes.
const QUIET_LIMIT: Duration = Duration::from_secs(600);
/// The pause before a watch is restarted.
const PAUSE: Duration = Duration::from_secs(1);

/// The data of a `ConfigMap`.
pub(super) type Data = BTreeMap<String, String>;

/// Reads the `ConfigMap` once; `None` if it does not exist.
pub(super) async fn read(client: &Client) -> Result<Option<Data>, TrustError> {
    let api = Api::<ConfigMap>::namespaced(client.clone(), NAMESPACE);
    match tokio::time::timeout(READ_DEADLINE, api.get_opt(NAME)).await {
        Ok(Ok(found)) => Ok(found.map(data)),
        Ok(Err(error @ kube::Error::Api(_))) => Err(TrustError::Lookup { source: Box::new(error) }),
        Ok(Err(error)) => Err(TrustError::Unreachable { source: Some(Box::new(error)) }),
        Err(_) => Err(TrustError::Unreachable { source: None }),
    }
}

/// Calls `on_change` with every version of the `ConfigMap` (`None`: deleted), without end.
pub(super) async fn follow(client: Client, on_change: impl Fn(Option<&Data>)) {
    let api = Api::<ConfigMap>::namespaced(client, NAMESPACE);
    loop {
        let mut versions = pin!(watcher::watch_object(api.clone(), NAME).default_backoff());
        while let Ok(Some(version)) = tokio::time::timeout(QUIET_LIMIT, versions.next()).await {
            match version {
                Ok(found) => on_change(found.map(data).as_ref()),
                Err(error) => {
                    tracing::warn!(error = %causes(&error), "cannot watch ConfigMap {NAMESPACE}/{NAME}; retrying");
                }
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Takes the client CAs. If the bundle is missing, empty or invalid, the last good one stays.
pub(super) fn take_client_ca(data: &Data, trust: &mut Trust) {
    if let Some(set) = ca(data, "client-ca-file") {
        trust.set_client(set);
    }
}

/// Takes the front proxy: its CAs, and the names that belong to them. If the bundle is missing, empty or invalid, CAs
/// and names stay.
pub(super) fn take_front_proxy(data: &Data, trust: &mut Trust) {
    let Some(set) = ca(data, "requestheader-client-ca-file") else {
        return;
    };
    let known = trust.front_proxy.as_ref().map(|proxy| &proxy.names);
    if let Some(names) = names(data, known) {
        trust.set_front_proxy(set, names);
    } else {
        tracing::warn!("the front proxy is not trusted until ConfigMap {NAMESPACE}/{NAME} is valid");
    }
}

fn data(found: ConfigMap) -> Data {
    found.data.unwrap_or_default()
}

fn ca(data: &Data, key: &str) -> Option<Arc<CaSet>> {
    let pem = data.get(key).filter(|pem| !pem.trim().is_empty())?;
    match CaSet::from_pem(pem.as_bytes()) {
        Ok(set) => Some(Arc::new(set)),
        Err(error) => {
            tracing::warn!(%error, key, "invalid CA bundle in ConfigMap {NAMESPACE}/{NAME}; keeping the last good one");
            None
        }
    }
}

/// The allowed names and the headers. An invalid list stays as it is `known`; `None` if it is not known, because an
/// empty list of allowed names would allow any.
fn names(data: &Data, known: Option<&ProxyNames>) -> Option<ProxyNames> {
    let lists = [
        "requestheader-allowed-names",
        "requestheader-username-headers",
        "requestheader-group-headers",
        "requestheader-extra-headers-prefix",
        "requestheader-uid-headers",
    ]
    .map(|key| list(data, key));
    ProxyNames::merged(lists, known)
}

/// A JSON list in a string. A missing key is an empty list; `None` if it is not a list.
fn list(data: &Data, key: &str) -> Option<Vec<String>> {
    let text = match data.get(key) {
        Some(text) if !text.trim().is_empty() => text,
        _ => return Some(Vec::new()),
    };
    match serde_json::from_str(text) {
        Ok(list) => Some(list),
        Err(error) => {
            tracing::warn!(%error, key, "invalid list in ConfigMap {NAMESPACE}/{NAME}; keeping the last good one");
            None
        }
    }
}
