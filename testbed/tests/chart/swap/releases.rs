//! Helm releases: the adapter's chart, then ours, and back.

use super::{
    Swap,
    level::STEADY,
    reader::{Reader, Report},
    with_swap,
};
use crate::case::{NAMESPACE, chart_path, folder, values_file};
use std::{sync::Arc, time::Duration};

const ADAPTER: &str = "prometheus-adapter";
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
";
/// The adapter's own 30 s would be most of this test's time.
const QUICK: [&str; 2] = ["--set", "probeDelaySeconds=2"];

impl Swap {
    /// `helm COMMAND RELEASE CHART` with the values, until its pods are ready.
    pub(super) async fn release(&self, command: &str, release: &str, chart: &str, more: &[&str]) {
        let values = values_file(self.place.cluster.dir().state(), VALUES);
        let args = [command, release, chart, "--namespace", NAMESPACE, "--wait", "--timeout", "180s"];
        self.place.helm(&[&args[..], &["--values", &values], more].concat()).await;
    }

    /// Installs the adapter, and has it scale.
    pub(super) async fn adapter(&self) {
        self.release("install", ADAPTER, folder().join("adapter").to_str().unwrap(), &QUICK).await;
        self.answers().await;
        self.settled(STEADY).await;
    }

    /// Reads while something is done, until there are answers again. Nothing may be scaled, and no number be wrong.
    pub(super) async fn during<Fut: Future<Output = ()>>(self: &Arc<Self>, what: &str, act: Fut) -> Report {
        let changes = self.changes().await;
        let reader = Reader::start(self);
        act.await;
        self.answers().await;
        // What the HPAs decide after the last change.
        self.settled(STEADY).await;
        let report = reader.finish().await;
        eprintln!("{what}: {report}");
        assert!(report.wrong.is_empty(), "{what}: {:?}", report.wrong);
        assert!(report.reads > 30, "{what}: only {} reads", report.reads);
        assert_eq!(self.changes().await, changes, "{what}: an HPA decided without a reason");
        report
    }
}

#[test]
fn a_release_of_the_adapter_is_taken_over_and_given_back_while_hpas_go_on() {
    with_swap(|swap| async move {
        swap.adapter().await;
        swap.scales().await;
        let ours = async |more: &[&str]| swap.release("upgrade", ADAPTER, &chart_path(), more).await;
        let report = swap
            .during("upgrade in two steps", async {
                ours(&["--set", "tls.generated.verify=false"]).await;
                ours(&["--set", "tls.generated.verify=true"]).await;
            })
            .await;
        assert!(report.longest < Duration::from_secs(5), "{report}");
        swap.scales().await;
        let back = async || {
            let rollback =
                ["rollback", ADAPTER, "1", "--namespace", NAMESPACE, "--wait", "--timeout", "180s"];
            swap.place.helm(&rollback).await;
        };
        swap.during("rollback", back()).await;
        swap.scales().await;
        swap.during("upgrade in one step", ours(&[])).await;
        swap.scales().await;
    });
}
