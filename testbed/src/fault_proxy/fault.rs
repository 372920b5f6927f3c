//! What can be done to an answer: pure.

use super::message::Answer;
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::time::Duration;

/// What happens to a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It passes.
    None,
    /// HTTP 500, with an answer that is not Prometheus'.
    InternalError,
    /// The real answer without its series.
    Empty,
    /// The real answer with this in place of every value, such as `NaN`.
    Value(&'static str),
    /// The real answer with each series twice, told apart by a label.
    TwoSeries,
    /// HTTP 200 and a body that is complete to HTTP, but only half of the JSON.
    CutOff,
    /// The connection ends half way through the body.
    BrokenOff,
    /// HTTP 200 with something that is no JSON.
    Garbage,
    /// HTTP 200 with `status: error`.
    ErrorStatus,
    /// The real answer, so much later.
    Slow(Duration),
    /// The real answer with half of every value and the warning with which Thanos says that a part is missing.
    Partial,
    /// Nothing, ever.
    Silence,
}

/// As Thanos words it.
const WARNING: &str = "No StoreAPIs matched for this query: receive series from a store: connection refused";

impl Fault {
    /// The answer that is sent in place of the real one. An answer that is no success stays as it is.
    pub(super) fn spoil(self, mut answer: Answer) -> Result<Answer> {
        if answer.status != 200 {
            return Ok(answer);
        }
        match self {
            Self::None | Self::Slow(_) | Self::Silence | Self::BrokenOff => {}
            Self::InternalError => answer = Answer::new(500, "text/plain", "upstream failed\n"),
            Self::Garbage => answer = Answer::new(200, "text/html", "<html>please log in</html>\n"),
            Self::ErrorStatus => {
                let error = "query processing would load too many samples";
                let body = json!({"status": "error", "errorType": "execution", "error": error});
                answer = Answer::new(200, "application/json", &body.to_string());
            }
            Self::CutOff => answer.body.truncate(answer.body.len() / 2),
            Self::Empty => change(&mut answer, Vec::clear)?,
            Self::Value(text) => {
                change(&mut answer, |series| each_value(series, |value| *value = text.into()))?;
            }
            Self::TwoSeries => change(&mut answer, double)?,
            Self::Partial => {
                change(&mut answer, |series| each_value(series, halve))?;
                let mut body: Value = serde_json::from_slice(&answer.body)?;
                body["warnings"] = json!([WARNING]);
                answer.body = serde_json::to_vec(&body)?;
            }
        }
        Ok(answer)
    }
}

fn change(answer: &mut Answer, change: impl FnOnce(&mut Vec<Value>)) -> Result<()> {
    let mut body: Value = serde_json::from_slice(&answer.body).context("reading the real answer")?;
    let series = body.pointer_mut("/data/result").and_then(Value::as_array_mut);
    change(series.context("the real answer is no vector")?);
    answer.body = serde_json::to_vec(&body)?;
    Ok(())
}

fn each_value(series: &mut [Value], change: impl Fn(&mut Value)) {
    series.iter_mut().filter_map(|one| one.pointer_mut("/value/1")).for_each(change);
}

fn halve(value: &mut Value) {
    if let Some(number) = value.as_str().and_then(|text| text.parse::<f64>().ok()) {
        *value = (number / 2.0).to_string().into();
    }
}

fn double(series: &mut Vec<Value>) {
    let mut twins = series.clone();
    for (name, half) in [("a", &mut *series), ("b", &mut twins)] {
        for one in half {
            one["metric"]["replica"] = name.into();
        }
    }
    series.append(&mut twins);
}
