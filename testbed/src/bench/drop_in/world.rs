//! What the cluster looks like to Prometheus, the configuration, and what is read.
//!
//! Labels are those of kube-prometheus: cAdvisor's series name the container's cgroup and image, an application's own
//! series the Service and the pod they were scraped from.

use super::Scale;
use crate::bench::{load::Request, world};
use std::{fmt::Write as _, sync::Arc};

/// The adapter's default rules, `resourceRules` as in the values of its chart, and a rule for every series of a pod.
pub(super) const CONFIGURATION: &str = include_str!("configuration.yaml");
/// Counts the series that the rules find.
pub(super) const COUNT: &str = "count({__name__=~\".+\",namespace!=\"\",pod!=\"\"})";

const APPS_PER_NAMESPACE: usize = 5;
const PODS_PER_APP: usize = 10;
/// From how long before now to how long after now the series that are read have samples, in seconds: longer than the
/// window of a query before, and longer than both servers are measured after. The others have one sample, which is
/// enough for them to be found.
const BEFORE: i64 = 10 * 60;
const AFTER: i64 = 30 * 60;
const STEP: i64 = 60;
/// Names of cAdvisor's series that are read, and by how much a value grows from sample to sample.
/// Both begin with [`MEMORY_BYTES`].
const READ: [(&str, i64); 2] =
    [("container_cpu_usage_seconds_total", 15), ("container_memory_working_set_bytes", 0)];

/// No multiple of 1,000: a quantity would be shortened.
const MEMORY_BYTES: usize = 1 << 20;

/// One pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pod {
    pub(super) app: usize,
    /// Among those of its application.
    index: usize,
}

impl Pod {
    pub(super) fn name(self) -> String {
        format!("{}-7d9c5b8f6d-{:05x}", app(self.app), self.index * 7_919 + self.app)
    }
}

pub(super) fn namespace(index: usize) -> String {
    format!("team-{index}")
}

pub(super) fn namespace_of(app: usize) -> String {
    namespace(app / APPS_PER_NAMESPACE)
}

pub(super) fn app(index: usize) -> String {
    format!("app-{index}")
}

pub(super) fn apps(scale: &Scale) -> usize {
    scale.namespaces * APPS_PER_NAMESPACE
}

pub(super) fn pods(scale: &Scale) -> impl Iterator<Item = Pod> + use<> {
    (0..apps(scale)).flat_map(|app| (0..PODS_PER_APP).map(move |index| Pod { app, index }))
}

pub(super) fn series(scale: &Scale) -> usize {
    pods(scale).count() * scale.series_per_pod
}

/// The gauge of an application that is read.
fn gauge(app: usize) -> String {
    format!("team{}_queue_length", app / APPS_PER_NAMESPACE)
}

/// Odd, so that no quantity is ever shortened: 1000 would be shown as 1k.
fn value(app: usize) -> usize {
    2 * app + 1
}

/// The samples in the `OpenMetrics` format, at `now` in seconds.
pub(super) fn samples(scale: &Scale, now: i64) -> String {
    let mut text = String::new();
    for pod in pods(scale) {
        let (own, container) = (own_labels(pod), container_labels(pod));
        let number = |value: usize| i64::try_from(value).unwrap_or_default();
        for (name, growth) in READ {
            write_samples(&mut text, &format!("{name}{{{container}}}"), (number(MEMORY_BYTES), growth), now);
        }
        write_samples(&mut text, &format!("{}{{{own}}}", gauge(pod.app)), (number(value(pod.app)), 0), now);
        let per_kind = scale.series_per_pod / 2;
        for index in READ.len()..per_kind {
            let _ = writeln!(text, "{}{{{container}}} 1 {now}", other("container", index));
        }
        let team = format!("team{}", pod.app / APPS_PER_NAMESPACE);
        for index in 1..scale.series_per_pod - per_kind {
            // Some series have labels of their own.
            let more = if index % 3 == 0 { ",method=\"GET\",code=\"200\"" } else { "" };
            let _ = writeln!(text, "{}{{{own}{more}}} 1 {now}", other(&team, index));
        }
    }
    text + "# EOF\n"
}

fn write_samples(text: &mut String, series: &str, (first, growth): (i64, i64), now: i64) {
    for step in 0..=(BEFORE + AFTER) / STEP {
        let _ = writeln!(text, "{series} {} {}", first + growth * step, now - BEFORE + STEP * step);
    }
}

/// The name of a series that is not read: a gauge or one of two kinds of counters.
fn other(prefix: &str, index: usize) -> String {
    let suffix = ["", "_total", "_seconds_total"].get(index % 3).copied().unwrap_or_default();
    format!("{prefix}_metric_{index}{suffix}")
}

fn own_labels(pod: Pod) -> String {
    let (namespace, app, name) = (namespace_of(pod.app), app(pod.app), pod.name());
    format!(
        "namespace=\"{namespace}\",pod=\"{name}\",container=\"app\",service=\"{app}\",job=\"{app}\",\
         endpoint=\"http\",instance=\"10.0.{}.{}:8080\"",
        pod.app, pod.index
    )
}

fn container_labels(pod: Pod) -> String {
    let (namespace, app, name) = (namespace_of(pod.app), app(pod.app), pod.name());
    let number = pod.app * PODS_PER_APP + pod.index;
    let cgroup = format!("kubepods-burstable-pod{number:08x}_5c1e_4f0b_9d3a_{number:012x}.slice");
    let container = format!("{number:064x}");
    let node = number % 50;
    format!(
        "namespace=\"{namespace}\",pod=\"{name}\",container=\"app\",node=\"node-{node}\",\
         instance=\"10.1.0.{node}:10250\",job=\"kubelet\",service=\"kubelet\",endpoint=\"https-metrics\",\
         metrics_path=\"/metrics/cadvisor\",image=\"registry.example.com/{app}:1.2.3\",name=\"{container}\",\
         id=\"/kubepods.slice/kubepods-burstable.slice/{cgroup}/cri-containerd-{container}.scope\""
    )
}

/// One read for each application: of all its pods by their label, or of its Service. As kube-apiserver passes them on
/// for the HPA controller.
pub(super) fn requests(scale: &Scale) -> Arc<[Request]> {
    (0..apps(scale)).map(request).collect()
}

fn request(index: usize) -> Request {
    if index.is_multiple_of(2) {
        return pods_request(index, &gauge(index), value(index));
    }
    let object = format!("services/{}/{}", app(index), gauge(index));
    custom_request(index, &object, value(index) * PODS_PER_APP)
}

/// A read of each of the three lists of series: all of them have been received when these have right answers.
pub(super) fn of_each_list() -> [Request; 3] {
    [
        pods_request(0, "memory_working_set_bytes", MEMORY_BYTES),
        pods_request(0, &gauge(0), value(0)),
        pods_request(0, &format!("any_{}", gauge(0)), value(0)),
    ]
}

fn pods_request(app_index: usize, metric: &str, value: usize) -> Request {
    let object = format!("pods/*/{metric}?labelSelector=app%3D{}", app(app_index));
    custom_request(app_index, &object, value)
}

fn custom_request(app: usize, object: &str, value: usize) -> Request {
    let namespace = namespace_of(app);
    let path = format!("/apis/custom.metrics.k8s.io/v1beta2/namespaces/{namespace}/{object}");
    let bytes = world::get(&path, world::HPA, "system:serviceaccounts").into_bytes();
    Request { bytes, expected: format!("\"value\":\"{value}\"") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::drop_in::{FULL, QUICK};
    use std::collections::HashSet;

    #[test]
    fn a_full_run_has_120_000_series_of_1_000_pods() {
        assert_eq!((series(&FULL), pods(&FULL).count()), (120_000, 1_000));
        let names: HashSet<String> = pods(&FULL).map(Pod::name).collect();
        assert_eq!(names.len(), 1_000);
    }

    #[test]
    fn there_are_samples_of_every_series_that_is_counted() {
        let text = samples(&QUICK, 1_000_000);
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let found: HashSet<&str> = lines.map(|line| line.rsplitn(3, ' ').last().unwrap()).collect();
        assert_eq!(found.len(), series(&QUICK));
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn every_read_has_a_number_of_its_own() {
        let requests = requests(&FULL);
        assert_eq!(requests.len(), apps(&FULL));
        let numbers: HashSet<&str> = requests.iter().map(|request| &*request.expected).collect();
        assert_eq!(numbers.len(), requests.len());
        assert!(!numbers.iter().any(|number| number.ends_with("000\"")), "{numbers:?}");
    }
}
