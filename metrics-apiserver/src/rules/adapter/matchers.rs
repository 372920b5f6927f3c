//! The matchers of a query as prometheus-adapter writes them, and the values by label that templates get beside them.

use std::collections::{BTreeMap, BTreeSet};

use super::error::QueryError;
use super::quote::quoted;
use crate::metric::{Operator, Requirement, Selector};

/// Matchers as text, and the values of their labels.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Matchers {
    /// Joined by commas, in the order in which they were added.
    pub(super) text: String,
    /// The values of each label, joined by `|`. Of several matchers for one label the last counts.
    pub(super) values: BTreeMap<String, String>,
}

impl Matchers {
    /// The matchers of a selector, sorted by key. Values with `in` and `notin` are regular expressions as they are:
    /// a dot matches any character.
    pub(super) fn of_selector(selector: &Selector) -> Result<Self, QueryError> {
        let mut matchers = Self::default();
        for Requirement { key, operator } in selector.requirements() {
            let (comparison, value) = match operator {
                Operator::Equals(value) => ("=", value.clone()),
                Operator::NotEquals(value) => ("!=", value.clone()),
                Operator::In(values) => ("=~", joined(values)),
                Operator::NotIn(values) => ("!~", joined(values)),
                Operator::Exists => ("!=", String::new()),
                Operator::DoesNotExist => ("=", String::new()),
                Operator::GreaterThan(_) | Operator::LessThan(_) => {
                    return Err(QueryError::Comparison { key: key.clone() });
                }
            };
            matchers.add(key, comparison, &value, &value);
        }
        Ok(matchers)
    }

    fn add(&mut self, label: &str, comparison: &str, matched: &str, value: &str) {
        if !self.text.is_empty() {
            self.text.push(',');
        }
        self.text.push_str(label);
        self.text.push_str(comparison);
        self.text.push_str(&quoted(matched));
        self.values.insert(label.to_owned(), value.to_owned());
    }

    /// Adds a matcher for the names of objects: any of them, or any name at all if there are none.
    ///
    /// With several names the matcher is a regular expression. A dot in a name is escaped there, which
    /// prometheus-adapter forgets: `a.b` must not find `axb`. The values by label have the names as they are.
    pub(super) fn add_names(&mut self, label: &str, names: &[&str]) {
        match names {
            [] => self.add(label, "!=", "", ""),
            [name] => self.add(label, "=", name, name),
            names => {
                let literal: Vec<String> = names.iter().map(|name| name.replace('.', "\\.")).collect();
                self.add(label, "=~", &literal.join("|"), &names.join("|"));
            }
        }
    }
}

fn joined(values: &BTreeSet<String>) -> String {
    values.iter().map(String::as_str).collect::<Vec<_>>().join("|")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(selector: &str) -> Result<Matchers, QueryError> {
        Matchers::of_selector(&selector.parse().unwrap())
    }

    #[test]
    fn a_selector_becomes_matchers_sorted_by_key() {
        for (selector, text, values) in [
            ("", "", ""),
            ("k=v", r#"k="v""#, "v"),
            ("k==v", r#"k="v""#, "v"),
            ("k!=v", r#"k!="v""#, "v"),
            ("k in (v)", r#"k=~"v""#, "v"),
            ("k in (b,a)", r#"k=~"a|b""#, "a|b"),
            ("k notin (v)", r#"k!~"v""#, "v"),
            ("k notin (b,a)", r#"k!~"a|b""#, "a|b"),
            ("k", r#"k!="""#, ""),
            ("!k", r#"k="""#, ""),
            ("k in (a.b)", r#"k=~"a.b""#, "a.b"),
            ("k in (a,)", r#"k=~"|a""#, "|a"),
        ] {
            let matchers = of(selector).unwrap();
            assert_eq!(matchers.text, text, "{selector}");
            assert_eq!(matchers.values.get("k").map_or("", String::as_str), values, "{selector}");
        }
        let several = of("z=1,a in (x,y),m").unwrap();
        assert_eq!(several.text, r#"a=~"x|y",m!="",z="1""#);
    }

    #[test]
    fn comparisons_are_refused() {
        assert_eq!(of("k>1").unwrap_err(), QueryError::Comparison { key: "k".to_owned() });
        assert!(of("k<1").is_err());
    }

    #[test]
    fn names_are_literal_in_a_regular_expression() {
        let mut matchers = of("pod=x").unwrap();
        matchers.add_names("namespace", &["default"]);
        matchers.add_names("pod", &["a.b", "c"]);
        assert_eq!(matchers.text, r#"pod="x",namespace="default",pod=~"a\\.b|c""#);
        assert_eq!(matchers.values["pod"], "a.b|c");
        let mut matchers = Matchers::default();
        matchers.add_names("node", &["a.b"]);
        matchers.add_names("pod", &[]);
        assert_eq!(matchers.text, r#"node="a.b",pod!="""#);
    }
}
