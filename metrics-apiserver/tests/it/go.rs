//! Comparisons with programs in Go, which need Go. `cargo xtask test --fast` skips them by setting
//! `METRICS_APISERVER_TEST_FAST=1`.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Set to 1 by a run that must not need Go.
const FAST: &str = "METRICS_APISERVER_TEST_FAST";

/// `SplitMix64`: the same cases in every run.
pub(super) struct Cases(pub(super) u64);

impl Cases {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound).unwrap()).unwrap()
    }

    pub(super) fn one<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }

    pub(super) fn joined(&mut self, pieces: &[&str], longest: usize) -> String {
        (0..=self.below(longest)).map(|_| self.one(pieces)).collect()
    }
}

/// Whether the run must not need Go.
#[expect(clippy::print_stdout, reason = "a skipped test says so")]
fn is_fast() -> bool {
    let is_fast = std::env::var_os(FAST).is_some_and(|value| value == "1");
    if is_fast {
        println!("skipped, because {FAST}=1: it needs Go");
    }
    is_fast
}

/// What `go` prints in a folder of `testbed`.
fn go(folder: &str, args: &[&OsStr]) -> String {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testbed").join(folder);
    let run = Command::new("go").args(args).current_dir(source).output();
    let run = run.unwrap_or_else(|error| {
        panic!("cannot run `go` ({error}); install Go (https://go.dev/dl), or set {FAST}=1 to skip this test")
    });
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    String::from_utf8(run.stdout).unwrap()
}

/// The sources of a Go module at the version that a folder of `testbed` pins; none if the run must not need Go.
pub(super) fn module_dir(folder: &str, module: &str) -> Option<PathBuf> {
    if is_fast() {
        return None;
    }
    go(folder, &["mod", "download", module].map(OsStr::new));
    let dir = go(folder, &["list", "-m", "-f", "{{.Dir}}", module].map(OsStr::new));
    Some(PathBuf::from(dir.trim()))
}

/// The answers of the program in a folder of `testbed`, one for each query; none if the run must not need Go.
pub(super) fn ask(folder: &str, queries: &[String]) -> Option<Vec<String>> {
    if is_fast() {
        return None;
    }
    let temporary = tempfile::tempdir().unwrap();
    let (program, input) = (temporary.path().join("program"), temporary.path().join("queries"));
    go(folder, &["build".as_ref(), "-o".as_ref(), program.as_os_str(), ".".as_ref()]);
    fs::write(&input, queries.join("\n") + "\n").unwrap();
    let run = Command::new(&program).stdin(File::open(&input).unwrap()).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let answers: Vec<_> = String::from_utf8(run.stdout).unwrap().lines().map(str::to_owned).collect();
    assert_eq!(answers.len(), queries.len());
    Some(answers)
}
