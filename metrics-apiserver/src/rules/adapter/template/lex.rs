//! Cuts a template into tokens, as Go's `text/template` does.

use super::error::TemplateError;

/// What begins and ends an action. prometheus-adapter chose them because PromQL has braces of its own.
const LEFT: &str = "<<";
const RIGHT: &str = ">>";
const LEFT_COMMENT: &str = "/*";
const RIGHT_COMMENT: &str = "*/";
/// What trim markers trim, and what separates words. ASCII only, as in Go.
const SPACES: &[char] = &[' ', '\t', '\r', '\n'];
/// A minus sign and the space between it and the action.
const MARKER: usize = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text outside of actions.
    Text,
    Left,
    Right,
    Space,
    /// `=`
    Assign,
    /// `:=`
    Declare,
    Pipe,
    Open,
    Close,
    /// `.`
    Dot,
    /// `.name`
    Field,
    /// `$` or `$name`
    Variable,
    /// A function or a keyword.
    Word,
    Bool,
    Nil,
    /// A character constant.
    Char,
    Number,
    /// A string in double quotes.
    Quoted,
    /// A string in backquotes.
    Raw,
    /// Any other printable ASCII character.
    Other,
    End,
}

/// A token; the text is as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    pub(super) position: usize,
    pub(super) text: &'a str,
}

pub(super) struct Lexer<'a> {
    text: &'a str,
    next: usize,
    in_action: bool,
    open: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, next: 0, in_action: false, open: 0 }
    }

    pub(super) fn token(&mut self) -> Result<Token<'a>, TemplateError> {
        if self.in_action { self.inside() } else { self.outside() }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.next..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let next = self.peek();
        self.next += next.map_or(0, char::len_utf8);
        next
    }

    fn skip(&mut self, what: impl Fn(char) -> bool) {
        self.next = self.text.len() - self.rest().trim_start_matches(what).len();
    }

    fn accept(&mut self, what: impl Fn(char) -> bool) -> bool {
        let accepted = self.peek().is_some_and(what);
        if accepted {
            self.bump();
        }
        accepted
    }

    fn from(&self, position: usize, kind: Kind) -> Token<'a> {
        Token { kind, position, text: self.text.get(position..self.next).unwrap_or_default() }
    }

    fn outside(&mut self) -> Result<Token<'a>, TemplateError> {
        loop {
            let (start, rest) = (self.next, self.rest());
            let Some(at) = rest.find(LEFT) else {
                self.next = self.text.len();
                let kind = if rest.is_empty() { Kind::End } else { Kind::Text };
                return Ok(self.from(start, kind));
            };
            let (before, action) = rest.split_at(at);
            let trims = has_left_marker(&action[LEFT.len()..]);
            let text = if trims { before.trim_end_matches(SPACES) } else { before };
            self.next += at;
            if !text.is_empty() {
                return Ok(Token { kind: Kind::Text, position: start, text });
            }
            let position = self.next;
            self.next += LEFT.len();
            let inside = self.next + if trims { MARKER } else { 0 };
            if self.text[inside..].starts_with(LEFT_COMMENT) {
                self.next = inside;
                self.comment(position)?;
                continue;
            }
            let token = self.from(position, Kind::Left);
            self.next = inside;
            self.in_action = true;
            self.open = 0;
            return Ok(token);
        }
    }

    /// Skips a comment and the end of its action.
    fn comment(&mut self, position: usize) -> Result<(), TemplateError> {
        let Some(end) = self.rest()[LEFT_COMMENT.len()..].find(RIGHT_COMMENT) else {
            return Err(TemplateError::at(position, "the comment does not end; close it with */"));
        };
        self.next += LEFT_COMMENT.len() + end + RIGHT_COMMENT.len();
        if self.right_delimiter().is_none() {
            let message = format!("the comment must fill its action: expected {RIGHT:?} right after */");
            return Err(TemplateError::at(self.next, message));
        }
        self.take_right();
        Ok(())
    }

    /// Whether the action ends here: with a trim marker or without.
    fn right_delimiter(&self) -> Option<bool> {
        let rest = self.rest();
        if has_right_marker(rest) && rest[MARKER..].starts_with(RIGHT) {
            return Some(true);
        }
        rest.starts_with(RIGHT).then_some(false)
    }

    /// Takes the end of the action, and the spaces that its trim marker trims.
    fn take_right(&mut self) -> Token<'a> {
        let trims = self.right_delimiter() == Some(true);
        if trims {
            self.next += MARKER;
        }
        let position = self.next;
        self.next += RIGHT.len();
        let token = self.from(position, Kind::Right);
        if trims {
            self.skip(is_space);
        }
        token
    }

    fn inside(&mut self) -> Result<Token<'a>, TemplateError> {
        let start = self.next;
        if self.right_delimiter().is_some() {
            if self.open > 0 {
                return Err(TemplateError::at(start, "a parenthesis is not closed; add ')'"));
            }
            self.in_action = false;
            return Ok(self.take_right());
        }
        let Some(first) = self.bump() else {
            return Err(TemplateError::at(
                start,
                format!("the action does not end; close it with {RIGHT:?}"),
            ));
        };
        let kind = match first {
            c if is_space(c) => return Ok(self.space(start)),
            '=' => Kind::Assign,
            ':' if self.accept(|c| c == '=') => Kind::Declare,
            ':' => return Err(TemplateError::at(start, "expected := after the variable")),
            '|' => Kind::Pipe,
            '"' => self.quoted(start, '"', Kind::Quoted)?,
            '\'' => self.quoted(start, '\'', Kind::Char)?,
            '`' => self.raw(start)?,
            '$' => self.name(start, Kind::Variable)?,
            '.' if !self.peek().is_some_and(|c| c.is_ascii_digit()) => self.name(start, Kind::Field)?,
            '.' | '+' | '-' | '0'..='9' => self.number(start)?,
            c if is_word(c) => self.name(start, Kind::Word)?,
            '(' => {
                self.open += 1;
                Kind::Open
            }
            ')' if self.open == 0 => {
                return Err(TemplateError::at(start, "there is no '(' for this ')'"));
            }
            ')' => {
                self.open -= 1;
                Kind::Close
            }
            c if c.is_ascii_graphic() => Kind::Other,
            c => return Err(TemplateError::at(start, format!("unexpected character {c:?} in an action"))),
        };
        let token = self.from(start, kind);
        Ok(match (kind, token.text) {
            (Kind::Word, "true" | "false") => Token { kind: Kind::Bool, ..token },
            (Kind::Word, "nil") => Token { kind: Kind::Nil, ..token },
            (Kind::Field, ".") => Token { kind: Kind::Dot, ..token },
            _ => token,
        })
    }

    /// Spaces. The last one belongs to the trim marker, if one follows.
    fn space(&mut self, start: usize) -> Token<'a> {
        self.skip(is_space);
        self.next -= 1;
        let marker = has_right_marker(self.rest()) && self.rest()[MARKER..].starts_with(RIGHT);
        if marker && self.next == start {
            self.in_action = false;
            return self.take_right();
        }
        if !marker {
            self.next += 1;
        }
        self.from(start, Kind::Space)
    }

    /// A name after `.` or `$`, or a whole word.
    fn name(&mut self, start: usize, kind: Kind) -> Result<Kind, TemplateError> {
        self.skip(is_word);
        let ends = self.peek().is_none_or(|c| is_space(c) || matches!(c, '.' | ',' | '|' | ':' | ')' | '('));
        if ends || self.rest().starts_with(RIGHT) {
            return Ok(kind);
        }
        let name = self.from(start, kind).text;
        let bad = self.peek().unwrap_or_default();
        Err(TemplateError::at(self.next, format!("unexpected character {bad:?} after {name:?}")))
    }

    fn quoted(&mut self, start: usize, quote: char, kind: Kind) -> Result<Kind, TemplateError> {
        loop {
            let next = match self.bump() {
                Some('\\') => self.bump().filter(|c| *c != '\n').map(|_| '\\'),
                next => next.filter(|c| *c != '\n'),
            };
            match next {
                Some(c) if c == quote => return Ok(kind),
                Some(_) => {}
                None => {
                    let message = format!("the quotation does not end on its line; close it with {quote}");
                    return Err(TemplateError::at(start, message));
                }
            }
        }
    }

    fn raw(&mut self, start: usize) -> Result<Kind, TemplateError> {
        let Some(end) = self.rest().find('`') else {
            return Err(TemplateError::at(start, "the quotation does not end; close it with `"));
        };
        self.next += end + 1;
        Ok(Kind::Raw)
    }

    /// A number as loosely as Go scans it; the parser finds out whether it is one.
    fn number(&mut self, start: usize) -> Result<Kind, TemplateError> {
        self.next = start;
        self.accept(|c| matches!(c, '+' | '-'));
        let mut is_digit: fn(char) -> bool = |c| c.is_ascii_digit() || c == '_';
        let (mut decimal, mut hex) = (true, false);
        if self.accept(|c| c == '0') {
            if self.accept(|c| matches!(c, 'x' | 'X')) {
                is_digit = |c| c.is_ascii_hexdigit() || c == '_';
                (decimal, hex) = (false, true);
            } else if self.accept(|c| matches!(c, 'o' | 'O')) {
                is_digit = |c| matches!(c, '0'..='7' | '_');
                decimal = false;
            } else if self.accept(|c| matches!(c, 'b' | 'B')) {
                is_digit = |c| matches!(c, '0' | '1' | '_');
                decimal = false;
            }
        }
        self.skip(is_digit);
        if self.accept(|c| c == '.') {
            self.skip(is_digit);
        }
        let exponent = |c: char| decimal && matches!(c, 'e' | 'E') || hex && matches!(c, 'p' | 'P');
        if self.accept(exponent) {
            self.accept(|c| matches!(c, '+' | '-'));
            self.skip(|c| c.is_ascii_digit() || c == '_');
        }
        if self.peek().is_some_and(|c| is_word(c) || matches!(c, '+' | '-')) {
            self.skip(|c| is_word(c) || matches!(c, '+' | '-'));
            let text = self.from(start, Kind::Number).text;
            return Err(TemplateError::at(start, format!("{text:?} is not a number")));
        }
        Ok(Kind::Number)
    }
}

fn is_space(c: char) -> bool {
    SPACES.contains(&c)
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

fn has_left_marker(text: &str) -> bool {
    text.strip_prefix('-').is_some_and(|rest| rest.starts_with(SPACES))
}

fn has_right_marker(text: &str) -> bool {
    text.strip_prefix(SPACES).is_some_and(|rest| rest.starts_with('-'))
}
