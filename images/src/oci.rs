//! Images in an OCI layout on disk: built by buildah, read for the checks.

use crate::{Architecture, Program, shell};
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, de::DeserializeOwned};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Which images are built, and from what.
#[derive(Debug)]
pub struct Request<'a> {
    /// The program.
    pub program: Program,
    /// For each architecture the folder that stands for the Dockerfile's build stage: the image's files are in its
    /// folder `out`.
    pub stages: &'a [(Architecture, PathBuf)],
    /// The time of everything in the images, in seconds since 1970: it is part of their digests.
    pub created: u64,
    /// Further labels, such as `org.opencontainers.image.revision=…`.
    pub labels: &'a [String],
    /// The folder that gets the layout. What is there is replaced.
    pub layout: &'a Path,
    /// A folder for buildah, which is emptied afterwards.
    pub scratch: &'a Path,
}

/// Builds one image per architecture and an index of them, with the last stage of the program's Dockerfile.
pub fn build(request: &Request<'_>) -> Result<()> {
    let Request { program, layout, scratch, .. } = request;
    available()?;
    remove(layout)?;
    remove(scratch)?;
    fs::create_dir_all(scratch).with_context(|| format!("creating {}", scratch.display()))?;
    let name = format!("localhost/{}:build", program.name());
    for (architecture, stage) in request.stages {
        let mut command = buildah(scratch);
        // Without a label of its version and a history of its own, buildah's release is not part of the digest. chroot
        // needs no container runtime, and nothing is run.
        command.args([
            "build",
            "--quiet",
            "--isolation",
            "chroot",
            "--identity-label=false",
            "--omit-history",
            "--layers=false",
        ]);
        command.arg("--timestamp").arg(request.created.to_string());
        command.args(["--platform", &format!("linux/{}", architecture.name()), "--manifest", &name]);
        command.arg(format!("--build-context=build={}", stage.display()));
        command.args(request.labels.iter().map(|label| format!("--label={label}")));
        command.arg("--file").arg(program.dockerfile()).arg(stage);
        shell::output(&mut command)?;
    }
    if let Some(parent) = layout.parent() {
        fs::create_dir_all(parent).with_context(|| format!("creating {}", parent.display()))?;
    }
    let target = format!("oci:{}:{}", layout.display(), env!("CARGO_PKG_VERSION"));
    shell::output(
        buildah(scratch).args(["manifest", "push", "--quiet", "--all", "--format", "oci", &name, &target]),
    )?;
    shell::output(buildah(scratch).args(["manifest", "rm", &name]))?;
    shell::output(buildah(scratch).args(["rmi", "--all", "--force"]))?;
    remove(scratch)
}

/// Whether buildah is there, or what to do.
pub fn available() -> Result<()> {
    let found = Command::new("buildah").arg("--version").stdout(Stdio::null()).status();
    ensure!(
        found.is_ok_and(|status| status.success()),
        "images are put together by buildah: `apt-get install buildah`"
    );
    Ok(())
}

/// buildah with a storage of its own, that needs neither a kernel module nor a configuration.
fn buildah(scratch: &Path) -> Command {
    let mut command = Command::new("buildah");
    command.args(["--storage-driver", "vfs", "--root"]).arg(scratch.join("storage"));
    command.arg("--runroot").arg(scratch.join("run"));
    command
}

fn remove(directory: &Path) -> Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", directory.display()))
        }
        _ => Ok(()),
    }
}

/// A reference to a blob.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    digest: String,
    size: u64,
    #[serde(default)]
    platform: Option<Platform>,
}

#[derive(Clone, Debug, Deserialize)]
struct Platform {
    architecture: String,
    os: String,
}

#[derive(Debug, Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

#[derive(Debug, Deserialize)]
struct Manifest {
    config: Descriptor,
    layers: Vec<Descriptor>,
}

/// What a runtime is told about an image.
#[derive(Clone, Debug, Deserialize)]
pub struct Configuration {
    /// Such as `arm64`.
    pub architecture: String,
    /// Such as `linux`.
    pub os: String,
    /// How its program is run.
    pub config: Run,
}

/// How an image's program is run.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Run {
    /// Such as `65532:0`.
    pub user: String,
    /// Such as `NAME=value`.
    pub env: Vec<String>,
    /// The program and its first arguments.
    pub entrypoint: Vec<String>,
    /// Labels of the image.
    pub labels: BTreeMap<String, String>,
}

/// One image of a layout.
#[derive(Clone, Debug)]
pub struct Image {
    /// The digest of its manifest, such as `sha256:…`.
    pub digest: String,
    /// What is transferred: configuration and layers.
    pub size: u64,
    /// What a runtime is told.
    pub configuration: Configuration,
    layers: Vec<PathBuf>,
}

impl Image {
    /// Unpacks its layers into a folder, with the modes as they are in the image.
    pub fn unpack(&self, root: &Path) -> Result<()> {
        fs::create_dir_all(root).with_context(|| format!("creating {}", root.display()))?;
        for layer in &self.layers {
            let mut tar = Command::new("tar");
            tar.args(["--extract", "--preserve-permissions", "--no-same-owner", "--file"]);
            shell::output(tar.arg(layer).arg("--directory").arg(root))?;
        }
        Ok(())
    }
}

/// The digest of a layout's index, which is what is published and signed.
pub fn digest(layout: &Path) -> Result<String> {
    let index: Index = read(&layout.join("index.json"))?;
    Ok(index.manifests.first().context("the layout is empty")?.digest.clone())
}

/// The images of a layout that [`build`] made.
pub fn images(layout: &Path) -> Result<Vec<Image>> {
    let index: Index = read(&blob(layout, &digest(layout)?))?;
    let mut images = Vec::new();
    for entry in index.manifests {
        let manifest: Manifest = read(&blob(layout, &entry.digest))?;
        let configuration: Configuration = read(&blob(layout, &manifest.config.digest))?;
        let platform = entry.platform.context("an image of the index has no platform")?;
        ensure!(
            (&platform.architecture, &platform.os) == (&configuration.architecture, &configuration.os),
            "the index and the configuration disagree: {platform:?}"
        );
        images.push(Image {
            digest: entry.digest,
            size: manifest.config.size + manifest.layers.iter().map(|layer| layer.size).sum::<u64>(),
            configuration,
            layers: manifest.layers.iter().map(|layer| blob(layout, &layer.digest)).collect(),
        });
    }
    Ok(images)
}

fn blob(layout: &Path, digest: &str) -> PathBuf {
    layout.join("blobs").join(digest.replace(':', "/"))
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    serde_json::from_slice(&bytes).with_context(|| format!("reading {}", path.display()))
}
