//! The crate's source files as text.

use std::fs;
use std::path::{Path, PathBuf};

/// One file of `src`.
pub(super) struct Source {
    /// Relative to `src`, with `/`.
    pub(super) path: String,
    pub(super) text: String,
}

impl Source {
    /// The module right below the crate's root.
    pub(super) fn room(&self) -> &str {
        let first = self.path.split('/').next().unwrap_or_default();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    pub(super) fn is_root(&self) -> bool {
        matches!(self.path.as_str(), "lib.rs" | "main.rs")
    }

    pub(super) fn is_test(&self) -> bool {
        let is_named = |part: &str| matches!(part, "tests" | "testkit" | "fuzzing");
        self.path.trim_end_matches(".rs").split('/').any(is_named)
    }

    /// The code that ships, without comments and without what only tests compile.
    pub(super) fn code(&self) -> String {
        let mut code = String::new();
        let mut lines = self.text.lines();
        while let Some(line) = lines.next() {
            let trimmed = line.trim_start();
            if trimmed.starts_with("#[cfg(test)]") || trimmed.starts_with("#[cfg(any(test, fuzzing))]") {
                skip_item(&mut lines);
            } else if !trimmed.starts_with("//") {
                code.push_str(line);
                code.push('\n');
            }
        }
        code
    }

    /// The module's path: `["cache", "store"]` for `cache/store.rs`, `["cache"]` for `cache/mod.rs`.
    pub(super) fn module(&self) -> Vec<&str> {
        let parts = self.path.trim_end_matches(".rs").split('/');
        parts.filter(|part| !matches!(*part, "mod" | "lib" | "main")).collect()
    }
}

/// Passes over the item that an attribute belongs to: up to a line that ends it outside of all brackets.
fn skip_item<'a>(lines: &mut impl Iterator<Item = &'a str>) {
    let mut depth = 0_i32;
    for line in lines {
        for character in line.chars() {
            match character {
                '{' | '(' | '[' => depth += 1,
                '}' | ')' | ']' => depth -= 1,
                _ => {}
            }
        }
        if depth <= 0 && line.trim_end().ends_with([';', '}', ',']) {
            return;
        }
    }
}

/// All files.
pub(super) fn all() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = Vec::new();
    collect(&root, &root, &mut sources);
    assert!(sources.len() > 10, "the sources are found");
    sources
}

/// The files that ship, without the two roots.
pub(super) fn shipped() -> Vec<Source> {
    all().into_iter().filter(|source| !source.is_root() && !source.is_test()).collect()
}

/// The `*.rs` below `folder`, sorted.
pub(super) fn collect(root: &Path, folder: &Path, sources: &mut Vec<Source>) {
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

#[test]
fn code_is_what_ships() {
    let text = "//! Doc.\nuse a::b;\n#[cfg(test)]\nmod fake;\n// c\nfn f() {}\n\n#[cfg(test)]\nmod tests {\n    \
                fn g() {\n    }\n}\nfn h() {}\n";
    let source = Source { path: "x/mod.rs".into(), text: text.into() };
    assert_eq!(source.code(), "use a::b;\nfn f() {}\n\nfn h() {}\n");
}
