//! Whether the process wants traffic: not while the model loads, not once it was told to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Shared by the probes, the handlers and the shutdown.
#[derive(Debug, Clone)]
pub struct Readiness {
    loaded_at: Instant,
    draining: Arc<AtomicBool>,
}

/// What the process is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The model loads, for this much longer.
    Loading(Duration),
    /// Ready.
    Serving,
    /// Told to stop: wants no new requests, answers those that come all the same.
    Draining,
}

impl Readiness {
    /// Of a process that starts now and has its model loaded after `startup_delay`.
    pub fn new(startup_delay: Duration) -> Self {
        Self { loaded_at: Instant::now() + startup_delay, draining: Arc::default() }
    }

    /// What the process is doing now.
    pub fn phase(&self) -> Phase {
        if self.draining.load(Ordering::Relaxed) {
            return Phase::Draining;
        }
        self.loading().map_or(Phase::Serving, Phase::Loading)
    }

    /// How much longer the model loads, if it does: a process that drains can't infer without it either.
    pub fn loading(&self) -> Option<Duration> {
        let left = self.loaded_at.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    /// From now on the process wants no new requests.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_loads_then_serves_then_drains() {
        let loading = Readiness::new(Duration::from_secs(3600));
        assert!(matches!(loading.phase(), Phase::Loading(left) if left > Duration::from_secs(3500)));
        let ready = Readiness::new(Duration::ZERO);
        assert_eq!(ready.phase(), Phase::Serving);
        let seen_elsewhere = ready.clone();
        ready.drain();
        assert_eq!(seen_elsewhere.phase(), Phase::Draining);
        loading.drain();
        assert!(
            loading.phase() == Phase::Draining && loading.loading().is_some() && ready.loading().is_none()
        );
    }
}
