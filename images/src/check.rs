//! What every image has to fulfil before it is published.

use crate::{
    Architecture, Program,
    elf::{self, Header},
    oci::{self, Image},
    root::{self, CERTIFICATES, LICENCES},
    runtime,
};
use anyhow::{Context, Result, ensure};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// What may be transferred for one image. Nodes pull it while pods wait.
pub const SIZE_MAX: u64 = 10_000_000;

/// Checks all images of a layout; fails with the problems of all of them. `scratch` is a folder for their files.
pub fn check(program: Program, layout: &Path, scratch: &Path) -> Result<Vec<Image>> {
    let images = oci::images(layout)?;
    let mut problems = Vec::new();
    for image in &images {
        let root = scratch.join(&image.configuration.architecture);
        image.unpack(&root)?;
        let found = problems_of(program, image, &root)?;
        let name = format!("{}, {}", program.name(), image.configuration.architecture);
        problems.extend(found.into_iter().map(|problem| format!("{name}: {problem}")));
    }
    ensure!(problems.is_empty(), "{}", problems.join("\n"));
    Ok(images)
}

/// What is wrong with an image that was unpacked into a folder.
fn problems_of(program: Program, image: &Image, root: &Path) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    let run = &image.configuration.config;
    if image.size > SIZE_MAX {
        problems.push(format!("{} bytes, more than {SIZE_MAX}", image.size));
    }
    let ids: Vec<Option<u32>> = run.user.split(':').map(|id| id.parse().ok()).collect();
    if ids.len() != 2 || ids[0].is_none_or(|uid| uid == 0) || ids[1].is_none() {
        problems.push(format!("USER {:?} is not a number other than 0 with a group", run.user));
    }
    if run.entrypoint != [format!("/{}", program.name())] {
        problems.push(format!("the entry point is {:?}", run.entrypoint));
    }
    let label = |name: &str| run.labels.get(&format!("org.opencontainers.image.{name}")).map(String::as_str);
    let expected = [
        ("title", program.name()),
        ("version", env!("CARGO_PKG_VERSION")),
        ("licenses", env!("CARGO_PKG_LICENSE")),
    ];
    for (name, value) in expected.into_iter().filter(|(name, value)| label(name) != Some(value)) {
        problems.push(format!("the label {name} is {:?} and not {value}", label(name)));
    }
    let files = files(root, root)?;
    let expected = expected_files(program);
    problems.extend(expected.difference(&files).map(|path| format!("{} is missing", path.display())));
    problems.extend(files.difference(&expected).map(|path| format!("{} is not expected", path.display())));
    for path in files.intersection(&expected).filter(|path| *path != Path::new(program.name())) {
        let text =
            fs::read_to_string(root.join(path)).with_context(|| format!("reading {}", path.display()))?;
        problems.extend(problem_of_text(program, path, &text));
    }
    if files.contains(Path::new(program.name())) {
        problems.extend(problem_of_program(&image.configuration.architecture, &root.join(program.name()))?);
    }
    Ok(problems)
}

fn expected_files(program: Program) -> BTreeSet<PathBuf> {
    let certificates = program.needs_public_cas().then(|| CERTIFICATES.into());
    let licences = LICENCES.into_iter().map(PathBuf::from);
    licences.chain([program.name().into(), root::sbom_path(program)]).chain(certificates).collect()
}

fn problem_of_text(program: Program, path: &Path, text: &str) -> Option<String> {
    let name = path.display();
    if path == root::sbom_path(program) {
        let document = serde_json::from_str::<serde_json::Value>(text).ok();
        let count = document.and_then(|it| it["components"].as_array().map(Vec::len)).unwrap_or_default();
        (count < 2).then(|| format!("{name} lists {count} components"))
    } else if path == Path::new(CERTIFICATES) {
        let count = text.matches("-----BEGIN CERTIFICATE-----").count();
        (count == 0).then(|| format!("{name} has no certificates"))
    } else {
        text.trim().is_empty().then(|| format!("{name} is empty"))
    }
}

fn problem_of_program(architecture: &str, path: &Path) -> Result<Option<String>> {
    let machine = match architecture {
        name if name == Architecture::Amd64.name() => elf::X86_64,
        _ => elf::AARCH64,
    };
    let header = elf::parse(&fs::read(path)?).with_context(|| format!("reading {}", path.display()))?;
    let expected = Header { machine, is_dynamic: false };
    Ok((header != expected).then(|| format!("the program is {header:?} and not {expected:?}")))
}

/// All files and links below a folder.
fn files(root: &Path, directory: &Path) -> Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(directory).with_context(|| format!("reading {}", directory.display()))? {
        let path = entry?.path();
        if path.is_dir() && !path.is_symlink() {
            found.extend(files(root, &path)?);
        } else {
            found.insert(path.strip_prefix(root)?.to_owned());
        }
    }
    Ok(found)
}

/// Runs `--version` of an image in its own file system, if it is for this machine; what it prints.
pub fn version(image: &Image, scratch: &Path) -> Result<Option<String>> {
    if Architecture::native().map(Architecture::name) != Some(&image.configuration.architecture) {
        return Ok(None);
    }
    let script = runtime::prepare(image, scratch, &[])?;
    let output = Command::new(&script).arg("--version").output().context("running the image")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the image's program ended with {}: {said}", output.status);
    Ok(Some(String::from_utf8_lossy(&output.stdout).trim().to_owned()))
}
