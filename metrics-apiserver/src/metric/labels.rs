//! The labels of a series, in little memory.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// A series' labels, sorted by name, each name once.
///
/// Labels are most of what the cache holds, so all of them share two allocations: a map of strings takes about 150
/// bytes per label, five times as much. Cloning is cheap: a sample and its values share them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Labels {
    /// Each name and, after it, its value.
    text: Arc<str>,
    /// The end of each name and value in `text`.
    ends: Arc<[u32]>,
}

impl Labels {
    /// No labels.
    pub fn new() -> Self {
        Self::default()
    }

    /// Those of a scalar, which has none; a series can have an empty set of labels.
    pub fn of_scalar() -> Self {
        // A label has two ends, so a single one marks a scalar.
        Self { text: Arc::default(), ends: [0].into() }
    }

    /// Whether they are those of a scalar.
    pub fn are_of_scalar(&self) -> bool {
        self.ends.len() == 1
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.len() < 2
    }

    /// Names and values, by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        let piece = |index: usize| {
            let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
            &self.text[start as usize..self.ends[index] as usize]
        };
        (0..self.ends.len() / 2).map(move |label| (piece(2 * label), piece(2 * label + 1)))
    }

    /// The value of the label of this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// All but the label of this name.
    #[must_use]
    pub fn without(self, name: &str) -> Self {
        if self.get(name).is_none() {
            return self;
        }
        self.iter().filter(|(known, _)| *known != name).collect()
    }

    /// The memory they take, in bytes, besides the value itself.
    pub fn heap_bytes(&self) -> usize {
        self.text.len() + size_of_val(&*self.ends)
    }
}

/// If a name occurs several times, its last value wins.
impl<N: AsRef<str>, V: AsRef<str>> FromIterator<(N, V)> for Labels {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(labels: I) -> Self {
        let mut packing = Packing::default();
        for (name, value) in labels {
            packing.push(name.as_ref());
            packing.push(value.as_ref());
        }
        packing.pack()
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// Builds [`Labels`] piece by piece.
#[derive(Debug, Default)]
pub struct Packing {
    text: String,
    ends: Vec<u32>,
}

impl Packing {
    /// Adds a name, or the value of the name before it.
    pub fn push(&mut self, piece: &str) {
        self.text.push_str(piece);
        self.ends.push(u32::try_from(self.text.len()).unwrap_or(u32::MAX));
    }

    /// The number of labels so far.
    pub fn labels(&self) -> usize {
        self.ends.len() / 2
    }

    /// The labels. If a name occurs several times, its last value wins; a name without a value is dropped.
    pub fn pack(mut self) -> Labels {
        self.ends.truncate(self.labels() * 2);
        let labels = Labels { text: self.text.into(), ends: self.ends.into() };
        if labels.iter().is_sorted_by(|(one, _), (next, _)| one < next) {
            return labels;
        }
        // Prometheus sorts labels; other backends may not.
        labels.iter().collect::<BTreeMap<_, _>>().into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_sorted_whatever_order_they_come_in_and_the_last_value_counts() {
        let labels: Labels = [("pod", "p"), ("app", "a"), ("pod", "q"), ("empty", "")].into_iter().collect();
        assert_eq!(labels.iter().collect::<Vec<_>>(), [("app", "a"), ("empty", ""), ("pod", "q")]);
        assert_eq!(labels, [("app", "a"), ("empty", ""), ("pod", "q")].into_iter().collect());
        assert_eq!((labels.get("pod"), labels.get("po")), (Some("q"), None));
        assert_eq!(labels.clone().without("app").iter().collect::<Vec<_>>(), [("empty", ""), ("pod", "q")]);
        assert_eq!(format!("{labels:?}"), r#"{"app": "a", "empty": "", "pod": "q"}"#);
    }

    #[test]
    fn labels_differ_where_only_the_border_between_name_and_value_does() {
        let labels = |name: &str, value: &str| [(name, value)].into_iter().collect::<Labels>();
        assert_ne!(labels("ab", "c"), labels("a", "bc"));
        assert!(
            Labels::new().is_empty()
                && Labels::new() == [("a", "b")].into_iter().collect::<Labels>().without("a")
        );
    }

    #[test]
    fn a_scalar_has_no_labels_and_is_told_apart_from_a_series_without_labels() {
        let scalar = Labels::of_scalar();
        assert!(scalar.is_empty() && scalar.iter().len() == 0 && scalar.get("a").is_none());
        assert!(scalar.are_of_scalar() && !Labels::new().are_of_scalar());
        assert!(scalar.clone().without("a").are_of_scalar());
        assert_ne!(scalar, Labels::new());
    }

    #[test]
    fn what_they_take_is_counted() {
        let labels: Labels = [("name", "value")].into_iter().collect();
        assert_eq!(labels.heap_bytes(), 9 + 8);
        assert_eq!(Labels::new().heap_bytes(), 0);
    }

    #[test]
    fn a_name_without_a_value_is_left_out() {
        let mut packing = Packing::default();
        for piece in ["a", "1", "b"] {
            packing.push(piece);
        }
        assert_eq!(packing.labels(), 1);
        let labels = packing.pack();
        assert_eq!(labels.iter().collect::<Vec<_>>(), [("a", "1")]);
    }
}
