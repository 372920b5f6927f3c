//! The problems of a configuration file, and how they are displayed.

use std::fmt;
use std::path::PathBuf;

use super::source::Source;

/// A place in the configuration file; line and column start at 1, and columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl Default for Place {
    fn default() -> Self {
        Self { line: 1, column: 1 }
    }
}

/// One problem: what is wrong, where, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The path of the key, such as `metrics[0].query`; empty for the file as a whole.
    pub path: String,
    /// Where it is; none if the file could not be read.
    pub place: Option<Place>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
    /// A related place, and what is there.
    pub related: Option<(Place, String)>,
    /// How much of the file is shown with it.
    pub(super) excerpt: Excerpt,
}

/// How much of the file a problem shows. Problems are logged, and what follows an unknown key, or stands in a text
/// without structure, may be a secret, such as a header value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Excerpt {
    /// The line, unless it may contain a secret.
    #[default]
    Line,
    /// Only the key that begins at the place.
    Key,
    /// Nothing.
    Nothing,
}

impl Problem {
    pub(super) fn new(path: impl Into<String>, place: Place, message: impl Into<String>) -> Self {
        let (path, message) = (path.into(), message.into());
        // Without a path it concerns the file as a whole, or a text without structure.
        let excerpt = if path.is_empty() { Excerpt::Nothing } else { Excerpt::Line };
        Self { path, place: Some(place), message, help: None, related: None, excerpt }
    }

    /// Marks the key as unknown: what follows it is not shown.
    pub(super) fn of_unknown_key(self) -> Self {
        Self { excerpt: Excerpt::Key, ..self }
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(super) fn related(mut self, place: Place, what: impl Into<String>) -> Self {
        self.related = Some((place, what.into()));
        self
    }
}

/// A file that the configuration names: a problem of its key if it cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NamedFile {
    /// The file.
    pub(super) path: PathBuf,
    /// The path of the key that names it.
    pub(super) key: String,
    /// Where the key's value is.
    pub(super) place: Place,
}

/// Every problem of a configuration file, in the order of the file. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    pub(super) source: Source,
    pub(super) list: Vec<Problem>,
    /// The files that the configuration names, for linking.
    pub(super) files: Vec<NamedFile>,
}

/// The check stops after this many problems.
pub(super) const ENOUGH: usize = 1000;

/// Problems that are displayed; the rest is counted. A reader fixes the first ones first.
const MAX_SHOWN: usize = 100;

impl Problems {
    pub(super) fn new(source: Source, mut problems: Vec<Problem>, files: Vec<NamedFile>) -> Self {
        problems.sort_by_key(|problem| problem.place);
        Self { source, list: problems, files }
    }

    /// The one problem that hides all others.
    pub(super) fn of_file(source: Source, problem: Problem) -> Self {
        Self::new(source, vec![problem], Vec::new())
    }

    pub(super) fn unreadable(name: &str, error: &std::io::Error) -> Self {
        let message = format!("cannot read the configuration file: {error}");
        let help = Some("check the path given by --config".to_owned());
        let excerpt = Excerpt::Nothing;
        let problem = Problem { path: String::new(), place: None, message, help, related: None, excerpt };
        Self::of_file(Source::new(name, ""), problem)
    }

    /// For a file that is UTF-8 only in its first `valid` bytes; the text has a replacement character there.
    pub(super) fn not_utf8(source: Source, valid: usize) -> Self {
        let before = source.text.get(..valid).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        let problem = Problem::new("", Place { line, column }, "the file is not UTF-8 here");
        Self::of_file(source, problem.help("save it as UTF-8; the file was not checked"))
    }

    /// The problems, in the order of the file.
    pub fn problems(&self) -> &[Problem] {
        &self.list
    }

    fn show(&self, problem: &Problem, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "error: {}", problem.message)?;
        let path = if problem.path.is_empty() { String::new() } else { format!(" ({})", problem.path) };
        let Some(place) = problem.place else {
            writeln!(f, " --> {}{path}", self.source.name)?;
            return show_help(problem, 1, f);
        };
        let related = problem.related.as_ref().map_or(0, |(place, _)| place.line);
        let width = place.line.max(related).to_string().len();
        writeln!(f, "{:width$}--> {}:{}:{}{path}", "", self.source.name, place.line, place.column)?;
        self.snippet(place, problem, width, f)?;
        if let Some((place, what)) = &problem.related {
            writeln!(f, "{:width$}::: {}:{}:{} {what}", "", self.source.name, place.line, place.column)?;
            self.snippet(*place, problem, width, f)?;
        }
        show_help(problem, width, f)
    }

    /// The line with a caret below the column, as rustc displays it.
    fn snippet(
        &self,
        place: Place,
        problem: &Problem,
        width: usize,
        f: &mut fmt::Formatter<'_>,
    ) -> fmt::Result {
        let Some(line) = lines(&self.source.text).nth(place.line - 1) else { return Ok(()) };
        let line = match problem.excerpt {
            Excerpt::Nothing => return Ok(()),
            Excerpt::Key => only_key(line, place.column),
            Excerpt::Line => line.to_owned(),
        };
        writeln!(f, "{:width$} |", "")?;
        let is_secret = problem.excerpt == Excerpt::Line && self.may_hold_a_secret(&line, place, problem);
        if is_secret {
            return writeln!(f, "{:>width$} | (not shown: the line may contain a secret)", place.line);
        }
        let (shown, caret) = window(&line, place.column);
        writeln!(f, "{:>width$} | {shown}", place.line)?;
        writeln!(f, "{:width$} | {:caret$}^", "", "")
    }

    /// Whether a line must not be logged: header values, misplaced credentials, and what follows an unknown key.
    fn may_hold_a_secret(&self, line: &str, place: Place, problem: &Problem) -> bool {
        let is_unknown = |other: &Problem| {
            other.excerpt == Excerpt::Key && other.place.is_some_and(|other| other.line == place.line)
        };
        // A flow mapping has several keys on a line; that of a backend may include headers.
        let is_flow = line.trim_end().trim_end_matches(',').contains(['{', '}', ',']);
        let is_of_backends = problem.path.starts_with("backends") || line.contains("backends");
        is_flow && is_of_backends
            || has_word_of_secrets(line, &problem.path)
            || self.list.iter().any(is_unknown)
    }
}

impl std::error::Error for Problems {}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in self.list.iter().take(MAX_SHOWN) {
            self.show(problem, f)?;
            writeln!(f)?;
        }
        if let Some(more @ 1..) = self.list.len().checked_sub(MAX_SHOWN) {
            writeln!(f, "error: and {more} more, not shown\n")?;
        }
        let count = self.list.len();
        write!(f, "{}: {count} problem{}", self.source.name, if count == 1 { "" } else { "s" })
    }
}

fn show_help(problem: &Problem, width: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    problem.help.iter().try_for_each(|help| writeln!(f, "{:width$} = help: {help}", ""))
}

/// The lines as YAML counts them: a lone carriage return ends a line as well.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split('\n').flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r'))
}

/// The part of a line around a column that fits a terminal, with tabs as spaces, and the offset of the caret in it.
fn window(line: &str, column: usize) -> (String, usize) {
    const WIDTH: usize = 100;
    let start = if column > WIDTH { column - WIDTH / 2 } else { 0 };
    let visible = |c: char| if c.is_control() { ' ' } else { c };
    (line.chars().skip(start).take(WIDTH).map(visible).collect(), column - 1 - start)
}

/// The key that begins at a column of a line. Only indentation before it is kept; everything else is left out.
fn only_key(line: &str, column: usize) -> String {
    let before: String = line.chars().take(column - 1).collect();
    let is_indentation = before.chars().all(|c| matches!(c, ' ' | '\t' | '-' | '{'));
    let before = if is_indentation { before } else { " ".repeat(column - 1) };
    let rest: String = line.chars().skip(column - 1).collect();
    let end = match rest.chars().next() {
        Some(quote @ ('"' | '\'')) => rest.get(1..).and_then(|rest| rest.find(quote)).map(|end| end + 2),
        _ => rest.find([':', ' ', ',', '}']),
    };
    let key = rest.get(..end.unwrap_or(0)).unwrap_or_default();
    let behind = rest.strip_prefix(key).unwrap_or_default();
    let colon = if behind.trim_start().starts_with(':') { ":" } else { "" };
    format!("{before}{key}{colon}")
}

/// Whether a line has a word that a secret usually follows.
fn has_word_of_secrets(line: &str, path: &str) -> bool {
    let line = line.to_ascii_lowercase();
    [".headers", ".queryParameters", ".proxyUrl"].iter().any(|key| path.contains(key))
        || line.split_once("://").is_some_and(|(_, rest)| rest.contains('@'))
        || [
            "authorization",
            "bearer ",
            "basic ",
            "password:",
            "token:",
            "secret:",
            "headers",
            "queryparameters",
            "proxyurl",
        ]
        .iter()
        .any(|word| line.contains(word))
}

/// The candidate that is closest to `word`, if one is close enough.
pub(super) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distances = candidates.into_iter().map(|candidate| (distance(word, candidate), candidate));
    let (distance, candidate) = distances.min_by_key(|(distance, _)| *distance)?;
    (distance <= (word.chars().count() / 2).clamp(2, 3)).then_some(candidate)
}

/// Edit distance that ignores case and `_`.
fn distance(a: &str, b: &str) -> usize {
    let plain = |text: &str| -> Vec<char> {
        text.chars().filter(|c| *c != '_').map(|c| c.to_ascii_lowercase()).collect()
    };
    let (a, b) = (plain(a), plain(b));
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_shows_its_line_and_a_caret() {
        let problem = Problem::new("metrics[0].nmae", Place { line: 2, column: 3 }, "unknown key `nmae`")
            .help("did you mean `name`?");
        let errors = Problems::of_file(Source::new("c.yaml", "metrics:\n- nmae: x\n"), problem);
        let expected = "error: unknown key `nmae`\n --> c.yaml:2:3 (metrics[0].nmae)\n  |\n2 | - nmae: x\n  |   ^\n  \
                        = help: did you mean `name`?\n\nc.yaml: 1 problem";
        assert_eq!(errors.to_string(), expected);
    }

    #[test]
    fn lines_are_counted_as_yaml_counts_them() {
        for text in ["a: 1\rnmae: x\nb: 2\n", "a: 1\nnmae: x\rb: 2\r", "a: 1\r\nnmae: x\r\n"] {
            let errors = crate::config::check(Source::new("c", text)).unwrap_err();
            let place = Place { line: 2, column: 1 };
            assert!(errors.problems().iter().any(|problem| problem.place == Some(place)), "{text:?}");
            assert!(errors.to_string().contains("2 | nmae:\n  | ^"), "{text:?}: {errors}");
        }
    }

    #[test]
    fn a_line_with_credentials_is_not_repeated() {
        for (line, path) in [
            ("url: http://u:hunter2@host", "backends.a.url"),
            ("  password: hunter2", "backends.a.basicAuth.password"),
            ("  X-Api-Key: hunter2", "backends.a.headers.X-Api-Key"),
            ("  api_key: hunter2", "backends.a.queryParameters.api_key"),
            ("  - hunter2", "backends.a.queryParameters.api_key[0]"),
            ("  proxyUrl: hunter2", "backends.a.proxyUrl"),
            ("Authorization: hunter2", ""),
        ] {
            let errors =
                Problems::of_file(Source::new("c", line), Problem::new(path, Place::default(), "wrong"));
            assert!(!errors.to_string().contains("hunter2"), "{errors}");
        }
    }

    #[test]
    fn a_header_is_not_repeated_whatever_is_wrong_with_the_file() {
        let backends = |lines: &str| format!("metrics: []\nbackends:\n  a:\n    url: http://p\n{lines}");
        for (text, place, shown) in [
            (backends("    headers:\n      X-Api-Key: 'hunter2\n"), "c:", ""),
            (backends("    headers:\n      X-Api-Key: 'hunter2\n      b: 'c'\n"), "c:", ""),
            (backends("    headers:\n      X-Api-Key: hunter2: x\n"), "c:6:", ""),
            (backends("    headers:\n      X-Api-Key: *hunter2\n"), "c:6:", ""),
            (backends("    headers:\n      X-Api-Key: \"hunter2\\q\"\n"), "c:6:", ""),
            (backends("    header: {X-Api-Key: hunter2}\n"), "c:5:5", "5 |     header:"),
            (backends("    'head er' : hunter2\n"), "c:5:5", "5 |     'head er':"),
            (backends("    hunter: {a: hunter2, b: hunter2}\n    haeders: hunter2\n"), "c:6:5", "haeders:"),
            (backends("    timeout: 5\n"), "c:5:14", "5 |     timeout: 5"),
            (backends("  b: {url: 5, headers: {X-Api-Key: hunter2}}\n"), "c:5:12", ""),
            (backends("  b: {headers: {X-Api-Key: hunter2}, url: 5}\n"), "c:5:43", ""),
            (backends("  b: {header: {X-Api-Key: hunter2}, url: 5}\n"), "c:5:42", ""),
            (backends("  b: {url: http://p, headers: {X: hunter2}, maxAge: 5}\n"), "c:5:45", "maxAge:"),
            (backends("  b: {headers: {\n      X: hunter2}, url: 5}\n"), "c:6:25", ""),
            ("{\"metrics\": [5], \"backends\": {\"a\": {\"h\": {\"X\": \"hunter2\"}}}}".into(), "c:1:14", ""),
            ("{\"backends\": {\"a\": {\"h\": {\"X\": \"hunter2\"}}}}".into(), "c:1:2", ""),
            ("metrics:\n- {nmae: m, headers: {X: hunter2}, query: 5}\n".into(), "c:2:4", "nmae:"),
        ] {
            let errors = crate::config::check(Source::new("c", text.as_str())).unwrap_err().to_string();
            assert!(!errors.contains("hunter2"), "{text}{errors}");
            assert!(errors.contains(&format!("--> {place}")) && errors.contains(shown), "{text}{errors}");
        }
    }

    #[test]
    fn a_very_long_line_is_cut_around_the_column() {
        let line = format!("{}X{}", "a".repeat(5_000), "b".repeat(5_000));
        let (shown, caret) = window(&line, 5_001);
        assert_eq!(shown.chars().nth(caret), Some('X'));
        assert!(shown.len() <= 100);
    }

    #[test]
    fn a_mistyped_key_finds_the_nearest_key() {
        let keys = ["name", "query", "onNoData", "maxAge"];
        assert_eq!(nearest("nmae", keys), Some("name"));
        assert_eq!(nearest("on_no_data", keys), Some("onNoData"));
        assert_eq!(nearest("maxage", keys), Some("maxAge"));
        assert_eq!(nearest("zzzzzz", keys), None);
    }

    #[test]
    fn problems_beyond_the_first_hundred_are_counted() {
        let problems =
            (0..250).map(|i| Problem::new(format!("metrics[{i}]"), Place::default(), "wrong")).collect();
        let shown = Problems::new(Source::new("c", "x"), problems, Vec::new()).to_string();
        assert_eq!(shown.matches("error: wrong").count(), MAX_SHOWN);
        assert!(shown.contains("and 150 more") && shown.ends_with("250 problems"), "{shown}");
    }
}
