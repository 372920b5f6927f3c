//! Syntax shared by flags, the configuration file and requests: Go durations, base URLs and header names.

mod base_url;
mod duration;

pub use base_url::{BaseUrl, ParseUrlError};
pub use duration::{ParseDurationError, format_duration, parse_duration};

/// Whether a text is a header name: a token as RFC 9110 defines it.
pub fn is_header_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c))
}
