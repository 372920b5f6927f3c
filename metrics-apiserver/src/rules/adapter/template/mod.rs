//! Go's `text/template` with the delimiters `<<` and `>>`: the language of prometheus-adapter's queries and labels.
//!
//! Everything of the language is there but imaginary numbers. A template that a hostile hand wrote ends, too: its
//! length, its nesting, what it computes and what it writes have limits.

mod builtins;
mod error;
mod exec;
mod fields;
mod flags;
mod float;
mod format;
mod lex;
mod literal;
mod parse;
mod printf;
mod tree;
mod value;

use std::sync::Arc;

pub use error::TemplateError;
pub use fields::{Fields, LabelFields, QueryFields};
use parse::Templates;
use tree::{Branch, Command, Node, Operand, Pipe, Term};

/// A parsed template. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Template {
    text: Arc<str>,
    templates: Arc<Templates>,
}

/// By the text, which says everything else.
impl PartialEq for Template {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Template {}

impl Template {
    /// Parses a template.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        Ok(Self { text: text.into(), templates: Arc::new(parse::parse(text)?) })
    }

    /// The text that was parsed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Renders it. That fails for example if it names a field that there is not, which parsing does not find out.
    pub fn render(&self, fields: &Fields) -> Result<String, TemplateError> {
        exec::render(&self.templates, fields)
    }

    /// Whether the field of this name, such as `LabelMatchers`, is mentioned anywhere.
    pub fn uses(&self, field: &str) -> bool {
        self.templates.values().any(|nodes| nodes_use(nodes, field))
    }
}

fn nodes_use(nodes: &[Node], field: &str) -> bool {
    let branch_uses = |Branch { pipe, body, otherwise }: &Branch| {
        pipe_uses(pipe, field) || nodes_use(body, field) || nodes_use(otherwise, field)
    };
    nodes.iter().any(|node| match node {
        Node::Action(pipe) | Node::Template { pipe: Some(pipe), .. } => pipe_uses(pipe, field),
        Node::If(branch) | Node::With(branch) | Node::Range(branch) => branch_uses(branch),
        Node::Text(_) | Node::Template { pipe: None, .. } | Node::Break | Node::Continue => false,
    })
}

fn pipe_uses(pipe: &Pipe, field: &str) -> bool {
    let command_uses = |Command { first, arguments }: &Command| {
        operand_uses(first, field) || arguments.iter().any(|argument| operand_uses(argument, field))
    };
    pipe.commands.iter().any(command_uses)
}

fn operand_uses(operand: &Operand, field: &str) -> bool {
    let named = |fields: &[String]| fields.iter().any(|name| name == field);
    match &operand.term {
        Term::Field(fields) | Term::Variable(_, fields) => named(fields),
        Term::Chain(inner, fields) => named(fields) || operand_uses(inner, field),
        Term::Pipe(pipe) => pipe_uses(pipe, field),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
