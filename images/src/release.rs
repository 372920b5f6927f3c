//! All images of a commit, as they are published.

use crate::{
    Architecture, Program, check,
    oci::{self, Image, Request},
    root, shell,
};
use anyhow::{Context, Result};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// What is built, and where.
#[derive(Debug)]
pub struct Options<'a> {
    /// For each program a layout with its images is made.
    pub programs: &'a [Program],
    /// In this order in the index.
    pub architectures: &'a [Architecture],
    /// Further labels.
    pub labels: &'a [String],
    /// The folder that gets the layouts, named as the programs, the bills of materials and `digests.txt`.
    pub directory: &'a Path,
}

/// The images of one program.
#[derive(Debug)]
pub struct Made {
    /// The program.
    pub program: Program,
    /// The digest of the index.
    pub digest: String,
    /// One image per architecture.
    pub images: Vec<Image>,
    /// What the image for this machine prints as its version, if there is one.
    pub version: Option<String>,
}

/// Compiles the programs, builds the images and checks them.
pub fn make(options: &Options<'_>) -> Result<Vec<Made>> {
    oci::available()?;
    let created = created()?;
    let made = options.programs.iter().map(|program| make_one(*program, options, created));
    let made: Vec<Made> = made.collect::<Result<_>>()?;
    let digests: Vec<_> = made.iter().map(|it| format!("{} {}\n", it.program.name(), it.digest)).collect();
    fs::write(options.directory.join("digests.txt"), digests.concat()).context("writing the digests")?;
    Ok(made)
}

fn make_one(program: Program, options: &Options<'_>, created: u64) -> Result<Made> {
    let scratch = options.directory.join("scratch").join(program.name());
    if scratch.exists() {
        fs::remove_dir_all(&scratch).with_context(|| format!("removing {}", scratch.display()))?;
    }
    let mut stages = Vec::new();
    for architecture in options.architectures {
        let stage = scratch.join("stages").join(architecture.name());
        root::lay_out(program, *architecture, &stage.join("out"))?;
        let sbom = format!("{}-{}.cdx.json", program.name(), architecture.name());
        let from = stage.join("out").join(root::sbom_path(program));
        fs::copy(from, options.directory.join(sbom)).context("copying the bill of materials")?;
        stages.push((*architecture, stage));
    }
    let layout: PathBuf = options.directory.join(program.name());
    oci::build(&Request {
        program,
        stages: &stages,
        created,
        labels: options.labels,
        layout: &layout,
        scratch: &scratch.join("buildah"),
    })?;
    let images = check::check(program, &layout, &scratch.join("checked"))?;
    let mut version = None;
    for image in &images {
        version = version.or(check::version(image, &scratch.join("version"))?);
    }
    fs::remove_dir_all(&scratch).with_context(|| format!("removing {}", scratch.display()))?;
    Ok(Made { program, digest: oci::digest(&layout)?, images, version })
}

/// The time in the images: of `SOURCE_DATE_EPOCH`, or of the last commit.
fn created() -> Result<u64> {
    let seconds = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(seconds) => seconds,
        Err(_) => shell::output(
            Command::new("git").args(["log", "-1", "--format=%ct"]).current_dir(crate::workspace()),
        )
        .context("the images get the time of the last commit; without git, set SOURCE_DATE_EPOCH")?,
    };
    seconds.trim().parse().with_context(|| format!("SOURCE_DATE_EPOCH={seconds} is not a number of seconds"))
}
