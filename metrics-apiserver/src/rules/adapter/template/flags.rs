//! How an operand is printed, and how much.

/// Longest text that a template may make, in bytes: twice the longest query that is sent.
pub(super) const MAX_OUTPUT: usize = 512 * 1024;

/// How an operand is printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "Go has that many flags, and any may be set")]
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
