//! One request → values: catalog, rule, memory, policies.
//!
//! Adds no facts of its own: the catalog knows the rule, the rule the question and the policies, memory the reading.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::catalog::ServedCatalog;
use crate::memory::{Memory, ReadError};
use crate::metric::{Labels, MetricName, Namespace, Selector, Value};
use crate::rules::{Fallback, QuestionError, Rule, ValueError};

/// What one request gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The metric's name as the operator wrote it.
    pub metric: MetricName,
    /// One or more.
    pub values: Vec<Value>,
}

/// Why a request gets no values.
///
/// The message is what the client may know, its cause included: the HPA shows it to whoever looks for the reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// No rule serves this name: the client's mistake, or the operator's.
    #[error(
        "no rule serves the metric `{metric}`; check the name, or add a rule to the server's configuration"
    )]
    Unknown {
        /// The name as the client wrote it.
        metric: MetricName,
    },
    /// The client's selector asks for what the rule does not allow.
    #[error("metric `{metric}`: {source}")]
    Question {
        /// The metric.
        metric: MetricName,
        /// What is not allowed.
        source: QuestionError,
    },
    /// No reading in time.
    #[error("metric `{metric}`: {source}; the server's log says more")]
    Read {
        /// The metric.
        metric: MetricName,
        /// What went wrong.
        source: ReadError,
    },
    /// What Prometheus says is no value by the rule's policies.
    #[error("metric `{metric}`: {source}")]
    Value {
        /// The metric.
        metric: MetricName,
        /// Why not, and what the operator can do.
        source: ValueError,
    },
}

/// Answers requests from the catalog of the moment.
pub struct Answers {
    catalog: Arc<ServedCatalog>,
    memory: Arc<Memory>,
}

impl Answers {
    /// Answers from this catalog and this memory.
    pub fn new(catalog: Arc<ServedCatalog>, memory: Arc<Memory>) -> Self {
        Self { catalog, memory }
    }

    /// The values of an external metric in one namespace, by `deadline`.
    pub async fn external(
        &self,
        namespace: &Namespace,
        metric: &MetricName,
        selector: &Selector,
        deadline: Instant,
    ) -> Result<Answer, AnswerError> {
        let rule = self.catalog.current().rule(metric).map(Arc::clone);
        let rule = rule.ok_or_else(|| AnswerError::Unknown { metric: metric.clone() })?;
        let metric = || rule.name.clone();
        let question = rule
            .question(namespace, selector)
            .map_err(|source| AnswerError::Question { metric: metric(), source })?;
        let values = match self.memory.reading(&question, rule.max_age, deadline).await {
            Ok(reading) => rule
                .policies
                .values(&reading.samples, Timestamp::now())
                .map_err(|source| AnswerError::Value { metric: metric(), source })?,
            Err(source) => vec![in_place_of(&rule, source)?],
        };
        Ok(Answer { metric: metric(), values })
    }
}

/// What the rule's `onFailure` has in place of a reading.
fn in_place_of(rule: &Rule, error: ReadError) -> Result<Value, AnswerError> {
    match rule.policies.on_failure {
        Fallback::Error => Err(AnswerError::Read { metric: rule.name.clone(), source: error }),
        Fallback::Value(quantity) => {
            tracing::info!(metric.name = rule.name.as_str(), %quantity, %error, "onFailure value served");
            Ok(Value { quantity, labels: Labels::new(), timestamp: Timestamp::now() })
        }
    }
}

#[cfg(test)]
mod tests;
