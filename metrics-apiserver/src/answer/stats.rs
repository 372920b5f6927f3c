//! Statistics of one metric's reads, and log lines about values that were not measured.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::metrics::histogram::Histogram;
use tokio::time::Instant;

use super::error::AnswerError;
use super::explanation::{Explanation, Step};
use super::outcome::Outcome;
use crate::cache::QueryCounts;
use crate::rules::{Partial, Pick, Plan};

/// Seconds. From an answer of the cache (tens of microseconds) to the read deadline of 1 s, and a longer one.
const DURATIONS: [f64; 8] = [0.0005, 0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0];

/// Seconds. A reading is usually younger than the HPA's interval of 15 s; a held one may be older than an hour.
const AGES: [f64; 9] = [0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 60.0, 300.0, 3600.0];

/// HPAs of several namespaces read a metric and may not all see a failure, so the last read alone says little: an
/// episode ends when no read has seen the failure for three intervals of an HPA.
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
    /// Objects without a usable value.
    left_out: Episode,
    /// Samples of other objects only.
    of_others: Episode,
    /// Requests that the rule makes no query for.
    unplanned: Episode,
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
            left_out: Episode::default(),
            of_others: Episode::default(),
            unplanned: Episode::default(),
            made: Instant::now(),
        }
    }

    /// Counts one read; logs when values that were not measured begin, and when they end.
    pub(super) fn record(&self, explanation: &Explanation, took: Duration) {
        let (outcome, metric) = (Outcome::of(explanation), explanation.metric.as_str());
        self.count(outcome, took);
        if outcome == Outcome::Ok {
            explanation.readings.iter().for_each(|used| self.ages.observe(used.age.as_secs_f64()));
            self.note_end(metric);
            return;
        }
        if explanation.rule.as_ref().is_some_and(|rule| rule.policies.on_partial == Partial::Error) {
            let warnings = explanation.readings.iter().filter_map(|used| used.reading.partial.as_deref());
            warnings.for_each(|warning| self.note_partial(metric, warning));
        }
        let groups = explanation.groups.as_deref().unwrap_or_default();
        let steps = || groups.iter().flat_map(|group| &group.steps);
        let held = steps().find_map(|step| if let Step::Held { age, .. } = step { Some(age) } else { None });
        if let (Outcome::Held, Some(age)) = (outcome, held) {
            self.ages.observe(age.as_secs_f64());
        }
        steps().for_each(|step| self.note_step(metric, step));
        self.note_objects(explanation);
        if let Err(AnswerError::NotFound { source: Some(error), .. }) = &explanation.groups
            && self.unplanned.goes_on(self.now())
        {
            tracing::warn!(metric.name = metric, %error, "the rule makes no query for this request");
        }
    }

    /// Logs what a client does not see: objects that are left out of a list, and samples that belong to none of its
    /// objects.
    fn note_objects(&self, explanation: &Explanation) {
        let Some(Plan { pick: Pick::ByLabel { label, objects }, .. }) = &explanation.plan else { return };
        let metric = explanation.metric.as_str();
        let groups = explanation.groups.as_deref().unwrap_or_default();
        let errors = groups.iter().filter_map(|group| group.values.as_ref().err());
        let (no_data, failed): (Vec<_>, Vec<_>) = errors.partition(|error| error.is_no_data());
        let unusable = failed.iter().find(|error| matches!(error, AnswerError::Value { .. }));
        if let Some(error) = unusable
            && self.left_out.goes_on(self.now())
        {
            let left_out = failed.len();
            tracing::warn!(metric.name = metric, left_out, %error, "objects without a usable value are left out");
        }
        let samples = explanation.readings.iter().map(|used| used.reading.samples.len()).sum::<usize>();
        if samples > 0 && no_data.len() == objects.len() && self.of_others.goes_on(self.now()) {
            tracing::warn!(
                metric.name = metric,
                series = samples,
                %label,
                "the query returned series, but none has the name of an object that was asked for in this label"
            );
        }
    }

    fn note_step(&self, metric: &str, step: &Step) {
        match step {
            Step::Held { age, cause, .. } => {
                if self.held.goes_on(self.now()) {
                    tracing::warn!(metric.name = metric, age_s = age.as_secs(), %cause, "last good value held");
                }
            }
            Step::Replaced(cause) => {
                if self.replaced.goes_on(self.now()) {
                    tracing::warn!(metric.name = metric, %cause, "fallback value served");
                }
            }
            Step::HoldExpired => {}
        }
    }

    /// Counts one read without logging.
    pub(super) fn count(&self, outcome: Outcome, took: Duration) {
        self.reads[outcome as usize].fetch_add(1, Ordering::Relaxed);
        self.durations.observe(took.as_secs_f64());
    }

    /// The number of reads with this outcome.
    pub(super) fn reads(&self, outcome: Outcome) -> u64 {
        self.reads[outcome as usize].load(Ordering::Relaxed)
    }

    /// Whether a recent read was answered with a held value.
    pub(super) fn holds(&self) -> bool {
        self.held.lasts(self.now())
    }

    fn note_end(&self, metric: &str) {
        let now = self.now();
        // Both are evaluated: each episode has to end.
        let ended = [&self.held, &self.replaced].map(|episode| episode.ends(now));
        if ended.contains(&true) {
            tracing::info!(metric.name = metric, "measured values served again");
        }
    }

    /// Notes how many of the objects that a list asked for have no usage.
    pub(super) fn note_missing(&self, resource: &str, missing: usize, of: usize) {
        if missing == 0 {
            if self.left_out.ends(self.now()) {
                tracing::info!(resource, "all objects have usage again");
            }
        } else if self.left_out.goes_on(self.now()) {
            tracing::warn!(
                resource,
                missing,
                of,
                "objects without CPU or memory usage are left out; compare their names with the labels in Prometheus"
            );
        }
    }

    /// Logs the backend's warning; the client only learns that the answer is partial.
    fn note_partial(&self, metric: &str, warning: &str) {
        if self.partial.goes_on(self.now()) {
            tracing::warn!(metric.name = metric, warning, "prometheus returned a partial answer");
        }
    }

    /// Milliseconds since the statistics began.
    fn now(&self) -> u64 {
        u64::try_from(self.made.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// A period in which something happened again and again, never more than [`EPISODE_GAP`] apart.
#[derive(Debug, Default)]
struct Episode {
    /// When it happened last, in milliseconds plus one; 0 for never.
    last: AtomicU64,
}

impl Episode {
    /// Notes that it happened; returns whether an episode was already going on.
    fn goes_on(&self, now: u64) -> bool {
        let last = self.last.swap(now.saturating_add(1), Ordering::Relaxed);
        !within(last, now)
    }

    /// Whether it has ended; true only once.
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

    const GAP_MS: u64 = 45_000;

    #[test]
    fn an_episode_begins_once_and_ends_once() {
        let episode = Episode::default();
        assert!(!episode.lasts(0) && !episode.ends(0), "it has not begun");
        assert!(episode.goes_on(0), "it begins");
        for now in [1, GAP_MS, 2 * GAP_MS] {
            assert!(!episode.goes_on(now), "it goes on");
        }
        assert!(episode.lasts(3 * GAP_MS) && !episode.ends(3 * GAP_MS));
        assert!(!episode.lasts(3 * GAP_MS + 1));
        assert!(episode.ends(3 * GAP_MS + 1), "it ends");
        assert!(!episode.ends(3 * GAP_MS + 2), "it has ended");
        assert!(episode.goes_on(3 * GAP_MS + 3), "it begins again");
    }

    #[test]
    fn every_outcome_has_its_own_index_and_label() {
        let words: std::collections::BTreeSet<_> = Outcome::ALL.iter().map(|(_, word)| word).collect();
        assert_eq!(words.len(), Outcome::ALL.len());
        assert!(Outcome::ALL.iter().enumerate().all(|(place, (outcome, _))| *outcome as usize == place));
    }
}
