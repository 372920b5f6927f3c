//! Prints values as Go's package `fmt` does: the operands of `print` and the verbs of `printf`.

use super::super::quote::{escape, is_printable, quote};
use super::fields::Fields;
use super::flags::{Flags, MAX_OUTPUT};
use super::float;
use super::value::Value;

/// Text that grows up to a limit.
#[derive(Debug, Default)]
pub(super) struct Printer {
    out: Vec<u8>,
    is_full: bool,
    pub(super) flags: Flags,
}

impl Printer {
    /// The text; none if it became too long.
    pub(super) fn finish(self) -> Option<Vec<u8>> {
        (!self.is_full).then_some(self.out)
    }

    /// Whether the text became too long: nothing is printed any more.
    pub(super) fn is_full(&self) -> bool {
        self.is_full
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        if self.out.len() + bytes.len() > MAX_OUTPUT {
            self.is_full = true;
        } else {
            self.out.extend_from_slice(bytes);
        }
    }

    pub(super) fn push_str(&mut self, text: &str) {
        self.push(text.as_bytes());
    }

    fn push_padding(&mut self, count: usize) {
        let zero = self.flags.zero && !self.flags.minus;
        if self.out.len() + count > MAX_OUTPUT {
            self.is_full = true;
        } else {
            self.out.resize(self.out.len() + count, if zero { b'0' } else { b' ' });
        }
    }

    /// Text, filled up to the width.
    pub(super) fn pad(&mut self, text: &[u8]) {
        let length: usize = text.utf8_chunks().map(|c| c.valid().chars().count() + c.invalid().len()).sum();
        let missing = self.flags.width.unwrap_or(0).saturating_sub(length);
        if self.flags.minus {
            self.push(text);
            self.push_padding(missing);
        } else {
            self.push_padding(missing);
            self.push(text);
        }
    }

    fn pad_with_spaces(&mut self, text: &[u8]) {
        let zero = std::mem::replace(&mut self.flags.zero, false);
        self.pad(text);
        self.flags.zero = zero;
    }

    /// Operands of `print`: a space between two that are no strings.
    pub(super) fn print(&mut self, values: &[Value<'_>]) {
        let mut before: Option<&Value<'_>> = None;
        for value in values {
            let is_text = |value: &Value<'_>| value.text().is_some();
            if before.is_some_and(|before| !is_text(before) && !is_text(value)) {
                self.push(b" ");
            }
            self.value(value, 'v');
            before = Some(value);
        }
    }

    /// Operands of `println`: a space between any two.
    pub(super) fn println(&mut self, values: &[Value<'_>]) {
        for (index, value) in values.iter().enumerate() {
            if index > 0 {
                self.push(b" ");
            }
            self.value(value, 'v');
        }
        self.push(b"\n");
    }

    /// One operand.
    pub(super) fn value(&mut self, value: &Value<'_>, verb: char) {
        if verb == 'T' {
            match value {
                Value::Nil => self.pad(b"<nil>"),
                value => self.text(value.type_name().as_bytes(), 's', value),
            }
            return;
        }
        match value {
            Value::Nil if verb == 'v' => self.pad(b"<nil>"),
            Value::Bool(truth) if matches!(verb, 't' | 'v') => self.pad(truth.to_string().as_bytes()),
            Value::Int(number) => self.integer(number.unsigned_abs(), *number < 0, verb, value),
            Value::Byte(number) => self.integer((*number).into(), false, verb, value),
            Value::Float(number) => match float::digits(*number, verb, &self.flags) {
                Some(digits) => self.float(digits),
                None => self.bad_verb(value, verb),
            },
            Value::Text(text) => self.text(text.bytes(), verb, value),
            Value::List(..) if verb != 'p' => self.list(value, verb),
            Value::Map(_) if verb != 'p' => self.map(value, verb),
            Value::Fields(fields) if verb != 'p' => self.fields(fields, verb, false),
            _ => self.bad_verb(value, verb),
        }
    }

    /// What Go prints for a verb that does not suit the value.
    fn bad_verb(&mut self, value: &Value<'_>, verb: char) {
        self.push_str(&format!("%!{verb}("));
        match value {
            Value::Nil => self.push_str("<nil>"),
            Value::Fields(fields) => {
                self.push_str(value.type_name());
                self.push(b"=");
                self.fields(fields, 'v', true);
            }
            _ => {
                self.push_str(value.type_name());
                self.push(b"=");
                self.value(value, 'v');
            }
        }
        self.push(b")");
    }

    fn text(&mut self, text: &[u8], verb: char, value: &Value<'_>) {
        match verb {
            'v' if self.flags.syntax => self.quoted(text),
            'v' | 's' => {
                let text = self.truncated(text);
                self.pad(text);
            }
            'q' => self.quoted(text),
            'x' | 'X' => self.hexadecimal(text, verb),
            _ => self.bad_verb(value, verb),
        }
    }

    /// The text up to as many characters as the precision says.
    fn truncated<'t>(&self, text: &'t [u8]) -> &'t [u8] {
        let Some(precision) = self.flags.precision else { return text };
        let mut ends = text.utf8_chunks().flat_map(|chunk| {
            let valid = chunk.valid().chars().map(char::len_utf8);
            valid.chain(chunk.invalid().iter().map(|_| 1))
        });
        let length = ends.by_ref().take(precision).sum();
        text.get(..length).unwrap_or(text)
    }

    fn quoted(&mut self, text: &[u8]) {
        let text = self.truncated(text);
        let can_backquote = |text: &&str| {
            text.chars().all(|c| c == '\t' || !(c.is_ascii_control() || matches!(c, '`' | '\u{feff}')))
        };
        let mut out = Vec::new();
        match str::from_utf8(text).ok().filter(can_backquote) {
            Some(plain) if self.flags.sharp => out.extend(format!("`{plain}`").bytes()),
            _ => quote(text, self.flags.plus, &mut out),
        }
        self.pad(&out);
    }

    fn hexadecimal(&mut self, text: &[u8], verb: char) {
        let length = self.flags.precision.map_or(text.len(), |precision| precision.min(text.len()));
        let (spaces, prefix) = (self.flags.space, if verb == 'x' { "0x" } else { "0X" });
        let mut out = String::new();
        for (index, byte) in text.iter().take(length).enumerate() {
            if spaces && index > 0 {
                out.push(' ');
            }
            if self.flags.sharp && (spaces || index == 0) {
                out.push_str(prefix);
            }
            out.push_str(&if verb == 'x' { format!("{byte:02x}") } else { format!("{byte:02X}") });
        }
        self.pad(out.as_bytes());
    }

    fn integer(&mut self, number: u64, is_negative: bool, verb: char, value: &Value<'_>) {
        let is_byte = matches!(value, Value::Byte(_));
        let digits = match verb {
            'v' if self.flags.syntax && is_byte => {
                let sharp = std::mem::replace(&mut self.flags.sharp, true);
                self.digits(format!("{number:x}"), is_negative, 'x');
                self.flags.sharp = sharp;
                return;
            }
            'v' | 'd' => number.to_string(),
            'b' => format!("{number:b}"),
            'o' | 'O' => format!("{number:o}"),
            'x' => format!("{number:x}"),
            'X' => format!("{number:X}"),
            'c' | 'q' => return self.character(number, is_negative, verb),
            'U' => return self.code_point(number, is_negative),
            _ => return self.bad_verb(value, verb),
        };
        self.digits(digits, is_negative, verb);
    }

    fn digits(&mut self, mut digits: String, is_negative: bool, verb: char) {
        let flags = self.flags;
        let has_sign = is_negative || flags.plus || flags.space;
        let wanted = match (flags.precision, flags.width) {
            (Some(0), _) if digits == "0" => {
                return self.pad_with_spaces(b"");
            }
            (Some(precision), _) => precision,
            (None, Some(width)) if flags.zero && !flags.minus => width.saturating_sub(usize::from(has_sign)),
            _ => 0,
        };
        if wanted > MAX_OUTPUT {
            self.is_full = true;
            return;
        }
        digits.insert_str(0, &"0".repeat(wanted.saturating_sub(digits.len())));
        match verb {
            'b' if flags.sharp => digits.insert_str(0, "0b"),
            'o' | 'O' if flags.sharp && !digits.starts_with('0') => digits.insert(0, '0'),
            'x' if flags.sharp => digits.insert_str(0, "0x"),
            'X' if flags.sharp => digits.insert_str(0, "0X"),
            _ => {}
        }
        if verb == 'O' {
            digits.insert_str(0, "0o");
        }
        if has_sign {
            digits.insert(
                0,
                if is_negative {
                    '-'
                } else if flags.plus {
                    '+'
                } else {
                    ' '
                },
            );
        }
        self.pad_with_spaces(digits.as_bytes());
    }

    fn character(&mut self, number: u64, is_negative: bool, verb: char) {
        let valid = u32::try_from(number).ok().filter(|_| !is_negative).and_then(char::from_u32);
        let character = valid.unwrap_or(char::REPLACEMENT_CHARACTER);
        let mut out = Vec::new();
        if verb == 'c' {
            out.extend(character.encode_utf8(&mut [0; 4]).bytes());
        } else {
            out.push(b'\'');
            escape(character, '\'', self.flags.plus, &mut out);
            out.push(b'\'');
        }
        self.pad(&out);
    }

    fn code_point(&mut self, number: u64, is_negative: bool) {
        let number = if is_negative { number.wrapping_neg() } else { number };
        let width = self.flags.precision.unwrap_or(4).clamp(4, MAX_OUTPUT);
        let mut text = format!("U+{number:0width$X}");
        let character = u32::try_from(number).ok().and_then(char::from_u32);
        if let Some(character) = character.filter(|c| self.flags.sharp && is_printable(*c)) {
            text.push_str(&format!(" '{character}'"));
        }
        self.pad_with_spaces(text.as_bytes());
    }

    /// A number that has been made digits, with its sign.
    fn float(&mut self, mut digits: String) {
        let flags = self.flags;
        if flags.space && !flags.plus && digits.starts_with('+') {
            digits.replace_range(..1, " ");
        }
        if digits.ends_with("Inf") || digits.ends_with("NaN") {
            let without = !flags.space && !flags.plus && !digits.starts_with('-');
            self.pad_with_spaces(digits.get(usize::from(without)..).unwrap_or_default().as_bytes());
            return;
        }
        if !flags.plus && digits.starts_with('+') {
            self.pad(digits.get(1..).unwrap_or_default().as_bytes());
            return;
        }
        let width = flags.width.unwrap_or(0);
        if flags.zero && !flags.minus && width > digits.len() {
            // The sign goes before the zeros.
            let (sign, number) = digits.split_at(1);
            self.push_str(sign);
            self.push_padding(width - digits.len());
            self.push_str(number);
            return;
        }
        self.pad(digits.as_bytes());
    }

    fn list(&mut self, value: &Value<'_>, verb: char) {
        let (open, separator, close) =
            if self.flags.syntax { ("[]string{", ", ", "}") } else { ("[", " ", "]") };
        self.push_str(open);
        for (index, element) in value.elements().iter().enumerate() {
            if index > 0 {
                self.push_str(separator);
            }
            self.value(&Value::given(element), verb);
        }
        self.push_str(close);
    }

    fn map(&mut self, value: &Value<'_>, verb: char) {
        let Value::Map(map) = value else { return };
        let (open, separator, close) =
            if self.flags.syntax { ("map[string]string{", ", ", "}") } else { ("map[", " ", "]") };
        self.push_str(open);
        for (index, (key, value)) in map.iter().enumerate() {
            if index > 0 {
                self.push_str(separator);
            }
            self.value(&Value::given(key), verb);
            self.push(b":");
            self.value(&Value::given(value), verb);
        }
        self.push_str(close);
    }

    /// The data as a whole. A group and resource have a text form of their own in Go, unless its Go syntax is asked
    /// for or something is wrong.
    fn fields(&mut self, fields: &Fields, verb: char, is_wrong: bool) {
        let whole = Value::Fields(fields);
        let parts = match fields {
            Fields::Query(query) => vec![
                ("Series", Value::given(&query.series)),
                ("LabelMatchers", Value::given(&query.label_matchers)),
                ("LabelValuesByName", Value::Map(&query.label_values_by_name)),
                ("GroupBy", Value::given(&query.group_by)),
                ("GroupBySlice", Value::List(&query.group_by_slice, query.group_by_slice.len())),
            ],
            Fields::Label(label) => {
                if !is_wrong && !self.flags.syntax && matches!(verb, 'v' | 's' | 'q' | 'x' | 'X') {
                    return self.text(label.printed().as_bytes(), verb, &whole);
                }
                vec![("Group", Value::given(&label.group)), ("Resource", Value::given(&label.resource))]
            }
        };
        if self.flags.syntax {
            self.push_str(whole.type_name());
        }
        self.push(b"{");
        for (index, (name, part)) in parts.iter().enumerate() {
            if index > 0 {
                self.push_str(if self.flags.syntax { ", " } else { " " });
            }
            if self.flags.syntax || self.flags.names {
                self.push_str(name);
                self.push(b":");
            }
            self.value(part, verb);
        }
        self.push(b"}");
    }
}
