//! The file system of an image.

use crate::{
    Architecture, Program,
    compile::{self, Toolchain},
    notices, packages, sbom, workspace,
};
use anyhow::{Context, Result};
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

/// Where TLS libraries look for public CAs.
pub(crate) const CERTIFICATES: &str = "etc/ssl/certs/ca-certificates.crt";
/// The licences of the program and of what is linked into it.
pub(crate) const LICENCES: [&str; 3] =
    ["licenses/LICENSE", "licenses/THIRD-PARTY.txt", "licenses/rust-standard-library.html"];

/// The bill of materials in an image.
pub fn sbom_path(program: Program) -> PathBuf {
    format!("sbom/{}.cdx.json", program.name()).into()
}

/// Compiles a program and writes everything that its image holds into an empty folder.
pub fn lay_out(program: Program, architecture: Architecture, root: &Path) -> Result<()> {
    let toolchain = Toolchain::find(architecture)?;
    let executable = compile::compile(program, architecture)?;
    copy(&executable, &root.join(program.name()), 0o755)?;
    describe(program, architecture, &toolchain, root)
}

/// Writes all but the program.
pub(crate) fn describe(
    program: Program,
    architecture: Architecture,
    toolchain: &Toolchain,
    root: &Path,
) -> Result<()> {
    let packages = packages::linked(program, architecture)?;
    let licences = root.join("licenses");
    fs::create_dir_all(&licences).with_context(|| format!("creating {}", licences.display()))?;
    notices::write(program, &packages, toolchain, &licences)?;
    copy(&workspace().join("LICENSE"), &licences.join("LICENSE"), 0o644)?;
    let document = sbom::document(program, architecture, &packages, toolchain);
    let path = root.join(sbom_path(program));
    fs::create_dir_all(root.join("sbom"))?;
    fs::write(&path, format!("{document:#}\n")).with_context(|| format!("writing {}", path.display()))?;
    if program.needs_public_cas() {
        let from = Path::new("/").join(CERTIFICATES);
        compile::require(&from, "ca-certificates")?;
        copy(&from, &root.join(CERTIFICATES), 0o644)?;
    }
    set_modes(root)
}

fn copy(from: &Path, to: &Path, mode: u32) -> Result<()> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).with_context(|| format!("creating {}", parent.display()))?;
    }
    fs::copy(from, to).with_context(|| format!("copying {} to {}", from.display(), to.display()))?;
    Ok(fs::set_permissions(to, fs::Permissions::from_mode(mode))?)
}

/// Makes the modes independent of the umask: they are in the image's digest.
fn set_modes(directory: &Path) -> Result<()> {
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755))?;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            set_modes(&entry.path())?;
        } else if entry.metadata()?.permissions().mode() & 0o111 == 0 {
            fs::set_permissions(entry.path(), fs::Permissions::from_mode(0o644))?;
        }
    }
    Ok(())
}
