//! The language of prometheus-adapter's rules: which series they take, which resources those describe, and the queries
//! for them, rendered byte for byte as prometheus-adapter renders them.

mod core;
mod error;
mod matchers;
mod naming;
mod quote;
mod regex;
mod resources;
mod rule;
mod strings;
mod template;
mod usage;

pub use self::regex::{GoRegex, RegexError};
pub use error::{AdapterError, QueryError};
pub use naming::{Naming, SeriesFilter};
pub use quote::quoted;
pub use resources::{Meaning, Override, ResourceLabels};
pub use rule::{AdapterRule, Objects};
pub use template::{Fields, LabelFields, QueryFields, Template, TemplateError};
pub use usage::{PodLabels, ResourceRule, ResourceRules};
