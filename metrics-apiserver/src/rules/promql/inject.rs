//! A rule's query as a template for namespace, selector and parameters.
//!
//! The query is parsed once, when the configuration is read. Markers are put into its tree where matchers and
//! parameters belong, the tree is printed, and the text is cut at the markers. A request only joins the pieces: it
//! parses nothing and compiles no regular expression. The joined text must mean what the tree with the same matchers
//! means; this is checked with hostile values for every query before it is served.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::catch_unwind;

use super::error::PromqlError;
use super::expr::Expr;
use super::large_stack::with_large_stack;
use super::limits::STRAY_PARAMETER;
use super::parameter::{NAMESPACE, Segment, fill, mentions_parameter, segments};
use crate::rules::matcher::{Comparison, Matcher, write_escaped, write_literal_regex};
use crate::rules::plan::PlanError;

/// Values for the check of a query: all that could end a string, a selector or a line.
const HOSTILE: [&str; 3] = ["\"}) or vector(1) # \\", "\n\\\"`'{}$\u{fffd}\u{0}é", "plain"];

/// A query that was parsed, checked and cut into pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryTemplate {
    texts: Texts,
    parameters: BTreeSet<String>,
    /// Where the query reads series without a selector, as a byte offset into the text.
    hidden_selector: Option<usize>,
    notes: BTreeSet<Cow<'static, str>>,
}

/// The pieces of a query, with and without slots for what is added: a slot for nothing would leave a comma behind.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Texts {
    plain: Vec<Piece>,
    namespace: Vec<Piece>,
    selector: Vec<Piece>,
    both: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// The matcher of the namespace.
    Namespace,
    /// The matchers of the request's selector.
    Selector,
    /// The value of a parameter, within quotes.
    Parameter {
        name: String,
        is_regex: bool,
    },
}

/// Texts that do not occur in the query.
struct Marks {
    /// The label name and value of the matchers that mark where added matchers belong.
    namespace: Matcher<'static>,
    selector: Matcher<'static>,
    /// The value that marks each parameter.
    parameters: BTreeMap<(String, bool), String>,
    /// What stands in a printed query for each piece.
    holes: Vec<(String, Piece)>,
}

impl QueryTemplate {
    /// Parses a query. `$name` and `${name}` in the value of a matcher are parameters; anywhere else they are an error.
    ///
    /// Starts a thread, unless it is called within [`with_large_stack`].
    pub fn parse(text: &str) -> Result<Self, PromqlError> {
        with_large_stack(|| catch_unwind(|| Self::parse_here(text)))?
            .unwrap_or_else(|_| Err(PromqlError::somewhere("the query cannot be parsed: the parser crashed")))
    }

    fn parse_here(text: &str) -> Result<Self, PromqlError> {
        let query = Expr::parse(text)?;
        let mut parameters = parameters(&query)?;
        let marks = Marks::unused_in(&format!("{text}{}", query.unchecked()), &parameters);
        parameters.retain(|(name, _)| name != NAMESPACE);
        let pieces = |namespace: bool, selector: bool| {
            let (namespace, selector) =
                (namespace.then_some(&marks.namespace), selector.then_some(&marks.selector));
            let added: Vec<_> = selector.into_iter().cloned().collect();
            let mark =
                |name: &str, is_regex| marks.parameters.get(&(name.to_owned(), is_regex)).map(String::as_str);
            let marked = query.with(namespace, &added, |matcher| fill(matcher, mark)).print()?;
            Ok(cut(&marked, &marks.holes))
        };
        let texts = Texts {
            plain: pieces(false, false)?,
            namespace: pieces(true, false)?,
            selector: pieces(false, true)?,
            both: pieces(true, true)?,
        };
        let parameters = parameters.into_iter().map(|(name, _)| name).collect();
        let hidden_selector = query.hidden_selector(text);
        let template = Self { texts, parameters, hidden_selector, notes: query.notes() };
        template.check(&query)?;
        Ok(template)
    }

    /// The labels for which a request's selector must have a value.
    pub fn parameters(&self) -> &BTreeSet<String> {
        &self.parameters
    }

    /// What to know about functions that only some backends have.
    pub fn notes(&self) -> &BTreeSet<Cow<'static, str>> {
        &self.notes
    }

    /// Where, as a byte offset, the query reads series without a selector that a matcher could be added to.
    pub(in crate::rules) fn hidden_selector(&self) -> Option<usize> {
        self.hidden_selector
    }

    /// The query with `added` in every vector selector, `namespace` in each that is not bound by itself, and the
    /// parameters' values.
    pub(in crate::rules) fn render(
        &self,
        namespace: Option<&Matcher<'_>>,
        added: &[Matcher<'_>],
        values: &BTreeMap<&str, &str>,
    ) -> Result<String, PlanError> {
        let binding = joined(namespace);
        let matchers = joined(added);
        let pieces = match (namespace.is_some(), added.is_empty()) {
            (false, true) => &self.texts.plain,
            (true, true) => &self.texts.namespace,
            (false, false) => &self.texts.selector,
            (true, false) => &self.texts.both,
        };
        let lengths = pieces.iter().map(|piece| match piece {
            Piece::Text(text) => text.len(),
            Piece::Namespace => binding.len(),
            Piece::Selector => matchers.len(),
            Piece::Parameter { name, .. } => values.get(&**name).map_or(0, |value| value.len()),
        });
        let mut out = String::with_capacity(lengths.sum());
        for piece in pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Namespace => out.push_str(&binding),
                Piece::Selector => out.push_str(&matchers),
                Piece::Parameter { name, is_regex } => {
                    let value =
                        values.get(&**name).ok_or_else(|| PlanError::Parameter { name: name.clone() })?;
                    if *is_regex {
                        let mut literal = String::with_capacity(value.len());
                        write_literal_regex(value, &mut literal);
                        write_escaped(&literal, &mut out);
                    } else {
                        write_escaped(value, &mut out);
                    }
                }
            }
        }
        Ok(out)
    }

    /// Compares rendered text with the tree that has the same matchers.
    fn check(&self, query: &Expr) -> Result<(), PromqlError> {
        let matchers =
            [Comparison::Equal, Comparison::NotEqual, Comparison::Regex].into_iter().flat_map(|operator| {
                HOSTILE.map(|value| Matcher { label: value.into(), operator, value: value.into() })
            });
        let matchers: Vec<_> = matchers.collect();
        // The values fill parameters; without any, one round is enough.
        let is_filled = self.texts.plain.iter().any(|piece| matches!(piece, Piece::Parameter { .. }));
        for value in HOSTILE.into_iter().take(if is_filled { HOSTILE.len() } else { 1 }) {
            let names = self.parameters.iter().map(String::as_str).chain([NAMESPACE]);
            let values: BTreeMap<_, _> = names.map(|name| (name, value)).collect();
            let namespace = Matcher::new(value, Comparison::Equal, value.into());
            for (namespace, added) in
                [(None, &[][..]), (Some(&namespace), &[]), (None, &matchers), (Some(&namespace), &matchers)]
            {
                let expected = query
                    .with(namespace, added, |matcher| fill(matcher, |name, _| values.get(name).copied()));
                let rendered = self.render(namespace, added, &values).unwrap_or_default();
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

/// Matchers as they are written in a selector.
fn joined<'a>(matchers: impl IntoIterator<Item = &'a Matcher<'a>, IntoIter: Clone>) -> String {
    let matchers = matchers.into_iter();
    let mut text = String::with_capacity(matchers.clone().map(Matcher::bytes).sum());
    for matcher in matchers {
        if !text.is_empty() {
            text.push(',');
        }
        matcher.write(&mut text);
    }
    text
}

impl Marks {
    fn unused_in(text: &str, parameters: &BTreeSet<(String, bool)>) -> Self {
        // A text of n bytes lacks at least one of n + 1 numbers; the fallback is never reached.
        let free = (0..=text.len()).map(|n| format!("slot_{n}_")).find(|mark| !text.contains(mark));
        let free = free.unwrap_or_default();
        let slot = |kind: &str| {
            let name = format!("{free}{kind}");
            Matcher { label: name.clone().into(), operator: Comparison::Equal, value: name.into() }
        };
        // The parser prints the matchers of a selector in the order of their labels.
        let (namespace, selector) = (slot("n"), slot("s"));
        let mut holes =
            vec![(joined([&namespace]), Piece::Namespace), (joined([&selector]), Piece::Selector)];
        let mut marks = BTreeMap::new();
        for (name, is_regex) in parameters {
            let mark = format!("{free}p{}_", holes.len());
            holes.push((mark.clone(), Piece::Parameter { name: name.clone(), is_regex: *is_regex }));
            marks.insert((name.clone(), *is_regex), mark);
        }
        Self { namespace, selector, parameters: marks, holes }
    }
}

/// The parameters in the matchers of a query, by name and whether in a regular expression.
fn parameters(query: &Expr) -> Result<BTreeSet<(String, bool)>, PromqlError> {
    let mut names = BTreeSet::new();
    for matcher in query.selectors().into_iter().flatten() {
        names.extend(segments(&matcher)?.into_iter().filter_map(|part| match part {
            Segment::Parameter { name, is_regex } => Some((name, is_regex)),
            Segment::Text(_) => None,
        }));
    }
    match query.strings().iter().find(|text| mentions_parameter(text)) {
        Some(text) => Err(PromqlError::somewhere(format!("{STRAY_PARAMETER}; found {text:?}"))),
        None => Ok(names),
    }
}

/// Cuts a printed query at the marks.
fn cut(text: &str, holes: &[(String, Piece)]) -> Vec<Piece> {
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
