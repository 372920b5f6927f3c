//! The metrics of each backend.
//!
//! The counts belong to the backends in use and are encoded at each scrape: a backend that a reload has removed has no
//! series any more, and one that was changed keeps its counts.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::clients::Clients;
use super::counts::KINDS;
use super::failover::Backend;

/// Registers the metrics of the backends in use.
pub(super) fn register(registry: &mut Registry, current: Arc<ArcSwap<Clients>>) {
    let own = registry.sub_registry_with_prefix("metrics_apiserver_backend");
    own.register_collector(Box::new(Metrics(current)));
}

#[derive(Debug)]
struct Metrics(Arc<ArcSwap<Clients>>);

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let clients = self.0.load_full();
        if clients.is_empty() {
            // A name without a series is noise.
            return Ok(());
        }
        let mut names: Vec<_> = clients.keys().collect();
        names.sort();
        let backends: Vec<(&str, &Backend)> =
            names.into_iter().map(|name| (&*name.0, &*clients[name])).collect();
        let mut metric =
            |name, help, kind, write: &dyn Fn(&str, &Backend, &mut MetricEncoder<'_>) -> fmt::Result| {
                let mut encoder = encoder.encode_descriptor(name, help, None, kind)?;
                backends.iter().try_for_each(|(name, backend)| write(name, backend, &mut encoder))
            };
        let help = "Completed queries, by outcome";
        metric("queries", help, MetricType::Counter, &|name, backend, encoder| {
            backend.counts.queries.encode_outcomes(("backend", name), true, encoder)
        })?;
        let help = "Annotations of responses, by kind; partial means that the data is incomplete";
        metric("annotations", help, MetricType::Counter, &|name, backend, encoder| {
            KINDS.iter().zip(&backend.counts.annotations).try_for_each(|(kind, counter)| {
                counter.encode(encoder.encode_family(&[("backend", name), ("kind", *kind)])?)
            })
        })?;
        let help = "Duration of queries that no open breaker ended, including the wait for a permit";
        metric("query_duration_seconds", help, MetricType::Histogram, &|name, backend, encoder| {
            backend.counts.queries.durations().encode(encoder.encode_family(&[("backend", name)])?)
        })?;
        let help = "Queries that are running or waiting for a permit";
        metric("queries_in_flight", help, MetricType::Gauge, &|name, backend, encoder| {
            backend.counts.in_flight.encode(encoder.encode_family(&[("backend", name)])?)
        })?;
        let help = "1 if the circuit breakers of all URLs of the backend are open, so that no query is sent";
        metric("breaker_open", help, MetricType::Gauge, &|name, backend, encoder| {
            let open = i64::from(backend.closed() == 0);
            ConstGauge::new(open).encode(encoder.encode_family(&[("backend", name)])?)
        })?;
        let help = "URLs of the backend whose circuit breaker is open";
        metric("urls_down", help, MetricType::Gauge, &|name, backend, encoder| {
            let down = i64::try_from(backend.urls() - backend.closed()).unwrap_or(i64::MAX);
            ConstGauge::new(down).encode(encoder.encode_family(&[("backend", name)])?)
        })
    }
}
