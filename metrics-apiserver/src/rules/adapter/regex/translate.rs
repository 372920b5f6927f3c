//! From Go's syntax to that of the crate `regex`.

use super::class::{Escape, class, escape, write_char};
use super::error::RegexError;

/// Most repetitions that Go takes in `{n,m}`.
const MAX_REPEAT: u32 = 1000;
/// How deep groups may be nested; the crate's own limit.
const MAX_NESTING: usize = 200;

/// A translated expression.
pub(super) struct Translated {
    pub(super) regex: String,
    /// The names of its groups; the first is the whole match.
    pub(super) names: Vec<Option<Box<str>>>,
}

pub(super) fn translate(text: &str) -> Result<Translated, RegexError> {
    let mut translator = Translator {
        text,
        next: 0,
        out: String::new(),
        names: vec![None],
        open: Vec::new(),
        last: Last::Nothing,
    };
    while translator.next < text.len() {
        translator.piece()?;
    }
    if let Some(position) = translator.open.last() {
        return Err(RegexError::at(*position, "the group is not closed; add ')'"));
    }
    Ok(Translated { regex: translator.out, names: translator.names })
}

/// What was translated last, and so whether a repetition may follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    /// Nothing that can be repeated.
    Nothing,
    Something,
    Repetition,
}

struct Translator<'a> {
    text: &'a str,
    next: usize,
    out: String,
    names: Vec<Option<Box<str>>>,
    /// The positions of open groups.
    open: Vec<usize>,
    last: Last,
}

impl<'a> Translator<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.next..).unwrap_or_default()
    }

    fn literal(&mut self, character: char) {
        write_char(character, &mut self.out);
        self.last = Last::Something;
    }

    fn take(&mut self, bytes: usize, regex: &str) {
        self.next += bytes;
        self.out.push_str(regex);
        self.last = Last::Something;
    }

    fn piece(&mut self) -> Result<(), RegexError> {
        let rest = self.rest();
        match rest.chars().next().unwrap_or_default() {
            '(' if rest.starts_with("(?") => self.question(rest)?,
            '(' => {
                self.group(1, "(", Some(None))?;
            }
            ')' => {
                if self.open.pop().is_none() {
                    return Err(RegexError::at(self.next, "there is no '(' for this ')'"));
                }
                self.take(1, ")");
            }
            '|' => {
                self.take(1, "|");
                self.last = Last::Nothing;
            }
            '^' => self.take(1, "^"),
            '$' => self.take(1, "$"),
            '.' => self.take(1, "."),
            '[' => {
                let (class, next) = class(self.text, self.next)?;
                self.take(next - self.next, &class);
            }
            '*' | '+' | '?' => self.repetition(1)?,
            '{' => match braces(rest) {
                Some((length, least, most)) => {
                    let allowed = |number: Option<u32>| number.is_some_and(|number| number <= MAX_REPEAT);
                    let in_order = most.is_none_or(|most| least <= most);
                    if !allowed(least) || most.is_some_and(|most| !allowed(most)) || !in_order {
                        let repetition = rest.get(..length).unwrap_or_default();
                        let message = format!(
                            "{repetition} is not a repetition: at most {MAX_REPEAT}, the smaller number first"
                        );
                        return Err(RegexError::at(self.next, message));
                    }
                    self.repetition(length)?;
                }
                None => {
                    self.next += 1;
                    self.literal('{');
                }
            },
            '\\' => self.backslash(rest)?,
            character => {
                self.next += character.len_utf8();
                self.literal(character);
            }
        }
        Ok(())
    }

    /// A repetition of so many bytes, and the `?` that makes it lazy.
    fn repetition(&mut self, length: usize) -> Result<(), RegexError> {
        let lazy = self.rest().get(length..).is_some_and(|after| after.starts_with('?'));
        let length = length + usize::from(lazy);
        let operator = self.rest().get(..length).unwrap_or_default();
        match self.last {
            Last::Something => {}
            Last::Nothing => {
                let message = format!(
                    "there is nothing before {operator} to repeat; write \\{operator} for the character"
                );
                return Err(RegexError::at(self.next, message));
            }
            Last::Repetition => {
                let message = format!("{operator} cannot follow another repetition; put a group around that");
                return Err(RegexError::at(self.next, message));
            }
        }
        self.take(length, operator);
        self.last = Last::Repetition;
        Ok(())
    }

    /// Opens a group, which has a name or none if it captures.
    fn group(
        &mut self,
        length: usize,
        regex: &str,
        captures: Option<Option<&str>>,
    ) -> Result<(), RegexError> {
        if self.open.len() == MAX_NESTING {
            let message = format!("groups are nested more than {MAX_NESTING} levels deep");
            return Err(RegexError::at(self.next, message));
        }
        self.open.push(self.next);
        self.names.extend(captures.map(|name| name.map(Into::into)));
        self.take(length, regex);
        self.last = Last::Nothing;
        Ok(())
    }

    fn backslash(&mut self, rest: &str) -> Result<(), RegexError> {
        match rest.as_bytes().get(1) {
            Some(b'A') => self.take(2, "\\A"),
            Some(b'z') => self.take(2, "\\z"),
            Some(b'b') => self.take(2, "(?-u:\\b)"),
            Some(b'B') => self.take(2, "(?-u:\\B)"),
            Some(b'Z') => {
                return Err(RegexError::at(
                    self.next,
                    "Go's regular expressions have no \\Z; write \\z or $",
                ));
            }
            Some(b'C') => {
                return Err(RegexError::at(self.next, "\\C, a single byte, is not supported; write ."));
            }
            Some(b'Q') => {
                let quoted = rest.get(2..).unwrap_or_default();
                let (literal, length) = match quoted.split_once("\\E") {
                    Some((literal, _)) => (literal, literal.len() + 4),
                    None => (quoted, quoted.len() + 2),
                };
                literal.chars().for_each(|character| self.literal(character));
                self.next += length;
            }
            _ => {
                let (escape, next) = escape(self.text, self.next)?;
                self.next = next;
                match escape {
                    Escape::Char(character) => self.literal(character),
                    Escape::Class(class) => self.take(0, &class),
                }
            }
        }
        Ok(())
    }

    /// `(?P<name>…)`, `(?<name>…)`, `(?flags)` and `(?flags:…)`.
    fn question(&mut self, rest: &str) -> Result<(), RegexError> {
        for look in ["(?=", "(?!", "(?<=", "(?<!"] {
            if rest.starts_with(look) {
                let message = format!("Go's regular expressions have no look-around such as {look}…)");
                return Err(RegexError::at(self.next, message));
            }
        }
        let named = ["(?P<", "(?<"].into_iter().find_map(|open| Some((open, rest.strip_prefix(open)?)));
        if let Some((open, after)) = named {
            let name = after.split_once('>').map(|(name, _)| name);
            let is_name = |name: &&str| {
                !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            };
            let name = name.filter(is_name).ok_or_else(|| {
                RegexError::at(
                    self.next,
                    format!("expected a name of letters, digits and _ after {open}, and then >"),
                )
            })?;
            // The crate's names begin with a letter and occur once: it gets none.
            return self.group(open.len() + name.len() + 1, "(", Some(Some(name)));
        }
        let Some((length, flags)) = flags(rest) else {
            return Err(RegexError::at(self.next, "expected flags of i, m, s and U, or ':', after (?"));
        };
        if rest.get(..length).is_some_and(|group| group.ends_with(':')) {
            return self.group(length, &format!("(?{flags}:"), None);
        }
        let last = self.last;
        if flags.is_empty() {
            self.next += length;
        } else {
            self.take(length, &format!("(?{flags})"));
        }
        // Nothing can be repeated right after flags in the crate's syntax.
        self.last = if flags.is_empty() && last == Last::Something { last } else { Last::Nothing };
        Ok(())
    }
}

/// A repetition in braces: its length, its least number, and its most number if it has one. A number is none if it
/// does not fit. Anything that Go takes for a literal brace is none.
fn braces(rest: &str) -> Option<(usize, Option<u32>, Option<Option<u32>>)> {
    let length = rest.find('}')? + 1;
    let inside = rest.get(1..length - 1)?;
    let (least, most) = match inside.split_once(',') {
        Some((least, "")) => (least, None),
        Some((least, most)) => (least, Some(most)),
        None => (inside, Some(inside)),
    };
    let is_number = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|byte| byte.is_ascii_digit())
            && (text.len() == 1 || !text.starts_with('0'))
    };
    let valid = is_number(least) && most.is_none_or(is_number);
    valid.then(|| (length, least.parse().ok(), most.map(|most| most.parse().ok())))
}

/// The flags of `(?flags)` or `(?flags:`: the length up to the end, and the flags that differ from none, each once.
fn flags(rest: &str) -> Option<(usize, String)> {
    let (mut set, mut cleared) = (String::new(), String::new());
    let mut is_clearing = false;
    let mut since_sign = false;
    for (at, character) in rest.char_indices().skip(2) {
        match character {
            'i' | 'm' | 's' | 'U' => {
                set.retain(|flag| flag != character);
                cleared.retain(|flag| flag != character);
                if is_clearing { &mut cleared } else { &mut set }.push(character);
                since_sign = true;
            }
            '-' if !is_clearing => {
                is_clearing = true;
                since_sign = false;
            }
            ':' | ')' if !is_clearing || since_sign => {
                let sign = if cleared.is_empty() { "" } else { "-" };
                return Some((at + 1, format!("{set}{sign}{cleared}")));
            }
            _ => return None,
        }
    }
    None
}
