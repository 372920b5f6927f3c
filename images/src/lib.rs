//! The container images: what is in them, how they are built, and what is checked before they are published.
//!
//! [`root::lay_out`] makes the file system of an image: the static program, CA certificates, licences and a software
//! bill of materials. The Dockerfiles call it in their build stage, and `cargo xtask images` calls it directly, so both
//! ways give the same files. [`oci`] puts them into images with buildah, and [`check`] checks the images.

pub mod check;
mod compile;
mod elf;
mod notices;
pub mod oci;
mod packages;
pub mod release;
pub mod root;
pub mod runtime;
mod sbom;
mod shell;
#[cfg(test)]
mod workflows;

pub use shell::cargo;

use clap::ValueEnum;
use std::path::{Path, PathBuf};

/// The programs that have an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Program {
    /// The API server.
    #[value(name = "metrics-apiserver")]
    Server,
    /// The demo workload.
    #[value(name = "inference-svc")]
    Workload,
}

impl Program {
    /// Its package, its executable and its image.
    pub fn name(self) -> &'static str {
        match self {
            Self::Server => "metrics-apiserver",
            Self::Workload => "inference-svc",
        }
    }

    /// The file with its image's last stage.
    pub fn dockerfile(self) -> PathBuf {
        workspace().join(match self {
            Self::Server => "Dockerfile.apiserver",
            Self::Workload => "Dockerfile.inference",
        })
    }

    /// Whether it connects to servers with a public certificate.
    fn needs_public_cas(self) -> bool {
        self == Self::Server
    }
}

/// The processors that there are images for, as OCI calls them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Architecture {
    /// x86-64.
    Amd64,
    /// 64-bit ARM.
    Arm64,
}

impl Architecture {
    /// As in an image's configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// The processor of this machine, if there are images for it.
    pub fn native() -> Option<Self> {
        match std::env::consts::ARCH {
            "x86_64" => Some(Self::Amd64),
            "aarch64" => Some(Self::Arm64),
            _ => None,
        }
    }

    /// rustc's name of the target.
    fn triple(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64-unknown-linux-gnu",
            Self::Arm64 => "aarch64-unknown-linux-gnu",
        }
    }

    /// The C compiler, which is also the linker.
    fn compiler(self) -> &'static str {
        match self {
            _ if Self::native() == Some(self) => "cc",
            Self::Amd64 => "x86_64-linux-gnu-gcc",
            Self::Arm64 => "aarch64-linux-gnu-gcc",
        }
    }

    /// Debian's packages with the compiler and with the C library that is linked into the programs.
    fn debian_packages(self) -> (&'static str, &'static str) {
        match self {
            _ if Self::native() == Some(self) => ("gcc", "libc6-dev"),
            Self::Amd64 => ("gcc-x86-64-linux-gnu", "libc6-dev-amd64-cross"),
            Self::Arm64 => ("gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"),
        }
    }
}

/// The root of the workspace.
pub fn workspace() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}
