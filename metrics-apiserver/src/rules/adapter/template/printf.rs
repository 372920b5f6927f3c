//! `printf`: Go's format strings.

use super::flags::Flags;
use super::format::Printer;
use super::value::Value;

/// Largest width, precision and index that Go takes.
const MAX_NUMBER: usize = 1_000_000;

/// Prints `values` by a format. Like Go it never fails, and writes what is wrong into the text; `None` if that is too
/// long.
pub(super) fn printf(format: &[u8], values: &[Value<'_>]) -> Option<Vec<u8>> {
    let mut verbs = Verbs { format, at: 0, values, next: 0, reordered: false, good_index: true };
    let mut printer = Printer::default();
    while !printer.is_full() && verbs.at < format.len() {
        let rest = &format[verbs.at..];
        let plain = rest.iter().position(|byte| *byte == b'%').unwrap_or(rest.len());
        printer.push(&rest[..plain]);
        verbs.at += plain + 1;
        if plain < rest.len() {
            verbs.verb(&mut printer);
        }
    }
    if !verbs.reordered && verbs.next < values.len() {
        printer.flags = Flags::default();
        printer.push_str("%!(EXTRA ");
        for (index, value) in values.iter().skip(verbs.next).enumerate() {
            if index > 0 {
                printer.push_str(", ");
            }
            match value {
                Value::Nil => printer.push_str("<nil>"),
                value => {
                    printer.push_str(value.type_name());
                    printer.push(b"=");
                    printer.value(value, 'v');
                }
            }
        }
        printer.push(b")");
    }
    printer.finish()
}

struct Verbs<'f, 'v> {
    format: &'f [u8],
    at: usize,
    values: &'f [Value<'v>],
    /// The operand of the next verb.
    next: usize,
    /// Whether an index was given, so that operands may be left over.
    reordered: bool,
    good_index: bool,
}

impl Verbs<'_, '_> {
    fn peek(&self) -> Option<u8> {
        self.format.get(self.at).copied()
    }

    /// One verb, after its `%`.
    fn verb(&mut self, printer: &mut Printer) {
        self.good_index = true;
        printer.flags = self.flags();
        let mut after_index = self.index();
        if self.peek() == Some(b'*') {
            self.at += 1;
            let width = self.operand();
            if width.is_none() {
                printer.push_str("%!(BADWIDTH)");
            }
            if width.is_some_and(i64::is_negative) {
                printer.flags.minus = true;
                printer.flags.zero = false;
            }
            printer.flags.width = width.and_then(|width| usize::try_from(width.unsigned_abs()).ok());
            after_index = false;
        } else {
            printer.flags.width = self.number();
            if after_index && printer.flags.width.is_some() {
                self.good_index = false;
            }
        }
        if self.peek() == Some(b'.') && self.at + 1 < self.format.len() {
            self.at += 1;
            if after_index {
                self.good_index = false;
            }
            after_index = self.index();
            if self.peek() == Some(b'*') {
                self.at += 1;
                let precision = self.operand().filter(|precision| *precision >= 0);
                printer.flags.precision = precision.and_then(|precision| usize::try_from(precision).ok());
                if precision.is_none() {
                    printer.push_str("%!(BADPREC)");
                }
                after_index = false;
            } else {
                printer.flags.precision = Some(self.number().unwrap_or(0));
            }
        }
        if !after_index {
            self.index();
        }
        self.print(printer);
    }

    fn print(&mut self, printer: &mut Printer) {
        let rest = self.format.get(self.at..).unwrap_or_default();
        let Some(chunk) = rest.utf8_chunks().next() else {
            printer.push_str("%!(NOVERB)");
            return;
        };
        let verb = chunk.valid().chars().next();
        self.at += verb.map_or(1, char::len_utf8);
        let verb = verb.unwrap_or(char::REPLACEMENT_CHARACTER);
        if verb == '%' {
            printer.push(b"%");
        } else if !self.good_index {
            printer.push_str(&format!("%!{verb}(BADINDEX)"));
        } else if let Some(value) = self.values.get(self.next) {
            self.next += 1;
            if matches!(verb, 'v' | 'w') {
                let flags = &mut printer.flags;
                flags.syntax = std::mem::take(&mut flags.sharp);
                flags.names = std::mem::take(&mut flags.plus);
            }
            printer.value(value, verb);
        } else {
            printer.push_str(&format!("%!{verb}(MISSING)"));
        }
    }

    fn flags(&mut self) -> Flags {
        let mut flags = Flags::default();
        loop {
            match self.peek() {
                Some(b'#') => flags.sharp = true,
                Some(b'0') => flags.zero = true,
                Some(b'+') => flags.plus = true,
                Some(b'-') => flags.minus = true,
                Some(b' ') => flags.space = true,
                _ => return flags,
            }
            self.at += 1;
        }
    }

    /// A number; none if there is none, or if it is too large, which ends the format.
    fn number(&mut self) -> Option<usize> {
        let mut number = None;
        while let Some(digit) = self.peek().filter(u8::is_ascii_digit) {
            let value = number.unwrap_or(0);
            if value > MAX_NUMBER {
                self.at = self.format.len();
                return None;
            }
            number = Some(value * 10 + usize::from(digit - b'0'));
            self.at += 1;
        }
        number
    }

    /// The operand of a `*`, if it is a number of a sensible size.
    fn operand(&mut self) -> Option<i64> {
        let value = self.values.get(self.next)?;
        self.next += 1;
        let number = match value {
            Value::Int(number) => *number,
            Value::Byte(number) => (*number).into(),
            _ => return None,
        };
        usize::try_from(number.unsigned_abs()).is_ok_and(|size| size <= MAX_NUMBER).then_some(number)
    }

    /// An index such as `[2]`. Returns whether there is one.
    fn index(&mut self) -> bool {
        if self.peek() != Some(b'[') {
            return false;
        }
        self.reordered = true;
        let rest = self.format.get(self.at..).unwrap_or_default();
        let Some(end) = rest.iter().position(|byte| *byte == b']') else {
            self.good_index = false;
            self.at += 1;
            return false;
        };
        let digits = rest.get(1..end).and_then(|digits| str::from_utf8(digits).ok()).unwrap_or_default();
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let number = digits.parse::<usize>().ok().filter(|number| is_number && *number <= MAX_NUMBER * 10);
        self.at += end + 1;
        match number.and_then(|number| number.checked_sub(1)) {
            Some(index) if index < self.values.len() => {
                self.next = index;
                true
            }
            _ => {
                self.good_index = false;
                // Go takes a number out of range for an index, and anything else for none.
                number.is_some()
            }
        }
    }
}
