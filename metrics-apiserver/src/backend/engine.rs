//! Recognizes what engine a server has, once for each URL in the background, and warns about one that needs a query
//! parameter.
//!
//! One call at a time, within the time of a probe, to servers whose breaker is closed. It takes no permit, fails
//! nothing and opens no breaker: a read is never delayed by it. A server that cannot be recognized is asked again a
//! minute later; one that refuses, or answers something else, is taken for one like Prometheus.

use std::collections::HashSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::time::{sleep, timeout};

use super::advice::advice;
use super::build_info::BuildInfo;
use super::client::{Client, Fault, Server};
use super::clients::Clients;
use super::failover::Backend;
use super::options::Options;

/// After the start, which has more urgent work.
const FIRST_ROUND: Duration = Duration::from_secs(2);

/// Until servers that did not answer, and those of a new configuration, are asked.
pub(super) const ROUND: Duration = Duration::from_secs(60);

/// As for a probe.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Recognizes the servers of all backends, now and after each change of them.
pub(super) async fn recognize_all(current: &ArcSwap<Clients>) {
    let mut pause = FIRST_ROUND;
    let mut recognized = Recognized::default();
    loop {
        sleep(pause).await;
        pause = ROUND;
        let clients = current.load_full();
        recognized.forget_replaced();
        for backend in clients.values() {
            recognized.round(backend).await;
        }
    }
}

/// The servers that were recognized, by their backend and position. A backend that a reload has changed is another one.
#[derive(Debug, Default)]
struct Recognized(Vec<(Weak<Backend>, HashSet<usize>)>);

impl Recognized {
    fn forget_replaced(&mut self) {
        self.0.retain(|(backend, _)| backend.strong_count() > 0);
    }

    async fn round(&mut self, backend: &Arc<Backend>) {
        let is_it = |known: &Weak<Backend>| std::ptr::eq(known.as_ptr(), Arc::as_ptr(backend));
        let at = self.0.iter().position(|(known, _)| is_it(known)).unwrap_or_else(|| {
            self.0.push((Arc::downgrade(backend), HashSet::new()));
            self.0.len() - 1
        });
        let Some((_, known)) = self.0.get_mut(at) else { return };
        for (index, server) in backend.client.servers.iter().enumerate() {
            if !known.contains(&index) && recognize(&backend.client, &backend.options, index, server).await {
                known.insert(index);
            }
        }
    }
}

/// Whether it is known now what the server is.
async fn recognize(client: &Client, options: &Options, index: usize, server: &Server) -> bool {
    if server.breaker.cause().is_some() {
        return false;
    }
    let engine = match timeout(TIMEOUT, client.send(server, &BuildInfo, TIMEOUT)).await {
        Ok(Ok(answer)) => answer.content,
        // Most often 404: gateways that let only queries pass.
        Ok(Err(failed)) if failed.fault != Fault::Server => return true,
        Ok(Err(_)) | Err(_) => return false,
    };
    tracing::debug!(backend = &*client.name.0, server = index, ?engine, "engine recognized");
    if let Some(advice) = advice(&engine, options) {
        tracing::warn!(backend = &*client.name.0, server = index, "{advice}");
    }
    true
}
