//! The tokens of PromQL, as far as they matter to what is done with a text before it is parsed and after it is printed.

use std::ops::Range;

use crate::rules::matcher::Comparison;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// White space or a comment.
    Blank,
    /// A string literal with its quotes.
    String,
    /// A name, a keyword, a number or a duration.
    Word,
    /// What can be the operator of a matcher.
    Operator(Comparison),
    /// Any other character.
    Other(char),
}

/// A piece of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    /// Its bytes.
    pub(super) range: Range<usize>,
}

/// The tokens of a text, which together are the text. A string that is not closed goes on to the end.
pub(super) fn tokens(text: &str) -> impl Iterator<Item = Token> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let rest = text.get(start..)?;
        let (kind, length) = first(rest)?;
        let range = start..start + length;
        start = range.end;
        Some(Token { kind, range })
    })
}

/// The first token and its length.
fn first(text: &str) -> Option<(Kind, usize)> {
    let character = text.chars().next()?;
    let run = |wanted: fn(char) -> bool| text.find(|c| !wanted(c)).unwrap_or(text.len());
    Some(match character {
        '#' => (Kind::Blank, run(|c| c != '\n' && c != '\r')),
        c if c.is_ascii_whitespace() => (Kind::Blank, run(|c| c.is_ascii_whitespace())),
        '"' | '\'' => (Kind::String, string(text, character)),
        '`' => (Kind::String, text.get(1..).and_then(|raw| raw.find('`')).map_or(text.len(), |end| end + 2)),
        _ if text.starts_with("=~") => (Kind::Operator(Comparison::Regex), 2),
        _ if text.starts_with("!~") => (Kind::Operator(Comparison::NotRegex), 2),
        _ if text.starts_with("!=") => (Kind::Operator(Comparison::NotEqual), 2),
        '=' => (Kind::Operator(Comparison::Equal), 1),
        c if is_word(c) => (Kind::Word, run(is_word)),
        c => (Kind::Other(c), c.len_utf8()),
    })
}

/// The length of a string literal with escapes.
fn string(text: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (index, character) in text.char_indices().skip(1) {
        if character == quote && !is_escaped {
            return index + 1;
        }
        is_escaped = character == '\\' && !is_escaped;
    }
    text.len()
}

/// Whether a name, a number or a duration can have this character.
pub(super) fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | ':' | '.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tokens_of_a_text_are_the_text() {
        let text = "sum(a:b{x=~\"q\\\"}\\\\\",y!~`\\`}) # c \"\n / 'it''s' é";
        let found: Vec<_> = tokens(text).map(|token| (token.kind, &text[token.range])).collect();
        assert_eq!(found.iter().map(|(_, text)| *text).collect::<String>(), text);
        let strings: Vec<_> =
            found.iter().filter(|(kind, _)| *kind == Kind::String).map(|(_, s)| *s).collect();
        assert_eq!(strings, ["\"q\\\"}\\\\\"", "`\\`", "'it'", "'s'"]);
        let operators: Vec<_> = found.iter().filter(|(kind, _)| matches!(kind, Kind::Operator(_))).collect();
        assert_eq!(operators.iter().map(|(_, text)| *text).collect::<Vec<_>>(), ["=~", "!~"]);
        assert_eq!(tokens("\"open").map(|token| token.range.end).collect::<Vec<_>>(), [5]);
    }
}
