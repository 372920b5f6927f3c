//! Images of small programs in place of the real ones: what is built, what is refused, and how they run.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "clippy spares only the test functions themselves"
)]

use images::{
    Architecture, Program, check,
    oci::{self, Request},
    root, runtime,
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};
use tempfile::TempDir;

/// Tells who and where it is, what it was given, and the first line of a file that is named.
const SOURCE: &str = r#"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
int main(int count, char **words) {
    char line[64] = "";
    FILE *file = count > 2 ? fopen(words[2], "r") : NULL;
    if (file) fgets(line, sizeof line, file);
    printf("%s as %d:%d with %s sees %d%d, reads %s", words[0], getuid(), getgid(), getenv("MALLOC_TRIM_THRESHOLD_"),
           access("/licenses/LICENSE", R_OK) == 0, access("/usr/bin", R_OK) == 0, line);
    return count < 2;
}
"#;

struct Place {
    dir: TempDir,
}

impl Place {
    /// The files of the server's image, with the small program in place of the server.
    fn new() -> Self {
        let place = Self { dir: tempfile::tempdir().unwrap() };
        let out = place.out();
        for (path, text) in [
            ("etc/ssl/certs/ca-certificates.crt", "-----BEGIN CERTIFICATE-----\n"),
            ("licenses/LICENSE", "ours"),
            ("licenses/THIRD-PARTY.txt", "theirs"),
            ("licenses/rust-standard-library.html", "Rust's"),
            ("sbom/metrics-apiserver.cdx.json", r#"{"components": [1, 2]}"#),
        ] {
            fs::create_dir_all(out.join(path).parent().unwrap()).unwrap();
            fs::write(out.join(path), text).unwrap();
        }
        place.compile(&["-static"]);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn out(&self) -> PathBuf {
        self.path("stage/out")
    }

    fn compile(&self, flags: &[&str]) {
        fs::write(self.path("program.c"), SOURCE).unwrap();
        let program = self.out().join("metrics-apiserver");
        let mut compiler = Command::new("cc");
        let compiler = compiler.args(flags).arg("-o").arg(program).arg(self.path("program.c"));
        assert!(compiler.status().unwrap().success());
    }

    fn build(&self, layout: &str) -> PathBuf {
        let layout = self.path(layout);
        let native = Architecture::native().expect("an architecture with images");
        oci::build(&Request {
            program: Program::Server,
            stages: &[(native, self.path("stage"))],
            created: 1_764_500_000,
            labels: &["org.opencontainers.image.revision=abc".into()],
            layout: &layout,
            scratch: &self.path("scratch"),
        })
        .unwrap();
        layout
    }

    /// What the checks say about an image of the files as they are now.
    fn refusal(&self) -> String {
        let layout = self.build("refused");
        let checked = self.path("checked");
        let error = check::check(Program::Server, &layout, &checked).unwrap_err().to_string();
        fs::remove_dir_all(checked).unwrap();
        error
    }
}

#[test]
fn the_same_files_make_the_same_digest_whatever_their_times_and_owners() {
    let place = Place::new();
    let first = place.build("first");
    fs::File::open(place.out().join("licenses/LICENSE"))
        .unwrap()
        .set_modified(std::time::SystemTime::UNIX_EPOCH)
        .unwrap();
    if is_root() {
        std::os::unix::fs::chown(place.out().join("licenses/LICENSE"), Some(1234), Some(1234)).unwrap();
    }
    let second = place.build("second");
    assert_eq!(oci::digest(&first).unwrap(), oci::digest(&second).unwrap());
    fs::write(place.out().join("licenses/LICENSE"), "other").unwrap();
    assert_ne!(oci::digest(&first).unwrap(), oci::digest(&place.build("third")).unwrap());
}

#[test]
fn an_image_runs_as_its_user_in_its_own_file_system() {
    let place = Place::new();
    let layout = place.build("layout");
    let images = check::check(Program::Server, &layout, &place.path("checked")).unwrap();
    assert_eq!(images.len(), 1);
    let run = &images[0].configuration.config;
    assert_eq!(run.labels["org.opencontainers.image.revision"], "abc");
    let said = check::version(&images[0], &place.path("version")).unwrap().unwrap();
    assert!(said.starts_with("/metrics-apiserver as ") && said.contains("with 131072 sees 10"), "{said}");

    let visible = place.path("with 'quotes'");
    fs::create_dir(&visible).unwrap();
    let file = visible.join("key");
    fs::write(&file, "secret").unwrap();
    let script = runtime::prepare(&images[0], &place.path("run"), &[visible]).unwrap();
    let output = Command::new(script).arg("--key").arg(&file).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.ends_with("reads secret"), "{said} {}", String::from_utf8_lossy(&output.stderr));
    let user = if is_root() { "as 65532:0 " } else { "as 0:0 " };
    assert!(said.contains(user), "{said}");
}

#[test]
fn what_must_not_be_published_is_refused() {
    let place = Place::new();
    place.compile(&[]);
    let refusal = place.refusal();
    assert!(refusal.contains("is_dynamic: true") && !refusal.contains('\n'), "{refusal}");
    place.compile(&["-static"]);

    fs::write(place.out().join("licenses/LICENSE"), "\n").unwrap();
    fs::remove_file(place.out().join("etc/ssl/certs/ca-certificates.crt")).unwrap();
    fs::write(place.out().join("left-over"), "").unwrap();
    fs::write(place.out().join(root::sbom_path(Program::Server)), "{}").unwrap();
    let refusal = place.refusal();
    for problem in [
        "licenses/LICENSE is empty",
        "etc/ssl/certs/ca-certificates.crt is missing",
        "left-over is not expected",
        "sbom/metrics-apiserver.cdx.json lists 0 components",
    ] {
        assert!(refusal.contains(problem), "{problem} in {refusal}");
    }
    assert_eq!(refusal.lines().count(), 4, "{refusal}");
}

#[test]
fn an_image_that_is_too_large_is_refused() {
    let place = Place::new();
    let mut noise = vec![0; 12_000_000];
    std::io::Read::read_exact(&mut fs::File::open("/dev/urandom").unwrap(), &mut noise).unwrap();
    append(&place.out().join("metrics-apiserver"), &noise);
    let refusal = place.refusal();
    assert!(refusal.contains("bytes, more than 10000000"), "{refusal}");
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|it| std::os::unix::fs::MetadataExt::uid(&it) == 0)
}

fn append(path: &Path, bytes: &[u8]) {
    std::io::Write::write_all(&mut fs::File::options().append(true).open(path).unwrap(), bytes).unwrap();
}
