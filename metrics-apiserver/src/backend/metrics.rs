//! What is told of each backend at `/metrics`.
//!
//! The counts belong to the backend of the moment and are written when somebody scrapes: a backend that a reload has
//! taken away has no series any more, and one that was changed goes on with the counts it had.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;

use super::Clients;
use super::annotations::Annotations;
use super::failover::Backend;
use crate::cache::{QueryCounts, QueryError, Reading};

/// The counts of one backend.
#[derive(Debug, Default)]
pub(super) struct Counts {
    queries: QueryCounts,
    annotations: [Counter; KINDS.len()],
    in_flight: Gauge,
}

const KINDS: [&str; 3] = ["partial", "warning", "info"];

impl Counts {
    /// A query begins; counted as in flight until what this gives is dropped.
    pub(super) fn begin(&self) -> InFlight<'_> {
        self.in_flight.inc();
        InFlight(&self.in_flight)
    }

    pub(super) fn ended(&self, fetched: &Result<Reading, QueryError>, took: Duration) {
        self.queries.ended(fetched, took);
    }

    pub(super) fn noted(&self, annotations: &Annotations) {
        let counts =
            [usize::from(annotations.partial.is_some()), annotations.warnings.len(), annotations.infos.len()];
        for (counter, count) in self.annotations.iter().zip(counts) {
            counter.inc_by(count as u64);
        }
    }
}

pub(super) struct InFlight<'a>(&'a Gauge);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Tells of the backends of the moment.
pub(super) fn register(registry: &mut Registry, current: Arc<ArcSwap<Clients>>) {
    let own = registry.sub_registry_with_prefix("metrics_apiserver_backend");
    own.register_collector(Box::new(Told(current)));
}

#[derive(Debug)]
struct Told(Arc<ArcSwap<Clients>>);

impl Collector for Told {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let clients = self.0.load_full();
        if clients.is_empty() {
            // A name without a series is noise.
            return Ok(());
        }
        let mut names: Vec<_> = clients.keys().collect();
        names.sort();
        let backends: Vec<(&str, &Backend)> =
            names.into_iter().map(|name| (&*name.0, &*clients[name].backend)).collect();
        let mut tell =
            |name, help, kind, write: &dyn Fn(&str, &Backend, &mut MetricEncoder<'_>) -> fmt::Result| {
                let mut encoder = encoder.encode_descriptor(name, help, None, kind)?;
                backends.iter().try_for_each(|(name, backend)| write(name, backend, &mut encoder))
            };
        tell(
            "queries",
            "Queries ended, by what came of them",
            MetricType::Counter,
            &|name, backend, encoder| {
                backend.counts.queries.encode_outcomes(("backend", name), true, encoder)
            },
        )?;
        let help = "Answers and parts of answers that came with a warning";
        tell("annotations", help, MetricType::Counter, &|name, backend, encoder| {
            KINDS.iter().zip(&backend.counts.annotations).try_for_each(|(kind, counter)| {
                counter.encode(encoder.encode_family(&[("backend", name), ("kind", *kind)])?)
            })
        })?;
        let help = "Time of queries that no open breaker ended, waiting for their turn included";
        tell("query_duration_seconds", help, MetricType::Histogram, &|name, backend, encoder| {
            backend.counts.queries.durations().encode(encoder.encode_family(&[("backend", name)])?)
        })?;
        tell(
            "queries_in_flight",
            "Queries under way or waiting for their turn",
            MetricType::Gauge,
            &|name, backend, encoder| {
                backend.counts.in_flight.encode(encoder.encode_family(&[("backend", name)])?)
            },
        )?;
        let help = "1 while no query is sent because every url of the backend has failed";
        tell("breaker_open", help, MetricType::Gauge, &|name, backend, encoder| {
            let open = i64::from(backend.closed() == 0);
            ConstGauge::new(open).encode(encoder.encode_family(&[("backend", name)])?)
        })?;
        let help = "Urls of the backend that are not asked because they have failed";
        tell("urls_down", help, MetricType::Gauge, &|name, backend, encoder| {
            let down = i64::try_from(backend.urls() - backend.closed()).unwrap_or(i64::MAX);
            ConstGauge::new(down).encode(encoder.encode_family(&[("backend", name)])?)
        })
    }
}
