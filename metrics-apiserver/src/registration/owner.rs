//! Whose an `APIService` is, as far as names, labels and images say.

use std::fmt;

use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;

/// Programs by a part of their names. The first part that a text has counts: the Service of KEDA is called
/// `keda-operator-metrics-apiserver`.
const KNOWN: [(&str, Provider); 9] = [
    ("keda", Provider::Keda),
    ("prometheus-adapter", Provider::PrometheusAdapter),
    ("metrics-server", Provider::MetricsServer),
    ("datadog", Provider::Other("the Datadog cluster agent")),
    ("stackdriver", Provider::Other("the Stackdriver adapter")),
    ("cloudwatch", Provider::Other("the CloudWatch adapter")),
    ("azure-k8s-metrics-adapter", Provider::Other("the Azure adapter")),
    ("kube-metrics-adapter", Provider::Other("kube-metrics-adapter")),
    ("metrics-apiserver", Provider::MetricsApiserver),
];
/// The label with the name and version of the chart.
const CHART: &str = "helm.sh/chart";
/// Labels that name the program, the more telling first.
const NAMES: [&str; 3] = ["app.kubernetes.io/name", "app.kubernetes.io/part-of", "k8s-app"];
const RELEASE: &str = "meta.helm.sh/release-name";
const RELEASE_NAMESPACE: &str = "meta.helm.sh/release-namespace";

/// A program that serves metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// This program.
    MetricsApiserver,
    /// prometheus-adapter.
    PrometheusAdapter,
    /// KEDA's metrics server.
    Keda,
    /// metrics-server.
    MetricsServer,
    /// Another one.
    Other(&'static str),
}

/// What is known about the owner of an `APIService`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owner {
    /// The program; none if nothing tells it.
    pub provider: Option<Provider>,
    /// The Helm release, as `NAMESPACE/NAME`.
    release: Option<String>,
    chart: Option<String>,
    images: Vec<String>,
}

impl Provider {
    /// The program that a text names.
    fn of(text: &str) -> Option<Self> {
        KNOWN.iter().find(|(part, _)| text.contains(part)).map(|(_, provider)| *provider)
    }
}

impl Owner {
    /// The owner of this object, if pods with these images are behind its Service. A chart or an image tells more than
    /// a name, which a successor may have kept.
    pub fn of(object: &APIService, images: &[String]) -> Self {
        let label = |key: &str| object.metadata.labels.as_ref().and_then(|labels| labels.get(key)).cloned();
        let annotation =
            |key: &str| object.metadata.annotations.as_ref().and_then(|all| all.get(key)).cloned();
        let chart = label(CHART);
        let service = object.spec.as_ref().and_then(|spec| spec.service.as_ref());
        let service = service.and_then(|service| service.name.clone());
        let names = NAMES.iter().filter_map(|key| label(key));
        let mut clues = images.iter().cloned().chain(chart.clone()).chain(names).chain(service);
        let release = annotation(RELEASE)
            .map(|name| format!("{}/{name}", annotation(RELEASE_NAMESPACE).unwrap_or_default()));
        Self { provider: clues.find_map(|clue| Provider::of(&clue)), release, chart, images: images.to_vec() }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MetricsApiserver => "metrics-apiserver",
            Self::PrometheusAdapter => "prometheus-adapter",
            Self::Keda => "KEDA",
            Self::MetricsServer => "metrics-server",
            Self::Other(name) => name,
        })
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.provider {
            Some(provider) => write!(f, "{provider}")?,
            None => f.write_str("unknown program")?,
        }
        for (what, text) in [("chart", &self.chart), ("Helm release", &self.release)] {
            if let Some(text) = text {
                write!(f, ", {what} {text}")?;
            }
        }
        if !self.images.is_empty() {
            write!(f, ", image {}", self.images.join(" and "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn owner(service: &str, labels: &serde_json::Value, images: &[&str]) -> Owner {
        let annotations =
            json!({"meta.helm.sh/release-name": "metrics", "meta.helm.sh/release-namespace": "shop"});
        let object = json!({"metadata": {"name": "v1beta1.custom.metrics.k8s.io", "labels": labels,
            "annotations": annotations}, "spec": {"groupPriorityMinimum": 1, "versionPriority": 1,
            "service": {"namespace": "shop", "name": service}}});
        let images: Vec<_> = images.iter().map(|&image| image.to_owned()).collect();
        Owner::of(&serde_json::from_value(object).unwrap(), &images)
    }

    #[test]
    fn the_program_is_told_by_image_then_chart_then_names() {
        let adapter_chart =
            json!({"helm.sh/chart": "prometheus-adapter-5.3.0", "app.kubernetes.io/name": "metrics"});
        let our_chart = json!({"helm.sh/chart": "metrics-apiserver-0.1.0", "k8s-app": "prometheus-adapter"});
        for (service, labels, images, expected) in [
            ("keda-operator-metrics-apiserver", &json!({}), &[][..], Some(Provider::Keda)),
            ("metrics-server", &json!({}), &[], Some(Provider::MetricsServer)),
            ("metrics", &adapter_chart, &[], Some(Provider::PrometheusAdapter)),
            ("prometheus-adapter", &our_chart, &[], Some(Provider::MetricsApiserver)),
            ("prometheus-adapter", &json!({}), &["x/metrics-apiserver:1"], Some(Provider::MetricsApiserver)),
            ("metrics", &json!({}), &["x/y:1"], None),
        ] {
            assert_eq!(owner(service, labels, images).provider, expected, "{service} {labels} {images:?}");
        }
    }

    #[test]
    fn the_owner_is_described_with_chart_release_and_images() {
        let labels = json!({"helm.sh/chart": "prometheus-adapter-5.3.0"});
        assert_eq!(
            owner("a", &labels, &["x/prometheus-adapter:v0.12.0"]).to_string(),
            "prometheus-adapter, chart prometheus-adapter-5.3.0, Helm release shop/metrics, image \
             x/prometheus-adapter:v0.12.0"
        );
    }
}
