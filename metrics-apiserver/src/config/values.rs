//! The check of a backend's `headers` and `queryParameters`.

use std::collections::HashMap;

use super::problem::Problem;
use super::section::{Field, Section};
use super::yaml::Value;
use crate::backend::NamespacedText;
use crate::syntax::is_header_name;

/// More headers than any proxy in front of Prometheus needs.
const MAX_HEADERS: usize = 32;

/// Values of all parameters: far more than any server knows.
const MAX_PARAMETERS: usize = 32;

/// Long enough for a selector; all of them are in each URL.
const MAX_PARAMETER_BYTES: usize = 512;

/// Set by the HTTP client or by another key.
pub const RESERVED_HEADERS: [&str; 16] = [
    "host",
    "content-length",
    "content-type",
    "content-encoding",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "proxy-authorization",
    "trailer",
    "expect",
    "traceparent",
    "tracestate",
    "accept",
    "accept-encoding",
    "te",
    "upgrade",
];

/// Parameters that belong to a query or a list of series, and why they cannot be configured.
const RESERVED_PARAMETERS: [(&str, &str); 6] = [
    ("query", "the server sends the query of each metric"),
    ("time", "queries are evaluated at the current time"),
    ("timeout", "the server sends what is left of the backend's `timeout`"),
    ("match[]", "the server sends the `seriesQuery` of each rule"),
    ("start", "the server sends when a list of series begins"),
    ("end", "a list of series ends at the current time"),
];

/// Checks `headers`.
pub(super) fn headers(field: &Field<'_>, problems: &mut Vec<Problem>) -> Vec<(String, NamespacedText)> {
    let Some(section) = Section::open_free(field, problems) else { return Vec::new() };
    report_same_headers(&section, problems);
    let headers: Vec<_> =
        section.fields().filter_map(|(name, field)| header(name, &field, problems)).collect();
    if headers.len() > MAX_HEADERS {
        problems.push(field.problem(format!("more than {MAX_HEADERS} headers")));
    }
    headers
}

/// Reports names that differ only in case: both headers would be sent.
fn report_same_headers(section: &Section<'_>, problems: &mut Vec<Problem>) {
    let mut seen = HashMap::new();
    for (written, field) in section.fields() {
        let name = written.to_ascii_lowercase();
        let message = format!("duplicate header `{name}`: header names are case-insensitive");
        let (first, place) = *seen.entry(name).or_insert((written, field.key_place));
        // An identical key is reported as any duplicate key is.
        if first != written {
            let problem = field.key_problem(message).related(place, "first given here");
            problems.push(problem.help("keep one of them"));
        }
    }
}

fn header(name: &str, field: &Field<'_>, problems: &mut Vec<Problem>) -> Option<(String, NamespacedText)> {
    let value = field.text(problems)?;
    let name = name.to_ascii_lowercase();
    problems.push(if !is_header_name(&name) {
        field.key_problem("not a valid header name")
    } else if name == "authorization" {
        let problem = field.key_problem("credentials are read from files only");
        problem.help("use `bearerTokenFile` or `basicAuth`")
    } else if RESERVED_HEADERS.contains(&name.as_str()) {
        field.key_problem(format!("header `{name}` is reserved: the server sets it")).help("remove it")
    } else if !value.chars().all(|c| c == ' ' || c.is_ascii_graphic()) || value.trim() != value {
        field.problem("a header value must be visible ASCII without surrounding spaces")
    } else {
        return Some((name, field.parsed(problems, NamespacedText::parse)?));
    });
    None
}

/// Checks `queryParameters`: each name with a value or a list of values. `source` is the text of the file.
pub(super) fn parameters<'a>(
    field: &Field<'a>,
    source: &'a str,
    problems: &mut Vec<Problem>,
) -> Vec<(String, NamespacedText)> {
    let Some(section) = Section::open_free(field, problems) else { return Vec::new() };
    let mut parameters = Vec::new();
    for (name, value) in section.fields() {
        if let Some(problem) = wrong_name(name, &value) {
            problems.push(problem);
            continue;
        }
        let values = match value.node.value {
            Value::List(_) => value.items(problems).unwrap_or_default(),
            _ => vec![value],
        };
        for value in values {
            parameters.extend(parameter(&value, source, problems).map(|text| (name.to_owned(), text)));
        }
    }
    if parameters.len() > MAX_PARAMETERS {
        problems.push(field.problem(format!("more than {MAX_PARAMETERS} values")));
    }
    parameters
}

fn wrong_name(name: &str, field: &Field<'_>) -> Option<Problem> {
    if let Some((_, why)) = RESERVED_PARAMETERS.iter().find(|(reserved, _)| *reserved == name) {
        return Some(field.key_problem(format!("parameter `{name}` is reserved: {why}")).help("remove it"));
    }
    let ok = (1..=MAX_PARAMETER_BYTES).contains(&name.len()) && name.chars().all(|c| c.is_ascii_graphic());
    (!ok).then(|| field.key_problem("the name of a parameter must be visible ASCII without spaces"))
}

fn parameter<'a>(field: &Field<'a>, source: &'a str, problems: &mut Vec<Problem>) -> Option<NamespacedText> {
    let text = field.scalar(source, problems)?;
    if text.len() > MAX_PARAMETER_BYTES || text.contains(char::is_control) {
        let what = "the value of a parameter must have no control characters";
        problems.push(field.problem(format!("{what} and at most {MAX_PARAMETER_BYTES} bytes")));
        return None;
    }
    NamespacedText::parse(&text).map_err(|error| problems.push(field.problem(error.to_string()))).ok()
}
