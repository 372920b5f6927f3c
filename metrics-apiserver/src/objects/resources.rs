//! The cluster's resources, kept up to date in the background.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

use super::backoff::{Backoff, with_jitter};
use super::discovery::Discovery;
use super::metrics::Metrics;
use crate::causes::causes;
use crate::metric::Resources;

/// The pause after a failed discovery; it doubles up to the interval.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The least time between two discoveries, however many names cannot be resolved.
const REFRESH_PAUSE: Duration = Duration::from_secs(5);

/// The resources at one time.
#[derive(Debug, Clone, Default)]
pub struct KnownResources {
    /// The number of the version, from 1; 0 while the resources are not known yet.
    pub generation: u64,
    /// The resources.
    pub resources: Arc<Resources>,
}

/// The current resources, and the wish for newer ones.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) known: watch::Sender<KnownResources>,
    pub(super) unresolved: Notify,
}

impl Table {
    pub(super) fn new(known: KnownResources) -> Self {
        Self { known: watch::Sender::new(known), unresolved: Notify::new() }
    }

    /// Refreshes the resources, without end: in this interval, and soon when a name cannot be resolved.
    pub(super) async fn follow(&self, client: Client, interval: Duration, metrics: &Metrics) {
        let mut discovery = Discovery::new(client);
        let mut backoff = Backoff::new(FIRST_PAUSE.min(interval), interval);
        let mut has_failed = false;
        loop {
            let began = Instant::now();
            let pause = match discovery.read().await {
                Ok(resources) => {
                    self.publish(resources, metrics);
                    if has_failed {
                        tracing::info!("discovery of the cluster's resources works again");
                    }
                    has_failed = false;
                    backoff.reset();
                    with_jitter(interval)
                }
                Err(error) => {
                    metrics.discovery_failures.inc();
                    if !has_failed {
                        tracing::warn!(
                            error = %causes(&error),
                            "cannot discover the cluster's resources; retrying"
                        );
                    }
                    has_failed = true;
                    backoff.pause()
                }
            };
            let next = Instant::now() + pause;
            tokio::select! {
                () = sleep_until(next) => {}
                () = self.wanted(began) => {}
            }
        }
    }

    /// Until a name could not be resolved, and the last discovery is some time ago.
    async fn wanted(&self, last: Instant) {
        self.unresolved.notified().await;
        sleep_until(last + REFRESH_PAUSE).await;
    }

    fn publish(&self, resources: Resources, metrics: &Metrics) {
        metrics.discovered(resources.all().len());
        self.known.send_if_modified(|known| {
            let is_changed = known.generation == 0 || *known.resources != resources;
            if is_changed {
                tracing::debug!(resources = resources.all().len(), "the cluster's resources changed");
                *known = KnownResources { generation: known.generation + 1, resources: Arc::new(resources) };
            }
            is_changed
        });
    }
}
