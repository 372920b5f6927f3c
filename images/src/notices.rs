//! The licences of what is linked into a program.

use crate::{
    Program,
    compile::{self, Toolchain},
    packages::{Key, Package},
};
use anyhow::{Context, Result, ensure};
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

/// How deep the licences of bundled C code lie in a package, as in `aws-lc/third_party/fiat`.
const DEPTH: usize = 4;
/// What the names of such files begin with.
const NAMES: [&str; 6] = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE"];
/// Debian's texts for the C library.
const LIBC: [&str; 2] = ["/usr/share/doc/libc6/copyright", "/usr/share/common-licenses/LGPL-2.1"];
const LINE: &str = "================================================================================";

/// The licence of Mozilla's list of CAs, which the distribution packages.
const CERTIFICATES: &str = "/usr/share/common-licenses/MPL-2.0";

/// Writes the texts of all licences into a folder.
pub(crate) fn write(
    program: Program,
    packages: &[Package],
    toolchain: &Toolchain,
    directory: &Path,
) -> Result<()> {
    let Toolchain { libc, certificates, distribution, .. } = toolchain;
    let mut text = packages_text(packages)?;
    // The C library is linked statically: its source is the distribution's, and docs/images.md says how to link the
    // program with another one.
    text += &distributed(&format!("GNU C Library {libc}, from the sources of {distribution}"), &LIBC)?;
    if program.needs_public_cas() {
        let title = format!("Mozilla's list of CAs, from ca-certificates {certificates} of {distribution}");
        text += &distributed(&title, &[CERTIFICATES])?;
    }
    fs::write(directory.join("THIRD-PARTY.txt"), text)?;
    let rust = compile::sysroot()?.join("share/doc/rust/COPYRIGHT-library.html");
    fs::copy(&rust, directory.join("rust-standard-library.html"))
        .with_context(|| format!("copying {}", rust.display()))?;
    Ok(())
}

/// Each text once, with the packages that have it.
fn packages_text(packages: &[Package]) -> Result<String> {
    let mut text = "The licences of what is linked into this program.\n".to_owned();
    let mut texts: BTreeMap<String, Vec<Key>> = BTreeMap::new();
    for package in packages.iter().filter(|package| !package.is_own()) {
        let license = package.license.as_deref().unwrap_or("see below");
        writeln!(text, "{} {}: {license}", package.name, package.version)?;
        let files = licence_files(&package.directory, DEPTH)?;
        // Our own licence is Apache-2.0, whose text is beside this file.
        ensure!(
            !files.is_empty() || license.contains("Apache-2.0"),
            "{} {} has no text of its licence, {license}",
            package.name,
            package.version
        );
        for file in files {
            let content = fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
            let content = String::from_utf8_lossy(&content).replace("\r\n", "\n");
            let users = texts.entry(content.trim().to_owned()).or_default();
            if users.last() != Some(&package.key()) {
                users.push(package.key());
            }
        }
    }
    let mut texts: Vec<_> = texts.into_iter().map(|(content, users)| (users, content)).collect();
    texts.sort_unstable();
    for (users, content) in texts {
        let users: Vec<_> = users.iter().map(|(name, version)| format!("{name} {version}")).collect();
        write!(text, "\n{LINE}\n{}\n{LINE}\n\n{content}\n", users.join(", "))?;
    }
    Ok(text)
}

/// What comes from the distribution, with the texts of its licence.
fn distributed(title: &str, files: &[&str]) -> Result<String> {
    let mut text = format!("\n{LINE}\n{title}\n{LINE}\n");
    for path in files.iter().map(Path::new) {
        compile::require(path, "libc6 base-files")?;
        let content = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        write!(text, "\n{}\n", content.trim())?;
    }
    Ok(text)
}

/// The files with a licence below a folder, sorted. Symbolic links are not followed.
fn licence_files(directory: &Path, depth: usize) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).with_context(|| format!("reading {}", directory.display()))? {
        let entry = entry?;
        let kind = entry.file_type()?;
        let name = entry.file_name().to_string_lossy().to_uppercase();
        // Sources are named so, too: `license.rs`.
        let is_text = !["RS", "GO", "C", "H", "PY"].iter().any(|it| name.ends_with(&format!(".{it}")));
        if kind.is_dir() && depth > 0 {
            found.extend(licence_files(&entry.path(), depth - 1)?);
        } else if kind.is_file() && is_text && NAMES.iter().any(|start| name.starts_with(start)) {
            found.push(entry.path());
        }
    }
    found.sort_unstable();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Architecture, packages};

    fn package(directory: &Path, name: &str, license: &str) -> Package {
        Package {
            name: name.into(),
            version: "1.0.0".into(),
            license: Some(license.into()),
            directory: directory.to_owned(),
            checksum: Some("0".repeat(64)),
            dependencies: Vec::new(),
        }
    }

    #[test]
    fn equal_texts_are_given_once_with_the_packages_that_have_them() {
        let dir = tempfile::tempdir().unwrap();
        for (file, text) in
            [("a/LICENSE-MIT", "be nice\r\n"), ("b/license.txt", "be nice"), ("b/c/deep/NOTICE", "by me")]
        {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let packages =
            [package(&dir.path().join("a"), "a", "MIT"), package(&dir.path().join("b"), "b", "MIT")];
        let text = packages_text(&packages).unwrap();
        assert_eq!(text.matches("be nice").count(), 1, "{text}");
        assert!(text.contains("a 1.0.0, b 1.0.0\n") && text.contains("by me"), "{text}");
    }

    #[test]
    fn a_package_without_the_text_of_its_licence_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        packages_text(&[package(dir.path(), "a", "MIT OR Apache-2.0")]).unwrap();
        let error = packages_text(&[package(dir.path(), "a", "BSD-3-Clause")]).unwrap_err().to_string();
        assert_eq!(error, "a 1.0.0 has no text of its licence, BSD-3-Clause");
    }

    #[test]
    fn every_package_of_both_programs_has_its_licence() {
        for program in [Program::Server, Program::Workload] {
            let packages = packages::linked(program, Architecture::Arm64).unwrap();
            let text = packages_text(&packages).unwrap();
            assert!(text.contains("\nbytes 1."), "{text:.300}");
        }
    }
}
