//! Whether the process is ready for traffic: not while the model loads, and not after SIGTERM.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The state of the process; shared by the probes, the handlers and the shutdown.
#[derive(Debug, Clone)]
pub struct Readiness {
    loaded_at: Instant,
    draining: Arc<AtomicBool>,
}

/// A phase in the life of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The model is loading, for this much longer.
    Loading(Duration),
    /// Ready.
    Serving,
    /// Shutting down: not ready, but requests that still arrive are answered.
    Draining,
}

impl Readiness {
    /// For a process that starts now and whose model is loaded after `startup_delay`.
    pub fn new(startup_delay: Duration) -> Self {
        Self { loaded_at: Instant::now() + startup_delay, draining: Arc::default() }
    }

    /// The current phase.
    pub fn phase(&self) -> Phase {
        if self.draining.load(Ordering::Relaxed) {
            return Phase::Draining;
        }
        self.loading().map_or(Phase::Serving, Phase::Loading)
    }

    /// How much longer the model is loading, if it is. A draining process cannot infer without it either.
    pub fn loading(&self) -> Option<Duration> {
        let left = self.loaded_at.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    /// Starts draining: the process is not ready from now on.
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
