//! The paths that need no authorization.

/// An invalid entry of `--authorization-always-allow-paths`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} must begin with / and may contain * only at its end")]
pub struct InvalidPath(String);

/// Paths that need no authorization: exact ones, and prefixes with a trailing `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OpenPaths(Vec<String>);

impl OpenPaths {
    /// Parses the entries of the flag; empty entries are ignored.
    pub(super) fn parse<T: AsRef<str>>(entries: impl IntoIterator<Item = T>) -> Result<Self, InvalidPath> {
        let mut paths = Vec::new();
        for entry in entries {
            let path = entry.as_ref().trim();
            if path.is_empty() {
                continue;
            }
            if !path.starts_with('/') || path.strip_suffix('*').unwrap_or(path).contains('*') {
                return Err(InvalidPath(path.to_owned()));
            }
            paths.push(path.to_owned());
        }
        Ok(Self(paths))
    }

    /// Whether this path needs no authorization.
    pub(super) fn contains(&self, path: &str) -> bool {
        self.0.iter().any(|open| match open.strip_suffix('*') {
            Some(prefix) => path.starts_with(prefix),
            None => path == open,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_is_open_but_not_what_is_below_it() {
        let open = OpenPaths::parse(["/healthz", "/readyz", "/livez"]).unwrap();
        assert!(open.contains("/readyz"));
        assert!(!open.contains("/readyz/ping"));
        assert!(!open.contains("/readyz/"));
        assert!(!open.contains("/metrics"));
    }

    #[test]
    fn a_star_at_the_end_opens_everything_below() {
        let open = OpenPaths::parse(["/healthz/*", " /version", ""]).unwrap();
        assert!(open.contains("/healthz/ping"));
        assert!(open.contains("/version"));
        assert!(!open.contains("/healthz"));
        assert!(!open.contains("/versions"));
        assert!(!open.contains("/"));
    }

    #[test]
    fn a_star_elsewhere_is_refused() {
        assert_eq!(OpenPaths::parse(["/a*/b"]), Err(InvalidPath("/a*/b".to_owned())));
        assert!(OpenPaths::parse(["/a**"]).is_err());
    }

    #[test]
    fn a_path_without_a_leading_slash_is_refused() {
        assert_eq!(OpenPaths::parse(["healthz"]), Err(InvalidPath("healthz".to_owned())));
    }
}
