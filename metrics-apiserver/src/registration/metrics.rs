//! The metric of the registration.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

/// What is known about each group that is served; none that could not be read yet.
pub(super) type Registered = BTreeMap<&'static str, bool>;

/// Registers it.
pub(super) fn register(registry: &mut Registry, registered: Arc<Mutex<Registered>>) {
    registry.register_collector(Box::new(Metrics(registered)));
}

#[derive(Debug)]
struct Metrics(Arc<Mutex<Registered>>);

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let registered = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let help = "1 if the APIServices of the API group lead to this server, 0 if one leads elsewhere or none exists";
        let name = "metrics_apiserver_apiservice_registered";
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        registered.into_iter().try_for_each(|(group, is_ours)| {
            ConstGauge::new(i64::from(is_ours)).encode(family.encode_family(&[("group", group)])?)
        })
    }
}
