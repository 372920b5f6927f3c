//! What is counted for one backend.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

use super::annotations::Annotations;
use crate::cache::QueryCounts;

/// The counts of one backend.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) queries: QueryCounts,
    pub(super) annotations: [Counter; KINDS.len()],
    pub(super) in_flight: Gauge,
}

/// The kinds of annotations.
pub(super) const KINDS: [&str; 3] = ["partial", "warning", "info"];

impl Counts {
    /// A query begins; it is in flight until the result is dropped.
    pub(super) fn begin(&self) -> InFlight<'_> {
        self.in_flight.inc();
        InFlight(&self.in_flight)
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
