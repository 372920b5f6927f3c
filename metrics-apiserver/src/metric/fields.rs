//! Field selectors of Kubernetes, for the two fields that every object has.

use std::str::FromStr;

/// A conjunction of conditions on an object's name and namespace; empty selects everything.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct FieldSelector {
    terms: Vec<Term>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Term {
    field: Field,
    is_equal: bool,
    value: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Field {
    Name,
    Namespace,
}

/// Why a text is not a field selector that is supported. The sentences are apimachinery's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseFieldSelectorError {
    /// A term without an operator, or with a bad escape.
    #[error("invalid selector: '{selector}'; can't understand '{term}'")]
    Syntax {
        /// The whole selector.
        selector: String,
        /// The part that is wrong.
        term: String,
    },
    /// Neither `metadata.name` nor `metadata.namespace`.
    #[error("{0:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"")]
    Field(String),
}

impl FieldSelector {
    /// Whether it has no condition.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// The name that it requires, if it requires one.
    pub fn exact_name(&self) -> Option<&str> {
        let is_exact = |term: &&Term| term.field == Field::Name && term.is_equal;
        self.terms.iter().find(is_exact).map(|term| term.value.as_str())
    }

    /// Whether an object of this name and namespace is selected.
    pub fn matches(&self, name: &str, namespace: Option<&str>) -> bool {
        self.terms.iter().all(|Term { field, is_equal, value }| {
            let actual = match field {
                Field::Name => name,
                Field::Namespace => namespace.unwrap_or_default(),
            };
            (actual == value) == *is_equal
        })
    }
}

impl FromStr for FieldSelector {
    type Err = ParseFieldSelectorError;

    /// As apimachinery's `fields.ParseSelector`: terms `field=value`, `field==value` and `field!=value`, joined by
    /// commas; in a value a backslash escapes `\`, `,` and `=`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let terms = split(text).into_iter().filter(|term| !term.is_empty());
        let terms = terms.map(|term| {
            let syntax = || ParseFieldSelectorError::Syntax { selector: text.into(), term: term.into() };
            let start = term.find(['=', '!']).ok_or_else(syntax)?;
            let (field, rest) = term.split_at(start);
            let operators = [("!=", false), ("==", true), ("=", true)];
            let found = operators.iter().find_map(|(op, is_equal)| Some((rest.strip_prefix(op)?, *is_equal)));
            let (value, is_equal) = found.ok_or_else(syntax)?;
            let field = match field {
                "metadata.name" => Field::Name,
                "metadata.namespace" => Field::Namespace,
                other => return Err(ParseFieldSelectorError::Field(other.to_owned())),
            };
            Ok(Term { field, is_equal, value: unescaped(value).ok_or_else(syntax)? })
        });
        Ok(Self { terms: terms.collect::<Result<_, _>>()? })
    }
}

/// Splits at commas that are not escaped.
fn split(text: &str) -> Vec<&str> {
    let (mut terms, mut start, mut is_escaped) = (Vec::new(), 0, false);
    for (index, character) in text.char_indices() {
        if character == ',' && !is_escaped {
            terms.push(&text[start..index]);
            start = index + 1;
        }
        is_escaped = character == '\\' && !is_escaped;
    }
    terms.push(&text[start..]);
    terms
}

/// The value without escapes; none if one is bad or an operator is not escaped.
fn unescaped(value: &str) -> Option<String> {
    let mut plain = String::with_capacity(value.len());
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => plain.push(characters.next().filter(|next| matches!(next, '\\' | ',' | '='))?),
            ',' | '=' => return None,
            other => plain.push(other),
        }
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn selects(selector: &str, name: &str, namespace: Option<&str>) -> bool {
        selector.parse::<FieldSelector>().unwrap().matches(name, namespace)
    }

    #[test]
    fn name_and_namespace_can_be_selected() {
        assert!(selects("", "web", Some("shop")));
        assert!(selects("metadata.name=web", "web", Some("shop")));
        assert!(selects("metadata.name==web,metadata.namespace!=other", "web", Some("shop")));
        assert!(!selects("metadata.name=web,metadata.namespace!=shop", "web", Some("shop")));
        assert!(!selects("metadata.name!=web", "web", None));
        assert!(selects("metadata.namespace=", "node", None), "a cluster-scoped object has no namespace");
        assert!(selects("metadata.name=a\\,b\\=c\\\\", "a,b=c\\", None));
        assert!(selects(",", "web", None));
    }

    #[test]
    fn the_name_that_a_selector_requires_is_known() {
        let of = |text: &str| {
            let fields = text.parse::<FieldSelector>().unwrap();
            (fields.is_empty(), fields.exact_name().map(str::to_owned))
        };
        assert_eq!(of(","), (true, None));
        assert_eq!(of("metadata.namespace=shop,metadata.name==web"), (false, Some("web".to_owned())));
        assert_eq!(of("metadata.name!=web"), (false, None));
    }

    #[test]
    fn what_apimachinery_refuses_is_refused_with_its_sentences() {
        let refused = |text: &str| text.parse::<FieldSelector>().unwrap_err().to_string();
        assert_eq!(
            refused("metadata.name"),
            "invalid selector: 'metadata.name'; can't understand 'metadata.name'"
        );
        assert!(refused("metadata.name=a=b").contains("can't understand 'metadata.name=a=b'"));
        assert!(refused("metadata.name=a\\x").contains("can't understand"));
        assert!(refused("metadata.name!a").contains("can't understand"));
        assert_eq!(
            refused("spec.nodeName=n"),
            "\"spec.nodeName\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
        );
    }
}
