//! The circuit breaker of one server.
//!
//! While it is *closed*, calls are sent. [`FAILURES_TO_OPEN`] failures in a row, of whatever calls, *open* it: no
//! call is sent, those in flight are cancelled (waiting for them would mean waiting for their timeouts), and a
//! [`probe`](super::probe) is sent until the server answers one, which *closes* it again.
//!
//! One slow rule, or three, must not take a healthy server away from all others:
//!
//! - A failure counts only if the server has answered nothing else since the call was sent. While a slow query uses
//!   up its 10 s, other rules of the backend are answered, which shows that the query is at fault. That also holds
//!   when the query is then sent to another server, which answers no other query.
//! - Any answer ends the series of failures. So does one that refuses the call or is too large: the server works. A
//!   refusal by a gateway says nothing about the server: it neither counts nor ends the series.
//! - The probe is a cheap query of our own, not the next query that happens to come, and the first one is sent at
//!   once. If only slow queries have failed, with no other query between, the breaker is open for milliseconds.
//!
//! If it opens again before any call was answered (the server answers the probe and nothing else), the pause before the
//! first probe is as long as the last one was.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tokio::time::Instant;

/// One failure may be a connection cut by a restart, two may be a pair of them. Three without an answer between are an
/// outage, at ten queries at once and at one every 15 s alike.
pub(super) const FAILURES_TO_OPEN: u32 = 3;

/// The state of one server.
#[derive(Debug)]
pub(super) struct Breaker {
    failures: Mutex<Failures>,
    /// While it is open: the message of the failure that opened it.
    open: watch::Sender<Option<Arc<str>>>,
}

#[derive(Debug, Default)]
struct Failures {
    in_a_row: u32,
    answered_at: Option<Instant>,
    /// How often the breaker opened since a call was answered.
    openings: u32,
}

/// What a failure means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It does not count: the server has answered other calls since.
    Ignored,
    /// It counts.
    Counted,
    /// It has opened the breaker.
    Opened,
}

impl Breaker {
    pub(super) fn new() -> Self {
        Self { failures: Mutex::default(), open: watch::Sender::new(None) }
    }

    /// The message of the failure that opened it, if it is open.
    pub(super) fn cause(&self) -> Option<Arc<str>> {
        self.open.borrow().clone()
    }

    /// Waits until it is open.
    pub(super) async fn opened(&self) -> Arc<str> {
        let mut open = self.open.subscribe();
        loop {
            if let Some(cause) = &*open.borrow_and_update() {
                return Arc::clone(cause);
            }
            if open.changed().await.is_err() {
                // Cannot happen: `self` holds the sender.
                std::future::pending::<()>().await;
            }
        }
    }

    /// A call was answered at `now`; whether this closed the breaker.
    pub(super) fn answered(&self, now: Instant) -> bool {
        let mut failures = self.failures();
        *failures = Failures { in_a_row: 0, answered_at: Some(now), openings: 0 };
        self.open.send_replace(None).is_some()
    }

    /// A call that was sent at `sent` failed with this message.
    pub(super) fn failed(&self, sent: Instant, message: &str) -> Verdict {
        let mut failures = self.failures();
        if failures.answered_since(sent) {
            return Verdict::Ignored;
        }
        failures.in_a_row += 1;
        if failures.in_a_row < FAILURES_TO_OPEN || self.open.borrow().is_some() {
            return Verdict::Counted;
        }
        failures.openings = failures.openings.saturating_add(1);
        self.open.send_replace(Some(message.into()));
        Verdict::Opened
    }

    /// Whether a call was answered since `sent`.
    pub(super) fn answered_since(&self, sent: Instant) -> bool {
        self.failures().answered_since(sent)
    }

    /// How often it opened since a call was answered.
    pub(super) fn openings(&self) -> u32 {
        self.failures().openings
    }

    /// A probe was answered; whether this closed the breaker. Failures are counted from 0 again.
    pub(super) fn probed(&self) -> bool {
        self.failures().in_a_row = 0;
        self.open.send_replace(None).is_some()
    }

    fn failures(&self) -> std::sync::MutexGuard<'_, Failures> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Failures {
    fn answered_since(&self, sent: Instant) -> bool {
        self.answered_at.is_some_and(|at| at >= sent)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn open() -> Breaker {
        let breaker = Breaker::new();
        let verdicts = ["first", "second", "third"].map(|message| breaker.failed(Instant::now(), message));
        assert_eq!(verdicts, [Verdict::Counted, Verdict::Counted, Verdict::Opened]);
        breaker
    }

    #[tokio::test(start_paused = true)]
    async fn failures_in_a_row_open_it_and_the_last_one_is_the_cause() {
        let breaker = Breaker::new();
        let now = Instant::now();
        assert_eq!(breaker.failed(now, "a"), Verdict::Counted);
        assert_eq!(breaker.failed(now, "b"), Verdict::Counted);
        assert_eq!(breaker.cause(), None);
        assert_eq!(breaker.failed(now, "c"), Verdict::Opened);
        assert_eq!(breaker.cause().as_deref(), Some("c"));
        assert_eq!(breaker.failed(now, "d"), Verdict::Counted, "it opens once");
        assert_eq!(breaker.cause().as_deref(), Some("c"));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_ends_the_series_of_failures() {
        let breaker = Breaker::new();
        for _ in 0..10 {
            tokio::time::advance(SECOND).await;
            assert_eq!(breaker.failed(Instant::now(), "a"), Verdict::Counted);
            assert_eq!(breaker.failed(Instant::now(), "a"), Verdict::Counted);
            assert!(!breaker.answered(Instant::now()));
        }
        assert_eq!(breaker.cause(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn slow_queries_do_not_count_while_others_are_answered() {
        let breaker = Breaker::new();
        let sent = Instant::now();
        tokio::time::advance(SECOND).await;
        breaker.answered(Instant::now());
        tokio::time::advance(9 * SECOND).await;
        for _ in 0..10 {
            assert_eq!(breaker.failed(sent, "slow"), Verdict::Ignored);
        }
        assert_eq!(breaker.failed(sent + 2 * SECOND, "sent after the answer"), Verdict::Counted);
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_or_an_answer_closes_it_and_failures_are_counted_from_0_again() {
        for close in [Breaker::probed, |breaker: &Breaker| breaker.answered(Instant::now())] {
            let breaker = open();
            tokio::time::advance(SECOND).await;
            assert!(close(&breaker));
            assert!(!close(&breaker), "it is closed already");
            assert_eq!(breaker.cause(), None);
            tokio::time::advance(SECOND).await;
            assert_eq!(breaker.failed(Instant::now(), "a"), Verdict::Counted);
            assert_eq!(breaker.failed(Instant::now(), "a"), Verdict::Counted);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn openings_are_counted_until_a_query_is_answered() {
        let breaker = open();
        assert_eq!(breaker.openings(), 1);
        breaker.probed();
        for _ in 0..FAILURES_TO_OPEN {
            breaker.failed(Instant::now(), "again");
        }
        assert_eq!(breaker.openings(), 2);
        breaker.answered(Instant::now());
        assert_eq!(breaker.openings(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn waiters_are_woken_when_it_opens() {
        let breaker = Arc::new(Breaker::new());
        let waiting = tokio::spawn({
            let breaker = Arc::clone(&breaker);
            async move { breaker.opened().await }
        });
        tokio::time::sleep(SECOND).await;
        assert!(!waiting.is_finished());
        for _ in 0..FAILURES_TO_OPEN {
            breaker.failed(Instant::now(), "down");
        }
        assert_eq!(&*waiting.await.unwrap(), "down");
        assert_eq!(&*breaker.opened().await, "down", "later waiters as well");
    }
}
