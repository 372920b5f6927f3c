//! Holds the code to `ARCHITECTURE.md`: what a room may import and name, no cycles between files, and to limits on
//! sizes and words. Reads the sources as text: crude, and enough.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

mod document;
mod imports;
mod sources;

use document::Rooms;
use imports::is_word;
use sources::Source;

/// Rooms that do no I/O and read no clock: what they may not say.
const IMPURE: &[&str] = &["std::fs", "std::net", "std::env", "std::io", "std::process", "::now()"];

const MAX_FILE_LINES: usize = 500;
const MAX_MAIN_LINES: usize = 60;
const MAX_COLUMNS: usize = 120;
/// Files that a reader of the code passes with one read.
const MAX_COLD_READ: usize = 14;
/// Four of them are for traces (docs/adr/0011-traces-by-otlp-off-by-default.md), one for the self-signed certificate
/// (docs/adr/0015-the-command-line-of-prometheus-adapter.md), one for the regular expressions of prometheus-adapter's
/// rules, and two for the certificate of kube-apiserver, which kube itself verifies too strictly.
const MAX_DEPENDENCIES: usize = 38;

/// What is still to do, `kind name` in each line; a cycle goes by its first file. The list only shrinks.
const OPEN: &str = include_str!("architecture/open.txt");

fn complain(problems: &str) {
    assert!(problems.is_empty(), "\n{problems}");
}

/// As [`complain`], of a problem for each file; files that are still open are let through.
fn complain_unless_open(kind: &str, problems: &BTreeMap<String, String>) {
    let open = OPEN.lines().filter_map(|line| line.strip_prefix(kind)?.strip_prefix(' '));
    let open: BTreeSet<&str> = open.collect();
    let mut text = String::new();
    for (_, problem) in problems.iter().filter(|(file, _)| !open.contains(file.as_str())) {
        writeln!(text, "{problem}").unwrap();
    }
    for file in open.into_iter().filter(|file| !problems.contains_key(*file)) {
        writeln!(text, "{kind} {file} is done: remove it from architecture/open.txt").unwrap();
    }
    complain(&text);
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The names of the direct dependencies, as code writes them.
fn dependencies() -> Vec<String> {
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    let section = manifest.split("\n[dependencies]\n").nth(1).unwrap().split("\n[").next().unwrap();
    let names = section.lines().filter(|line| !line.starts_with('#'));
    let name = |line: &str| line.split(['.', ' ', '=']).next().unwrap_or_default().replace('-', "_");
    names.map(name).filter(|name| !name.is_empty()).collect()
}

/// Whether a path in the code begins with `name`.
fn names(code: &str, name: &str) -> bool {
    let prefix = format!("{name}::");
    let begins = |at: usize| !code[..at].ends_with(|c: char| is_word(c) || c == ':');
    code.match_indices(&prefix).any(|(at, _)| begins(at)) || code.contains(&format!("use {name} "))
}

/// Adds to what is said of `file`.
fn note(problems: &mut BTreeMap<String, String>, file: &str, problem: &str) {
    let text = problems.entry(file.to_owned()).or_default();
    writeln!(text, "{file}: {problem}").unwrap();
}

#[test]
fn the_table_has_the_rooms_that_are_there() {
    let rooms = Rooms::read();
    let sources = sources::shipped();
    let there: BTreeSet<&str> = sources.iter().map(Source::room).collect();
    let mut problems = BTreeMap::new();
    for room in there.iter().filter(|room| !rooms.imports.contains_key(**room)) {
        note(&mut problems, room, "the sources have this room, ARCHITECTURE.md has not");
    }
    for room in rooms.imports.keys().filter(|room| !there.contains(room.as_str())) {
        note(&mut problems, room, "ARCHITECTURE.md has this room, the sources have not");
    }
    complain_unless_open("room", &problems);
}

#[test]
fn rooms_import_only_what_the_table_allows() {
    let rooms = Rooms::read();
    let mut problems = BTreeMap::new();
    for source in sources::shipped() {
        let room = source.room();
        let Some(allowed) = rooms.imports.get(room) else { continue };
        for import in imports::rooms(&source) {
            if import != room && !allowed.contains(&import) {
                note(&mut problems, &source.path, &format!("{room} may not import {import}"));
            }
        }
    }
    complain_unless_open("import", &problems);
}

#[test]
fn an_outside_crate_is_named_only_where_the_table_allows() {
    let (rooms, dependencies) = (Rooms::read(), dependencies());
    let mut problems = BTreeMap::new();
    for source in sources::shipped() {
        let code = source.code();
        for name in dependencies.iter().filter(|name| names(&code, name)) {
            if !rooms.allow(source.room(), &source.path, name) {
                note(&mut problems, &source.path, &format!("may not name {name}"));
            }
        }
    }
    for name in dependencies.iter().filter(|name| !rooms.knows(name)) {
        note(&mut problems, name, "ARCHITECTURE.md lets no room name this dependency");
    }
    complain_unless_open("crate", &problems);
}

#[test]
fn no_file_imports_from_a_file_that_imports_from_it() {
    let cycles = imports::cycles(&imports::graph(&sources::shipped()));
    let problem = |(files, text): (BTreeSet<String>, String)| {
        let problem = format!("an import cycle of {} files:\n{text}", files.len());
        files.into_iter().next().map(|first| (first, problem))
    };
    complain_unless_open("cycle", &cycles.into_iter().filter_map(problem).collect());
}

#[test]
fn a_cold_read_crosses_few_files_that_are_all_there() {
    let files = document::cold_read();
    assert!((1..=MAX_COLD_READ).contains(&files.len()), "{} files, at most {MAX_COLD_READ}", files.len());
    let sources = sources::shipped();
    let mut problems = BTreeMap::new();
    for file in files.iter().filter(|file| sources.iter().all(|source| source.path != **file)) {
        note(&mut problems, file, "not there, but part of the cold read in ARCHITECTURE.md");
    }
    complain_unless_open("path", &problems);
}

#[test]
fn pure_rooms_do_no_io_and_read_no_clock() {
    let pure = Rooms::read().pure;
    let mut problems = String::new();
    for source in sources::shipped().iter().filter(|source| pure.iter().any(|room| room == source.room())) {
        let code = source.code();
        for word in IMPURE.iter().filter(|word| code.contains(**word)) {
            writeln!(problems, "{}: {word} in a pure room", source.path).unwrap();
        }
    }
    complain(&problems);
}

#[test]
fn files_are_short_and_say_what_they_are() {
    let mut problems = String::new();
    for source in sources::all() {
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
fn lines_are_at_most_120_columns_wide() {
    let mut problems = BTreeMap::new();
    for package in ["metrics-apiserver", "inference-svc", "testbed", "xtask", "fuzz/fuzz_targets"] {
        let root = repository().join(package);
        let mut sources = Vec::new();
        sources::collect(&root, &root, &mut sources);
        for source in sources {
            let is_wide = |(_, line): &(usize, &str)| line.chars().count() > MAX_COLUMNS;
            let wide =
                source.text.lines().enumerate().filter(is_wide).map(|(index, _)| (index + 1).to_string());
            let wide: Vec<String> = wide.collect();
            if !wide.is_empty() {
                let file = format!("{package}/{}", source.path);
                let problem = format!("{file}: more than {MAX_COLUMNS} columns in line {}", wide.join(", "));
                problems.insert(file, problem);
            }
        }
    }
    complain_unless_open("columns", &problems);
}

#[test]
fn direct_dependencies_stay_few() {
    let count = dependencies().len();
    assert!(
        (1..=MAX_DEPENDENCIES).contains(&count),
        "{count} direct dependencies, at most {MAX_DEPENDENCIES}"
    );
}

#[test]
fn the_standard_words_are_used() {
    // In two halves each, so that this file does not hold them.
    let parts = ["stran gers", "she lf", "take _off", "hang ups"].map(|word| word.replace(' ', ""));
    let words = ["pa il", "me nd", "le st"].map(|word| word.replace(' ', ""));
    let (root, mut problems) = (repository(), BTreeMap::new());
    for folder in ["metrics-apiserver", "docs", "manifests"] {
        for (path, text) in texts(&root.join(folder)) {
            let file = path.strip_prefix(&root).unwrap().display().to_string();
            let text = text.to_lowercase();
            let found = parts.iter().filter(|part| text.contains(part.as_str()));
            let whole: BTreeSet<&str> = text.split(|c| !is_word(c)).collect();
            for word in found.chain(words.iter().filter(|word| whole.contains(word.as_str()))) {
                problems.insert(file.clone(), format!("{file}: {word}"));
            }
        }
    }
    complain_unless_open("word", &problems);
}

/// All files below `folder` that are text.
fn texts(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(texts(&path));
        } else if let Ok(text) = fs::read_to_string(&path) {
            found.push((path, text));
        }
    }
    found
}
