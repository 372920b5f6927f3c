//! What came of a check, for the exit code.

/// What came of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is wrong.
    Passed,
    /// The configuration is invalid.
    Invalid,
    /// The configuration is valid, but what it needs does not work.
    Failed,
    /// The cluster is not reached.
    Unreachable,
}
