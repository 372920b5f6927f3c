//! PromQL as a syntax tree. The only file that names promql-parser.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::LazyLock;

use promql_parser::label::{MatchOp, Matcher as TreeMatcher};
use promql_parser::parser::value::ValueType;
use promql_parser::parser::{self, AggregateExpr, BinModifier, BinaryExpr, Function, VectorSelector};
use promql_parser::util::unquote_string;

use super::calls::{self, CALL, MATRIX, SCALAR, STRING};
use super::dialect::note;
use super::error::PromqlError;
use super::limits;
use super::modifiers::{self, ANCHORED, SMOOTHED};
use super::outline::{Outline, ResultLabels};
use super::parameter::binds_namespace;
use super::{standin, trim};
use crate::rules::matcher::{Comparison, Matcher};

/// The function whose replacement text has a `$` syntax of its own.
const LABEL_REPLACE: &str = "label_replace";
/// The only function that reads series which no argument selects.
const INFO: &str = "info";

/// A query that returns numbers, as a syntax tree; every vector selector in it can take another matcher.
#[derive(Clone)]
pub(in crate::rules) struct Expr(parser::Expr);

impl Expr {
    /// Parses a query. Deep nesting is refused before it can overflow the stack.
    pub(in crate::rules) fn parse(text: &str) -> Result<Self, PromqlError> {
        let query = Self::parse_printed(&limits::check(text)?)?;
        let mut selects_all = false;
        each_selector(&mut query.0.clone(), &mut |selector| {
            let matchers = &selector.matchers.matchers;
            selects_all |=
                selector.name.is_none() && matchers.iter().map(read).all(|own| matches_empty(&own));
        });
        if selects_all {
            return Err(PromqlError::somewhere(
                "a selector without a name needs a matcher that does not match the empty string",
            ));
        }
        Ok(query)
    }

    /// Parses what was printed from a query that passed the check of [`Self::parse`], and so is not deeper.
    pub(in crate::rules) fn parse_printed(text: &str) -> Result<Self, PromqlError> {
        let mut query = parse(&calls::hide(
            &modifiers::hide(&trim::hide(text)),
            |function| note(function).is_some(),
            wrapper,
        )?)?;
        let kind = query.value_type();
        if !matches!(kind, ValueType::Vector | ValueType::Scalar) {
            let message = format!("the query returns a {kind}; it must return an instant vector or a scalar");
            return Err(PromqlError::somewhere(message));
        }
        let mut alternatives = false;
        each_selector(&mut query, &mut |selector| alternatives |= !selector.matchers.or_matchers.is_empty());
        if alternatives {
            return Err(PromqlError::somewhere(
                "\"or\" between matchers is not valid PromQL; use a regex matcher",
            ));
        }
        Ok(Self(query))
    }

    /// The matchers of every vector selector, each list sorted.
    pub(in crate::rules) fn selectors(&self) -> Vec<Vec<Matcher<'static>>> {
        let mut found = Vec::new();
        each_selector(&mut self.0.clone(), &mut |selector| {
            let mut matchers: Vec<_> = selector.matchers.matchers.iter().map(read).collect();
            matchers.sort();
            found.push(matchers);
        });
        found
    }

    /// The string literals, except those of `label_replace`, where `$` has its own meaning.
    pub(in crate::rules) fn strings(&self) -> Vec<String> {
        let mut found = Vec::new();
        each(&self.0, &mut |node| {
            let children = match node {
                parser::Expr::Call(call) if call.func.name == LABEL_REPLACE => return,
                parser::Expr::Call(call) => call.args.args.iter().map(AsRef::as_ref).collect(),
                parser::Expr::Aggregate(aggregate) => aggregate.param.iter().map(AsRef::as_ref).collect(),
                _ => Vec::new(),
            };
            found.extend(children.iter().filter_map(|child| match child {
                parser::Expr::StringLiteral(literal) => Some(literal.val.clone()),
                _ => None,
            }));
        });
        found
    }

    /// What to know about the functions that Prometheus 3 does not have.
    pub(in crate::rules) fn notes(&self) -> BTreeSet<Cow<'static, str>> {
        let mut notes = BTreeSet::new();
        each(&self.0, &mut |node| {
            if let parser::Expr::Call(call) = node
                && call.func.name == CALL
                && let Some(parser::Expr::StringLiteral(name)) = call.args.args.first().map(AsRef::as_ref)
            {
                notes.extend(note(&name.val));
            }
        });
        notes
    }

    /// Where in `text`, the source of the query, `info` is called without a selector: it then joins `target_info` of
    /// all namespaces, whatever matchers the rest of the query has.
    pub(in crate::rules) fn hidden_selector(&self, text: &str) -> Option<usize> {
        let mut hidden = Vec::new();
        each(&self.0, &mut |node| {
            if let parser::Expr::Call(call) = node
                && call.func.name == INFO
            {
                let second = call.args.args.get(1).map(AsRef::as_ref);
                hidden.push(!matches!(second, Some(parser::Expr::VectorSelector(_))));
            }
        });
        // Calls are visited in the order in which they are written.
        let number = hidden.iter().position(|hidden| *hidden)?;
        Some(limits::calls(text, INFO).get(number).copied().unwrap_or_default())
    }

    /// The query with every matcher passed through `change`, `added` put into every vector selector, and `namespace`
    /// into each that none of its own matchers binds to the namespace. The matchers that the rule's author wrote stay:
    /// another matcher can only narrow a selector.
    pub(in crate::rules) fn with(
        &self,
        namespace: Option<&Matcher<'static>>,
        added: &[Matcher<'static>],
        change: impl Fn(Matcher<'static>) -> Matcher<'static>,
    ) -> Self {
        let mut query = self.0.clone();
        each_selector(&mut query, &mut |selector| {
            let matchers = &mut selector.matchers.matchers;
            let own: Vec<_> = matchers.iter().map(read).collect();
            let namespace = namespace.filter(|_| !own.iter().any(binds_namespace));
            let new = namespace.into_iter().chain(added).cloned();
            *matchers = own.into_iter().map(&change).chain(new).map(|matcher| write(&matcher)).collect();
        });
        Self(query)
    }

    /// The query as text, which may not mean the same.
    pub(in crate::rules) fn unchecked(&self) -> String {
        trim::show(&calls::show(&standin::show(&self.0.to_string(), unquote_string)))
    }

    /// The query as text; fails if the text would not mean the same as the tree.
    pub(in crate::rules) fn print(&self) -> Result<String, PromqlError> {
        let text = self.unchecked();
        match Self::parse_printed(&text) {
            Ok(again) if again.is_same_as(self) => Ok(text),
            // The parser's reason would blame the author for text that the printer wrote.
            Ok(_) | Err(_) => Err(PromqlError::somewhere(format!(
                "the server cannot reproduce this query exactly; it would send {text}"
            ))),
        }
    }

    /// What the query returns.
    pub(in crate::rules) fn outline(&self) -> Outline {
        Outline { labels: labels(&self.0), is_selector: matches!(self.0, parser::Expr::VectorSelector(_)) }
    }

    /// Whether two queries are the same, apart from the order of matchers and empty lists without a meaning.
    pub(in crate::rules) fn is_same_as(&self, other: &Self) -> bool {
        let normal = |query: &Self| {
            let mut query = query.0.clone();
            each_selector(&mut query, &mut |selector| {
                name_as_matcher(selector);
                selector.matchers.matchers.sort_by_cached_key(read);
            });
            each_mut(&mut query, &mut |node| match node {
                parser::Expr::Aggregate(aggregate) => without_empty_by(aggregate),
                parser::Expr::Binary(binary) => {
                    without_empty_ignoring(binary);
                    comparable_fill(binary);
                }
                _ => {}
            });
            query
        };
        normal(self) == normal(other)
    }
}

/// Makes the stand-ins for unknown calls known to the parser.
static STAND_INS: LazyLock<Result<(), String>> = LazyLock::new(|| {
    use ValueType::{Matrix, Scalar, String, Vector};
    let function = |name, from, to| Function::new(name, vec![from], 0, to, false);
    let [anchored, anchored_range] = ANCHORED;
    let [smoothed, smoothed_range] = SMOOTHED;
    parser::register_extra_functions(vec![
        Function::new(CALL, vec![String, Vector], -1, Vector, false),
        function(MATRIX, Matrix, Vector),
        function(SCALAR, Scalar, Vector),
        function(STRING, String, Vector),
        function(anchored, Vector, Vector),
        function(anchored_range, Matrix, Matrix),
        function(smoothed, Vector, Vector),
        function(smoothed_range, Matrix, Matrix),
    ])
});

/// Parses a text that may have stand-ins for calls.
fn parse(text: &str) -> Result<parser::Expr, PromqlError> {
    let parsed = STAND_INS.clone().and_then(|()| parser::parse(&standin::hide(text, unquote_string)));
    parsed.map_err(|reason| {
        // The only reason with the value of a matcher in it.
        let reason = reason.replace("' or 'e", "' or '");
        PromqlError::not_understood(&trim::show(&calls::show(text)), &reason)
    })
}

/// What stands around an argument of an unknown call.
fn wrapper(argument: &str) -> Result<Option<&'static str>, PromqlError> {
    Ok(match parse(argument)?.value_type() {
        ValueType::Vector => None,
        ValueType::Matrix => Some(MATRIX),
        ValueType::Scalar => Some(SCALAR),
        ValueType::String => Some(STRING),
    })
}

/// Functions that keep the labels of their last argument.
const KEEPING: [&str; 12] = [
    "abs",
    "ceil",
    "floor",
    "round",
    "clamp",
    "clamp_min",
    "clamp_max",
    "sqrt",
    "ln",
    "log2",
    "log10",
    "sort",
];

fn labels(node: &parser::Expr) -> ResultLabels {
    use parser::Expr as Node;
    match node {
        Node::Paren(paren) => labels(&paren.expr),
        Node::Unary(unary) => labels(&unary.expr),
        Node::Aggregate(aggregate) => match &aggregate.modifier {
            _ if aggregate.param.is_some() => ResultLabels::Unknown,
            None => ResultLabels::Only(Vec::new()),
            Some(modifier) if modifier.is_include() => ResultLabels::Only(modifier.labels().labels.clone()),
            Some(_) => ResultLabels::Unknown,
        },
        Node::Binary(binary) => match [&binary.lhs, &binary.rhs].map(|side| side.value_type()) {
            [ValueType::Vector, ValueType::Scalar] => labels(&binary.lhs),
            [ValueType::Scalar, ValueType::Vector] => labels(&binary.rhs),
            [ValueType::Scalar, _] => ResultLabels::Only(Vec::new()),
            _ if binary.modifier.is_none() => labels(&binary.lhs),
            _ => ResultLabels::Unknown,
        },
        Node::Call(call) => {
            match (call.func.name, call.args.args.first().map(AsRef::as_ref), call.args.args.last()) {
                (_, Some(Node::Subquery(first)), _) => labels(&first.expr),
                (_, Some(first), _) if first.value_type() == ValueType::Matrix => ResultLabels::AllOfSeries,
                ("histogram_quantile", _, Some(last)) => match labels(last) {
                    ResultLabels::Only(labels) => {
                        ResultLabels::Only(labels.into_iter().filter(|label| label != "le").collect())
                    }
                    other => other,
                },
                (name, Some(first), _) if KEEPING.contains(&name) => labels(first),
                ("vector" | "scalar" | "time", ..) => ResultLabels::Only(Vec::new()),
                _ => ResultLabels::Unknown,
            }
        }
        Node::VectorSelector(_) => ResultLabels::AllOfSeries,
        Node::NumberLiteral(_) => ResultLabels::Only(Vec::new()),
        Node::StringLiteral(_) | Node::MatrixSelector(_) | Node::Subquery(_) | Node::Extension(_) => {
            ResultLabels::Unknown
        }
    }
}

/// `by ()` does not group and is not printed; `without ()` keeps each series apart.
fn without_empty_by(aggregate: &mut AggregateExpr) {
    aggregate.modifier.take_if(|modifier| modifier.is_include() && modifier.labels().is_empty());
}

/// NaN is not equal to itself, but a text with NaN is.
fn comparable_fill(binary: &mut BinaryExpr) {
    let fill = binary.modifier.as_mut().map(|modifier| &mut modifier.fill_values);
    for value in fill.into_iter().flat_map(|fill| [&mut fill.lhs, &mut fill.rhs]).flatten() {
        if value.is_nan() {
            *value = f64::MIN_POSITIVE;
        }
    }
}

/// `ignoring ()` is the default and is not printed; `on ()` matches everything.
fn without_empty_ignoring(binary: &mut BinaryExpr) {
    if let Some(modifier) = &mut binary.modifier {
        modifier.matching.take_if(|matching| !matching.is_include() && matching.labels().is_empty());
    }
    binary.modifier.take_if(|modifier| *modifier == BinModifier::default());
}

/// `{"a"}` may be printed as `a` and the other way round: both are the same matcher.
fn name_as_matcher(selector: &mut VectorSelector) {
    if let Some(name) = selector.name.take() {
        let matcher = Matcher::new("__name__", Comparison::Equal, name.into());
        selector.matchers.matchers.push(write(&matcher));
    }
}

/// Visits every vector selector, those with a range included.
fn each_selector(node: &mut parser::Expr, visit: &mut impl FnMut(&mut VectorSelector)) {
    each_mut(node, &mut |node| {
        if let parser::Expr::VectorSelector(selector)
        | parser::Expr::MatrixSelector(parser::MatrixSelector { vs: selector, .. }) = node
        {
            visit(selector);
        }
    });
}

/// Whether the matcher is known to match series without its label. What a regular expression matches is for Prometheus
/// to say.
fn matches_empty(matcher: &Matcher<'_>) -> bool {
    match matcher.operator {
        Comparison::Equal => matcher.value.is_empty(),
        Comparison::NotEqual => !matcher.value.is_empty(),
        Comparison::Regex | Comparison::NotRegex => false,
    }
}

/// What a matcher of the tree stands for.
fn read(matcher: &TreeMatcher) -> Matcher<'static> {
    let (operator, value) = standin::original(&matcher.value);
    Matcher { label: matcher.name.clone().into(), operator, value: value.to_owned().into() }
}

/// What stands for a matcher in the tree.
fn write(matcher: &Matcher<'_>) -> TreeMatcher {
    TreeMatcher::new(MatchOp::Equal, &matcher.label, &standin::stand_in(matcher.operator, &matcher.value))
}

/// Visits every node of a copy.
fn each(node: &parser::Expr, visit: &mut impl FnMut(&parser::Expr)) {
    each_mut(&mut node.clone(), &mut |node| visit(node));
}

/// Visits every node, which may be changed. The parser's own visitor skips the parameter of an aggregation, which can
/// have a selector, too: `topk(scalar(a), b)`.
fn each_mut(node: &mut parser::Expr, visit: &mut impl FnMut(&mut parser::Expr)) {
    visit(node);
    match node {
        parser::Expr::Aggregate(aggregate) => {
            aggregate.param.iter_mut().for_each(|param| each_mut(param, visit));
            each_mut(&mut aggregate.expr, visit);
        }
        parser::Expr::Unary(unary) => each_mut(&mut unary.expr, visit),
        parser::Expr::Binary(binary) => {
            each_mut(&mut binary.lhs, visit);
            each_mut(&mut binary.rhs, visit);
        }
        parser::Expr::Paren(paren) => each_mut(&mut paren.expr, visit),
        parser::Expr::Subquery(subquery) => each_mut(&mut subquery.expr, visit),
        parser::Expr::Call(call) => call.args.args.iter_mut().for_each(|argument| each_mut(argument, visit)),
        // The parser makes no extension nodes.
        parser::Expr::Extension(_)
        | parser::Expr::NumberLiteral(_)
        | parser::Expr::StringLiteral(_)
        | parser::Expr::VectorSelector(_)
        | parser::Expr::MatrixSelector(_) => {}
    }
}

#[cfg(test)]
mod tests;
