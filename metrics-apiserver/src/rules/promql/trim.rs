//! The operators `</` and `>/`, which the PromQL parser does not know, and what stands for them in its tree.
//!
//! `a </ b` is `a < fill_left (L) fill_right (R) b` to the parser, with two numbers that nobody writes.

use super::lex::{Kind, Token, tokens};

/// What stands behind the operator and its `on (…)` or `ignoring (…)`.
const MARK: &str = "fill_left (314159265358979) fill_right (271828182845905)";

/// The text that the parser reads.
pub(super) fn hide(text: &str) -> String {
    let all: Vec<Token> = tokens(text).filter(|token| token.kind != Kind::Blank).collect();
    let is = |index: usize, character| {
        all.get(index).is_some_and(|token: &Token| token.kind == Kind::Other(character))
    };
    let mut out = String::with_capacity(text.len());
    let mut copied = 0;
    for (index, pair) in all.windows(2).enumerate() {
        let [operator, slash] = pair else { continue };
        let is_operator = matches!(operator.kind, Kind::Other('<' | '>'));
        if !is_operator || slash.kind != Kind::Other('/') || operator.range.end != slash.range.start {
            continue;
        }
        // The modifiers: words, each with a list of labels or without.
        let mut end = index + 1;
        while let Some(word) = all.get(end + 1).and_then(|token| text.get(token.range.clone())) {
            let is_modifier = ["on", "ignoring", "group_left", "group_right"]
                .iter()
                .any(|modifier| word.eq_ignore_ascii_case(modifier));
            if !is_modifier {
                break;
            }
            end += 1;
            if is(end + 1, '(') {
                end = (end + 2..all.len()).find(|index| is(*index, ')')).unwrap_or(end);
            }
        }
        let end = all.get(end).map_or(text.len(), |token| token.range.end);
        out.push_str(text.get(copied..operator.range.end).unwrap_or_default());
        out.push_str(text.get(slash.range.end..end).unwrap_or_default());
        out.extend([" ", MARK, " "]);
        copied = end;
    }
    out.push_str(text.get(copied..).unwrap_or_default());
    out
}

/// The text that a text of the parser stands for.
pub(super) fn show(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut copied = 0;
    // Where the last comparison ends in the result.
    let mut operator = None;
    let mut is_in_braces = false;
    for Token { kind, range } in tokens(text) {
        if range.start < copied {
            continue;
        }
        match kind {
            Kind::Other('{') => is_in_braces = true,
            Kind::Other('}') => is_in_braces = false,
            Kind::Other('<' | '>') if !is_in_braces => operator = Some(out.len() + 1),
            Kind::Word if text.get(range.start..).is_some_and(|rest| rest.starts_with(MARK)) => {
                if let Some(end) = operator.take() {
                    out.insert(end, '/');
                    copied = range.start + MARK.len() + 1;
                    continue;
                }
            }
            _ => {}
        }
        out.push_str(text.get(range.clone()).unwrap_or_default());
        copied = range.end;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_becomes_a_comparison_with_a_mark_and_is_shown_again() {
        for (text, hidden) in [
            ("a </ 5", format!("a < {MARK}  5")),
            ("a >/ on (x, \"<\") group_left () b", format!("a > on (x, \"<\") group_left () {MARK}  b")),
            ("a{x=\"</\"} < 5 # </", "a{x=\"</\"} < 5 # </".to_owned()),
            ("a < / 5", "a < / 5".to_owned()),
        ] {
            assert_eq!(hide(text), hidden);
        }
        assert_eq!(show(&format!("a < on (x) {MARK} b > 5")), "a </ on (x) b > 5");
        assert_eq!(show("a > fill_left (1) b{x=\"<\"}"), "a > fill_left (1) b{x=\"<\"}");
    }
}
