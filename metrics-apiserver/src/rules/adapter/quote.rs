//! Go's quoted strings: what `%q` and `strconv.Quote` write.

/// Appends a string in double quotes. Bytes that are not UTF-8 are written as `\x..`.
pub(super) fn quote(text: &[u8], ascii_only: bool, out: &mut Vec<u8>) {
    out.push(b'"');
    for chunk in text.utf8_chunks() {
        for character in chunk.valid().chars() {
            escape(character, '"', ascii_only, out);
        }
        for byte in chunk.invalid() {
            out.extend(format!("\\x{byte:02x}").bytes());
        }
    }
    out.push(b'"');
}

/// A string in double quotes.
pub fn quoted(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len() + 2);
    quote(text.as_bytes(), false, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// Appends a character, escaped if it is not printable or the quotation mark.
pub(super) fn escape(character: char, mark: char, ascii_only: bool, out: &mut Vec<u8>) {
    if character == mark || character == '\\' {
        out.push(b'\\');
        out.extend(character.encode_utf8(&mut [0; 4]).bytes());
        return;
    }
    if is_printable(character) && !(ascii_only && !character.is_ascii()) {
        out.extend(character.encode_utf8(&mut [0; 4]).bytes());
        return;
    }
    let escaped = match character {
        '\u{7}' => "\\a".to_owned(),
        '\u{8}' => "\\b".to_owned(),
        '\u{c}' => "\\f".to_owned(),
        '\n' => "\\n".to_owned(),
        '\r' => "\\r".to_owned(),
        '\t' => "\\t".to_owned(),
        '\u{b}' => "\\v".to_owned(),
        c if c.is_ascii_control() => format!("\\x{:02x}", u32::from(c)),
        c if u32::from(c) < 0x1_0000 => format!("\\u{:04x}", u32::from(c)),
        c => format!("\\U{:08x}", u32::from(c)),
    };
    out.extend(escaped.bytes());
}

/// Go's `unicode.IsPrint`: letters, marks, numbers, punctuation, symbols and the ASCII space.
pub(super) fn is_printable(character: char) -> bool {
    if character.is_ascii() {
        return character == ' ' || character.is_ascii_graphic();
    }
    // `char::escape_debug` escapes marks, too; in a string that does not begin with the mark it does not.
    let text = ['a', character].iter().collect::<String>();
    text.escape_debug().nth(1) == Some(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_is_quoted_as_go_quotes_it() {
        for (text, expected) in [
            ("", r#""""#),
            ("a b", r#""a b""#),
            ("a\"b\\c'", r#""a\"b\\c'""#),
            ("\u{0}\u{7}\u{8}\u{c}\n\r\t\u{b}\u{1b}\u{7f}", r#""\x00\a\b\f\n\r\t\v\x1b\x7f""#),
            ("é日\u{301}\u{a0}\u{ad}\u{feff}\u{fffd}", "\"é日\u{301}\\u00a0\\u00ad\\ufeff\u{fffd}\""),
            ("\u{1f600}\u{e0001}", "\"\u{1f600}\\U000e0001\""),
        ] {
            assert_eq!(quoted(text), expected);
        }
    }

    #[test]
    fn bytes_that_are_not_utf8_are_escaped() {
        let mut out = Vec::new();
        quote(b"a\xff\xc3(\xe2\x82", false, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), r#""a\xff\xc3(\xe2\x82""#);
        let mut out = Vec::new();
        quote("é\u{1f600}".as_bytes(), true, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), r#""\u00e9\U0001f600""#);
    }
}
