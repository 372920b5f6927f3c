//! PromQL as a syntax tree. The only file that names promql-parser.

use promql_parser::label::{MatchOp, Matcher as TreeMatcher};
use promql_parser::parser::token::{T_EQL, T_EQL_REGEX, T_NEQ, T_NEQ_REGEX, TokenId};
use promql_parser::parser::value::ValueType;
use promql_parser::parser::{self, AggregateExpr, BinModifier, BinaryExpr, VectorSelector};
use promql_parser::util::unquote_string;

use super::error::PromqlError;
use super::limits;
use super::outline::{Outline, ResultLabels};
use super::standin;
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
        Self::parse_printed(&limits::check(text)?)
    }

    /// Parses what was printed from a query that passed the check of [`Self::parse`], and so is not deeper.
    pub(in crate::rules) fn parse_printed(text: &str) -> Result<Self, PromqlError> {
        let parsed = parser::parse(&standin::hide(text, unquote_string));
        let mut query = parsed.map_err(|reason| PromqlError::not_understood(text, &reason))?;
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

    /// The query with every matcher passed through `change` and `added` put into every vector selector. The matchers
    /// that the rule's author wrote stay: another matcher can only narrow a selector.
    pub(in crate::rules) fn with(
        &self,
        added: &[Matcher<'static>],
        change: impl Fn(Matcher<'static>) -> Matcher<'static>,
    ) -> Result<Self, PromqlError> {
        let mut query = self.0.clone();
        let mut outcome = Ok(());
        each_selector(&mut query, &mut |selector| {
            let matchers = &mut selector.matchers.matchers;
            let kept = matchers.iter().map(read).map(&change);
            match kept.chain(added.iter().cloned()).map(|matcher| write(&matcher)).collect() {
                Ok(changed) => *matchers = changed,
                Err(error) => outcome = Err(error),
            }
        });
        outcome.map(|()| Self(query))
    }

    /// The query as text, which may not mean the same.
    pub(in crate::rules) fn unchecked(&self) -> String {
        standin::show(&self.0.to_string())
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
                parser::Expr::Binary(binary) => without_empty_ignoring(binary),
                _ => {}
            });
            query
        };
        normal(self) == normal(other)
    }
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
        selector.matchers.matchers.push(TreeMatcher::new(MatchOp::Equal, "__name__", &name));
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

fn read(matcher: &TreeMatcher) -> Matcher<'static> {
    let (operator, value) = match matcher.op {
        MatchOp::Equal => (Comparison::Equal, matcher.value.clone()),
        MatchOp::NotEqual => (Comparison::NotEqual, matcher.value.clone()),
        MatchOp::Re(_) => (Comparison::Regex, standin::original(&matcher.value)),
        MatchOp::NotRe(_) => (Comparison::NotRegex, standin::original(&matcher.value)),
    };
    Matcher { label: matcher.name.clone().into(), operator, value: value.into() }
}

fn write(matcher: &Matcher<'_>) -> Result<TreeMatcher, PromqlError> {
    let (token, value): (TokenId, String) = match matcher.operator {
        Comparison::Equal => (T_EQL, matcher.value.to_string()),
        Comparison::NotEqual => (T_NEQ, matcher.value.to_string()),
        Comparison::Regex => (T_EQL_REGEX, standin::stand_in(&matcher.value, false)),
        Comparison::NotRegex => (T_NEQ_REGEX, standin::stand_in(&matcher.value, true)),
    };
    TreeMatcher::new_matcher(token, matcher.label.to_string(), value).map_err(PromqlError::somewhere)
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
