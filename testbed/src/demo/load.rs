//! Clients that keep the service busy: each sends its next request when the last one was answered.
//!
//! Closed loops bound themselves: no more requests are under way than there are clients. With `n` clients and `p` pods of one
//! slot, a request takes `n / p` inferences.

use super::watch::Goal;
use anyhow::{Context, Result};
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
/// Bounds the load, whatever the HPA's maximum is.
const CLIENTS_MAX: usize = 64;

/// Clients at work, each a task. Dropped, they end at once.
pub(super) struct Load {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    clients: JoinSet<()>,
}

#[derive(Default)]
struct Shared {
    addresses: Mutex<Vec<Ipv4Addr>>,
    turn: AtomicUsize,
    answered: AtomicUsize,
    refused: AtomicUsize,
}

/// So many clients that even all pods together cannot answer within one and a half inferences, which is the HPA's target.
pub(super) fn clients(goal: Goal) -> usize {
    usize::try_from(goal.max).map_or(CLIENTS_MAX, |max| (2 * max + 2).min(CLIENTS_MAX))
}

impl Load {
    /// Starts so many clients, which end by themselves after `limit`.
    pub(super) fn start(count: usize, limit: Duration) -> Result<Self> {
        crate::install_crypto();
        // Nothing is kept open: every request goes to the pod whose turn it is, so that new pods get theirs.
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
    pub(super) fn clients(&self) -> usize {
        self.clients.len()
    }

    /// The pods that get the next requests. Other addresses than those of this machine's loopback get none.
    pub(super) fn send_to(&self, addresses: Vec<Ipv4Addr>) {
        let addresses = addresses.into_iter().filter(Ipv4Addr::is_loopback).collect();
        *self.shared.addresses.lock().unwrap_or_else(PoisonError::into_inner) = addresses;
    }

    /// No further requests.
    pub(super) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Stops, waits for the requests that are under way, and gives the numbers of answers and of refusals.
    pub(super) async fn finish(mut self) -> Result<(usize, usize)> {
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
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        addresses.get(turn.checked_rem(addresses.len())?).copied()
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

    #[test]
    fn requests_go_to_the_pods_in_turn_and_nowhere_else_than_loopback() {
        let load = Load { shared: Arc::default(), stop: watch::channel(false).0, clients: JoinSet::new() };
        assert_eq!(load.shared.next(), None);
        let [a, b] = [Ipv4Addr::new(127, 1, 1, 2), Ipv4Addr::new(127, 1, 1, 3)];
        load.send_to(vec![a, Ipv4Addr::new(192, 0, 2, 1), b]);
        let turns: Vec<_> = (0..4).filter_map(|_| load.shared.next()).collect();
        assert!(turns == [a, b, a, b] || turns == [b, a, b, a], "{turns:?}");
    }

    #[test]
    fn the_clients_are_too_many_for_the_maximum_but_bounded() {
        let clients = |max| clients(Goal { min: 1, max, target: 1.5 });
        assert_eq!(clients(4), 10);
        assert_eq!(clients(1_000), CLIENTS_MAX);
        assert_eq!(clients(-1), CLIENTS_MAX);
    }
}
