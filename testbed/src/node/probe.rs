//! Readiness probes: when to ask, and what the answers add up to.

use std::time::{Duration, Instant};

/// An `httpGet` probe.
#[derive(Clone, Debug)]
pub(super) struct Probe {
    pub(super) url: String,
    pub(super) delay: Duration,
    pub(super) period: Duration,
    pub(super) timeout: Duration,
    /// So many failures in a row make an end of readiness.
    pub(super) failures: i32,
    /// So many successes in a row make it ready.
    pub(super) successes: i32,
}

/// What a probe has found since its container started.
#[derive(Debug)]
pub(super) struct Readiness {
    probe: Option<Probe>,
    ready: bool,
    next: Instant,
    /// Answers in a row that contradict `ready`.
    against: i32,
}

impl Readiness {
    /// Of a container that starts now; without a probe it is ready at once.
    pub(super) fn begin(probe: Option<&Probe>) -> Self {
        let next = Instant::now() + probe.map_or(Duration::ZERO, |it| it.delay);
        Self { probe: probe.cloned(), ready: probe.is_none(), next, against: 0 }
    }

    pub(super) fn is_ready(&self) -> bool {
        self.ready
    }

    /// Asks, if it is time to.
    pub(super) async fn step(&mut self, client: &reqwest::Client) {
        let Some(probe) = &self.probe else { return };
        if Instant::now() < self.next {
            return;
        }
        self.next = Instant::now() + probe.period;
        let answer = client.get(&probe.url).timeout(probe.timeout).send().await;
        // As kubelet: everything below 400 is a success.
        self.record(answer.is_ok_and(|it| it.status().as_u16() < 400));
    }

    fn record(&mut self, success: bool) {
        let Some(probe) = &self.probe else { return };
        if success == self.ready {
            self.against = 0;
            return;
        }
        self.against += 1;
        if self.against >= if self.ready { probe.failures } else { probe.successes } {
            self.ready = success;
            self.against = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_changes_only_after_enough_answers_in_a_row() {
        let probe = Probe {
            url: "http://127.0.0.1/".into(),
            delay: Duration::ZERO,
            period: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            failures: 3,
            successes: 2,
        };
        let mut readiness = Readiness::begin(Some(&probe));
        let mut after = |success| {
            readiness.record(success);
            readiness.is_ready()
        };
        assert!(!after(true));
        assert!(!after(false));
        assert!(!after(true));
        assert!(after(true));
        assert!(after(false) && after(false) && after(true) && after(false) && after(false));
        assert!(!after(false));
        assert!(Readiness::begin(None).is_ready());
    }
}
