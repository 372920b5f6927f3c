//! An error with everything behind it, on one line: how every room writes errors to the log.

use std::error::Error;
use std::fmt;

/// Displays an error and its sources, joined by colons.
pub(crate) fn causes<'a>(error: &'a (dyn Error + 'a)) -> impl fmt::Display + 'a {
    Causes(error)
}

struct Causes<'a>(&'a (dyn Error + 'a));

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Link(&'static str, #[source] Option<Box<Self>>);

    #[test]
    fn an_error_is_displayed_with_its_sources() {
        let chain = Link("outer", Some(Box::new(Link("middle", Some(Box::new(Link("inner", None)))))));
        assert_eq!(causes(&chain).to_string(), "outer: middle: inner");
        assert_eq!(causes(&Link("alone", None)).to_string(), "alone");
    }
}
