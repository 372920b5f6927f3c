//! Clients that keep the service busy: each sends its next request when the last one was answered.
//!
//! Closed loops bound themselves: no more requests are under way than there are clients. With `n` clients and `p` pods
//! of one slot, a request takes `n / p` inferences.

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::ListParams};
use std::{
    net::Ipv4Addr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{sync::watch, task::JoinSet};

/// More than the longest wait: a full queue of inferences of 10 s.
const TIMEOUT: Duration = Duration::from_secs(150);
/// After a refusal, or while no pod is ready.
const RETRY: Duration = Duration::from_millis(250);
/// Between two looks at which pods are ready.
const REFRESH: Duration = Duration::from_millis(200);

/// Clients at work, each a task. Dropped, they end at once.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    clients: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Shared {
    addresses: Mutex<Vec<Ipv4Addr>>,
    next: AtomicUsize,
    answered: AtomicUsize,
    refused: AtomicUsize,
}

/// The address of a pod that takes requests.
pub fn ready_address(pod: &Pod) -> Option<Ipv4Addr> {
    let status = pod.status.as_ref()?;
    let ready = status.conditions.iter().flatten().any(|it| it.type_ == "Ready" && it.status == "True");
    let stays = pod.metadata.deletion_timestamp.is_none();
    status.pod_ip.as_ref().filter(|_| ready && stays)?.parse().ok()
}

impl Load {
    /// Starts so many clients, which end by themselves after `limit`.
    pub fn start(count: usize, limit: Duration) -> Result<Self> {
        crate::install_crypto();
        // Nothing is kept open: requests go round robin, so that new pods get their share.
        let http = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).timeout(TIMEOUT);
        let http = http.tls_certs_only([]).build().context("making the clients of the load")?;
        let shared = Arc::new(Shared::default());
        let (stop, stopped) = watch::channel(false);
        let mut clients = JoinSet::new();
        for _ in 0..count {
            let (http, shared, stopped) = (http.clone(), Arc::clone(&shared), stopped.clone());
            // At the limit a client is cut off; asked to stop, it first waits for its answer.
            clients.spawn(async move { drop(tokio::time::timeout(limit, run(http, shared, stopped)).await) });
        }
        Ok(Self { shared, stop, clients })
    }

    /// How many clients there are.
    pub fn clients(&self) -> usize {
        self.clients.len()
    }

    /// The pods that get the next requests. Other addresses than those of this machine's loopback get none.
    pub fn send_to(&self, addresses: Vec<Ipv4Addr>) {
        let addresses = addresses.into_iter().filter(Ipv4Addr::is_loopback).collect();
        *self.shared.addresses.lock().unwrap_or_else(PoisonError::into_inner) = addresses;
    }

    /// Sends to the ready ones of these pods, as they come and go; never ends.
    pub async fn follow(self, pods: Api<Pod>, which: ListParams) {
        loop {
            // While the API does not answer, the load goes where it went.
            if let Ok(pods) = pods.list(&which).await {
                self.send_to(pods.iter().filter_map(ready_address).collect());
            }
            tokio::time::sleep(REFRESH).await;
        }
    }

    /// No further requests.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Stops, waits for the requests that are under way, and gives the numbers of answers and of refusals.
    pub async fn finish(mut self) -> Result<(usize, usize)> {
        self.stop();
        while let Some(client) = self.clients.join_next().await {
            client.context("a client of the load panicked")?;
        }
        let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        Ok((count(&self.shared.answered), count(&self.shared.refused)))
    }
}

impl Shared {
    fn next(&self) -> Option<Ipv4Addr> {
        let addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        addresses.get(index.checked_rem(addresses.len())?).copied()
    }
}

async fn run(http: reqwest::Client, shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        if let Some(address) = shared.next() {
            let answer = http.get(format!("http://{address}:8080/")).send().await;
            if answer.and_then(reqwest::Response::error_for_status).is_ok() {
                shared.answered.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            shared.refused.fetch_add(1, Ordering::Relaxed);
        }
        // An error means that the load was dropped, and with it this task.
        let _ = tokio::time::timeout(RETRY, stop.wait_for(|stop| *stop)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn requests_go_to_the_pods_round_robin_and_nowhere_else_than_loopback() {
        let load = Load { shared: Arc::default(), stop: watch::channel(false).0, clients: JoinSet::new() };
        assert_eq!(load.shared.next(), None);
        let [a, b] = [Ipv4Addr::new(127, 1, 1, 2), Ipv4Addr::new(127, 1, 1, 3)];
        load.send_to(vec![a, Ipv4Addr::new(192, 0, 2, 1), b]);
        let chosen: Vec<_> = (0..4).filter_map(|_| load.shared.next()).collect();
        assert!(chosen == [a, b, a, b] || chosen == [b, a, b, a], "{chosen:?}");
    }

    #[test]
    fn a_pod_that_is_not_ready_or_is_being_deleted_gets_no_requests() {
        let pod = |ready: &str, deleted: Option<&str>| {
            let pod = json!({
                "metadata": {"deletionTimestamp": deleted},
                "status": {"podIP": "127.1.1.2", "conditions": [{"type": "Ready", "status": ready}]},
            });
            ready_address(&serde_json::from_value(pod).unwrap())
        };
        assert_eq!(pod("True", None), Some(Ipv4Addr::new(127, 1, 1, 2)));
        assert_eq!(pod("False", None), None);
        assert_eq!(pod("True", Some("2026-01-01T00:00:00Z")), None);
    }
}
