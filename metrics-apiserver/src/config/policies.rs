//! What a rule does when Prometheus has no usable number.

use std::str::FromStr;

use super::file::Value;
use super::problem::Problem;
use super::section::{Field, Section};
use crate::metric::Quantity;
use crate::rules::{Combine, Fallback, Policies};

/// Checks the policies of one rule.
pub(super) fn policies(section: &Section<'_>, problems: &mut Vec<Problem>) -> Policies {
    let allow_negative =
        section.get("allowNegative").and_then(|field| field.boolean(problems)).unwrap_or_default();
    let mut fallback = |key| {
        section.get(key).and_then(|field| fallback(&field, allow_negative, problems)).unwrap_or_default()
    };
    let (on_no_data, on_nan, on_infinite, on_failure) =
        (fallback("onNoData"), fallback("onNaN"), fallback("onInfinite"), fallback("onFailure"));
    let result = section.get("result").and_then(|field| combine(&field, problems)).unwrap_or_default();
    Policies { result, on_no_data, on_nan, on_infinite, on_failure, allow_negative }
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
        Value::Map(entries) => {
            if let Some(hold) = entries.iter().find(|entry| entry.key == "hold") {
                let problem = Problem::new(field.path.clone(), hold.place, "`hold` is not supported yet");
                problems
                    .push(problem.help("write `error`, with which the HPA keeps its size, or `{value: …}`"));
                return None;
            }
            let section = Section::open(field, &["value"], problems)?;
            let field = section.required("value", problems)?;
            let value = quantity(&field, problems)?;
            if value < Quantity::default() && !allow_negative {
                let problem = field.problem("a negative value needs `allowNegative: true`");
                problems.push(
                    problem.help("the HPA takes a negative average for infinity and scales to its maximum"),
                );
                return None;
            }
            Some(Fallback::Value(value))
        }
        _ => {
            problems.push(field.problem("expected `error` or a value").help("write `error` or `{value: 0}`"));
            None
        }
    }
}

fn quantity(field: &Field<'_>, problems: &mut Vec<Problem>) -> Option<Quantity> {
    let number;
    let text = match &field.node.value {
        // Rust prints a float exactly and without an exponent.
        Value::Number(value) => {
            number = value.to_string();
            number.as_str()
        }
        Value::Text(text) => text,
        _ => {
            problems.push(field.problem("expected a number or a quantity such as 1500m"));
            return None;
        }
    };
    let value = Quantity::from_str(text);
    value.map_err(|error| problems.push(field.problem(error.to_string()))).ok()
}
