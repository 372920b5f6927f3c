//! What is wrong with an adapter rule, and with a request for one.

use super::regex::RegexError;
use super::template::TemplateError;

/// Why a rule is not valid. Positions inside of the errors are byte offsets into the value of the key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdapterError {
    /// A filter without an expression.
    #[error("a filter needs a regular expression: is or isNot")]
    EmptyFilter,
    /// A filter with two expressions.
    #[error("a filter takes is or isNot, not both; write two filters")]
    DoubleFilter,
    /// A regular expression that Go would not take.
    #[error("{error}")]
    Regex {
        /// Whose value it is.
        key: &'static str,
        /// What is wrong with it.
        error: RegexError,
    },
    /// Several groups, and no name that says which.
    #[error("matches has {groups} groups; set as, which says how they make the name")]
    NoName {
        /// How many.
        groups: usize,
    },
    /// The template of labels.
    #[error("{0}")]
    LabelTemplate(TemplateError),
    /// A template of labels that makes no regular expression.
    #[error("the template matches no label: {0}; it is part of a regular expression")]
    LabelRegex(RegexError),
    /// A template of labels without the resource.
    #[error("the template must include <<.Resource>>")]
    NoResource,
}

impl AdapterError {
    /// Where in the value it is, as a byte offset, if that is known.
    pub fn position(&self) -> Option<usize> {
        match self {
            Self::Regex { error, .. } => Some(error.position),
            Self::LabelTemplate(error) => Some(error.position),
            _ => None,
        }
    }
}

/// Why a request cannot be made a query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// `>` and `<`, which Prometheus has no matcher for.
    #[error(
        "the selector compares {key:?} with '>' or '<', which Prometheus does not support for labels; use =, !=, in or \
         notin"
    )]
    Comparison {
        /// The selector's key.
        key: String,
    },
    /// No label means this resource.
    #[error(
        "the rule has no label for {resource}; add one to resources.overrides, or set resources.template"
    )]
    NoLabel {
        /// The resource.
        resource: String,
    },
    /// The template of the label or of the query cannot be rendered.
    #[error("the template cannot be rendered: {0}")]
    Template(#[from] TemplateError),
    /// The template of the query renders nothing.
    #[error("the query is empty; set metricsQuery, or check its conditions")]
    Empty,
    /// The query would be too long.
    #[error("the query for this request would be longer than {limit} bytes; ask for fewer objects")]
    TooLong {
        /// The limit.
        limit: usize,
    },
}
