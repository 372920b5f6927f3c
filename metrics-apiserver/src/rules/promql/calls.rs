//! Calls of functions that the PromQL parser does not know, and what stands for them in its tree.
//!
//! `xrate(a[5m])` is `__call("xrate", __matrix(a[5m]))` to the parser: a function that takes a name and any number of
//! vectors, and functions that make a vector of anything else. What the parser prints is turned back.

use std::ops::Range;

use super::error::PromqlError;
use super::lex::{Kind, Token, tokens};
use super::modifiers::{ANCHORED, SMOOTHED};
use crate::rules::matcher::write_quoted;

/// The function that stands for one that the parser does not know. Its first argument is that one's name.
pub(super) const CALL: &str = "__call";
/// The functions around an argument that is no vector.
pub(super) const MATRIX: &str = "__matrix";
pub(super) const SCALAR: &str = "__scalar";
pub(super) const STRING: &str = "__string";

/// The text that the parser reads: with stand-ins for the calls of functions that `is_hidden` names. `wrapper` says
/// what to put around an argument.
pub(super) fn hide(
    text: &str,
    is_hidden: impl Fn(&str) -> bool,
    wrapper: impl Fn(&str) -> Result<Option<&'static str>, PromqlError>,
) -> Result<String, PromqlError> {
    let mut text = text.to_owned();
    // The last call has none in its arguments.
    while let Some(call) = last_call(&text, &is_hidden) {
        let mut out = text.get(..call.name.start).unwrap_or_default().to_owned();
        out.push_str(CALL);
        out.push('(');
        write_quoted(text.get(call.name.clone()).unwrap_or_default(), &mut out);
        for argument in &call.arguments {
            let argument = text.get(argument.clone()).unwrap_or_default().trim();
            out.push_str(", ");
            match wrapper(argument)? {
                Some(function) => out.extend([function, "(", argument, ")"]),
                None => out.push_str(argument),
            }
        }
        out.push_str(text.get(call.close..).unwrap_or_default());
        text = out;
    }
    Ok(text)
}

/// The text that a text of the parser stands for.
pub(super) fn show(text: &str) -> String {
    let part = |range: &Range<usize>| text.get(range.clone()).unwrap_or_default();
    let mut out = String::with_capacity(text.len());
    // What takes the place of the bracket that closes each open one.
    let mut brackets = Vec::new();
    let mut tokens = tokens(text).peekable();
    while let Some(Token { kind, range }) = tokens.next() {
        let word = part(&range);
        let opens = tokens.peek().is_some_and(|next| next.kind == Kind::Other('('));
        match kind {
            Kind::Word if opens && word == CALL => {
                tokens.next();
                brackets.push(")");
                let name = tokens.next().map(|name| part(&name.range).trim_matches('"')).unwrap_or_default();
                out.push_str(name);
                out.push('(');
                if tokens.next_if(|next| next.kind == Kind::Other(',')).is_some() {
                    tokens.next_if(|next| next.kind == Kind::Blank);
                }
            }
            Kind::Word if opens && closing(word).is_some() => {
                tokens.next();
                brackets.extend(closing(word));
            }
            Kind::Other('(') => {
                brackets.push(")");
                out.push('(');
            }
            Kind::Other(')') => out.push_str(brackets.pop().unwrap_or(")")),
            _ => out.push_str(word),
        }
    }
    out
}

/// What stands behind the argument of a stand-in, which itself is left out.
fn closing(function: &str) -> Option<&'static str> {
    match function {
        MATRIX | SCALAR | STRING => Some(""),
        _ if ANCHORED.contains(&function) => Some(" anchored"),
        _ if SMOOTHED.contains(&function) => Some(" smoothed"),
        _ => None,
    }
}

/// Where a call is in a text.
struct Call {
    name: Range<usize>,
    arguments: Vec<Range<usize>>,
    /// The closing bracket.
    close: usize,
}

/// The last call of a function that is hidden. One that is not closed is left to the parser to refuse.
fn last_call(text: &str, is_hidden: impl Fn(&str) -> bool) -> Option<Call> {
    let all: Vec<Token> = tokens(text).filter(|token| token.kind != Kind::Blank).collect();
    let mut is_in_braces = false;
    let mut last = None;
    for (index, pair) in all.windows(2).enumerate() {
        let [token, next] = pair else { continue };
        match token.kind {
            Kind::Other('{') => is_in_braces = true,
            Kind::Other('}') => is_in_braces = false,
            Kind::Word
                if !is_in_braces
                    && next.kind == Kind::Other('(')
                    && text.get(token.range.clone()).is_some_and(&is_hidden) =>
            {
                last = Some(index);
            }
            _ => {}
        }
    }
    let call = all.get(last?..)?;
    let [name, open, rest @ ..] = call else { return None };
    let (mut arguments, mut start, mut depth) = (Vec::new(), open.range.end, 0_usize);
    for token in rest {
        match token.kind {
            Kind::Other('(' | '{' | '[') => depth += 1,
            Kind::Other(')') if depth == 0 => {
                let argument = start..token.range.start;
                if !arguments.is_empty() || !text.get(argument.clone())?.trim().is_empty() {
                    arguments.push(argument);
                }
                return Some(Call { name: name.range.clone(), arguments, close: token.range.start });
            }
            Kind::Other(')' | '}' | ']') => depth = depth.checked_sub(1)?,
            Kind::Other(',') if depth == 0 => {
                arguments.push(start..token.range.start);
                start = token.range.end;
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_hidden_from_the_inside_out_and_shown_again() {
        let wrapper = |argument: &str| Ok(argument.ends_with(']').then_some(MATRIX));
        for (text, hidden) in [
            ("f(a[5m]) + g(f)", "__call(\"f\", __matrix(a[5m])) + g(f)"),
            ("f()", "__call(\"f\")"),
            (
                "f(a, g(b, c{x=\"f(,)\"}), f (d[1m]))",
                "__call(\"f\", a, g(b, c{x=\"f(,)\"}), __call(\"f\", __matrix(d[1m])))",
            ),
            ("a{f=\"f(\"} # f(\n", "a{f=\"f(\"} # f(\n"),
            ("f(a", "f(a"),
        ] {
            let found = hide(text, |name| name == "f", wrapper).unwrap();
            assert_eq!(found, hidden);
            assert_eq!(show(&found), text.replace("f (", "f("));
        }
    }
}
