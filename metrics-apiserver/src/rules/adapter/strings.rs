//! The strings of a query that a template has rendered, which need not be PromQL that the parser knows.

/// Characters of a name that mean more in a regular expression. A name in quotes has no backslash.
const META: [char; 13] = ['.', '+', '*', '?', '(', ')', '|', '[', ']', '{', '}', '^', '$'];

/// A part of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Neither in a string nor in a comment.
    Code,
    Comment,
    /// In a string in these quotes. Its escapes have backslashes, but for backquotes.
    String {
        quote: char,
        /// Whether it is the value of a matcher with `=~` or `!~`.
        is_regex: bool,
    },
}

/// Calls `found` for each character with the part that it is in, and the bytes from it on; quotes are in the string.
/// `found` says how many bytes it takes, if more than the character.
fn scan(promql: &str, mut found: impl FnMut(Part, char, &str) -> usize) {
    let (mut part, mut escaped, mut next) = (Part::Code, false, 0);
    // The last two characters of the code, without blanks.
    let mut before = [' '; 2];
    while let Some(rest) = promql.get(next..)
        && let Some(character) = rest.chars().next()
    {
        let is_regex = matches!(before, ['=' | '!', '~']);
        let opens = match character {
            '#' => Some(Part::Comment),
            '"' | '\'' | '`' => Some(Part::String { quote: character, is_regex }),
            _ => None,
        };
        let is_in = opens.filter(|_| part == Part::Code).unwrap_or(part);
        let closes = match part {
            Part::Code => false,
            Part::Comment => character == '\n',
            Part::String { quote, .. } => character == quote && !escaped,
        };
        let taken = found(is_in, character, rest).max(character.len_utf8());
        escaped = !escaped && character == '\\' && matches!(part, Part::String { quote: '"' | '\'', .. });
        if is_in == Part::Code && !character.is_whitespace() {
            before = [before[1], character];
        } else if is_in != Part::Code && is_in != Part::Comment {
            before = [' '; 2];
        }
        part = if closes { Part::Code } else { is_in };
        next += taken;
    }
}

/// The query without its strings and comments.
pub(super) fn outside(promql: &str) -> String {
    let mut outside = String::new();
    scan(promql, |part, character, _| {
        if part == Part::Code {
            outside.push(character);
        }
        0
    });
    outside
}

/// Whether a name matches more than itself as a regular expression.
pub(super) fn means_more_in_a_regex(series: &str) -> bool {
    series.contains(META)
}

/// The query with the name of the series wherever the stand-in is; escaped in regular expressions.
pub(super) fn with_series(promql: &str, stand_in: &str, series: &str) -> String {
    let escaped = |escape: &str| {
        series.chars().fold(String::new(), |mut text, character| {
            if META.contains(&character) {
                text.push_str(escape);
            }
            text.push(character);
            text
        })
    };
    let (quoted, raw) = (escaped("\\\\"), escaped("\\"));
    let mut out = String::with_capacity(promql.len() + series.len());
    scan(promql, |part, character, rest| {
        if !rest.starts_with(stand_in) {
            out.push(character);
            return 0;
        }
        out.push_str(match part {
            Part::String { quote: '`', is_regex: true } => &raw,
            Part::String { is_regex: true, .. } => &quoted,
            _ => series,
        });
        stand_in.len()
    });
    out
}
