//! Helm releases: the adapter's chart, then ours, and back.

use super::{
    Swap,
    level::STEADY,
    reader::{Metric, Reader, Report},
    say, with_swap,
};
use crate::case::{NAMESPACE, chart_path, folder, values_file};
use std::sync::Arc;

pub(super) const ADAPTER: &str = "prometheus-adapter";
/// A release beside the adapter's.
pub(super) const OURS: &str = "metrics-apiserver";
/// What both charts are given.
const VALUES: &str = r"
prometheus: {url: http://prometheus.monitoring.svc, port: 9090}
rules:
  default: false
  custom:
  - seriesQuery: 'swap_work{namespace!=``,pod!=``}'
    resources: {overrides: {namespace: {resource: namespace}, pod: {resource: pod}}}
    metricsQuery: sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)
  - seriesQuery: 'swap_requests{namespace!=``,service!=``}'
    resources: {overrides: {namespace: {resource: namespace}, service: {resource: service}}}
    metricsQuery: sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)
  external:
  - seriesQuery: 'swap_queue{namespace!=``}'
    resources: {overrides: {namespace: {resource: namespace}}}
    metricsQuery: sum(<<.Series>>{<<.LabelMatchers>>})
  resource:
    cpu: &usage
      containerQuery: sum(swap_cpu{<<.LabelMatchers>>}) by (<<.GroupBy>>)
      nodeQuery: sum(swap_cpu{<<.LabelMatchers>>}) by (<<.GroupBy>>)
      containerLabel: container
      resources: {overrides: {namespace: {resource: namespace}, pod: {resource: pod}, node: {resource: node}}}
    memory:
      <<: *usage
      containerQuery: sum(swap_memory{<<.LabelMatchers>>}) by (<<.GroupBy>>)
    window: 1m
";
/// The adapter's own 30 s would be most of these tests' time.
const QUICK: [&str; 2] = ["--set", "probeDelaySeconds=2"];

pub(super) fn adapters_chart() -> String {
    folder().join("adapter").to_str().unwrap().to_owned()
}

impl Swap {
    /// `helm COMMAND RELEASE CHART` with the values, until its pods are ready.
    pub(super) async fn release(&self, command: &str, release: &str, chart: &str, more: &[&str]) {
        self.helm(command, release, chart, &[more, &["--wait", "--timeout", "180s"]].concat()).await.unwrap();
    }

    /// `helm COMMAND RELEASE CHART` with the values.
    pub(super) async fn helm(
        &self,
        command: &str,
        release: &str,
        chart: &str,
        more: &[&str],
    ) -> anyhow::Result<String> {
        let values = values_file(self.place.cluster.dir().state(), VALUES);
        let args = [command, release, chart, "--namespace", NAMESPACE, "--values", &values];
        self.place.helm.run(&[&args[..], more].concat()).await?.success()
    }

    /// `helm COMMAND` with the adapter's release and chart.
    pub(super) async fn adapter(&self, command: &str, more: &[&str]) {
        self.release(command, ADAPTER, &adapters_chart(), &[&QUICK, more].concat()).await;
    }

    /// Installs the adapter, and has HPAs read it.
    pub(super) async fn adapter_scales(&self) {
        self.adapter("install", &[]).await;
        self.answers(&Metric::ALL).await;
        self.settled(&Metric::ALL, STEADY).await;
    }

    pub(super) async fn uninstall(&self, release: &str) {
        self.place.helm(&["uninstall", release, "--namespace", NAMESPACE]).await;
    }

    /// Reads while something is done, until there are answers again. Nothing may be scaled, and no number be wrong.
    pub(super) async fn during<Fut: Future<Output = ()>>(
        self: &Arc<Self>,
        metrics: &[Metric],
        what: &str,
        act: Fut,
    ) -> Report {
        self.readings_are_new().await;
        let changes = self.changes().await;
        let reader = Reader::start(self, metrics);
        act.await;
        self.answers(metrics).await;
        // What the HPAs decide after the last change.
        self.settled(metrics, STEADY).await;
        let report = reader.finish().await;
        say(&format!("{what}: {report}"));
        assert!(report.wrong.is_empty(), "{what}: {:?}", report.wrong);
        // An apply may take less than two seconds.
        assert!(report.reads > 4 * metrics.len(), "{what}: only {} reads", report.reads);
        assert_eq!(self.changes().await, changes, "{what}: an HPA decided without a reason");
        report
    }
}

#[test]
fn a_release_of_the_adapter_is_taken_over_and_given_back_while_hpas_go_on() {
    with_swap(|swap| async move {
        let all = &Metric::ALL;
        swap.adapter_scales().await;
        swap.scales(all).await;
        let ours = async |more: &[&str]| swap.release("upgrade", ADAPTER, &chart_path(), more).await;
        let two_steps = async {
            ours(&["--set", "tls.generated.verify=false"]).await;
            ours(&["--set", "tls.generated.verify=true"]).await;
        };
        let report = swap.during(all, "upgrade in two steps", two_steps).await;
        report.assert_no_gap();
        swap.scales(all).await;
        let back = ["rollback", ADAPTER, "1", "--namespace", NAMESPACE, "--wait", "--timeout", "180s"];
        let rollback = async {
            swap.place.helm(&back).await;
        };
        let report = swap.during(all, "rollback", rollback).await;
        report.assert_no_gap();
        swap.scales(all).await;
        swap.during(all, "upgrade in one step", ours(&[])).await;
        swap.scales(all).await;
    });
}
