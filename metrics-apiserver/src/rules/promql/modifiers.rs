//! The modifiers `anchored` and `smoothed`, which the PromQL parser does not know, and what stands for them in its
//! tree.
//!
//! `a[5m] anchored` is `__anchored_range(a[5m])` to the parser.

use super::lex::{Kind, Token, tokens};

/// The functions that stand for a modifier: of an instant vector, and of a range vector.
pub(super) const ANCHORED: [&str; 2] = ["__anchored", "__anchored_range"];
pub(super) const SMOOTHED: [&str; 2] = ["__smoothed", "__smoothed_range"];

/// Words that are no metric in front of a modifier.
const OPERATORS: [&str; 8] = ["and", "or", "unless", "atan2", "bool", "by", "without", "offset"];

/// The text that the parser reads. A modifier that is not behind a selector stays, for the parser to refuse.
pub(super) fn hide(text: &str) -> String {
    let mut text = text.to_owned();
    while let Some(changed) = hide_first(&text) {
        text = changed;
    }
    text
}

fn hide_first(text: &str) -> Option<String> {
    let all: Vec<Token> = tokens(text).filter(|token| token.kind != Kind::Blank).collect();
    let reader = Reader { text, all: &all };
    let mut is_in_braces = false;
    for (index, token) in all.iter().enumerate() {
        match token.kind {
            Kind::Other('{') => is_in_braces = true,
            Kind::Other('}') => is_in_braces = false,
            Kind::Word if !is_in_braces => {
                let word = reader.word(index);
                let functions = [("anchored", ANCHORED), ("smoothed", SMOOTHED)].into_iter();
                let functions = functions.into_iter().find(|(name, _)| word.eq_ignore_ascii_case(name));
                let Some((_, [instant, range])) = functions else { continue };
                let Some((first, is_range)) = reader.operand(index) else { continue };
                let last = reader.modifiers(index);
                let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
                let (start, end) = (all.get(first)?.range.start, all.get(last)?.range.end);
                return Some(format!(
                    "{}{}({}{}){}",
                    part(0, start),
                    if is_range { range } else { instant },
                    part(start, token.range.start),
                    part(token.range.end, end),
                    part(end, text.len()),
                ));
            }
            _ => {}
        }
    }
    None
}

struct Reader<'a> {
    text: &'a str,
    all: &'a [Token],
}

impl<'a> Reader<'a> {
    fn is(&self, index: Option<usize>, character: char) -> bool {
        index.and_then(|index| self.all.get(index)).is_some_and(|token| token.kind == Kind::Other(character))
    }

    /// The word at this place; empty if there is none.
    fn word(&self, index: usize) -> &'a str {
        let token = self.all.get(index).filter(|token| token.kind == Kind::Word);
        token.and_then(|token| self.text.get(token.range.clone())).unwrap_or_default()
    }

    fn is_sign(&self, index: usize) -> bool {
        self.is(Some(index), '-') || self.is(Some(index), '+')
    }

    /// Whether a modifier `offset 5m`, `@ 5`, `@ end()` starts here, and its last token.
    fn modifier(&self, start: usize) -> Option<usize> {
        let is_at = self.is(Some(start), '@');
        if !is_at && !self.word(start).eq_ignore_ascii_case("offset") {
            return None;
        }
        let value = if self.is_sign(start + 1) { start + 2 } else { start + 1 };
        let is_call = is_at && self.is(Some(value + 1), '(') && self.is(Some(value + 2), ')');
        (!self.word(value).is_empty()).then_some(if is_call { value + 2 } else { value })
    }

    /// The last token of the modifiers behind `index`.
    fn modifiers(&self, index: usize) -> usize {
        let mut last = index;
        while let Some(next) = self.modifier(last + 1) {
            last = next;
        }
        last
    }

    /// The first token of the selector that ends before `end`, and whether it has a range.
    fn operand(&self, end: usize) -> Option<(usize, bool)> {
        let mut end = end;
        // Modifiers have at most five tokens.
        while let Some(start) = (2..=5)
            .find_map(|length| end.checked_sub(length).filter(|start| self.modifier(*start) == Some(end - 1)))
        {
            end = start;
        }
        let mut start = end;
        let is_range = self.is(start.checked_sub(1), ']');
        if is_range {
            start = self.opening(start, '[')?;
        }
        let has_braces = self.is(start.checked_sub(1), '}');
        if has_braces {
            start = self.opening(start, '{')?;
        }
        let name = start.checked_sub(1).map(|index| self.word(index)).unwrap_or_default();
        let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == ':')
            && !OPERATORS.iter().any(|operator| name.eq_ignore_ascii_case(operator));
        if is_name {
            start -= 1;
        }
        (is_name || has_braces).then_some((start, is_range))
    }

    fn opening(&self, end: usize, bracket: char) -> Option<usize> {
        (0..end).rev().find(|index| self.is(Some(*index), bracket))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_modifier_becomes_a_function_around_its_selector() {
        for (text, hidden) in [
            ("rate(a[5m] anchored)", "rate(__anchored_range(a[5m] ))"),
            ("a smoothed + b{x=\"y\"} smoothed", "__smoothed(a ) + __smoothed(b{x=\"y\"} )"),
            ("sum({a=\"]\"} smoothed)", "sum(__smoothed({a=\"]\"} ))"),
            (
                "rate(a{x=\"y\"}[5m] anchored offset -1m @ end())",
                "rate(__anchored_range(a{x=\"y\"}[5m]  offset -1m @ end()))",
            ),
            ("rate(a[5m] offset 1m ANCHORED)", "rate(__anchored_range(a[5m] offset 1m ))"),
            ("anchored + smoothed", "anchored + smoothed"),
            ("a or anchored", "a or anchored"),
            ("a{anchored=\"x\"}", "a{anchored=\"x\"}"),
            ("rate(a[5m:1m] anchored)", "rate(__anchored_range(a[5m:1m] ))"),
            ("(a) anchored", "(a) anchored"),
            ("] anchored", "] anchored"),
        ] {
            assert_eq!(hide(text), hidden, "{text}");
        }
    }
}
