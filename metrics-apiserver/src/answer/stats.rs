//! What is counted of one metric's reads, and what the log is told of values that nobody measured.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::metrics::histogram::Histogram;
use tokio::time::Instant;

use super::AnswerError;
use super::outcome::Outcome;
use super::read::{Served, Source};
use crate::cache::QueryCounts;
use crate::rules::ValueError;

/// Seconds. From an answer out of the cache (tens of microseconds) to the read deadline of 1 s and one that was raised.
const DURATIONS: [f64; 8] = [0.0005, 0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0];

/// Seconds. A reading of the HPA's beat is below 15, one that is held may be an hour old and more.
const AGES: [f64; 9] = [0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 60.0, 300.0, 3600.0];

/// A metric is read by HPAs of several namespaces and not all of them are troubled, so the last read alone says
/// little: failure lasts until no read has met it for three beats of an HPA.
pub(super) const EPISODE_GAP: Duration = Duration::from_secs(45);

/// Counts the reads of one metric. No lock is held for more than an addition.
#[derive(Debug)]
pub(super) struct ReadStats {
    reads: [AtomicU64; Outcome::ALL.len()],
    pub(super) durations: Histogram,
    pub(super) ages: Histogram,
    pub(super) queries: Arc<QueryCounts>,
    held: Episode,
    replaced: Episode,
    partial: Episode,
    made: Instant,
}

impl ReadStats {
    pub(super) fn new() -> Self {
        Self {
            reads: std::array::from_fn(|_| AtomicU64::new(0)),
            durations: Histogram::new(DURATIONS),
            ages: Histogram::new(AGES),
            queries: Arc::default(),
            held: Episode::default(),
            replaced: Episode::default(),
            partial: Episode::default(),
            made: Instant::now(),
        }
    }

    /// Counts one read of `metric` that took so long; the log hears when unmeasured values begin and when they end.
    pub(super) fn record(&self, metric: &str, read: &Result<Served, AnswerError>, took: Duration) {
        self.count(Outcome::of(read), took);
        match read.as_ref().map(|served| &served.source) {
            Ok(Source::Measured(age)) => {
                self.ages.observe(age.as_secs_f64());
                self.note_end(metric);
            }
            Ok(Source::Held(age, cause)) => {
                self.ages.observe(age.as_secs_f64());
                self.note_partial(metric, cause);
                if self.held.goes_on(self.now()) {
                    tracing::warn!(metric.name = metric, age_s = age.as_secs(), %cause, "last good value held");
                }
            }
            Ok(Source::Replaced(cause)) => {
                self.note_partial(metric, cause);
                if self.replaced.goes_on(self.now()) {
                    tracing::warn!(metric.name = metric, %cause, "the rule's own value served");
                }
            }
            Err(cause) => self.note_partial(metric, cause),
        }
    }

    /// Counts one read, without a word in the log.
    pub(super) fn count(&self, outcome: Outcome, took: Duration) {
        self.reads[outcome as usize].fetch_add(1, Ordering::Relaxed);
        self.durations.observe(took.as_secs_f64());
    }

    /// How many reads ended so.
    pub(super) fn reads(&self, outcome: Outcome) -> u64 {
        self.reads[outcome as usize].load(Ordering::Relaxed)
    }

    /// Whether any read ended in one of these ways.
    pub(super) fn any(&self, outcomes: &[Outcome]) -> bool {
        outcomes.iter().any(|outcome| self.reads(*outcome) > 0)
    }

    /// Whether a read was answered by a held value lately.
    pub(super) fn holds(&self) -> bool {
        self.held.lasts(self.now())
    }

    fn note_end(&self, metric: &str) {
        let now = self.now();
        // One after the other: each must hear of it.
        let ended = [&self.held, &self.replaced].map(|episode| episode.ends(now));
        if ended.contains(&true) {
            tracing::info!(metric.name = metric, "measured values served again");
        }
    }

    /// The client is told that the answer is partial, the log in whose words.
    fn note_partial(&self, metric: &str, cause: &AnswerError) {
        if let Some(warning) = warning(cause)
            && self.partial.goes_on(self.now())
        {
            tracing::warn!(metric.name = metric, warning, "prometheus called its answer partial");
        }
    }

    /// Milliseconds since the stats was made.
    fn now(&self) -> u64 {
        u64::try_from(self.made.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

fn warning(cause: &AnswerError) -> Option<&str> {
    match cause {
        AnswerError::HoldOver { error, .. } => warning(error),
        AnswerError::Value { source: ValueError::Partial { warning }, .. } => Some(warning),
        _ => None,
    }
}

/// A stretch of time in which something happened again and again, never [`EPISODE_GAP`] apart.
#[derive(Debug, Default)]
struct Episode {
    /// When it happened last, in milliseconds, counted from 1; 0 for never.
    last: AtomicU64,
}

impl Episode {
    /// Notes that it happened; says whether a new episode begins with it.
    fn goes_on(&self, now: u64) -> bool {
        let last = self.last.swap(now.saturating_add(1), Ordering::Relaxed);
        !within(last, now)
    }

    /// Whether it has ended; says so only once.
    fn ends(&self, now: u64) -> bool {
        let last = self.last.load(Ordering::Relaxed);
        let over = last != 0 && !within(last, now);
        over && self.last.compare_exchange(last, 0, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    fn lasts(&self, now: u64) -> bool {
        within(self.last.load(Ordering::Relaxed), now)
    }
}

fn within(last: u64, now: u64) -> bool {
    last != 0 && u128::from(now.saturating_add(1).saturating_sub(last)) <= EPISODE_GAP.as_millis()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPELL_MS: u64 = 45_000;

    #[test]
    fn a_spell_begins_once_and_ends_once() {
        let episode = Episode::default();
        assert!(!episode.lasts(0) && !episode.ends(0), "it has not begun");
        assert!(episode.goes_on(0), "it begins");
        for now in [1, SPELL_MS, 2 * SPELL_MS] {
            assert!(!episode.goes_on(now), "it goes on");
        }
        assert!(episode.lasts(3 * SPELL_MS) && !episode.ends(3 * SPELL_MS));
        assert!(!episode.lasts(3 * SPELL_MS + 1));
        assert!(episode.ends(3 * SPELL_MS + 1), "it ends");
        assert!(!episode.ends(3 * SPELL_MS + 2), "it has ended");
        assert!(episode.goes_on(3 * SPELL_MS + 3), "it begins again");
    }

    #[test]
    fn every_outcome_has_its_own_place_and_word() {
        let words: std::collections::BTreeSet<_> =
            Outcome::ALL.iter().map(|outcome| outcome.as_str()).collect();
        assert_eq!(words.len(), Outcome::ALL.len());
        assert!(Outcome::ALL.iter().enumerate().all(|(place, outcome)| *outcome as usize == place));
    }
}
