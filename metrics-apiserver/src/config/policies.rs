//! The check of policies: what a rule answers when Prometheus returns no usable number.

use std::str::FromStr;
use std::time::Duration;

use super::keys::{FALLBACK_KEYS, Key, THEN_KEYS};
use super::problem::Problem;
use super::section::{Field, Section};
use super::yaml::{Number, Value};
use crate::metric::Quantity;
use crate::rules::{Combine, Fallback, Partial, Policies, Situation};

/// An HPA reads every 15 s by default, and at most once per second.
const HOLD_MIN: Duration = Duration::from_secs(1);
/// The limit of `maxAge` as well: a reading older than an hour says nothing about what to scale now.
const HOLD_MAX: Duration = Duration::from_secs(3600);

/// 2^53: above it not every whole number is a float.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// Checks the policies of one rule; those that it omits are `defaults`.
pub(super) fn policies(section: &Section<'_>, defaults: Policies, problems: &mut Vec<Problem>) -> Policies {
    let allow_negative = section.get("allowNegative").and_then(|field| field.boolean(problems));
    let allow_negative = allow_negative.unwrap_or(defaults.allow_negative);
    let fallbacks = Situation::ALL.map(|situation| {
        let field = section.get(situation.key());
        let fallback = field.and_then(|field| fallback(&field, allow_negative, problems));
        fallback.unwrap_or_else(|| defaults.on(situation))
    });
    let result = section.get("result").and_then(|field| combine(&field, problems));
    let on_partial = section.get("onPartial").and_then(|field| partial(&field, problems));
    let (result, on_partial) = (result.unwrap_or(defaults.result), on_partial.unwrap_or(defaults.on_partial));
    Policies { result, fallbacks, on_partial, allow_negative }
}

fn partial(field: &Field<'_>, problems: &mut Vec<Problem>) -> Option<Partial> {
    field.parsed(problems, |text| match text {
        "error" => Ok(Partial::Error),
        "accept" => Ok(Partial::Accept),
        _ => Err("expected error or accept"),
    })
}

fn combine(field: &Field<'_>, problems: &mut Vec<Problem>) -> Option<Combine> {
    field.parsed(problems, |text| match text {
        "single" => Ok(Combine::Single),
        "items" => Ok(Combine::Items),
        "sum" => Ok(Combine::Sum),
        "avg" => Ok(Combine::Avg),
        "min" => Ok(Combine::Min),
        "max" => Ok(Combine::Max),
        _ => Err("expected single, items, sum, avg, min or max"),
    })
}

fn fallback(field: &Field<'_>, allow_negative: bool, problems: &mut Vec<Problem>) -> Option<Fallback> {
    match &field.node.value {
        Value::Text(text) if text == "error" => Some(Fallback::Error),
        Value::Map(_) => {
            let section = open(field, FALLBACK_KEYS, problems)?;
            match (section.get("value"), section.get("hold"), section.get("then")) {
                (None, Some(hold), then) => held(&hold, then.as_ref(), allow_negative, problems),
                (Some(value), Some(_), _) => {
                    let problem = value.problem("`value` and `hold` are mutually exclusive");
                    problems
                        .push(problem.help("use `{hold: 5m, then: {value: 0}}` for a value after the hold"));
                    None
                }
                (_, None, Some(then)) => {
                    problems
                        .push(then.problem("`then` needs `hold`").help("use `{hold: 5m, then: {value: 0}}`"));
                    None
                }
                (_, None, None) => value(&section, allow_negative, problems).map(Fallback::Value),
            }
        }
        _ => {
            problems.push(
                field
                    .problem("expected `error`, a value or a hold")
                    .help("use `error`, `{value: 0}` or `{hold: 5m}`"),
            );
            None
        }
    }
}

/// Opens a mapping if all its keys are known: a mistyped `value` is not reported as missing as well.
fn open<'a>(field: &Field<'a>, known: &[Key], problems: &mut Vec<Problem>) -> Option<Section<'a>> {
    let before = problems.len();
    Section::open(field, known, problems).filter(|_| problems.len() == before)
}

/// `hold`, and `then`, which is a fallback without a hold.
fn held(
    hold: &Field<'_>,
    then: Option<&Field<'_>>,
    allow_negative: bool,
    problems: &mut Vec<Problem>,
) -> Option<Fallback> {
    let longest = hold.duration(problems).filter(|longest| {
        let fits = (HOLD_MIN..=HOLD_MAX).contains(longest);
        if !fits {
            problems.push(hold.problem("`hold` must be from 1s to 1h"));
        }
        fits
    });
    let then = match then.map(|then| (then, &then.node.value)) {
        None => Some(None),
        Some((_, Value::Text(text))) if text == "error" => Some(None),
        Some((then, Value::Map(_))) => open(then, THEN_KEYS, problems)
            .and_then(|section| value(&section, allow_negative, problems))
            .map(Some),
        Some((then, _)) => {
            problems.push(
                then.problem("expected `error` or a value").help("use `then: error` or `then: {value: 0}`"),
            );
            None
        }
    };
    Some(Fallback::Hold { longest: longest?, then: then? })
}

fn value(section: &Section<'_>, allow_negative: bool, problems: &mut Vec<Problem>) -> Option<Quantity> {
    let field = section.required("value", problems)?;
    let value = quantity(&field, problems)?;
    if value.is_negative() && !allow_negative {
        let problem = field.problem("a negative value needs `allowNegative: true`");
        problems.push(problem.help("an HPA may treat a negative value as infinite and scale to its maximum"));
        return None;
    }
    Some(value)
}

fn quantity(field: &Field<'_>, problems: &mut Vec<Problem>) -> Option<Quantity> {
    let value = match &field.node.value {
        Value::Number(Number::Whole(value)) => Quantity::from_str(&value.to_string()),
        // The shortest text for this float; the exponent keeps it within the length of a quantity.
        Value::Number(Number::Float(value)) => Quantity::from_str(&format!("{value:e}")),
        Value::Text(text) => Quantity::from_str(text),
        _ => {
            problems.push(field.problem("expected a number or a quantity such as 1500m"));
            return None;
        }
    };
    let value = value.map_err(|error| problems.push(field.problem(error.to_string()))).ok()?;
    if matches!(field.node.value, Value::Number(Number::Float(float)) if is_rounded(float)) {
        let problem = field.problem("the number has more digits than a floating-point number keeps");
        problems.push(problem.help("write it without a decimal point or exponent, or put it in quotes"));
        return None;
    }
    Some(value)
}

/// Whether the float may differ from the whole number that was written: it is above 2^53, and has more digits than a
/// float keeps.
fn is_rounded(float: f64) -> bool {
    let text = format!("{float:e}");
    let digits = text.split('e').next().unwrap_or_default().chars().filter(char::is_ascii_digit).count();
    float.abs() >= WHOLE_MAX && digits > f64::DIGITS as usize
}
