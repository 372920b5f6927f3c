//! Holds the code to the import table of `ARCHITECTURE.md`. Reads the sources as text: crude, and enough.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// Which rooms a room may import from. A room is a module right below the crate's root.
const ROOMS: &[(&str, &[&str])] = &[
    ("metric", &[]),
    ("rules", &["metric"]),
    ("catalog", &["metric", "rules"]),
    ("causes", &[]),
    ("files", &[]),
    ("limit", &[]),
    ("cache", &["metric", "rules", "rhythm"]),
    ("answer", &["metric", "rules", "catalog", "cache"]),
    // telemetry for the trace that a query belongs to.
    ("backend", &["metric", "rules", "cache", "telemetry", "files", "limit", "causes"]),
    ("objects", &["metric"]),
    // memory and rules for their errors only: the one table of errors matches on every variant.
    ("api", &["metric", "answer", "cache", "rules", "authn", "authz"]),
    ("authn", &["files", "limit", "causes"]),
    ("authz", &["authn", "rhythm"]),
    ("rhythm", &[]),
    ("tls", &["files", "causes"]),
    (
        "server",
        &[
            "metric",
            "catalog",
            "cache",
            "answer",
            "objects",
            "api",
            "authn",
            "authz",
            "tls",
            "limit",
            "causes",
            "readiness",
            "shutdown",
            "telemetry",
        ],
    ),
    ("config", &["metric", "rules", "files"]),
    ("cli", &["config", "rules", "answer", "backend"]),
    // Where the file as checked becomes what is served.
    ("reload", &["config", "rules", "catalog", "backend", "readiness", "causes"]),
    ("readiness", &[]),
    ("shutdown", &["readiness"]),
    ("telemetry", &[]),
    (
        "app",
        &[
            "metric",
            "rules",
            "catalog",
            "cache",
            "answer",
            "backend",
            "objects",
            "api",
            "authn",
            "authz",
            "tls",
            "server",
            "config",
            "cli",
            "readiness",
            "reload",
            "shutdown",
            "telemetry",
        ],
    ),
];

/// Where an outside crate may be named: below these rooms or in these files. A crate that is not listed may be named
/// in every room but the pure ones.
const CRATES: &[(&str, &[&str])] = &[
    ("actix_web", &["server"]),
    ("actix_http", &["server"]),
    ("actix_service", &["server"]),
    ("actix_tls", &["server"]),
    ("promql_parser", &["rules/promql.rs"]),
    ("reqwest", &["backend", "telemetry"]),
    ("clap", &["config", "cli"]),
    ("serde", &["backend", "api", "authn/review.rs", "config"]),
    ("serde_json", &["backend", "api", "authn/configmap.rs", "server"]),
    ("serde_saphyr", &["config"]),
    ("kube", &["objects", "authn", "authz", "app"]),
    ("k8s_openapi", &["api", "objects", "authn", "authz"]),
    ("rustls", &["tls", "authn", "backend", "server", "app", "telemetry"]),
    ("x509_parser", &["authn", "tls"]),
    ("moka", &["cache", "authn", "authz"]),
    // Each edge owns its metrics.
    (
        "prometheus_client",
        &[
            "telemetry",
            "cache",
            "answer",
            "server",
            "backend",
            "reload/metrics.rs",
            "authn/reviews.rs",
            "tls",
            "app",
        ],
    ),
    ("tracing_appender", &["telemetry"]),
    ("tracing_subscriber", &["telemetry"]),
    ("tracing_opentelemetry", &["telemetry"]),
    ("opentelemetry", &["telemetry"]),
    ("opentelemetry_sdk", &["telemetry"]),
    ("opentelemetry_otlp", &["telemetry"]),
    ("anyhow", &["app"]),
    ("arc_swap", &["catalog", "answer", "tls", "authn", "authz", "backend"]),
];

/// Rooms that do no I/O and read no clock: what they may not say.
const PURE_ROOMS: &[&str] = &["metric", "rules", "catalog"];
const IMPURE: &[&str] = &[
    "std::fs",
    "std::net",
    "std::env",
    "std::io",
    "std::process",
    "::now()",
    "tokio::",
    "tracing::",
    "futures_util::",
];

const MAX_FILE_LINES: usize = 500;
const MAX_MAIN_LINES: usize = 60;
/// Four of them are for traces (docs/adr/0011-traces-by-otlp-off-by-default.md), two are parts of actix-web
/// (docs/adr/0012-one-request-of-a-connection-at-a-time.md).
const MAX_DEPENDENCIES: usize = 34;

struct Source {
    /// Relative to `src`, with `/`.
    path: String,
    text: String,
}

impl Source {
    fn room(&self) -> &str {
        let first = self.path.split('/').next().unwrap_or_default();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    fn is_root(&self) -> bool {
        matches!(self.path.as_str(), "lib.rs" | "main.rs")
    }

    fn is_test(&self) -> bool {
        ["/tests.rs", "/fake.rs", "fuzzing.rs"].iter().any(|end| self.path.ends_with(end))
            || self.path.contains("/tests/")
    }

    /// The code that ships, without comments: tests may look into every room.
    fn code(&self) -> String {
        let text = self.text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        lines.collect::<Vec<_>>().join("\n")
    }

    /// How many modules the file lies below the crate's root.
    fn depth(&self) -> usize {
        self.path.split('/').filter(|part| *part != "mod.rs").count()
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = Vec::new();
    collect(&root, &root, &mut sources);
    assert!(sources.len() > 10, "the sources are found");
    sources
}

fn collect(root: &Path, folder: &Path, sources: &mut Vec<Source>) {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            collect(root, &path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let relative = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
            sources.push(Source { path: relative, text: fs::read_to_string(&path).unwrap() });
        }
    }
}

/// Shipped code of all rooms.
fn rooms() -> Vec<Source> {
    sources().into_iter().filter(|source| !source.is_root() && !source.is_test()).collect()
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// What stands behind each occurrence of `name::` as a path's beginning.
fn paths_from<'a>(code: &'a str, name: &str) -> Vec<&'a str> {
    let prefix = format!("{name}::");
    let begins = |at: &usize| !code[..*at].ends_with(|c: char| is_word(c) || c == ':');
    code.match_indices(&prefix)
        .map(|(at, _)| at)
        .filter(begins)
        .map(|at| &code[at + prefix.len()..])
        .collect()
}

/// The first words of a path or of a group of paths: `a::b` and `{a::b, c::{d, e}, f}`.
fn first_words(path: &str) -> Vec<&str> {
    let word = |text: &str| text.find(|c| !is_word(c)).unwrap_or(text.len());
    let Some(group) = path.strip_prefix('{') else { return vec![&path[..word(path)]] };
    let (mut words, mut depth, mut at_start) = (Vec::new(), 0, true);
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => at_start = true,
            c if at_start && is_word(c) => {
                words.push(&group[at..at + word(&group[at..])]);
                at_start = false;
            }
            _ => {}
        }
    }
    words
}

fn complain(problems: &str) {
    assert!(problems.is_empty(), "\n{problems}");
}

#[test]
fn groups_of_imports_are_understood() {
    assert_eq!(first_words("a::b;"), ["a"]);
    assert_eq!(first_words("{a::b, c::{d, e},\n f as g}; use x"), ["a", "c", "f"]);
    assert_eq!(
        paths_from("use crate::a; mycrate::b; crate::c()", "crate"),
        ["a; mycrate::b; crate::c()", "c()"]
    );
}

#[test]
fn rooms_import_only_what_the_table_allows() {
    let mut problems = String::new();
    for source in rooms() {
        let code = source.code();
        let Some((room, allowed)) = ROOMS.iter().find(|(room, _)| *room == source.room()) else {
            writeln!(problems, "{}: no room of the table", source.path).unwrap();
            continue;
        };
        for import in paths_from(&code, "crate").into_iter().flat_map(first_words) {
            if import != *room && !allowed.contains(&import) {
                writeln!(problems, "{}: {room} may not import {import}", source.path).unwrap();
            }
        }
        if code.contains(&"super::".repeat(source.depth())) {
            writeln!(problems, "{}: reaches the crate's root by super::, write crate::", source.path)
                .unwrap();
        }
    }
    complain(&problems);
}

#[test]
fn an_outside_crate_is_named_only_where_the_table_allows() {
    let mut problems = String::new();
    for source in rooms() {
        let code = source.code();
        for (name, places) in CRATES {
            let named = !paths_from(&code, name).is_empty() || code.contains(&format!("use {name} "));
            if named && !places.iter().any(|place| source.path == *place || source.room() == *place) {
                writeln!(problems, "{}: may not name {name}", source.path).unwrap();
            }
        }
    }
    complain(&problems);
}

#[test]
fn pure_rooms_do_no_io_and_read_no_clock() {
    let mut problems = String::new();
    for source in rooms().iter().filter(|source| PURE_ROOMS.contains(&source.room())) {
        for word in IMPURE.iter().filter(|word| source.code().contains(**word)) {
            writeln!(problems, "{}: {word} in a pure room", source.path).unwrap();
        }
    }
    complain(&problems);
}

#[test]
fn files_are_short_and_say_what_they_are() {
    let mut problems = String::new();
    for source in sources() {
        let lines = source.text.lines().count();
        let limit = if source.path == "main.rs" { MAX_MAIN_LINES } else { MAX_FILE_LINES };
        if lines > limit {
            writeln!(problems, "{}: {lines} lines, at most {limit}", source.path).unwrap();
        }
        if !source.is_test() && !source.text.starts_with("//!") {
            writeln!(problems, "{}: does not begin with //!", source.path).unwrap();
        }
        for word in ["TODO", "FIXME", "XXX", "todo!(", "unimplemented!("] {
            if source.text.contains(word) {
                writeln!(problems, "{}: {word}", source.path).unwrap();
            }
        }
    }
    complain(&problems);
}

#[test]
fn direct_dependencies_stay_few() {
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    let section = manifest.split("\n[dependencies]\n").nth(1).unwrap().split("\n[").next().unwrap();
    let count = section.lines().filter(|line| line.contains('=') && !line.starts_with('#')).count();
    assert!(
        (1..=MAX_DEPENDENCIES).contains(&count),
        "{count} direct dependencies, at most {MAX_DEPENDENCIES}"
    );
}
