//! Comparisons with programs in Go, which need Go. `cargo xtask test --fast` skips them by setting
//! `METRICS_APISERVER_TEST_FAST=1`.

use std::fs::{self, File};
use std::path::Path;
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

/// The answers of the program in a folder of `testbed`, one for each query; none if the run must not need Go.
#[expect(clippy::print_stdout, reason = "a skipped test says so")]
pub(super) fn ask(folder: &str, queries: &[String]) -> Option<Vec<String>> {
    if std::env::var_os(FAST).is_some_and(|value| value == "1") {
        println!("skipped, because {FAST}=1: it compares with a Go program");
        return None;
    }
    let temporary = tempfile::tempdir().unwrap();
    let (program, input) = (temporary.path().join("program"), temporary.path().join("queries"));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testbed").join(folder);
    let build = Command::new("go").args(["build", "-o"]).arg(&program).arg(".").current_dir(source).output();
    let build = build.unwrap_or_else(|error| {
        panic!("cannot run `go` ({error}); install Go (https://go.dev/dl), or set {FAST}=1 to skip this test")
    });
    assert!(build.status.success(), "{}", String::from_utf8_lossy(&build.stderr));
    fs::write(&input, queries.join("\n") + "\n").unwrap();
    let run = Command::new(&program).stdin(File::open(&input).unwrap()).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let answers: Vec<_> = String::from_utf8(run.stdout).unwrap().lines().map(str::to_owned).collect();
    assert_eq!(answers.len(), queries.len());
    Some(answers)
}
