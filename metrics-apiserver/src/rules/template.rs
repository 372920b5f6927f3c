//! A rule's query with holes for namespace, selector and parameters.
//!
//! The query is parsed once, when the configuration is read. Marks are put into its tree where matchers and parameters
//! belong, the tree is printed and the text cut at the marks, so that a request only joins pieces: no parsing and no
//! compiling of regular expressions while an HPA waits. What this relies on, that joined text means what the tree
//! with the same matchers means, is checked with hostile values for every query before it is served.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::catch_unwind;

use super::complexity::STRAY_PARAMETER;
use super::large_stack::with_large_stack;
use super::matcher::{Comparison, Matcher, is_label_name, write_quoted};
use super::promql::Expr;
use super::{PlanError, PromqlError};

/// Values for the check of a query: whatever could end a string, a selector or a line.
const HOSTILE: [&str; 3] = ["\"}) or vector(1) # \\", "\n\\\"`'{}$\u{fffd}\u{0}é", "plain"];

/// A query that was read, checked and cut into pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryTemplate {
    /// Without added matchers.
    plain: Vec<Piece>,
    /// With a place for added matchers in every vector selector.
    injected: Vec<Piece>,
    parameters: BTreeSet<String>,
    /// Where series are read by a selector that is not written, as a byte offset into the text.
    hidden_selector: Option<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// The added matchers.
    Matchers,
    /// The quoted value of a parameter.
    Parameter(String),
}

/// Texts that occur nowhere in the query.
struct Marks {
    /// The label name of the matcher that is put where added matchers belong.
    slot: String,
    /// What each parameter's value is in the marked tree.
    parameters: BTreeMap<String, String>,
}

impl QueryTemplate {
    /// Reads a query. `$name` as the whole value of a matcher with `=` or `!=` is a parameter; anywhere else it is an
    /// error, because a value pasted into a longer text or a regular expression would mean more than itself.
    ///
    /// Works on a thread of its own, unless it is called [`with_large_stack`].
    pub fn parse(text: &str) -> Result<Self, PromqlError> {
        with_large_stack(|| catch_unwind(|| Self::parse_here(text)))?
            .unwrap_or_else(|_| Err(PromqlError::somewhere("the query cannot be read: the parser failed")))
    }

    fn parse_here(text: &str) -> Result<Self, PromqlError> {
        let query = Expr::parse(text)?;
        let parameters = parameters(&query)?;
        let marks = Marks::unused_in(&format!("{text}{}", query.unchecked()), &parameters);
        let slot =
            Matcher { label: marks.slot.clone(), operator: Comparison::Equal, value: marks.slot.clone() };
        let marked =
            |added: &[Matcher]| query.with(added, |matcher| fill(matcher, &marks.parameters))?.print();
        let template = Self {
            plain: cut(&marked(&[])?, &marks),
            injected: cut(&marked(std::slice::from_ref(&slot))?, &marks),
            parameters,
            hidden_selector: query.hidden_selector(text),
        };
        template.check(&query)?;
        Ok(template)
    }

    /// The labels that a request's selector must give a value for.
    pub fn parameters(&self) -> &BTreeSet<String> {
        &self.parameters
    }

    /// Where, as a byte offset, the query reads series by a selector into which nothing can be put.
    pub(super) fn hidden_selector(&self) -> Option<usize> {
        self.hidden_selector
    }

    /// The query with `added` in every vector selector, and the parameters' values.
    pub(super) fn render(
        &self,
        added: &[Matcher],
        values: &BTreeMap<String, String>,
    ) -> Result<String, PlanError> {
        let mut matchers = String::new();
        for matcher in added {
            if !matchers.is_empty() {
                matchers.push(',');
            }
            matcher.write(&mut matchers);
        }
        let pieces = if added.is_empty() { &self.plain } else { &self.injected };
        let mut out = String::new();
        for piece in pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Matchers => out.push_str(&matchers),
                Piece::Parameter(name) => match values.get(name) {
                    Some(value) => write_quoted(value, &mut out),
                    None => return Err(PlanError::Parameter { name: name.clone() }),
                },
            }
        }
        Ok(out)
    }

    /// Compares what is rendered with the tree that the same matchers were put into.
    fn check(&self, query: &Expr) -> Result<(), PromqlError> {
        let matchers = [Comparison::Equal, Comparison::NotEqual].into_iter().flat_map(|operator| {
            HOSTILE.map(|value| Matcher { label: "_".to_owned(), operator, value: value.to_owned() })
        });
        let matchers: Vec<_> = matchers.collect();
        // Without parameters one value is as good as three.
        let needed = if self.parameters.is_empty() { 1 } else { HOSTILE.len() };
        for value in HOSTILE.into_iter().take(needed) {
            let values = self.parameters.iter().map(|name| (name.clone(), value.to_owned())).collect();
            for added in [&[], &matchers[..]] {
                let expected = query.with(added, |matcher| fill(matcher, &values))?;
                let rendered = self.render(added, &values).unwrap_or_default();
                if !Expr::parse_printed(&rendered).is_ok_and(|rendered| rendered.is_same_as(&expected)) {
                    return Err(PromqlError::somewhere(
                        "namespace and selector cannot be bound into the query safely",
                    ));
                }
            }
        }
        Ok(())
    }
}

impl Marks {
    fn unused_in(text: &str, parameters: &BTreeSet<String>) -> Self {
        // A text is finite, so some number is not in it; the fallback is never reached.
        let free = (0..=text.len()).map(|n| format!("slot_{n}_")).find(|mark| !text.contains(mark));
        let slot = free.unwrap_or_default();
        let parameters = parameters.iter().map(|name| (name.clone(), format!("{slot}{name}"))).collect();
        Self { slot, parameters }
    }
}

/// The parameters of a query, if each stands where it may.
fn parameters(query: &Expr) -> Result<BTreeSet<String>, PromqlError> {
    let mut names = BTreeSet::new();
    for matcher in query.selectors().into_iter().flatten() {
        let by_value = matches!(matcher.operator, Comparison::Equal | Comparison::NotEqual);
        match parameter(&matcher.value) {
            Some(name) if by_value => {
                names.insert(name.to_owned());
            }
            None if !mentions_parameter(&matcher.value) => {}
            _ => return Err(stray(&matcher.value)),
        }
    }
    match query.strings().iter().find(|text| mentions_parameter(text)) {
        Some(text) => Err(stray(text)),
        None => Ok(names),
    }
}

fn stray(text: &str) -> PromqlError {
    PromqlError::somewhere(format!("{STRAY_PARAMETER}; found {text:?}"))
}

/// The parameter's name, if the value is one.
fn parameter(value: &str) -> Option<&str> {
    value.strip_prefix('$').filter(|name| is_label_name(name))
}

/// Whether a `$` with a name behind it is in the text; a regular expression's `$` has none.
fn mentions_parameter(text: &str) -> bool {
    text.split('$').skip(1).any(|rest| {
        let rest = rest.strip_prefix('{').unwrap_or(rest);
        rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
    })
}

/// The matcher with its parameter's value in place of the parameter.
fn fill(matcher: Matcher, values: &BTreeMap<String, String>) -> Matcher {
    match parameter(&matcher.value).and_then(|name| values.get(name)) {
        Some(value) => Matcher { value: value.clone(), ..matcher },
        None => matcher,
    }
}

/// Cuts a printed query at the marks.
fn cut(text: &str, marks: &Marks) -> Vec<Piece> {
    let slot = (format!("{0}=\"{0}\"", marks.slot), Piece::Matchers);
    let parameters =
        marks.parameters.iter().map(|(name, mark)| (format!("\"{mark}\""), Piece::Parameter(name.clone())));
    let holes: Vec<_> = std::iter::once(slot).chain(parameters).collect();
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((at, mark, piece)) = holes
        .iter()
        .filter_map(|(mark, piece)| Some((rest.find(mark)?, mark, piece)))
        .min_by_key(|(at, ..)| *at)
    {
        let (before, after) = rest.split_at(at);
        pieces.push(Piece::Text(before.to_owned()));
        pieces.push(piece.clone());
        rest = after.strip_prefix(mark.as_str()).unwrap_or_default();
    }
    pieces.push(Piece::Text(rest.to_owned()));
    pieces
}
