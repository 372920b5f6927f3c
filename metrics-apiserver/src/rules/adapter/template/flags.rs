//! How an operand is printed, and how much.

/// Longest text that a template may make, in bytes: longer than any query that is sent.
pub(super) const MAX_OUTPUT: usize = 256 * 1024;

/// How an operand is printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Flags {
    pub(super) plus: bool,
    pub(super) minus: bool,
    pub(super) sharp: bool,
    pub(super) space: bool,
    pub(super) zero: bool,
    /// `%+v`: structs with the names of their fields.
    pub(super) names: bool,
    /// `%#v`: as Go writes the value in a program.
    pub(super) syntax: bool,
    pub(super) width: Option<usize>,
    pub(super) precision: Option<usize>,
}
