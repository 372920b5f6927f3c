//! Calls for series when they are due, and puts what was found into the catalog.

use std::collections::BTreeSet;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use jiff::Timestamp;
use prometheus_client::registry::Registry;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

use super::link::{Linked, link};
use super::metrics;
use super::queries::{Call, End, Queries};
use super::rules::{Rules, SeriesKey};
use crate::backend::{Backends, SeriesQuery, SeriesSummary};
use crate::cache::QueryError;
use crate::catalog::{Catalog, Discovered, FilePart, Pending, ServedCatalog};
use crate::objects::Objects;
use crate::readiness::Readiness;
use crate::rules::BackendName;
use crate::rules::adapter::AdapterRule;

/// Calls at once, of all backends. A list of series is expensive, and 300 rules may have 300 of them.
const CALLS_MAX: usize = 4;

/// How long one call may take. A list of all series takes a busy Prometheus far longer than a query, and no read waits
/// for it; a Prometheus that hangs must not keep the next call from being sent.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Between two links while calls are in flight: the lists of 300 rules are not linked 300 times.
const LINK_INTERVAL: Duration = Duration::from_secs(1);

/// How long a process that starts is not ready for want of series, so that a new replica does not answer 404 where the
/// others have the metric. Short: a Prometheus that hangs must not keep the server out of service.
const FIRST_TIME_MAX: Duration = Duration::from_secs(10);

/// What clients read while kube-apiserver has not been reached.
const NO_RESOURCES: &str = "the resources of the cluster are not known yet; see the server log";

/// When series are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// From the end of a call to the next one for the same list.
    pub relist_interval: Duration,
    /// Series with a sample in this time are found.
    pub max_age: Duration,
}

/// What discovery works with.
#[derive(Debug)]
pub struct Parts {
    /// Asked for series.
    pub backends: Arc<Backends>,
    /// Says which resources labels can name.
    pub objects: Arc<Objects>,
    /// Gets the metrics.
    pub catalog: Arc<ServedCatalog>,
    /// Shows how many lists were received.
    pub readiness: Readiness,
    /// When series are listed.
    pub options: Options,
}

/// The discovery of series.
#[derive(Debug)]
pub struct Series {
    parts: Parts,
    queries: Arc<Mutex<Queries>>,
    rules: ArcSwap<Rules>,
    /// The warnings that were logged and still hold. Held while metrics are linked and served, so that an older link
    /// never replaces a newer one.
    linking: Mutex<BTreeSet<String>>,
    rules_changed: Notify,
    /// Whether any rules have needed the cluster's resources so far.
    needs_resources: watch::Sender<bool>,
}

type Ended = (Call, Result<SeriesSummary, QueryError>);

impl Series {
    /// Will discover the series of these rules; registers the metrics of discovery.
    pub fn new(parts: Parts, rules: Rules, registry: &mut Registry) -> Arc<Self> {
        let mut queries = Queries::default();
        queries.replace(rules.all().map(|rule| SeriesKey::of(rule)), &[], Instant::now());
        let queries = Arc::new(Mutex::new(queries));
        metrics::register(registry, Arc::clone(&queries), Arc::clone(&parts.catalog));
        let rules = ArcSwap::from_pointee(rules);
        let series = Self {
            parts,
            queries,
            rules,
            linking: Mutex::default(),
            rules_changed: Notify::new(),
            needs_resources: watch::Sender::new(false),
        };
        series.note_needs();
        series.report();
        if series.rules.load().all().next().is_some() {
            series.parts.readiness.await_series();
        }
        Arc::new(series)
    }

    /// Serves another configuration from the next request on: what the file says itself, and the metrics of these rules
    /// as far as their series are known. Lists that are not known yet, and those of changed backends, are called for at
    /// once. Takes some time: not for a thread that answers requests.
    pub fn replace(&self, file: FilePart, rules: Rules, changed: &[BackendName]) {
        let mut warned = self.linking();
        self.queries().replace(rules.all().map(|rule| SeriesKey::of(rule)), changed, Instant::now());
        self.rules.store(Arc::new(rules));
        let metrics = self.link(&mut warned);
        self.parts.catalog.replace(Catalog::merge(Arc::new(file), metrics));
        self.note_needs();
        self.report();
        self.rules_changed.notify_one();
    }

    /// Follows the cluster's resources and objects as soon as there are rules that need them, until dropped. A server
    /// with native rules only never asks for them.
    pub async fn follow_resources(self: Arc<Self>) {
        let mut needs = self.needs_resources.subscribe();
        // The sender lives as long as this.
        if needs.wait_for(|needs| *needs).await.is_ok() {
            Arc::clone(&self.parts.objects).run().await;
        }
    }

    fn note_needs(&self) {
        let has_rules = self.rules.load().all().next().is_some();
        if has_rules || self.parts.catalog.current().resource().is_some() {
            self.needs_resources.send_if_modified(|needs| !std::mem::replace(needs, true));
        }
    }

    /// Lists series when they are due, until dropped.
    pub async fn run(self: Arc<Self>) {
        let mut resources = self.parts.objects.changes();
        let random = RandomState::new();
        let mut calls = FuturesUnordered::<BoxFuture<'static, Ended>>::new();
        // Some metrics are known before any series is.
        let (mut linked, mut is_stale, mut ended) = (None::<Instant>, true, 0_u64);
        let mut first_time = Some(Instant::now() + FIRST_TIME_MAX);
        loop {
            while calls.len() < CALLS_MAX
                && let Some(call) = self.start()
            {
                calls.push(Box::pin(Arc::clone(&self).call(call)));
            }
            let now = Instant::now();
            let link_at = linked.filter(|_| !calls.is_empty()).map_or(now, |linked| linked + LINK_INTERVAL);
            if is_stale && link_at <= now {
                is_stale = false;
                self.link_and_serve().await;
                linked = Some(Instant::now());
                continue;
            }
            let is_discovered = calls.is_empty() && !is_stale && !self.lacks_resources();
            if first_time.is_some_and(|until| is_discovered || until <= now) {
                self.parts.readiness.series_discovered();
                first_time = None;
            }
            let due = if calls.len() < CALLS_MAX { self.queries().next_due() } else { None };
            let wake = due.into_iter().chain(is_stale.then_some(link_at)).chain(first_time).min();
            tokio::select! {
                Some((call, result)) = calls.next(), if !calls.is_empty() => {
                    ended += 1;
                    is_stale |= self.end(&call, result, random.hash_one(ended));
                }
                () = self.rules_changed.notified() => {}
                Ok(()) = resources.changed() => is_stale = true,
                () = sleep_until(wake.unwrap_or(now)), if wake.is_some() => {}
            }
        }
    }

    fn start(&self) -> Option<Call> {
        self.queries().start(Instant::now())
    }

    async fn call(self: Arc<Self>, call: Call) -> Ended {
        let start = Timestamp::now().checked_sub(self.parts.options.max_age);
        let query = SeriesQuery {
            matchers: vec![call.key.selector.to_string()],
            start: start.unwrap_or(Timestamp::UNIX_EPOCH),
            timeout: TIMEOUT,
        };
        let result = self.parts.backends.series(&call.key.backend, &query).await;
        (call, result)
    }

    /// Takes the result of a call; whether metrics may have changed.
    fn end(&self, call: &Call, result: Result<SeriesSummary, QueryError>, random: u64) -> bool {
        let interval = self.parts.options.relist_interval;
        let end = End { now: Instant::now(), time: Timestamp::now(), interval, random };
        let is_new = self.queries().end(call, result, end);
        if !is_new {
            self.report();
        }
        is_new
    }

    async fn link_and_serve(self: &Arc<Self>) {
        let series = Arc::clone(self);
        let linked = tokio::task::spawn_blocking(move || {
            let mut warned = series.linking();
            let metrics = series.link(&mut warned);
            series.parts.catalog.replace_discovered(metrics);
            series.report();
        });
        if let Err(crash) = linked.await
            && let Ok(panic) = crash.try_into_panic()
        {
            // Ends the process, which joins this task: the catalog would never change again.
            std::panic::resume_unwind(panic);
        }
    }

    /// The metrics of what was found so far. Logs new warnings.
    fn link(&self, warned: &mut BTreeSet<String>) -> Discovered {
        let found = self.queries().found();
        let (resources, before) = (self.parts.objects.resources(), self.parts.catalog.current());
        let Linked { metrics, lacks_resources, warnings } =
            link(&self.rules.load(), |rule| found.get(&SeriesKey::of(rule)), &resources, &before);
        if lacks_resources {
            self.parts.objects.unresolved();
        }
        for warning in warnings.difference(warned) {
            tracing::warn!("{warning}");
        }
        *warned = warnings;
        metrics
    }

    /// Says what is not known yet.
    fn report(&self) {
        let (rules, queries) = (self.rules.load(), self.queries());
        let pending = |rules: &[Arc<AdapterRule>]| -> Option<Arc<str>> {
            let missing = |rule: &Arc<AdapterRule>| queries.missing(&SeriesKey::of(rule));
            let missing: Vec<_> = rules.iter().filter_map(missing).collect();
            let (count, all) = (missing.len(), rules.len());
            let why = missing.first()?;
            Some(format!("the series of {count} of {all} rules have not been discovered yet: {why}").into())
        };
        let custom = pending(&rules.custom).or_else(|| self.lacks_resources().then(|| NO_RESOURCES.into()));
        let external = pending(&rules.external);
        let totals = queries.totals();
        drop(queries);
        self.parts.catalog.set_pending(Pending { custom, external });
        let note = format!("{} series queries, {} failing", totals.lists, totals.failing);
        self.parts.readiness.note_series((totals.lists > 0).then_some(&*note));
    }

    /// Whether there are rules for objects of resources that are not known yet.
    fn lacks_resources(&self) -> bool {
        !self.rules.load().custom.is_empty() && self.parts.objects.resources().all().is_empty()
    }

    fn queries(&self) -> MutexGuard<'_, Queries> {
        // Nothing that is done under the lock panics half-way.
        self.queries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn linking(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.linking.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
