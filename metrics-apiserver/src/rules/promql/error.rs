//! What is wrong with a rule's query.

use std::borrow::Cow;

use super::dialect::advice;

const TEMPLATE: &str = "write the query as for Prometheus, without `<<…>>`: the server adds namespace and selector to \
                        every series selector (docs/configuration.md, \"From prometheus-adapter\")";
const NOT_UNDERSTOOD: &str = "paste the query into Prometheus to find a mistake in it; docs/configuration.md, \"The \
                              query\", lists syntax that Prometheus accepts and this server does not";

/// Why the server cannot serve a query: it is not valid, or namespace and selector cannot be added to it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PromqlError {
    /// What is wrong, and what to do.
    pub message: String,
    /// Where, as a byte offset into the query, if that is known.
    pub position: Option<usize>,
    /// What to do, if the message does not say it.
    pub help: Option<Cow<'static, str>>,
}

impl PromqlError {
    pub(super) fn at(position: usize, message: String) -> Self {
        Self { message, position: Some(position), help: None }
    }

    pub(super) fn somewhere(message: impl Into<String>) -> Self {
        Self { message: message.into(), position: None, help: None }
    }

    /// The parser refuses the query. It knows less than Prometheus does, and does not say where it stopped.
    pub(super) fn not_understood(text: &str, reason: &str) -> Self {
        // PromQL never has `<<`, and the templates of prometheus-adapter have it around their fields.
        let help = match advice(text, reason) {
            _ if text.contains("<<") => TEMPLATE.into(),
            Some(advice) => advice,
            None => NOT_UNDERSTOOD.into(),
        };
        let message = format!("not understood by the server's PromQL parser: {reason}");
        Self { help: Some(help), ..Self::somewhere(message) }
    }
}
