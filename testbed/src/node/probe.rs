//! Probes: when to ask, and what the answers add up to.

use super::plan::ContainerPlan;
use std::time::{Duration, Instant};

/// How a container is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// `httpGet` of this URL.
    Get(String),
    /// `tcpSocket`, to this host and port.
    Connect(String),
}

/// A probe.
#[derive(Clone, Debug)]
pub(super) struct Probe {
    pub(super) action: Action,
    pub(super) delay: Duration,
    pub(super) period: Duration,
    pub(super) timeout: Duration,
    /// So many failures in a row make an end of it.
    pub(super) failures: i32,
    /// So many successes in a row make it good.
    pub(super) successes: i32,
}

/// The probes of a container, since it started.
#[derive(Debug)]
pub(super) struct Probes {
    startup: Check,
    liveness: Check,
    readiness: Check,
}

impl Probes {
    /// Of a container that starts now.
    pub(super) fn begin(plan: &ContainerPlan) -> Self {
        let now = Instant::now();
        Self {
            startup: Check::begin(plan.startup.as_ref(), false, now),
            liveness: Check::begin(plan.liveness.as_ref(), true, now),
            readiness: Check::begin(plan.readiness.as_ref(), false, now),
        }
    }

    /// Whether it has started, as its startup probe says.
    pub(super) fn has_started(&self) -> bool {
        self.startup.is_good
    }

    /// Whether it may get requests.
    pub(super) fn is_ready(&self) -> bool {
        self.startup.is_good && self.readiness.is_good
    }

    /// Asks what it is time for. The other probes wait for the startup probe. Says why the container must be started
    /// again, if it must.
    pub(super) async fn step(&mut self, client: &reqwest::Client) -> Option<&'static str> {
        if !self.startup.is_good {
            self.startup.step(client).await;
            return self.startup.has_failed().then_some("its startup probe failed");
        }
        self.readiness.step(client).await;
        self.liveness.step(client).await;
        self.liveness.has_failed().then_some("its liveness probe failed")
    }
}

/// What one probe has found.
#[derive(Debug)]
struct Check {
    probe: Option<Probe>,
    is_good: bool,
    next: Instant,
    last: bool,
    /// Answers in a row that are as the last one.
    run: i32,
}

impl Check {
    /// Without a probe it is good at once.
    fn begin(probe: Option<&Probe>, is_good: bool, now: Instant) -> Self {
        let next = now + probe.map_or(Duration::ZERO, |it| it.delay);
        Self { probe: probe.cloned(), is_good: is_good || probe.is_none(), next, last: is_good, run: 0 }
    }

    /// Asks, if it is time to.
    async fn step(&mut self, client: &reqwest::Client) {
        let Some(probe) = &self.probe else { return };
        if Instant::now() < self.next {
            return;
        }
        self.next = Instant::now() + probe.period;
        let success = match &probe.action {
            Action::Get(url) => {
                let answer = client.get(url).timeout(probe.timeout).send().await;
                // As kubelet: everything below 400 is a success.
                answer.is_ok_and(|it| it.status().as_u16() < 400)
            }
            Action::Connect(address) => {
                let connect = tokio::net::TcpStream::connect(address);
                matches!(tokio::time::timeout(probe.timeout, connect).await, Ok(Ok(_)))
            }
        };
        self.record(success);
    }

    fn record(&mut self, success: bool) {
        self.run = if success == self.last { self.run + 1 } else { 1 };
        self.last = success;
        let Some(probe) = &self.probe else { return };
        if self.run >= if success { probe.successes } else { probe.failures } {
            self.is_good = success;
        }
    }

    /// Whether it has failed often enough in a row.
    fn has_failed(&self) -> bool {
        !self.last && self.probe.as_ref().is_some_and(|probe| self.run >= probe.failures)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(is_good: bool) -> Check {
        let probe = Probe {
            action: Action::Get("http://127.0.0.1/".into()),
            delay: Duration::ZERO,
            period: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            failures: 3,
            successes: 2,
        };
        Check::begin(Some(&probe), is_good, Instant::now())
    }

    #[test]
    fn readiness_changes_only_after_enough_answers_in_a_row() {
        let mut readiness = check(false);
        let mut after = |success| {
            readiness.record(success);
            readiness.is_good
        };
        assert!(!after(true));
        assert!(!after(false));
        assert!(!after(true));
        assert!(after(true));
        assert!(after(false) && after(false) && after(true) && after(false) && after(false));
        assert!(!after(false));
        assert!(Check::begin(None, false, Instant::now()).is_good);
    }

    #[test]
    fn liveness_and_startup_fail_after_enough_failures_in_a_row() {
        for is_good in [true, false] {
            let mut check = check(is_good);
            assert!(!check.has_failed());
            for success in [false, false, true, false, false] {
                check.record(success);
                assert!(!check.has_failed(), "{check:?}");
            }
            check.record(false);
            assert!(check.has_failed());
        }
        assert!(!Check::begin(None, true, Instant::now()).has_failed());
    }
}
