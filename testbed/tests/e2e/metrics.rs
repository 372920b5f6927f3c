//! `docs/metrics.md` against the metrics of the live server.

use crate::{
    direct::{BASE, Caller, front_proxy},
    fixture::{EVERYWHERE, Fixture, STEADY, STEADY_NAMESPACE, with_fixture},
};
use std::collections::{BTreeMap, BTreeSet};

/// What is known of one metric: its type and its labels; none of the latter where no series shows them.
#[derive(Debug, PartialEq, Eq)]
struct Described {
    kind: String,
    labels: Option<BTreeSet<String>>,
}

#[test]
fn every_metric_is_documented_and_every_documented_metric_is_exposed() {
    with_fixture(|fixture| async move {
        let admin = admin(&fixture);
        for metric in [STEADY, EVERYWHERE, "no_such_metric"] {
            let read = admin.get(&format!("{BASE}/namespaces/{STEADY_NAMESPACE}/{metric}")).await;
            assert!(matches!(read.code, 200 | 404 | 500), "{read:?}");
        }
        let exposed = exposed(&admin.get("/metrics").await.body);
        let documented = documented(include_str!("../../../docs/metrics.md"));
        let names = |metrics: &BTreeMap<String, Described>| metrics.keys().cloned().collect::<BTreeSet<_>>();
        let (shown, written) = (names(&exposed), names(&documented));
        let undocumented: Vec<_> = shown.difference(&written).collect();
        assert!(undocumented.is_empty(), "these have no row in docs/metrics.md: {undocumented:?}");
        // Native rules, which this server has, watch no objects.
        let is_expected = |name: &&String| *name != "metrics_apiserver_objects_stored";
        let missing: Vec<_> = written.difference(&shown).filter(is_expected).collect();
        assert!(missing.is_empty(), "docs/metrics.md has these, /metrics has not: {missing:?}");
        for (name, shown) in &exposed {
            let written = &documented[name];
            assert_eq!(shown.kind, written.kind, "the type of {name}");
            assert!(
                shown.labels.is_none() || shown.labels == written.labels,
                "{name}: {shown:?}, {written:?}"
            );
        }
    });
}

#[test]
fn reads_are_counted_by_metric_and_outcome() {
    with_fixture(|fixture| async move {
        let admin = admin(&fixture);
        let path = format!("{BASE}/namespaces/{STEADY_NAMESPACE}");
        assert_eq!(admin.get(&format!("{path}/{STEADY}?labelSelector=queue%3Dorders")).await.code, 200);
        // Two queues, and the HPA would add them up.
        assert_eq!(admin.get(&format!("{path}/{STEADY}")).await.code, 500);
        assert_eq!(admin.get(&format!("{path}/no_such_metric")).await.code, 404);
        let body = admin.get("/metrics").await.body;
        for (metric, outcome) in [(STEADY, "ok"), (STEADY, "several_series"), ("_unknown", "unknown")] {
            let series =
                format!("metrics_apiserver_reads_total{{metric=\"{metric}\",outcome=\"{outcome}\"}} ");
            let line = body.lines().find_map(|line| line.strip_prefix(&series));
            assert!(line.is_some_and(|count| count.parse::<u64>().unwrap() > 0), "{series}\n{body}");
        }
        assert!(!body.contains("no_such_metric"), "anybody can invent names");
    });
}

fn admin(fixture: &Fixture) -> Caller {
    Caller::new(&fixture.server.url(), fixture.server.ca(), Some(&front_proxy(&fixture.cluster)), true)
        .for_admin()
}

/// The metrics of an `OpenMetrics` page, by the names of their families.
fn exposed(page: &str) -> BTreeMap<String, Described> {
    let mut metrics = BTreeMap::new();
    let mut family = String::new();
    for line in page.lines() {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|line| line.split_once(' ')) {
            name.clone_into(&mut family);
            metrics.insert(family.clone(), Described { kind: kind.to_owned(), labels: None });
        } else if !line.starts_with('#') {
            let labels = labels(line).filter(|label| *label != "le").map(str::to_owned).collect();
            metrics.get_mut(&family).unwrap_or_else(|| panic!("{line} has no type")).labels = Some(labels);
        }
    }
    metrics
}

/// The names of a series' labels: what stands before `="`. No value of this server holds that.
fn labels(series: &str) -> impl Iterator<Item = &str> {
    let names = series.split("=\"").map(|part| part.rsplit(['{', ',']).next().unwrap_or_default());
    let count = series.matches("=\"").count();
    names.take(count)
}

/// The metrics in the document's tables, by the names of their families.
fn documented(markdown: &str) -> BTreeMap<String, Described> {
    let mut metrics = BTreeMap::new();
    for line in markdown.lines() {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let ["", name, kind @ ("counter" | "gauge" | "histogram" | "info"), labels, _, ""] = cells[..] else {
            continue;
        };
        let suffix = match kind {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        let name = name.trim_matches('`');
        let family = name.strip_suffix(suffix).unwrap_or_else(|| panic!("{name} does not end in {suffix}"));
        let labels = labels.split(',').map(|label| label.trim().trim_matches('`').to_owned());
        let labels = Some(labels.filter(|label| !matches!(label.as_str(), "" | "–")).collect());
        let twice = metrics.insert(family.to_owned(), Described { kind: kind.to_owned(), labels });
        assert!(twice.is_none(), "{name} has two rows");
    }
    assert!(metrics.len() > 10, "the tables were not found: {metrics:?}");
    metrics
}
