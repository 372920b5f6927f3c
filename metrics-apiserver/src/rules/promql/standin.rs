//! Matchers that the PromQL parser must not judge, and what stands for them in its tree.
//!
//! The parser compiles each regular expression with Rust's engine, which refuses some that Prometheus accepts, such as
//! `[\w-.]+`. So it never sees one: in the text that it reads, each matcher is an equality, and its value starts with a
//! letter for the operator. What it prints is turned back. Nothing is lost on the way, so two trees are the same if
//! what they stand for is.

use super::lex::{Kind, Token, tokens};
use crate::rules::matcher::{Comparison, write_quoted};

/// Reads a string literal, quotes included.
pub(super) type Unquote = fn(&str) -> Result<String, String>;

const LETTERS: [(char, Comparison); 4] = [
    ('e', Comparison::Equal),
    ('n', Comparison::NotEqual),
    ('r', Comparison::Regex),
    ('x', Comparison::NotRegex),
];

/// The value that stands for an operator and a value.
pub(super) fn stand_in(operator: Comparison, value: &str) -> String {
    let letter = LETTERS.iter().find(|(_, known)| *known == operator).map(|(letter, _)| letter);
    letter.into_iter().copied().chain(value.chars()).collect()
}

/// What a value in the tree stands for.
pub(super) fn original(text: &str) -> (Comparison, &str) {
    let found = LETTERS.iter().find_map(|(letter, operator)| Some((*operator, text.strip_prefix(*letter)?)));
    found.unwrap_or((Comparison::Equal, text))
}

/// The text that the parser reads. What is no matcher stays, for the parser to refuse.
pub(super) fn hide(text: &str, unquote: Unquote) -> String {
    replace(text, |operator, literal, out| match (unquote(literal), operator) {
        (Ok(value), Some(operator)) => {
            out.push('=');
            write_quoted(&stand_in(operator, &value), out);
        }
        (Ok(name), None) => {
            out.push_str("__name__=");
            write_quoted(&stand_in(Comparison::Equal, &name), out);
        }
        (Err(_), _) => {
            out.push_str(operator.map_or("", Comparison::as_str));
            out.push_str(literal);
        }
    })
}

/// The text that a text of the parser stands for.
pub(super) fn show(text: &str, unquote: Unquote) -> String {
    replace(text, |_, literal, out| {
        let value = unquote(literal).unwrap_or_default();
        let (operator, value) = original(&value);
        out.push_str(operator.as_str());
        write_quoted(value, out);
    })
}

/// Copies the text, and replaces through `write` each operator with a string literal behind it, and each literal that
/// names a series, in the braces of a selector.
fn replace(text: &str, mut write: impl FnMut(Option<Comparison>, &str, &mut String)) -> String {
    let part = |start: usize, end: usize| text.get(start..end).unwrap_or_default();
    let mut out = String::with_capacity(text.len() + text.len() / 4);
    let mut copied = 0;
    let mut is_in_braces = false;
    // The operator of a matcher, and the end of its label. The parser takes `or` with a blank behind it for an
    // operator, so the blank is left out.
    let mut operator: Option<(Comparison, usize)> = None;
    let mut end = 0;
    let mut tokens = tokens(text).filter(|token| token.kind != Kind::Blank).peekable();
    while let Some(Token { kind, range }) = tokens.next() {
        match kind {
            Kind::Other('{') => is_in_braces = true,
            Kind::Other('}') => is_in_braces = false,
            Kind::String if is_in_braces => {
                let labels = tokens.peek().is_some_and(|next| matches!(next.kind, Kind::Operator(_)));
                if operator.is_some() || !labels {
                    let start = operator.map_or(range.start, |(_, start)| start);
                    out.push_str(part(copied, start));
                    write(operator.map(|(operator, _)| operator), part(range.start, range.end), &mut out);
                    copied = range.end;
                }
            }
            _ => {}
        }
        operator = match kind {
            Kind::Operator(operator) if is_in_braces => Some((operator, end)),
            _ => None,
        };
        end = range.end;
    }
    out.push_str(text.get(copied..).unwrap_or_default());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNQUOTE: Unquote = |text| Ok(text.trim_matches(['"', '\'']).to_owned());

    #[test]
    fn a_value_in_the_tree_stands_for_one_operator_and_value() {
        for (_, operator) in LETTERS {
            for value in ["", ".*", "e", "rx", "é|\u{0}\""] {
                assert_eq!(original(&stand_in(operator, value)), (operator, value));
            }
        }
    }

    #[test]
    fn operators_values_and_names_in_braces_are_replaced_and_nothing_else() {
        let hidden = hide(
            "a{x=~ \"b\",y = \"=~\",\"z\"!~'c', \"d\" ,v!=\"\"} == # {=~ \"b\"\n f(\"{a=~\", b)",
            UNQUOTE,
        );
        assert_eq!(
            hidden,
            "a{x=\"rb\",y=\"e=~\",\"z\"=\"xc\", __name__=\"ed\" ,v=\"n\"} == # {=~ \"b\"\n f(\"{a=~\", b)"
        );
        assert_eq!(
            show("a{x=\"rb\",\"z\"=\"xc\",v=\"n\"} + f(\"{a=\", \"rb\")", UNQUOTE),
            "a{x=~\"b\",\"z\"!~\"c\",v!=\"\"} + f(\"{a=\", \"rb\")"
        );
    }
}
