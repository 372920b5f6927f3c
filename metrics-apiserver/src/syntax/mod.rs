//! Syntax shared by flags, the configuration file and requests: Go durations and booleans, base URLs, header names.

mod base_url;
mod duration;

pub use base_url::{BaseUrl, ParseUrlError};
pub use duration::{ParseDurationError, format_duration, parse_duration};

/// Parses a boolean as Go's `strconv.ParseBool` does.
pub fn parse_bool(text: &str) -> Result<bool, &'static str> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("must be true or false"),
    }
}

/// Whether a text is a header name: a token as RFC 9110 defines it.
pub fn is_header_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c))
}
