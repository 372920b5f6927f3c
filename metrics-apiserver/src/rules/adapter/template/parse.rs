//! Parses a template by the grammar of Go's `text/template`.

use std::collections::BTreeMap;

use super::builtins::Builtin;
use super::error::TemplateError;
use super::lex::{Kind, Lexer, Token};
use super::literal;
use super::tree::{Branch, Command, Node, Operand, Pipe, Term};

/// Longest template, in bytes: far more than any query needs.
const MAX_TEXT: usize = 64 * 1024;
/// How deep parentheses, control structures and `else if` may be nested: parsing and rendering are recursive.
const MAX_NESTING: usize = 64;

/// The templates of one text, by name. The text's own is "".
pub(super) type Templates = BTreeMap<String, Vec<Node>>;

/// Parses a text with all the templates that it defines.
pub(super) fn parse(text: &str) -> Result<Templates, TemplateError> {
    if text.len() > MAX_TEXT {
        let message = format!("the template has {} bytes; at most {MAX_TEXT} are allowed", text.len());
        return Err(TemplateError::at(MAX_TEXT, message));
    }
    let mut lexer = Lexer::new(text);
    let mut tokens = Vec::new();
    loop {
        let token = lexer.token()?;
        tokens.push(token);
        if token.kind == Kind::End {
            break;
        }
    }
    let mut parser = Parser { tokens, next: 0, nesting: 0, templates: Templates::new(), scope: Scope::new() };
    let main = parser.top_level()?;
    parser.templates.insert(String::new(), main);
    Ok(parser.templates)
}

/// What is known where the parser stands.
struct Scope {
    variables: Vec<String>,
    ranges: usize,
}

impl Scope {
    fn new() -> Self {
        Self { variables: vec!["$".to_owned()], ranges: 0 }
    }
}

/// How a list of nodes ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    End,
    Else,
    /// `else if` or `else with`; that word is the next token.
    ElseAgain,
}

struct Parser<'a> {
    tokens: Vec<Token<'a>>,
    next: usize,
    nesting: usize,
    templates: Templates,
    scope: Scope,
}

impl<'a> Parser<'a> {
    fn ahead(&self, distance: usize) -> Token<'a> {
        let end = Token { kind: Kind::End, position: 0, text: "" };
        self.tokens.get(self.next + distance).or(self.tokens.last()).copied().unwrap_or(end)
    }

    fn peek(&self) -> Token<'a> {
        self.ahead(0)
    }

    fn take(&mut self) -> Token<'a> {
        let token = self.peek();
        self.next += 1;
        token
    }

    fn skip_space(&mut self) {
        while self.peek().kind == Kind::Space {
            self.next += 1;
        }
    }

    fn peek_word(&mut self) -> Token<'a> {
        self.skip_space();
        self.peek()
    }

    fn take_word(&mut self) -> Token<'a> {
        self.skip_space();
        self.take()
    }

    /// The end of an action.
    fn right(&mut self, of: &str) -> Result<(), TemplateError> {
        let token = self.take_word();
        if token.kind == Kind::Right { Ok(()) } else { Err(unexpected(token, of)) }
    }

    fn enter(&mut self, position: usize) -> Result<(), TemplateError> {
        self.nesting += 1;
        if self.nesting > MAX_NESTING {
            let message = format!("the template is nested more than {MAX_NESTING} levels deep");
            return Err(TemplateError::at(position, message));
        }
        Ok(())
    }

    fn top_level(&mut self) -> Result<Vec<Node>, TemplateError> {
        let mut nodes = Vec::new();
        loop {
            let token = self.take();
            match token.kind {
                Kind::End => return Ok(nodes),
                Kind::Text => nodes.push(Node::Text(token.text.to_owned())),
                _ if self.peek_word().text == "define" && self.peek().kind == Kind::Word => {
                    self.take();
                    self.definition()?;
                }
                _ => match self.action(token.position)? {
                    Ok(node) => nodes.push(node),
                    Err(_) => {
                        return Err(TemplateError::at(
                            token.position,
                            "there is no if, range or with before it to end",
                        ));
                    }
                },
            }
        }
    }

    /// Nodes up to `end` or `else`, for the action at `start`.
    fn list(&mut self, start: usize) -> Result<(Vec<Node>, Ending), TemplateError> {
        let mut nodes = Vec::new();
        loop {
            let token = self.take();
            match token.kind {
                Kind::Text => nodes.push(Node::Text(token.text.to_owned())),
                Kind::End => return Err(TemplateError::at(start, "this is not closed; add <<end>>")),
                _ => match self.action(token.position)? {
                    Ok(node) => nodes.push(node),
                    Err(ending) => return Ok((nodes, ending)),
                },
            }
        }
    }

    /// An action whose left delimiter is at `start` and taken, or the end of a list.
    fn action(&mut self, start: usize) -> Result<Result<Node, Ending>, TemplateError> {
        let word = self.peek_word();
        if word.kind != Kind::Word || !is_keyword(word.text) {
            return Ok(Ok(Node::Action(self.pipeline("command", Kind::Right)?)));
        }
        self.take();
        Ok(Ok(match word.text {
            "if" => Node::If(self.control("if", start)?),
            "with" => Node::With(self.control("with", start)?),
            "range" => Node::Range(self.control("range", start)?),
            "break" | "continue" => {
                self.right(word.text)?;
                if self.scope.ranges == 0 {
                    let message = format!("{} is only allowed inside of range", word.text);
                    return Err(TemplateError::at(word.position, message));
                }
                if word.text == "break" { Node::Break } else { Node::Continue }
            }
            "template" => self.template()?,
            "block" => self.block(start)?,
            "end" => {
                self.right("end")?;
                return Ok(Err(Ending::End));
            }
            "else" => {
                if matches!(self.peek_word().text, "if" | "with") {
                    return Ok(Err(Ending::ElseAgain));
                }
                self.right("else")?;
                return Ok(Err(Ending::Else));
            }
            _ => {
                let message = "define is only allowed outside of every other action";
                return Err(TemplateError::at(word.position, message));
            }
        }))
    }

    fn control(&mut self, context: &str, start: usize) -> Result<Branch, TemplateError> {
        self.enter(start)?;
        let variables = self.scope.variables.len();
        let pipe = self.pipeline(context, Kind::Right)?;
        let is_range = usize::from(context == "range");
        self.scope.ranges += is_range;
        let (body, ending) = self.list(start)?;
        self.scope.ranges -= is_range;
        let otherwise = match ending {
            Ending::End => Vec::new(),
            Ending::Else => match self.list(start)? {
                (nodes, Ending::End) => nodes,
                _ => {
                    return Err(TemplateError::at(
                        start,
                        "this has two else; expected <<end>> after the first",
                    ));
                }
            },
            Ending::ElseAgain => {
                let word = self.take_word();
                if word.text != context {
                    return Err(unexpected(word, "else"));
                }
                // One `end` closes all of them.
                let branch = self.control(context, start)?;
                vec![if context == "if" { Node::If(branch) } else { Node::With(branch) }]
            }
        };
        self.scope.variables.truncate(variables);
        self.nesting -= 1;
        Ok(Branch { pipe, body, otherwise })
    }

    fn name(&mut self, context: &str) -> Result<String, TemplateError> {
        let token = self.take_word();
        if !matches!(token.kind, Kind::Quoted | Kind::Raw) {
            return Err(unexpected(token, context));
        }
        let name = literal::unquote(token.text).and_then(|name| String::from_utf8(name).ok());
        name.ok_or_else(|| not_a_string(token))
    }

    fn template(&mut self) -> Result<Node, TemplateError> {
        let position = self.peek_word().position;
        let name = self.name("template")?;
        let pipe = if self.peek_word().kind == Kind::Right {
            self.take();
            None
        } else {
            Some(self.pipeline("template", Kind::Right)?)
        };
        Ok(Node::Template { position, name, pipe })
    }

    fn block(&mut self, start: usize) -> Result<Node, TemplateError> {
        let position = self.peek_word().position;
        let name = self.name("block")?;
        let pipe = Some(self.pipeline("block", Kind::Right)?);
        self.body(name.clone(), start)?;
        Ok(Node::Template { position, name, pipe })
    }

    fn definition(&mut self) -> Result<(), TemplateError> {
        let start = self.peek_word().position;
        let name = self.name("define")?;
        self.right("define")?;
        self.body(name, start)
    }

    /// The body of a template with a name, which sees no variables from outside.
    fn body(&mut self, name: String, start: usize) -> Result<(), TemplateError> {
        self.enter(start)?;
        let outer = std::mem::replace(&mut self.scope, Scope::new());
        let (nodes, ending) = self.list(start)?;
        if ending != Ending::End {
            return Err(TemplateError::at(start, "this has an else, which only if, range and with can have"));
        }
        self.scope = outer;
        self.nesting -= 1;
        let known = self.templates.get(&name);
        if known.is_none_or(|known| is_empty(known)) {
            self.templates.insert(name, nodes);
        } else if !is_empty(&nodes) {
            return Err(TemplateError::at(start, format!("the template {name:?} is defined twice")));
        }
        Ok(())
    }

    fn pipeline(&mut self, context: &str, end: Kind) -> Result<Pipe, TemplateError> {
        let position = self.peek_word().position;
        let mut pipe = Pipe { position, variables: Vec::new(), is_assignment: false, commands: Vec::new() };
        self.declarations(context, &mut pipe)?;
        loop {
            let token = self.peek_word();
            if token.kind == end {
                self.take();
                break;
            }
            if !begins_operand(token) {
                return Err(unexpected(token, context));
            }
            let command = self.command(context)?;
            if !pipe.commands.is_empty() && !command.first.term.is_executable() {
                let message = "a value cannot follow a '|'; only a function can";
                return Err(TemplateError::at(command.first.position, message));
            }
            pipe.commands.push(command);
        }
        if pipe.commands.is_empty() {
            return Err(TemplateError::at(position, format!("the {context} has no value")));
        }
        Ok(pipe)
    }

    /// `$x :=`, `$x =`, and for a range `$i, $x :=`.
    fn declarations(&mut self, context: &str, pipe: &mut Pipe) -> Result<(), TemplateError> {
        while self.peek_word().kind == Kind::Variable {
            let variable = self.peek();
            let distance = if self.ahead(1).kind == Kind::Space { 2 } else { 1 };
            let next = self.ahead(distance);
            let is_comma = next.kind == Kind::Other && next.text == ",";
            if !is_comma && !matches!(next.kind, Kind::Assign | Kind::Declare) {
                return Ok(());
            }
            self.next += distance + 1;
            pipe.variables.push(variable.text.to_owned());
            self.scope.variables.push(variable.text.to_owned());
            if !is_comma {
                pipe.is_assignment = next.kind == Kind::Assign;
                return Ok(());
            }
            if context != "range" || pipe.variables.len() > 1 {
                return Err(TemplateError::at(next.position, format!("too many variables in {context}")));
            }
            let after = self.peek_word();
            if !matches!(after.kind, Kind::Variable | Kind::Right | Kind::Close) {
                return Err(TemplateError::at(after.position, "expected a second variable after the comma"));
            }
        }
        Ok(())
    }

    fn command(&mut self, context: &str) -> Result<Command, TemplateError> {
        let first = self.operand(context)?;
        let mut arguments = Vec::new();
        loop {
            let token = self.peek();
            match token.kind {
                Kind::Space => {
                    let next = self.peek_word();
                    if begins_operand(next) {
                        arguments.push(self.operand(context)?);
                        continue;
                    }
                    if !matches!(next.kind, Kind::Pipe | Kind::Right | Kind::Close) {
                        return Err(unexpected(next, context));
                    }
                }
                Kind::Pipe => {
                    self.take();
                    break;
                }
                Kind::Right | Kind::Close => break,
                _ => return Err(unexpected(token, context)),
            }
        }
        Ok(Command { first, arguments })
    }

    fn operand(&mut self, context: &str) -> Result<Operand, TemplateError> {
        let token = self.take_word();
        let position = token.position;
        let mut term = self.term(token, context)?;
        if self.peek().kind != Kind::Field {
            return Ok(Operand { position, term });
        }
        let mut fields = Vec::new();
        let dot = self.peek();
        while self.peek().kind == Kind::Field {
            fields.push(self.take().text.trim_start_matches('.').to_owned());
        }
        match &mut term {
            Term::Field(names) | Term::Variable(_, names) => names.append(&mut fields),
            Term::Function(_) | Term::Pipe(_) | Term::Chain(..) => {
                term = Term::Chain(Box::new(Operand { position, term }), fields);
            }
            _ => {
                let message = format!("{:?} has no fields", token.text);
                return Err(TemplateError::at(dot.position, message));
            }
        }
        Ok(Operand { position, term })
    }

    fn term(&mut self, token: Token<'a>, context: &str) -> Result<Term, TemplateError> {
        let not_a_number = || {
            let message = format!("{} is not a number that fits into 64 bits", token.text);
            TemplateError::at(token.position, message)
        };
        Ok(match token.kind {
            Kind::Word => {
                let builtin = Builtin::named(token.text);
                Term::Function(builtin.ok_or_else(|| {
                    let message = format!(
                        "the function {:?} is not defined; a field begins with a dot, as in .Series",
                        token.text
                    );
                    TemplateError::at(token.position, message)
                })?)
            }
            Kind::Dot => Term::Dot,
            Kind::Nil => Term::Nil,
            Kind::Bool => Term::Bool(token.text == "true"),
            Kind::Field => Term::Field(vec![token.text.trim_start_matches('.').to_owned()]),
            Kind::Variable if self.scope.variables.iter().any(|known| known == token.text) => {
                Term::Variable(token.text.to_owned(), Vec::new())
            }
            Kind::Variable => {
                let message = format!("the variable {} is not declared; use :=", token.text);
                return Err(TemplateError::at(token.position, message));
            }
            Kind::Char => Term::Int(literal::character(token.text).ok_or_else(|| not_a_string(token))?),
            Kind::Number => literal::number(token.text).ok_or_else(not_a_number)?,
            Kind::Quoted | Kind::Raw => {
                Term::Text(literal::unquote(token.text).ok_or_else(|| not_a_string(token))?)
            }
            Kind::Open => {
                self.enter(token.position)?;
                let pipe = self.pipeline("parentheses", Kind::Close)?;
                self.nesting -= 1;
                Term::Pipe(Box::new(pipe))
            }
            _ => return Err(unexpected(token, context)),
        })
    }
}

fn is_keyword(word: &str) -> bool {
    matches!(
        word,
        "block" | "break" | "continue" | "define" | "else" | "end" | "if" | "range" | "template" | "with"
    )
}

fn begins_operand(token: Token<'_>) -> bool {
    match token.kind {
        Kind::Word => !is_keyword(token.text),
        kind => matches!(
            kind,
            Kind::Bool
                | Kind::Char
                | Kind::Dot
                | Kind::Field
                | Kind::Nil
                | Kind::Number
                | Kind::Quoted
                | Kind::Raw
                | Kind::Variable
                | Kind::Open
        ),
    }
}

/// Whether nothing but space is written.
fn is_empty(nodes: &[Node]) -> bool {
    nodes.iter().all(|node| matches!(node, Node::Text(text) if text.trim().is_empty()))
}

fn unexpected(token: Token<'_>, context: &str) -> TemplateError {
    let found = match token.kind {
        Kind::End => "the end".to_owned(),
        _ => format!("{:?}", token.text),
    };
    TemplateError::at(token.position, format!("unexpected {found} in {context}"))
}

fn not_a_string(token: Token<'_>) -> TemplateError {
    let message = format!("{} is not a valid Go literal; check its escapes", token.text);
    TemplateError::at(token.position, message)
}
