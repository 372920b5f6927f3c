//! The paths that everybody may read, without asking.

/// An entry of `--authorization-always-allow-paths` that is no path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the path {0:?} has a * before its end, only a * at the end is understood")]
pub struct InvalidPath(String);

/// Paths that are open to everybody: exact ones, and prefixes (written with a `*` at the end).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenPaths {
    exact: Vec<String>,
    prefixes: Vec<String>,
}

impl OpenPaths {
    /// Reads the flag's entries. A leading slash may be left out; empty entries mean nothing.
    pub fn parse<T: AsRef<str>>(entries: impl IntoIterator<Item = T>) -> Result<Self, InvalidPath> {
        let mut paths = Self { exact: Vec::new(), prefixes: Vec::new() };
        for entry in entries {
            let path = entry.as_ref().trim();
            if !path.is_empty() {
                paths.add(path)?;
            }
        }
        Ok(paths)
    }

    fn add(&mut self, path: &str) -> Result<(), InvalidPath> {
        let rooted = format!("/{}", path.trim_start_matches('/'));
        let prefix = rooted.strip_suffix('*');
        if prefix.unwrap_or(&rooted).contains('*') {
            return Err(InvalidPath(path.to_owned()));
        }
        match prefix {
            Some(prefix) => self.prefixes.push(prefix.to_owned()),
            None => self.exact.push(rooted),
        }
        Ok(())
    }

    /// Whether everybody may read this path.
    pub(super) fn contains(&self, path: &str) -> bool {
        self.exact.iter().any(|open| open == path)
            || self.prefixes.iter().any(|prefix| path.starts_with(prefix.as_str()))
    }
}

impl Default for OpenPaths {
    /// The probes: `/healthz`, `/readyz` and `/livez`, without what is below them.
    fn default() -> Self {
        let probes = ["/healthz", "/readyz", "/livez"];
        Self { exact: probes.map(str::to_owned).into(), prefixes: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_is_open_but_not_what_is_below_it() {
        let open = OpenPaths::default();
        assert!(open.contains("/readyz"));
        assert!(!open.contains("/readyz/ping"));
        assert!(!open.contains("/readyz/"));
        assert!(!open.contains("/metrics"));
    }

    #[test]
    fn a_star_at_the_end_opens_everything_below() {
        let open = OpenPaths::parse(["healthz/*", "/version", ""]).unwrap();
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
}
