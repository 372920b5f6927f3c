//! Checks a query before the PromQL parser sees it.
//!
//! The syntax tree is walked, compared and freed by recursion, and a stack overflow ends the process; `catch_unwind`
//! does not help. So the text is scanned first, and the brackets and operators that can make a tree deep are counted,
//! whatever their order.

use std::ops::Range;

use super::error::PromqlError;
use super::lex::is_word;
use crate::rules::matcher::write_quoted;

/// Longest query, in bytes: about a hundred times a usual one.
const MAX_QUERY: usize = 16 * 1024;
/// Most brackets and operators outside a selector's braces, and so the greatest depth of a tree. The largest query of
/// common rule collections has about fifty.
const MAX_STEPS: usize = 400;
/// The letters of a duration's units.
const UNITS: &[u8] = b"ywdhms";

/// Checks the length and the complexity of a query, and literals that the parser would misread. Returns the query with
/// raw strings written as quoted ones, because the parser looks for escapes in them: `` `\d` `` is valid, and `` `\` ``
/// is complete.
pub(super) fn check(query: &str) -> Result<String, PromqlError> {
    if query.len() > MAX_QUERY {
        let message = format!("the query has {} bytes; at most {MAX_QUERY} are allowed", query.len());
        return Err(PromqlError::at(MAX_QUERY, message));
    }
    let mut scanner = Scanner::new(query);
    scanner.run()?;
    scanner.out.push_str(query.get(scanner.copied..).unwrap_or_default());
    Ok(scanner.out)
}

/// Where a function is called in a query that passed [`check`].
pub(super) fn calls(query: &str, function: &str) -> Vec<usize> {
    let mut scanner = Scanner::new(query);
    // The query passed the check.
    let _ = scanner.run();
    scanner
        .calls
        .into_iter()
        .filter(|call| query.get(call.clone()) == Some(function))
        .map(|call| call.start)
        .collect()
}

struct Scanner<'a> {
    query: &'a str,
    next: usize,
    steps: usize,
    in_braces: bool,
    in_brackets: bool,
    /// The result, up to the byte `copied` of the query.
    out: String,
    copied: usize,
    /// The words followed by an opening bracket.
    calls: Vec<Range<usize>>,
}

impl<'a> Scanner<'a> {
    fn new(query: &'a str) -> Self {
        Self {
            query,
            next: 0,
            steps: 0,
            in_braces: false,
            in_brackets: false,
            out: String::new(),
            copied: 0,
            calls: Vec::new(),
        }
    }

    fn run(&mut self) -> Result<(), PromqlError> {
        while let Some((position, character)) = self.take() {
            match character {
                '`' => self.raw_string(position)?,
                '"' | '\'' => self.string(position, character)?,
                '#' => self.skip(|c| c != '\n' && c != '\r'),
                '{' => self.in_braces = true,
                '}' => self.in_braces = false,
                '$' => return Err(PromqlError::at(position, STRAY_PARAMETER.to_owned())),
                _ if self.in_braces => {}
                '[' => {
                    self.in_brackets = true;
                    self.step(position)?;
                }
                ']' => self.in_brackets = false,
                '(' | '+' | '-' | '*' | '/' | '%' | '^' | '=' | '!' | '<' | '>' | '@' => {
                    self.step(position)?;
                }
                // Between two durations; elsewhere a name can start with it.
                ':' if self.in_brackets => {}
                c if c.is_ascii_digit() || c == '.' => self.number(position)?,
                c if is_word(c) => self.word(position)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn take(&mut self) -> Option<(usize, char)> {
        let position = self.next;
        let character = self.query.get(position..)?.chars().next()?;
        self.next += character.len_utf8();
        Some((position, character))
    }

    fn skip(&mut self, wanted: impl Fn(char) -> bool) {
        let rest = self.query.get(self.next..).unwrap_or_default();
        self.next += rest.find(|c| !wanted(c)).unwrap_or(rest.len());
    }

    fn step(&mut self, position: usize) -> Result<(), PromqlError> {
        self.steps += 1;
        if self.steps <= MAX_STEPS {
            return Ok(());
        }
        let message = format!(
            "the query has more than {MAX_STEPS} brackets and operators; split it with recording rules"
        );
        Err(PromqlError::at(position, message))
    }

    /// A number or a duration. The parser ignores a part of a duration that does not fit into 32 bits, and reads a
    /// number as infinite that Prometheus refuses.
    fn number(&mut self, start: usize) -> Result<(), PromqlError> {
        self.skip(|c| c.is_ascii_alphanumeric() || c == '.');
        let literal = self.query.get(start..self.next).unwrap_or_default();
        let is_duration = literal.bytes().all(|b| b.is_ascii_digit() || UNITS.contains(&b));
        let mut parts = literal.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty());
        let misread = parts.find(|part| part.parse::<u32>().is_err());
        if let (true, Some(part)) = (is_duration && literal.ends_with(|c: char| !c.is_ascii_digit()), misread)
        {
            let after = literal.split_once(part).map_or("", |(_, after)| after);
            let unit: String = after.chars().take_while(|c| !c.is_ascii_digit()).collect();
            let message = format!(
                "each part of a duration is at most {}; write {part}{unit} in larger units",
                u32::MAX
            );
            return Err(PromqlError::at(start, message));
        }
        let written = self.with_exponent(start);
        if written.parse::<f64>().is_ok_and(f64::is_infinite) {
            let message = "the number is too large; the largest is 1.7e308, write Inf for infinity";
            return Err(PromqlError::at(start, message.to_owned()));
        }
        Ok(())
    }

    /// The number that starts at `start`, with an exponent that has a sign.
    fn with_exponent(&self, start: usize) -> &'a str {
        let number = self.query.get(start..self.next).unwrap_or_default();
        let rest = self.query.get(self.next..).unwrap_or_default();
        let is_hex = number.starts_with("0x") || number.starts_with("0X");
        match rest.strip_prefix(['+', '-']) {
            Some(exponent) if number.ends_with(['e', 'E']) && !is_hex => {
                let digits = exponent.find(|c: char| !c.is_ascii_digit()).unwrap_or(exponent.len());
                self.query.get(start..self.next + 1 + digits).unwrap_or_default()
            }
            _ => number,
        }
    }

    fn word(&mut self, start: usize) -> Result<(), PromqlError> {
        self.skip(is_word);
        let word = self.query.get(start..self.next).unwrap_or_default();
        if self.is_call() {
            self.calls.push(start..self.next);
        }
        let is_operator = ["and", "or", "unless", "atan2"].iter().any(|name| word.eq_ignore_ascii_case(name));
        if is_operator { self.step(start) } else { Ok(()) }
    }

    /// Whether a bracket opens next, after blanks and comments.
    fn is_call(&self) -> bool {
        let mut rest = self.query.get(self.next..).unwrap_or_default().trim_start();
        while rest.starts_with('#') {
            rest = rest.trim_start_matches(|c| c != '\n' && c != '\r').trim_start();
        }
        rest.starts_with('(')
    }

    fn string(&mut self, start: usize, quote: char) -> Result<(), PromqlError> {
        while let Some((position, character)) = self.take() {
            match character {
                c if c == quote => return Ok(()),
                '\\' => {
                    self.byte_escape(position)?;
                    self.take();
                }
                _ => {}
            }
        }
        Err(not_closed(start))
    }

    fn raw_string(&mut self, start: usize) -> Result<(), PromqlError> {
        let rest = self.query.get(self.next..).unwrap_or_default();
        let (raw, _) = rest.split_once('`').ok_or_else(|| not_closed(start))?;
        self.out.push_str(self.query.get(self.copied..start).unwrap_or_default());
        write_quoted(raw, &mut self.out);
        self.next += raw.len() + 1;
        self.copied = self.next;
        Ok(())
    }

    /// `"\xff"` is a byte to Prometheus and the character U+00FF to the parser, so it is refused.
    fn byte_escape(&self, position: usize) -> Result<(), PromqlError> {
        let escape = self.query.as_bytes().get(self.next..).unwrap_or_default();
        let not_ascii =
            matches!(escape, [b'x', b'8' | b'9' | b'a'..=b'f' | b'A'..=b'F', ..] | [b'2' | b'3', ..]);
        if !not_ascii {
            return Ok(());
        }
        let message = "escapes of bytes above \\x7f are not supported; write the character itself".to_owned();
        Err(PromqlError::at(position, message))
    }
}

fn not_closed(start: usize) -> PromqlError {
    PromqlError::at(start, "the string that starts here is not closed".to_owned())
}

/// The message about a `$` where no parameter can be.
pub(super) const STRAY_PARAMETER: &str =
    "a parameter can only stand in the value of a matcher, in quotes: {app=\"$app\"}";
