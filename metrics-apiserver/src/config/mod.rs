//! The configuration file: check, link, serve.
//!
//! [`check`] is pure: from the text to a configuration without mistakes, or to every problem with its line, its column
//! and advice. [`link`] does what needs the world outside: it opens the files that the configuration names. What it
//! returns can be served as a whole. The start, the reload and the `check` command all go this way.

mod adapter;
mod backend;
mod check;
mod common;
mod default_backend;
mod keys;
mod link;
mod locate;
mod policies;
mod problem;
mod rules;
mod section;
mod source;
mod values;
mod yaml;

#[cfg(test)]
mod tests;

pub use adapter::AdapterRules;
pub use check::{Checked, Config, Groups, check, check_with};
pub use default_backend::DefaultBackend;
pub use keys::{
    ADAPTER_RULE_KEYS, BACKEND_KEYS, Key, NAME_KEYS, OVERRIDE_KEYS, RESOURCE_RULES_KEYS, RESOURCES_KEYS,
    ROOT_KEYS, RULE_KEYS, SERIES_FILTER_KEYS, USAGE_KEYS,
};
pub use link::{link, load, read, read_once};
pub use problem::{Place, Problem, Problems};
pub use source::{Fingerprint, Source};
pub use values::RESERVED_HEADERS;
