//! Renders a parsed template.

use super::builtins::Builtin;
use super::error::TemplateError;
use super::fields::Fields;
use super::flags::MAX_OUTPUT;
use super::format::Printer;
use super::parse::Templates;
use super::tree::{Branch, Command, Node, Operand, Pipe, Term};
use super::value::{Text, Value};

/// How much a template may compute: a hundred times what a long query needs, and some milliseconds.
const MAX_STEPS: usize = 100_000;
/// How deep templates, control structures and parentheses may be nested while rendering, so that a template that
/// renders itself ends long before the stack does.
const MAX_DEPTH: usize = 128;

/// Renders the template "".
pub(super) fn render(templates: &Templates, fields: &Fields) -> Result<String, TemplateError> {
    let dot = Value::Fields(fields);
    let variables = vec![("$", dot.clone())];
    let mut state = State { templates, out: Vec::new(), variables, steps: 0, depth: 0 };
    let nodes = templates.get("").map(Vec::as_slice).unwrap_or_default();
    state.nodes(&dot, nodes)?;
    String::from_utf8(state.out).map_err(|error| {
        let message = format!("the result is not UTF-8 from byte {} on", error.utf8_error().valid_up_to());
        TemplateError::at(0, message)
    })
}

/// What is rendered after a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Next,
    Break,
    Continue,
}

struct State<'a> {
    templates: &'a Templates,
    out: Vec<u8>,
    /// The variables of the template that is rendered; a later one hides an earlier one of the same name.
    variables: Vec<(&'a str, Value<'a>)>,
    steps: usize,
    depth: usize,
}

impl<'a> State<'a> {
    fn spend(&mut self, steps: usize, position: usize) -> Result<(), TemplateError> {
        self.steps += steps;
        if self.steps > MAX_STEPS {
            let message = format!("the template takes more than {MAX_STEPS} steps");
            return Err(TemplateError::at(position, message));
        }
        Ok(())
    }

    fn enter(&mut self, position: usize) -> Result<(), TemplateError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            let message = format!("the template is nested more than {MAX_DEPTH} levels deep while rendering");
            return Err(TemplateError::at(position, message));
        }
        self.spend(1, position)
    }

    fn write(&mut self, bytes: &[u8], position: usize) -> Result<(), TemplateError> {
        if self.out.len() + bytes.len() > MAX_OUTPUT {
            let message = format!("the result would be longer than {MAX_OUTPUT} bytes");
            return Err(TemplateError::at(position, message));
        }
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    fn nodes(&mut self, dot: &Value<'a>, nodes: &'a [Node]) -> Result<Flow, TemplateError> {
        for node in nodes {
            let flow = self.node(dot, node)?;
            if flow != Flow::Next {
                return Ok(flow);
            }
        }
        Ok(Flow::Next)
    }

    fn node(&mut self, dot: &Value<'a>, node: &'a Node) -> Result<Flow, TemplateError> {
        match node {
            Node::Text(text) => self.spend(1, 0).and_then(|()| self.write(text.as_bytes(), 0))?,
            Node::Action(pipe) => {
                let value = self.pipe(dot, pipe)?;
                if pipe.variables.is_empty() {
                    self.print(&value, pipe.position)?;
                }
            }
            Node::If(branch) => return self.condition(dot, branch, false),
            Node::With(branch) => return self.condition(dot, branch, true),
            Node::Range(branch) => return self.range(dot, branch),
            Node::Template { position, name, pipe } => self.template(dot, *position, name, pipe.as_ref())?,
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::Next)
    }

    fn print(&mut self, value: &Value<'a>, position: usize) -> Result<(), TemplateError> {
        match value {
            Value::Nil => self.write(b"<no value>", position),
            Value::Text(text) => self.write(text.bytes(), position),
            value => {
                let mut printer = Printer::default();
                printer.value(value, 'v');
                let printed = printer.finish();
                // A printer is full where the output is.
                self.write(&printed.unwrap_or_else(|| vec![0; MAX_OUTPUT + 1]), position)
            }
        }
    }

    fn condition(
        &mut self,
        dot: &Value<'a>,
        branch: &'a Branch,
        is_with: bool,
    ) -> Result<Flow, TemplateError> {
        self.enter(branch.pipe.position)?;
        let mark = self.variables.len();
        let value = self.pipe(dot, &branch.pipe)?;
        let flow = if !value.is_true() {
            self.nodes(dot, &branch.otherwise)?
        } else if is_with {
            self.nodes(&value, &branch.body)?
        } else {
            self.nodes(dot, &branch.body)?
        };
        self.variables.truncate(mark);
        self.depth -= 1;
        Ok(flow)
    }

    fn range(&mut self, dot: &Value<'a>, branch: &'a Branch) -> Result<Flow, TemplateError> {
        let position = branch.pipe.position;
        self.enter(position)?;
        let outer = self.variables.len();
        let value = self.pipe(dot, &branch.pipe)?;
        let has_index = branch.pipe.variables.len() > 1;
        let mut items: Box<dyn Iterator<Item = (Value<'a>, Value<'a>)>> = match &value {
            Value::Nil => Box::new(std::iter::empty()),
            Value::List(..) => {
                let elements = value.elements().iter().enumerate();
                Box::new(elements.map(|(at, element)| {
                    (Value::Int(i64::try_from(at).unwrap_or(i64::MAX)), Value::given(element))
                }))
            }
            Value::Map(map) => {
                let map = *map;
                Box::new(map.iter().map(|(key, value)| (Value::given(key), Value::given(value))))
            }
            Value::Int(count) if !has_index => {
                Box::new((0..*count).map(|number| (Value::Nil, Value::Int(number))))
            }
            Value::Byte(count) if !has_index => {
                Box::new((0..*count).map(|number| (Value::Nil, Value::Byte(number))))
            }
            other => {
                let variables = if has_index { " with two variables" } else { "" };
                let message = format!("range cannot iterate over a {}{variables}", other.type_name());
                return Err(TemplateError::at(position, message));
            }
        };
        let mark = self.variables.len();
        let mut is_empty = true;
        let mut flow = Flow::Next;
        for (index, element) in items.by_ref() {
            is_empty = false;
            self.spend(1, position)?;
            self.assign(&branch.pipe, index, &element)?;
            let ended = self.nodes(&element, &branch.body)?;
            self.variables.truncate(mark);
            if ended == Flow::Break {
                break;
            }
        }
        if is_empty {
            flow = self.nodes(dot, &branch.otherwise)?;
        }
        self.variables.truncate(outer);
        self.depth -= 1;
        Ok(flow)
    }

    /// Gives the variables of a range their values for one iteration.
    fn assign(&mut self, pipe: &'a Pipe, index: Value<'a>, element: &Value<'a>) -> Result<(), TemplateError> {
        let values = match pipe.variables.len() {
            0 => return Ok(()),
            1 => vec![element.clone()],
            _ => vec![index, element.clone()],
        };
        if pipe.is_assignment {
            for (name, value) in pipe.variables.iter().zip(values) {
                self.set(name, value, pipe.position)?;
            }
        } else {
            // They were declared with the value of the pipeline.
            let first = self.variables.len().saturating_sub(values.len());
            for (variable, value) in self.variables.iter_mut().skip(first).zip(values) {
                variable.1 = value;
            }
        }
        Ok(())
    }

    fn set(&mut self, name: &str, value: Value<'a>, position: usize) -> Result<(), TemplateError> {
        let known = self.variables.iter_mut().rev().find(|(known, _)| *known == name);
        let (_, slot) = known.ok_or_else(|| undefined(name, position))?;
        *slot = value;
        Ok(())
    }

    fn template(
        &mut self,
        dot: &Value<'a>,
        position: usize,
        name: &str,
        pipe: Option<&'a Pipe>,
    ) -> Result<(), TemplateError> {
        let nodes = self.templates.get(name).filter(|_| !name.is_empty()).ok_or_else(|| {
            TemplateError::at(position, format!("there is no template {name:?}; define it with <<define>>"))
        })?;
        self.enter(position)?;
        let dot = pipe.map_or(Ok(Value::Nil), |pipe| self.pipe(dot, pipe))?;
        let outer = std::mem::replace(&mut self.variables, vec![("$", dot.clone())]);
        self.nodes(&dot, nodes)?;
        self.variables = outer;
        self.depth -= 1;
        Ok(())
    }

    fn pipe(&mut self, dot: &Value<'a>, pipe: &'a Pipe) -> Result<Value<'a>, TemplateError> {
        self.enter(pipe.position)?;
        let mut value = None;
        for command in &pipe.commands {
            value = Some(self.command(dot, command, value)?);
        }
        let value = value.unwrap_or(Value::Nil);
        for name in &pipe.variables {
            if pipe.is_assignment {
                self.set(name, value.clone(), pipe.position)?;
            } else {
                self.spend(1, pipe.position)?;
                self.variables.push((name, value.clone()));
            }
        }
        self.depth -= 1;
        Ok(value)
    }

    /// A command. `last` is the value of the command before it in the pipeline.
    fn command(
        &mut self,
        dot: &Value<'a>,
        command: &'a Command,
        last: Option<Value<'a>>,
    ) -> Result<Value<'a>, TemplateError> {
        let Command { first, arguments } = command;
        if let Term::Function(function) = first.term {
            return self.function(dot, function, first.position, arguments, last);
        }
        if matches!(first.term, Term::Nil) {
            return Err(TemplateError::at(first.position, "nil cannot be written; it is only an argument"));
        }
        let value = self.operand(dot, first)?;
        // Go lets a field of nil have arguments.
        let is_field = matches!(&first.term, Term::Field(_) | Term::Chain(..))
            || matches!(&first.term, Term::Variable(_, fields) if !fields.is_empty());
        let has_arguments = !arguments.is_empty() || last.is_some();
        if has_arguments && !(is_field && matches!(value, Value::Nil) && self.is_of_nil(dot, first)?) {
            let message = "this is a value and takes no arguments; only functions do";
            return Err(TemplateError::at(first.position, message));
        }
        Ok(value)
    }

    /// Whether the operand is a field of nil.
    fn is_of_nil(&mut self, dot: &Value<'a>, operand: &'a Operand) -> Result<bool, TemplateError> {
        let (receiver, fields) = match &operand.term {
            Term::Field(fields) => (dot.clone(), fields),
            Term::Variable(name, fields) => (self.variable(name, operand.position)?, fields),
            Term::Chain(inner, fields) => (self.operand(dot, inner)?, fields),
            _ => return Ok(false),
        };
        let count = fields.len().saturating_sub(1);
        let receiver = self.fields(receiver, fields.get(..count).unwrap_or_default(), operand.position)?;
        Ok(matches!(receiver, Value::Nil))
    }

    fn function(
        &mut self,
        dot: &Value<'a>,
        function: Builtin,
        position: usize,
        arguments: &'a [Operand],
        last: Option<Value<'a>>,
    ) -> Result<Value<'a>, TemplateError> {
        self.enter(position)?;
        let fail = |message: String| TemplateError::at(position, message);
        function.check_count(arguments.len() + usize::from(last.is_some())).map_err(fail)?;
        let decides = match function {
            Builtin::And => Some(false),
            Builtin::Or => Some(true),
            _ => None,
        };
        let mut values = Vec::new();
        for argument in arguments {
            let value = self.operand(dot, argument)?;
            let is_decided = decides.is_some_and(|truth| truth == value.is_true());
            values.push(value);
            if is_decided {
                break;
            }
        }
        let is_decided = values.len() < arguments.len();
        values.extend(last.filter(|_| !is_decided));
        self.spend(values.iter().map(Value::steps).sum(), position)?;
        let value = function.call(&values).map_err(fail)?;
        self.spend(value.steps(), position)?;
        self.depth -= 1;
        Ok(value)
    }

    fn operand(&mut self, dot: &Value<'a>, operand: &'a Operand) -> Result<Value<'a>, TemplateError> {
        let position = operand.position;
        self.spend(1, position)?;
        Ok(match &operand.term {
            Term::Nil => Value::Nil,
            Term::Bool(value) => Value::Bool(*value),
            Term::Int(value) => Value::Int(*value),
            Term::Float(value) => Value::Float(*value),
            Term::Text(text) => Value::Text(Text::Given(text)),
            Term::Dot => dot.clone(),
            Term::Field(fields) => self.fields(dot.clone(), fields, position)?,
            Term::Variable(name, fields) => {
                let value = self.variable(name, position)?;
                self.fields(value, fields, position)?
            }
            Term::Chain(inner, fields) => {
                let value = self.operand(dot, inner)?;
                self.fields(value, fields, position)?
            }
            Term::Function(function) => self.function(dot, *function, position, &[], None)?,
            Term::Pipe(pipe) => self.pipe(dot, pipe)?,
        })
    }

    fn variable(&self, name: &str, position: usize) -> Result<Value<'a>, TemplateError> {
        let known = self.variables.iter().rev().find(|(known, _)| *known == name);
        known.map(|(_, value)| value.clone()).ok_or_else(|| undefined(name, position))
    }

    fn fields(
        &mut self,
        value: Value<'a>,
        names: &[String],
        position: usize,
    ) -> Result<Value<'a>, TemplateError> {
        names.iter().try_fold(value, |value, name| {
            value.field(name).map_err(|message| TemplateError::at(position, message))
        })
    }
}

fn undefined(name: &str, position: usize) -> TemplateError {
    TemplateError::at(position, format!("the variable {name} is not declared; use :="))
}
