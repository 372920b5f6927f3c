//! The lists of series that the rules ask for: when each is due, what it found last, and whether it fails.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::failure::{Failure, OUTCOMES, Reports};
use super::rules::SeriesKey;
use crate::backend::SeriesSummary;
use crate::cache::QueryError;
use crate::limit::backoff;
use crate::rules::BackendName;

/// What is kept of all lists together, by the measure of [`SeriesSummary::bytes`]: some 100,000 metric names.
pub(super) const KEPT_BYTES_MAX: usize = 16 << 20;
pub(super) const KEPT_LIMIT: &str = "16 MiB of metric and label names for all rules together";

/// The pause before the first retry: a restart of Prometheus, or a reload of a proxy before it.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// A call to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) key: SeriesKey,
    /// Only the latest call for a list counts.
    number: u64,
}

/// All lists that the rules ask for.
#[derive(Debug, Default)]
pub(super) struct Queries {
    lists: BTreeMap<SeriesKey, List>,
    calls: u64,
    /// Calls that ended, by outcome.
    ended: [u64; OUTCOMES.len()],
    reports: Reports,
}

#[derive(Debug)]
struct List {
    /// None while a call is in flight.
    due: Option<Instant>,
    /// The number of its latest call.
    call: u64,
    found: Option<Arc<SeriesSummary>>,
    last_success: Option<Timestamp>,
    /// Of the latest call.
    failure: Option<Failure>,
    /// Since the last success.
    failures: u32,
}

/// When a call ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    pub(super) now: Instant,
    pub(super) time: Timestamp,
    /// Until the next call, if this one has succeeded.
    pub(super) interval: Duration,
    pub(super) random: u64,
}

/// What the metrics of discovery show.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) lists: usize,
    pub(super) failing: usize,
    pub(super) names: usize,
    /// Calls so far, in the order of [`OUTCOMES`].
    pub(super) calls: [u64; OUTCOMES.len()],
    /// Of the list that succeeded longest ago; none if one has never succeeded.
    pub(super) oldest_success: Option<Timestamp>,
}

impl Queries {
    /// Asks for these lists from now on. Known ones stay, and those of changed backends are due at once.
    pub(super) fn replace(
        &mut self,
        keys: impl Iterator<Item = SeriesKey>,
        changed: &[BackendName],
        now: Instant,
    ) {
        let mut before = std::mem::take(&mut self.lists);
        for key in keys {
            if self.lists.contains_key(&key) {
                continue;
            }
            let mut list = before.remove(&key).unwrap_or_else(|| List::new(now));
            if changed.contains(&key.backend) {
                // A call in flight asks the backend as it was.
                (list.due, list.call) = (Some(now), 0);
            }
            self.lists.insert(key, list);
        }
        self.reports.retain(|key| self.lists.contains_key(key));
    }

    /// The call that is due longest, if any.
    pub(super) fn start(&mut self, now: Instant) -> Option<Call> {
        let due = self.lists.iter_mut().filter_map(|(key, list)| Some((list.due?, key, list)));
        let (_, key, list) = due.filter(|(due, ..)| *due <= now).min_by_key(|(due, ..)| *due)?;
        self.calls += 1;
        (list.due, list.call) = (None, self.calls);
        Some(Call { key: key.clone(), number: self.calls })
    }

    /// When the next call is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.lists.values().filter_map(|list| list.due).min()
    }

    /// Takes the result of a call; whether it found something else than the one before.
    ///
    /// A failure keeps what was found last. A partial list is one as well, but better than none.
    pub(super) fn end(&mut self, call: &Call, result: Result<SeriesSummary, QueryError>, end: End) -> bool {
        let kept: usize = self.lists.values().filter_map(|list| Some(list.found.as_ref()?.bytes)).sum();
        let Some(list) = self.lists.get_mut(&call.key).filter(|list| list.call == call.number) else {
            return false;
        };
        let others = kept - list.found.as_ref().map_or(0, |found| found.bytes);
        let (found, failure) = match result {
            Ok(found) if others.saturating_add(found.bytes) > KEPT_BYTES_MAX => {
                (None, Some(Failure::Query(QueryError::TooMuch { limit: KEPT_LIMIT })))
            }
            Ok(found) => {
                let failure = found.partial.clone().map(Failure::Partial);
                let is_used = failure.is_none() || list.found.is_none();
                (is_used.then_some(found), failure)
            }
            Err(error) => (None, Some(Failure::Query(error))),
        };
        let outcome = failure.as_ref().map_or("success", Failure::outcome);
        for (_, count) in OUTCOMES.iter().zip(&mut self.ended).filter(|(known, _)| **known == outcome) {
            *count += 1;
        }
        match &failure {
            None => {
                self.reports.succeeded(&call.key);
                (list.failures, list.last_success) = (0, Some(end.time));
                list.due = Some(end.now + end.interval);
            }
            Some(failure) => {
                self.reports.failed(&call.key, failure, list.found.is_some());
                let pause = backoff(FIRST_RETRY.min(end.interval), end.interval, list.failures, end.random);
                list.failures = list.failures.saturating_add(1);
                list.due = Some(end.now + pause);
            }
        }
        list.failure = failure;
        let Some(found) = found else { return false };
        let is_new = list.found.as_ref().is_none_or(|known| known.metrics != found.metrics);
        if is_new {
            list.found = Some(Arc::new(found));
        }
        is_new
    }

    /// What each list found last. Lists that never succeeded are missing.
    pub(super) fn found(&self) -> BTreeMap<SeriesKey, Arc<SeriesSummary>> {
        let found = |(key, list): (&SeriesKey, &List)| Some((key.clone(), Arc::clone(list.found.as_ref()?)));
        self.lists.iter().filter_map(found).collect()
    }

    /// Why a list never succeeded; none if it did. Fit for clients.
    pub(super) fn missing(&self, key: &SeriesKey) -> Option<String> {
        let list = self.lists.get(key).filter(|list| list.found.is_none())?;
        let failure = list.failure.as_ref();
        Some(failure.map_or_else(|| "prometheus has not answered yet".to_owned(), Failure::to_string))
    }

    /// The calls that have not ended.
    #[cfg(test)]
    pub(super) fn in_flight(&self) -> usize {
        self.lists.values().filter(|list| list.due.is_none()).count()
    }

    pub(super) fn totals(&self) -> Totals {
        let lists = self.lists.values();
        let successes: Option<Vec<_>> = lists.clone().map(|list| list.last_success).collect();
        Totals {
            lists: self.lists.len(),
            failing: lists.clone().filter(|list| list.failure.is_some()).count(),
            calls: self.ended,
            names: lists.filter_map(|list| Some(list.found.as_ref()?.metrics.len())).sum(),
            oldest_success: successes.and_then(|all| all.into_iter().min()),
        }
    }
}

impl List {
    fn new(now: Instant) -> Self {
        Self { due: Some(now), call: 0, found: None, last_success: None, failure: None, failures: 0 }
    }
}

#[cfg(test)]
mod tests;
