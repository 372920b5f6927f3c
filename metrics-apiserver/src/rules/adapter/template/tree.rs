//! A parsed template. Positions are byte offsets into its text.

use super::builtins::Builtin;

/// A part of a template.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    /// Written as it is.
    Text(String),
    /// A pipeline whose value is written, unless it declares or assigns a variable.
    Action(Pipe),
    If(Branch),
    With(Branch),
    Range(Branch),
    /// Runs another template with the pipeline's value as its dot.
    Template {
        position: usize,
        name: String,
        pipe: Option<Pipe>,
    },
    Break,
    Continue,
}

/// `if`, `with` and `range`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Branch {
    pub(super) pipe: Pipe,
    pub(super) body: Vec<Node>,
    pub(super) otherwise: Vec<Node>,
}

/// Commands, each of which gets the value of the one before as its last argument.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pipe {
    pub(super) position: usize,
    /// The variables that get the value.
    pub(super) variables: Vec<String>,
    /// Whether the variables exist already (`=`), or begin here (`:=`).
    pub(super) is_assignment: bool,
    pub(super) commands: Vec<Command>,
}

/// A value, or a function with its arguments.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Command {
    pub(super) first: Operand,
    pub(super) arguments: Vec<Operand>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Operand {
    pub(super) position: usize,
    pub(super) term: Term,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Term {
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Vec<u8>),
    Dot,
    /// `.A.B`
    Field(Vec<String>),
    /// `$x.A.B`; the name has the dollar sign.
    Variable(String, Vec<String>),
    Function(Builtin),
    /// `(…).A.B`; a function has fields, too: `print.A`.
    Chain(Box<Operand>, Vec<String>),
    Pipe(Box<Pipe>),
}

impl Term {
    /// Whether it can follow a `|`, where it gets an argument.
    pub(super) fn is_executable(&self) -> bool {
        !matches!(self, Self::Nil | Self::Bool(_) | Self::Int(_) | Self::Float(_) | Self::Text(_) | Self::Dot)
    }
}
