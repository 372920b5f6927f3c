//! Where in the file a character of a string stands, however YAML writes the string.

use std::iter::Peekable;
use std::str::Chars;

use super::problem::{Place, Problem};
use super::section::Field;
use super::yaml::Value;

/// A problem at a position in a string, if the position is known.
pub(super) fn in_text(field: &Field<'_>, source: &str, message: String, position: Option<usize>) -> Problem {
    let problem = field.problem(message);
    let place = match &field.node.value {
        Value::Text(text) => position.and_then(|position| locate(source, field.node.place, text, position)),
        _ => None,
    };
    Problem { place: place.or(problem.place), ..problem }
}

/// The place in the file of the byte `offset` of a text that begins at `place`.
///
/// Text and file are read side by side. They may differ in white space, as in block scalars and in strings over several
/// lines, and in the escapes of quoted strings. None if they differ otherwise before the offset, as for an alias, so
/// that a wrong place is never shown.
pub(super) fn locate(source: &str, place: Place, text: &str, offset: usize) -> Option<Place> {
    // Behind the text is the end of its last line.
    let before = text.get(..offset.min(text.trim_end().len()))?;
    let written = Written::at(source, place)?;
    let quoted = written.clone().quoted();
    let reads = match quoted {
        Some((quote, quoted)) if !text.starts_with(quote) => [Some(quoted), None],
        // A block scalar may begin with a quote as well.
        quoted => [Some(written), quoted.map(|(_, quoted)| quoted)],
    };
    reads.into_iter().flatten().find_map(|written| written.behind(before))
}

/// What is left of a file, and the place where it begins.
#[derive(Clone)]
struct Written<'a> {
    rest: Peekable<Chars<'a>>,
    place: Place,
    /// The quote that the string is in.
    quote: Option<char>,
}

impl<'a> Written<'a> {
    fn at(source: &'a str, place: Place) -> Option<Self> {
        let mut rest = source;
        for _ in 1..place.line {
            let (_, behind) = rest.split_at_checked(rest.find(['\n', '\r'])?)?;
            rest = behind.strip_prefix("\r\n").or_else(|| behind.get(1..))?;
        }
        let start = Place { line: place.line, column: 1 };
        let mut file = Self { rest: rest.chars().peekable(), place: start, quote: None };
        while file.place < place {
            file.next()?;
        }
        (file.place == place).then_some(file)
    }

    /// The content of the quoted string that begins here, and its quote.
    fn quoted(mut self) -> Option<(char, Self)> {
        let quote = self.next().filter(|first| matches!(first, '"' | '\''))?;
        self.quote = Some(quote);
        Some((quote, self))
    }

    /// The place behind this beginning of the string.
    fn behind(mut self, text: &str) -> Option<Place> {
        let mut text = text.chars().peekable();
        while let Some(expected) = text.next() {
            if expected.is_whitespace() {
                while text.next_if(|next| next.is_whitespace()).is_some() {}
                self.skip_white_space();
            } else if self.character()? != expected {
                return None;
            }
        }
        Some(self.place)
    }

    /// The next character as written; every line ends with a line feed.
    fn next(&mut self) -> Option<char> {
        let next = match self.rest.next()? {
            '\r' => {
                let _ = self.rest.next_if_eq(&'\n');
                '\n'
            }
            other => other,
        };
        self.place = match next {
            '\n' => Place { line: self.place.line + 1, column: 1 },
            _ => Place { column: self.place.column + 1, ..self.place },
        };
        Some(next)
    }

    /// The next character of the string.
    fn character(&mut self) -> Option<char> {
        while self.continues() {}
        match (self.next()?, self.quote) {
            ('\'', Some('\'')) => self.next().filter(|second| *second == '\''),
            ('\\', Some('"')) => match self.next()? {
                'x' => self.code(2),
                'u' => self.code(4),
                'U' => self.code(8),
                other => Some(escaped(other)),
            },
            (other, _) => Some(other),
        }
    }

    /// Passes the end of a line after which the string continues: a backslash, and the indentation of the next line.
    fn continues(&mut self) -> bool {
        let mut ahead = self.clone();
        let continues = self.quote == Some('"') && ahead.next() == Some('\\') && ahead.next() == Some('\n');
        if continues {
            while ahead.rest.peek().is_some_and(|next| next.is_whitespace()) {
                ahead.next();
            }
            *self = ahead;
        }
        continues
    }

    /// The character with this number of hexadecimal digits.
    fn code(&mut self, digits: usize) -> Option<char> {
        let mut code = 0;
        for _ in 0..digits {
            code = code * 16 + self.next()?.to_digit(16)?;
        }
        char::from_u32(code)
    }

    fn skip_white_space(&mut self) {
        loop {
            while self.continues() {}
            let mut ahead = self.clone();
            match ahead.character() {
                Some(character) if character.is_whitespace() => *self = ahead,
                _ => return,
            }
        }
    }
}

/// The character of an escape of one letter.
fn escaped(letter: char) -> char {
    match letter {
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        'v' => '\u{b}',
        'f' => '\u{c}',
        'N' => '\u{85}',
        '_' => '\u{a0}',
        'L' => '\u{2028}',
        'P' => '\u{2029}',
        'a' => '\u{7}',
        'b' => '\u{8}',
        'e' => '\u{1b}',
        '0' => '\0',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::yaml::{self, Value};

    /// The place of `mark` in the only value of a mapping.
    fn place_of(file: &str, mark: &str) -> Option<(usize, usize)> {
        let node = yaml::parse(file).unwrap();
        let Value::Map(entries) = &node.value else { panic!("a mapping") };
        let value = &entries.last().unwrap().node;
        let Value::Text(text) = &value.value else { panic!("a string: {value:?}") };
        let offset = text.find(mark).unwrap_or(text.len());
        locate(file, value.place, text, offset).map(|place| (place.line, place.column))
    }

    #[test]
    fn a_character_is_found_in_every_style_of_yaml() {
        for (file, place) in [
            ("a: one !two\n", (1, 8)),
            ("a: one\n  !two\n", (2, 3)),
            ("a: 'it''s !'\n", (1, 11)),
            ("a: \"\\\"one\\\" \\u00e4\\t!two\"\n", (1, 21)),
            ("a: \"one\\n!two\"\n", (1, 10)),
            ("a: \"one \\\n    !two\"\n", (2, 5)),
            ("a: \"one\n\n    !two\"\n", (3, 5)),
            ("a: |\n  one\n    two\n\n  !three\n", (5, 3)),
            ("a: |-\r\n  one\r\n  !two\r\n", (3, 3)),
            ("a: >\n  one\n  two !three\n", (3, 7)),
            ("a: >-\n  one\n\n  two\n    !three\n", (5, 5)),
            ("a: |\n  \"one\" !two\n", (2, 9)),
            ("b: 1\na: {x: 1}\nc: '!'\n", (3, 5)),
        ] {
            assert_eq!(place_of(file, "!"), Some(place), "{file:?}");
        }
    }

    #[test]
    fn the_end_of_a_string_is_the_end_of_its_last_line() {
        assert_eq!(place_of("a: |\n  one\n  two\n\nb: |\n  three\n", "!"), Some((6, 8)));
        assert_eq!(place_of("a: one\n", "!"), Some((1, 7)));
    }

    #[test]
    fn no_place_is_shown_for_a_text_that_is_written_elsewhere() {
        assert_eq!(place_of("b: &b one !two\na: *b\n", "!"), None);
    }
}
