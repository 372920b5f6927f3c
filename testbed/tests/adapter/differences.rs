//! The known differences between our server and the adapter.

use crate::OUR_SERVER_TAKES_PART;
use testbed::workspace;

/// The guide that users of the adapter read: it has each sentence below.
const GUIDE: &str = "docs/migrating-from-prometheus-adapter.md";

/// What a difference shows in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Affects {
    /// The answer.
    Answer,
    /// The queries that reach Prometheus.
    Queries,
    /// How Prometheus is called: method, path and headers.
    Calls,
    /// Whether the server starts.
    Start,
}

/// A difference that is wanted.
#[derive(Debug)]
pub(crate) struct Difference {
    pub(crate) id: &'static str,
    pub(crate) affects: &'static [Affects],
    /// What our server does instead, as the guide says it.
    pub(crate) sentence: &'static str,
}

/// All of them. Each must be seen at least once.
pub(crate) const KNOWN: &[Difference] = &[
    difference(
        "messages",
        &[Affects::Answer],
        "Error messages begin with the same sentence and go on with the cause.",
    ),
    difference(
        "not-finite",
        &[Affects::Answer],
        "NaN, infinity and values that do not fit into a quantity are errors instead of numbers.",
    ),
    difference(
        "resource-not-finite",
        &[Affects::Answer],
        "In `metrics.k8s.io`, a sample that is NaN or infinite counts as missing.",
    ),
    difference(
        "backend-failure",
        &[Affects::Answer],
        "A failure of Prometheus is answered with 503 or 504 and says what is wrong, instead of 500.",
    ),
    difference("resource-failure", &[Affects::Answer], "`metrics.k8s.io` says when a query failed."),
    difference(
        "selector-operator",
        &[Affects::Answer],
        "A selector operator that PromQL does not have is answered with 400 instead of 404 or 500.",
    ),
    difference("not-equal", &[Affects::Answer], "`!=` in the metric selector of a custom metric works."),
    difference(
        "bad-metric-selector",
        &[Affects::Answer],
        "A `metricLabelSelector` that cannot be parsed is answered with 400 instead of 500.",
    ),
    difference(
        "custom-watch",
        &[Affects::Answer],
        "`watch=true` on a custom metric is answered with 405 instead of a list.",
    ),
    difference(
        "invalid-namespace",
        &[Affects::Answer, Affects::Queries],
        "A namespace whose name Kubernetes does not allow is answered with 400 instead of 404 or no values.",
    ),
    difference(
        "external-case",
        &[Affects::Answer],
        "Names of external metrics are compared without regard to case",
    ),
    difference(
        "cluster-scoped",
        &[Affects::Answer, Affects::Queries],
        "Cluster-scoped resources are served at their own path",
    ),
    difference(
        "isolated-rules",
        &[Affects::Answer, Affects::Queries],
        "One rule that fails does not stop the others.",
    ),
    difference(
        "unusable-names",
        &[Affects::Answer, Affects::Queries],
        "Metrics that an HPA could never read are not served.",
    ),
    difference("versions", &[Affects::Answer], "All versions that are served are listed"),
    difference(
        "tables",
        &[Affects::Answer, Affects::Queries],
        "Custom and external metrics are available as tables",
    ),
    difference("formats", &[Affects::Answer, Affects::Queries], "YAML and protobuf are not served."),
    difference("paths", &[Affects::Answer], "A path that is not served is answered with a `Status`."),
    difference("aggregated", &[Affects::Answer], "The aggregated discovery document has every group."),
    difference(
        "missing-block",
        &[Affects::Queries, Affects::Calls],
        "`resourceRules` with `cpu` or `memory` only send no queries.",
    ),
    difference(
        "escaped-names",
        &[Affects::Queries],
        "Dots in object names are escaped where the query matches them with a regular expression.",
    ),
    difference(
        "resource-queries",
        &[Affects::Queries],
        "metrics.k8s.io sends one query for each resource and all namespaces, not one for each namespace.",
    ),
    difference("long-queries", &[Affects::Calls], "Long queries are sent by POST"),
    difference(
        "unknown-resource",
        &[Affects::Start],
        "A rule that names a resource that the cluster does not have waits for it instead of ending the process.",
    ),
    difference("several-documents", &[Affects::Start], "A file with several YAML documents is refused."),
    difference("empty-file", &[Affects::Start], "An empty configuration file is refused"),
    difference(
        "descending-order",
        &[Affects::Answer],
        "Items of which one is negative are sorted from the largest to the smallest.",
    ),
    difference("placeholder", &[Affects::Answer], "A group without metrics lists one placeholder resource."),
];

const fn difference(id: &'static str, affects: &'static [Affects], sentence: &'static str) -> Difference {
    Difference { id, affects, sentence }
}

impl Difference {
    pub(crate) fn affects(&self, what: Affects) -> bool {
        self.affects.contains(&what)
    }
}

pub(crate) fn known(id: &str) -> Option<&'static Difference> {
    KNOWN.iter().find(|difference| difference.id == id)
}

#[test]
fn the_migration_guide_names_each_known_difference() {
    if !OUR_SERVER_TAKES_PART {
        return;
    }
    let guide = std::fs::read_to_string(workspace::root().join(GUIDE)).unwrap();
    let words = guide.split_whitespace().collect::<Vec<_>>().join(" ");
    let missing: Vec<&str> =
        KNOWN.iter().map(|known| known.sentence).filter(|sentence| !words.contains(sentence)).collect();
    assert!(missing.is_empty(), "{GUIDE} does not say: {missing:#?}");
}
