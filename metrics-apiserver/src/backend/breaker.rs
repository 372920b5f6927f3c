//! Whether a server of a backend is worth asking: the breaker.
//!
//! *Closed*, queries are sent. [`FAILURES_TO_OPEN`] failures in a row, of whatever queries, *open* it: then no query is
//! sent, those under way are given up (whoever waits for them would only wait for their timeout), and a probe of our
//! own is sent until the server answers one, which *closes* it again (see [`probe`](super::probe)).
//!
//! What must not happen is that one slow rule, or three, take a healthy server away from all others:
//!
//! - A failure counts only if the server has answered nothing else since that query was sent. While a slow query uses up
//!   its 10 s, other rules of the backend are answered, and that shows where the fault lies, also when the query is put to
//!   another server next, which answers nobody else.
//! - Any answer ends the row. So does one that refuses the query or is too long to read: the server works. What a gateway
//!   refuses before the server has seen it says nothing of the server: it neither counts nor ends the row.
//! - The probe is a query that costs nothing, not the next query that happens to come, and the first one is sent at
//!   once. Should only slow queries have failed, with no other query between, the breaker is open for milliseconds.
//!
//! If it opens again before any query was answered (the server answers the probe and nothing else), the first probe waits
//! as the last one did.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tokio::time::Instant;

/// One failure may be a restart's cut connection, two may be a pair of them; at ten queries at once and one every 15 s
/// alike, three without an answer between are an outage.
pub(super) const FAILURES_TO_OPEN: u32 = 3;

/// The state of one server.
#[derive(Debug)]
pub(super) struct Breaker {
    row: Mutex<Row>,
    /// While it is open: the message of the failure that opened it.
    open: watch::Sender<Option<Arc<str>>>,
}

#[derive(Debug, Default)]
struct Row {
    failures: u32,
    answered_at: Option<Instant>,
    /// How often it opened since a query was answered.
    openings: u32,
}

/// What a failure means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing: the server has answered others since.
    Pardoned,
    /// One more in a row.
    Counted,
    /// One too many.
    Opened,
}

impl Breaker {
    pub(super) fn new() -> Self {
        Self { row: Mutex::default(), open: watch::Sender::new(None) }
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
                // Cannot be: the sender is ours.
                std::future::pending::<()>().await;
            }
        }
    }

    /// A query was answered at `now`; says whether this closed the breaker.
    pub(super) fn answered(&self, now: Instant) -> bool {
        let mut row = self.row();
        *row = Row { failures: 0, answered_at: Some(now), openings: 0 };
        self.open.send_replace(None).is_some()
    }

    /// A query that was sent at `sent` got no answer, with this message.
    pub(super) fn failed(&self, sent: Instant, message: &str) -> Verdict {
        let mut row = self.row();
        if row.answered_since(sent) {
            return Verdict::Pardoned;
        }
        row.failures += 1;
        if row.failures < FAILURES_TO_OPEN || self.open.borrow().is_some() {
            return Verdict::Counted;
        }
        row.openings = row.openings.saturating_add(1);
        self.open.send_replace(Some(message.into()));
        Verdict::Opened
    }

    /// Whether a query was answered since then.
    pub(super) fn answered_since(&self, sent: Instant) -> bool {
        self.row().answered_since(sent)
    }

    /// How often it opened since a query was answered.
    pub(super) fn openings(&self) -> u32 {
        self.row().openings
    }

    /// A probe was answered; says whether this closed the breaker. The next row begins from nothing.
    pub(super) fn probed(&self) -> bool {
        self.row().failures = 0;
        self.open.send_replace(None).is_some()
    }

    fn row(&self) -> std::sync::MutexGuard<'_, Row> {
        self.row.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Row {
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
    async fn an_answer_ends_the_row() {
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
            assert_eq!(breaker.failed(sent, "slow"), Verdict::Pardoned);
        }
        assert_eq!(breaker.failed(sent + 2 * SECOND, "sent after the answer"), Verdict::Counted);
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_or_an_answer_closes_it_and_the_row_begins_anew() {
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
    async fn who_waits_for_it_to_open_is_woken() {
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
        assert_eq!(&*breaker.opened().await, "down", "also who comes later");
    }
}
