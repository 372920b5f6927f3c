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
    /// Whether the server starts.
    Start,
}

/// A difference that is wanted.
#[derive(Debug)]
pub(crate) struct Difference {
    pub(crate) id: &'static str,
    pub(crate) affects: Affects,
    /// What our server does instead, as the guide says it.
    pub(crate) sentence: &'static str,
}

/// All of them. Each must be seen at least once.
pub(crate) const KNOWN: &[Difference] = &[
    Difference {
        id: "not-finite",
        affects: Affects::Answer,
        sentence: "NaN, infinity and values that do not fit into a quantity are errors instead of numbers.",
    },
    Difference {
        id: "backend-failure",
        affects: Affects::Answer,
        sentence: "A failure of Prometheus is answered with 503 or 504 and says what is wrong, instead of 500.",
    },
    Difference {
        id: "escaped-names",
        affects: Affects::Queries,
        sentence: "Dots in object names are escaped where the query matches them with a regular expression.",
    },
    Difference {
        id: "selector-operator",
        affects: Affects::Answer,
        sentence: "A selector operator that PromQL does not have is answered with 400 instead of 404 or 500.",
    },
    Difference {
        id: "resource-queries",
        affects: Affects::Queries,
        sentence: "metrics.k8s.io sends one query for each resource and all namespaces, not one for each namespace.",
    },
    Difference {
        id: "unknown-resource",
        affects: Affects::Start,
        sentence: "A rule that names a resource that the cluster does not have waits for it instead of ending the \
                   process.",
    },
];

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
