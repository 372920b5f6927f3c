//! An error with its sources on one line, for the log.

use std::error::Error;
use std::fmt;

/// Displays an error and its sources, joined by colons. Some errors display their source themselves; it is not
/// repeated.
pub(crate) fn causes<'a>(error: &'a (dyn Error + 'a)) -> impl fmt::Display + 'a {
    Causes(error)
}

struct Causes<'a>(&'a (dyn Error + 'a));

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = self.0.to_string();
        f.write_str(&last)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            let text = error.to_string();
            if !last.ends_with(&text) {
                write!(f, ": {text}")?;
            }
            (last, source) = (text, error.source());
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
        let repeated =
            Link("outer: middle", Some(Box::new(Link("middle", Some(Box::new(Link("inner", None)))))));
        assert_eq!(causes(&repeated).to_string(), "outer: middle: inner");
    }
}
