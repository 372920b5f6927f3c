//! What a rule makes of a request: queries, and how their samples are grouped.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use super::adapter::QueryError;
use crate::metric::{Namespace, ObjectRef, Sample};

/// Longest query that is sent, in bytes: a native query repeats the matchers in every vector selector, and a template
/// may name many objects.
pub(super) const MAX_PROMQL: usize = 256 * 1024;

/// The name of one Prometheus-compatible server in the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BackendName(pub Arc<str>);

/// One query: the backend, the PromQL text with namespace and selector in it, and for some backends the namespace.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Query {
    /// Where it is sent.
    pub backend: BackendName,
    /// The text.
    pub promql: Arc<str>,
    /// The namespace of the request, if the backend is told it. Then a result is that of one namespace, and answers no
    /// other one, even where the text is the same.
    pub namespace: Option<Namespace>,
}

impl Query {
    /// A query for a backend that is not told the namespace.
    pub fn new(backend: BackendName, promql: impl Into<Arc<str>>) -> Self {
        Self { backend, promql: promql.into(), namespace: None }
    }
}

/// How one request is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The queries; each is read and judged by itself.
    pub queries: Vec<Query>,
    /// How the samples of a reading are grouped.
    pub pick: Pick,
}

/// Which samples of a reading belong together. The rule's policies are applied to each group by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pick {
    /// All samples are one group.
    All,
    /// One group for each object: the samples that have the object's name in this label.
    ByLabel {
        /// The label.
        label: Arc<str>,
        /// The objects, each once.
        objects: Vec<ObjectRef>,
    },
}

/// Samples that belong together.
#[derive(Debug, Clone, PartialEq)]
pub struct Group<'a> {
    /// The object they describe; none if the request is not about objects.
    pub object: Option<&'a ObjectRef>,
    /// The samples.
    pub samples: Cow<'a, [Sample]>,
}

impl Pick {
    /// The groups of these samples. An object without samples has an empty group; samples of other objects are dropped.
    pub fn groups<'a>(&'a self, samples: &'a [Sample]) -> impl Iterator<Item = Group<'a>> {
        let (all, objects) = match self {
            Self::All => (Some(Group { object: None, samples: Cow::Borrowed(samples) }), &[][..]),
            Self::ByLabel { objects, .. } => (None, &objects[..]),
        };
        let mut by_name: HashMap<&str, Vec<Sample>> =
            objects.iter().map(|object| (&*object.name, Vec::new())).collect();
        if let Self::ByLabel { label, .. } = self {
            for sample in samples {
                if let Some(group) = sample.labels.get(label).and_then(|name| by_name.get_mut(name)) {
                    group.push(sample.clone());
                }
            }
        }
        all.into_iter().chain(objects.iter().map(move |object| {
            let samples = by_name.remove(&*object.name).unwrap_or_default();
            Group { object: Some(object), samples: Cow::Owned(samples) }
        }))
    }

    /// The samples of one object's group, or of the only one.
    pub fn group<'a>(&self, object: Option<&ObjectRef>, samples: &'a [Sample]) -> Cow<'a, [Sample]> {
        match (self, object) {
            (Self::ByLabel { label, .. }, Some(object)) => {
                let of_object = |sample: &&Sample| sample.labels.get(label) == Some(&object.name);
                samples.iter().filter(of_object).cloned().collect()
            }
            _ => Cow::Borrowed(samples),
        }
    }
}

/// Why a rule makes no query for a request. Mostly the client's selector is at fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The namespace `*` for a metric whose query is bound to the namespace.
    #[error("this metric is read in one namespace; give its name instead of \"*\"")]
    AllNamespaces,
    /// `>` and `<`, which Prometheus has no matcher for.
    #[error(
        "the selector compares {key:?} with '>' or '<', which Prometheus does not support for labels; use =, !=, in or \
         notin"
    )]
    Comparison {
        /// The key.
        key: String,
    },
    /// A label that the rule does not allow in selectors.
    #[error("the selector's key {key:?} is not allowed for this metric; allowed keys: {allowed}")]
    NotAllowed {
        /// The key.
        key: String,
        /// The allowed labels, joined by commas.
        allowed: String,
    },
    /// A parameter of the query for which the selector has no single value.
    #[error(
        "this metric requires the label {name:?} in the selector, exactly once and with one value: {name}=<value>"
    )]
    Parameter {
        /// The parameter, which is the label's name.
        name: String,
    },
    /// A rule of prometheus-adapter makes no query.
    #[error(transparent)]
    Adapter(#[from] QueryError),
    /// A native rule, which serves external metrics only.
    #[error("the rule serves no custom metric")]
    NotCustom,
    /// The query with namespace and selector would be too long.
    #[error("the query for this selector would be longer than {limit} bytes; use a shorter selector")]
    TooLong {
        /// The limit.
        limit: usize,
    },
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::metric::GroupResource;

    fn sample(labels: &[(&str, &str)], value: f64) -> Sample {
        Sample { labels: labels.iter().copied().collect(), value, timestamp: Timestamp::UNIX_EPOCH }
    }

    fn pod(name: &str) -> ObjectRef {
        let resource = GroupResource { resource: "pods".into(), group: "".into() };
        ObjectRef { resource, namespace: None, name: name.into() }
    }

    fn values(samples: &[Sample]) -> Vec<f64> {
        samples.iter().map(|sample| sample.value).collect()
    }

    fn by_pod(objects: Vec<ObjectRef>) -> Pick {
        Pick::ByLabel { label: "pod".into(), objects }
    }

    #[test]
    fn all_samples_are_one_group_and_none_are_one_empty_group() {
        let samples = [sample(&[("pod", "a")], 1.0), sample(&[], 2.0)];
        let groups: Vec<_> = Pick::All.groups(&samples).collect();
        assert_eq!((groups.len(), groups[0].object), (1, None));
        assert!(matches!(groups[0].samples, Cow::Borrowed(_)), "nothing is copied");
        assert_eq!(values(&Pick::All.group(None, &samples)), [1.0, 2.0]);
        let none: Vec<_> = Pick::All.groups(&[]).collect();
        assert_eq!(none, [Group { object: None, samples: Cow::Borrowed(&[]) }]);
    }

    #[test]
    fn each_object_has_the_samples_with_its_name_in_the_label() {
        let samples = [
            sample(&[("pod", "b"), ("x", "1")], 1.0),
            sample(&[("pod", "a")], 2.0),
            sample(&[("pod", "other")], 3.0),
            sample(&[("x", "a")], 4.0),
            sample(&[("pod", "b"), ("x", "2")], 5.0),
        ];
        let pick = by_pod(vec![pod("a"), pod("b"), pod("missing")]);
        let groups: Vec<_> = pick.groups(&samples).collect();
        let found: Vec<_> =
            groups.iter().map(|group| (&*group.object.unwrap().name, values(&group.samples))).collect();
        assert_eq!(found, [("a", vec![2.0]), ("b", vec![1.0, 5.0]), ("missing", vec![])]);
        for group in &groups {
            assert_eq!(pick.group(group.object, &samples), group.samples);
        }
    }
}
