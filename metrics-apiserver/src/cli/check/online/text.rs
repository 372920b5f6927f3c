//! Text of others in a report: names, labels and messages that anyone with a little access to the cluster may choose.

use std::fmt::Write as _;

/// What is shown of one text, in characters. The longest messages of kube-apiserver that a check quotes have a third.
const CHARS_MAX: usize = 1200;

/// The text on one line, as a terminal may show it.
pub(super) fn one_line(text: &str) -> String {
    escaped(&shortened(text.trim_end()), |_| false)
}

/// The text with its own lines.
pub(super) fn lines(text: &str) -> String {
    escaped(text.trim_end(), |character| character == '\n')
}

/// JSON without characters that a terminal would obey. They can only be in its strings.
pub(super) fn json(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_ascii() && character != '\u{7f}' || is_printable(character) {
            safe.push(character);
        } else {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                let _ = write!(safe, "\\u{unit:04x}");
            }
        }
    }
    safe
}

/// Without the middle if it is long: the name is at the beginning, and the reason at the end.
fn shortened(text: &str) -> String {
    let count = text.chars().count();
    if count <= CHARS_MAX {
        return text.to_owned();
    }
    let half = CHARS_MAX / 2;
    let (first, last) = (text.chars().take(half), text.chars().skip(count - half));
    first.chain(" … ".chars()).chain(last).collect()
}

/// With `\u{…}` for what is not printable: escape sequences, line breaks, and what changes the direction of text.
fn escaped(text: &str, is_kept: fn(char) -> bool) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        if is_kept(character) || is_printable(character) {
            safe.push(character);
        } else {
            safe.extend(character.escape_debug());
        }
    }
    safe
}

fn is_printable(character: char) -> bool {
    matches!(character, '"' | '\'' | '\\') || character.escape_debug().len() == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        for (text, expected) in [
            ("a \"b\" 'c' \\d é ≥ 東 …", "a \"b\" 'c' \\d é ≥ 東 …"),
            ("a\u{1b}[2Jb", "a\\u{1b}[2Jb"),
            ("a\nok       b: c", "a\\nok       b: c"),
            ("a\rb\tc\u{7}\u{7f}", "a\\rb\\tc\\u{7}\\u{7f}"),
            ("a\u{9b}31m\u{202e}b\u{2028}c", "a\\u{9b}31m\\u{202e}b\\u{2028}c"),
        ] {
            assert_eq!(one_line(text), expected);
        }
        assert_eq!(lines("a\n b\u{1b}\n"), "a\n b\\u{1b}");
    }

    #[test]
    fn a_long_text_keeps_its_beginning_and_its_end() {
        let text = format!("External {}: not answered", "é".repeat(100_000));
        let shown = one_line(&text);
        assert!(shown.starts_with("External éé") && shown.ends_with("éé: not answered"), "{shown}");
        assert_eq!(shown.chars().count(), CHARS_MAX + 3);
    }

    #[test]
    fn json_stays_the_same_value() {
        let value = serde_json::json!({"a": "\u{1b}\n\u{7f}\u{9b}\u{202e}é東\u{e0001}\"\\"});
        let safe = json(&value.to_string());
        assert!(safe.chars().all(is_printable), "{safe:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&safe).unwrap(), value);
    }
}
