//! A rule's query as a template for namespace, selector and parameters.
//!
//! The query is parsed once, when the configuration is read. Markers are put into its tree where matchers and
//! parameters belong, the tree is printed, and the text is cut at the markers. A request only joins the pieces: it
//! parses nothing and compiles no regular expression. The joined text must mean what the tree with the same matchers
//! means; this is checked with hostile values for every query before it is served.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::catch_unwind;

use super::error::PromqlError;
use super::expr::Expr;
use super::large_stack::with_large_stack;
use super::limits::STRAY_PARAMETER;
use crate::rules::matcher::{Comparison, Matcher, QUOTES, is_label_name, write_quoted};
use crate::rules::plan::PlanError;

/// Values for the check of a query: all that could end a string, a selector or a line.
const HOSTILE: [&str; 3] = ["\"}) or vector(1) # \\", "\n\\\"`'{}$\u{fffd}\u{0}é", "plain"];

/// A query that was parsed, checked and cut into pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryTemplate {
    /// Without added matchers.
    plain: Vec<Piece>,
    /// With a slot for added matchers in every vector selector.
    injected: Vec<Piece>,
    parameters: BTreeSet<String>,
    /// Where the query reads series without a selector, as a byte offset into the text.
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

/// Texts that do not occur in the query.
struct Marks {
    /// The label name and value of the matcher that marks where added matchers belong.
    slot: String,
    /// The value that marks each parameter.
    parameters: BTreeMap<String, String>,
}

impl QueryTemplate {
    /// Parses a query. `$name` as the whole value of a matcher with `=` or `!=` is a parameter; anywhere else it is an
    /// error, because a value inside a longer text or a regular expression would not be matched literally.
    ///
    /// Starts a thread, unless it is called within [`with_large_stack`].
    pub fn parse(text: &str) -> Result<Self, PromqlError> {
        with_large_stack(|| catch_unwind(|| Self::parse_here(text)))?
            .unwrap_or_else(|_| Err(PromqlError::somewhere("the query cannot be parsed: the parser crashed")))
    }

    fn parse_here(text: &str) -> Result<Self, PromqlError> {
        let query = Expr::parse(text)?;
        let parameters = parameters(&query)?;
        let marks = Marks::unused_in(&format!("{text}{}", query.unchecked()), &parameters);
        let (label, value) = (marks.slot.clone().into(), marks.slot.clone().into());
        let slot = Matcher { label, operator: Comparison::Equal, value };
        let marked = |added: &[Matcher<'static>]| {
            query.with(added, |matcher| fill(matcher, &marks.parameters))?.print()
        };
        let template = Self {
            plain: cut(&marked(&[])?, &marks),
            injected: cut(&marked(std::slice::from_ref(&slot))?, &marks),
            parameters,
            hidden_selector: query.hidden_selector(text),
        };
        template.check(&query)?;
        Ok(template)
    }

    /// The labels for which a request's selector must have a value.
    pub fn parameters(&self) -> &BTreeSet<String> {
        &self.parameters
    }

    /// Where, as a byte offset, the query reads series without a selector that a matcher could be added to.
    pub(in crate::rules) fn hidden_selector(&self) -> Option<usize> {
        self.hidden_selector
    }

    /// The query with `added` in every vector selector, and the parameters' values.
    pub(in crate::rules) fn render(
        &self,
        added: &[Matcher<'_>],
        values: &BTreeMap<String, String>,
    ) -> Result<String, PlanError> {
        let mut matchers = String::with_capacity(added.iter().map(Matcher::bytes).sum());
        for matcher in added {
            if !matchers.is_empty() {
                matchers.push(',');
            }
            matcher.write(&mut matchers);
        }
        let pieces = if added.is_empty() { &self.plain } else { &self.injected };
        let lengths = pieces.iter().map(|piece| match piece {
            Piece::Text(text) => text.len(),
            Piece::Matchers => matchers.len(),
            Piece::Parameter(name) => values.get(name).map_or(0, |value| value.len() + QUOTES),
        });
        let mut out = String::with_capacity(lengths.sum());
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

    /// Compares rendered text with the tree that has the same matchers.
    fn check(&self, query: &Expr) -> Result<(), PromqlError> {
        let matchers = [Comparison::Equal, Comparison::NotEqual].into_iter().flat_map(|operator| {
            HOSTILE.map(|value| Matcher { label: "_".into(), operator, value: value.into() })
        });
        let matchers: Vec<_> = matchers.collect();
        // The values fill parameters; without any, one round is enough.
        let needed = if self.parameters.is_empty() { 1 } else { HOSTILE.len() };
        for value in HOSTILE.into_iter().take(needed) {
            let values = self.parameters.iter().map(|name| (name.clone(), value.to_owned())).collect();
            for added in [&[], &matchers[..]] {
                let expected = query.with(added, |matcher| fill(matcher, &values))?;
                let rendered = self.render(added, &values).unwrap_or_default();
                if !Expr::parse_printed(&rendered).is_ok_and(|rendered| rendered.is_same_as(&expected)) {
                    return Err(PromqlError::somewhere(
                        "namespace and selector cannot be added to the query safely",
                    ));
                }
            }
        }
        Ok(())
    }
}

impl Marks {
    fn unused_in(text: &str, parameters: &BTreeSet<String>) -> Self {
        // A text of n bytes lacks at least one of n + 1 numbers; the fallback is never reached.
        let free = (0..=text.len()).map(|n| format!("slot_{n}_")).find(|mark| !text.contains(mark));
        let slot = free.unwrap_or_default();
        let parameters = parameters.iter().map(|name| (name.clone(), format!("{slot}{name}"))).collect();
        Self { slot, parameters }
    }
}

/// The parameters of a query, if each is the whole value of a matcher.
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

/// Whether the text has a `$` followed by a name; the `$` of a regular expression is not.
fn mentions_parameter(text: &str) -> bool {
    text.split('$').skip(1).any(|rest| {
        let rest = rest.strip_prefix('{').unwrap_or(rest);
        rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
    })
}

/// The matcher with its parameter replaced by the value.
fn fill(matcher: Matcher<'static>, values: &BTreeMap<String, String>) -> Matcher<'static> {
    match parameter(&matcher.value).and_then(|name| values.get(name)) {
        Some(value) => Matcher { value: value.clone().into(), ..matcher },
        None => matcher,
    }
}

/// Cuts a printed query at the markers.
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
