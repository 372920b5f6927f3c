//! Static programs, the same on every machine with the same toolchain.

use crate::{Architecture, Program, shell, workspace};
use anyhow::{Context, Result, ensure};
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// Separates flags in `CARGO_ENCODED_RUSTFLAGS`, so that paths may contain spaces.
const SEPARATOR: &str = "\u{1f}";

/// What decides about the bytes of a program besides its sources.
#[derive(Clone, Debug)]
pub(crate) struct Toolchain {
    /// Such as `rustc 1.95.0 (…)`.
    pub(crate) rustc: String,
    /// The first line of `cc --version`.
    pub(crate) compiler: String,
    /// The version of Debian's package of the C library.
    pub(crate) libc: String,
    /// The same for the public CA certificates.
    pub(crate) certificates: String,
    /// The distribution: `debian` or `ubuntu`.
    pub(crate) distribution: String,
}

impl Toolchain {
    /// What this machine has for an architecture, or what to install.
    pub(crate) fn find(architecture: Architecture) -> Result<Self> {
        let (compiler, libc_package) = architecture.debian_packages();
        let install = || {
            format!(
                "images are built on Debian or Ubuntu: `apt-get install {compiler} {libc_package} ca-certificates` \
                 and `rustup target add {}`",
                architecture.triple()
            )
        };
        let installed = |package: &str| {
            let mut query = Command::new("dpkg-query");
            shell::output(query.args(["--show", "--showformat=${Version}", package])).with_context(install)
        };
        let mut version = Command::new(architecture.compiler());
        let version = shell::output(version.arg("--version")).with_context(install)?;
        let target = sysroot()?.join("lib/rustlib").join(architecture.triple());
        ensure!(target.exists(), "{}", install());
        let release = std::fs::read_to_string("/etc/os-release").context("reading /etc/os-release")?;
        let distribution = release.lines().find_map(|line| line.strip_prefix("ID=")).unwrap_or("debian");
        Ok(Self {
            rustc: shell::output(Command::new(rustc()).arg("--version"))?.trim().to_owned(),
            compiler: version.lines().next().unwrap_or_default().to_owned(),
            libc: installed(libc_package)?,
            certificates: installed("ca-certificates")?,
            distribution: distribution.trim_matches('"').to_owned(),
        })
    }
}

/// Where the Rust toolchain lies.
pub(crate) fn sysroot() -> Result<PathBuf> {
    Ok(shell::output(Command::new(rustc()).args(["--print", "sysroot"]))?.trim().into())
}

fn rustc() -> std::ffi::OsString {
    std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())
}

/// Compiles a program with the profile `release` and links it statically; the executable.
pub(crate) fn compile(program: Program, architecture: Architecture) -> Result<PathBuf> {
    let triple = architecture.triple();
    let variable = triple.replace('-', "_");
    let paths = paths()?;
    let mut flags = vec!["-Ctarget-feature=+crt-static".to_owned()];
    flags.extend(paths.iter().map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display())));
    let prefixes = paths.iter().map(|(from, to)| format!("-ffile-prefix-map={}={to}", from.display()));
    let mut cargo = shell::cargo();
    // The explicit --target, even if it is the machine's own, keeps +crt-static away from build scripts and proc
    // macros, which must stay dynamic.
    cargo.args(["build", "--locked", "--release", "--target", triple, "--package", program.name()]);
    cargo.args(["--bin", program.name(), "--message-format=json-render-diagnostics"]);
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join(SEPARATOR)).env_remove("RUSTFLAGS");
    cargo.env(format!("CC_{variable}"), architecture.compiler());
    cargo.env(format!("CFLAGS_{variable}"), prefixes.collect::<Vec<_>>().join(" "));
    cargo.env(format!("CARGO_TARGET_{}_LINKER", variable.to_uppercase()), architecture.compiler());
    executable(&shell::output(&mut cargo)?, program)
}

/// The folders whose names would get into messages of the programs, and what stands there instead.
fn paths() -> Result<[(PathBuf, &'static str); 3]> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::home_dir().map(|home| home.join(".cargo")));
    let home = home.context("neither CARGO_HOME nor HOME is set")?;
    let standard_library = sysroot()?.join("lib/rustlib/src/rust");
    Ok([(workspace().to_owned(), "/src"), (home, "/cargo"), (standard_library, "/rust")])
}

/// The executable that cargo names in its messages, one JSON object a line.
fn executable(messages: &str, program: Program) -> Result<PathBuf> {
    let names = messages.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let mut names = names.filter_map(|it| it["executable"].as_str().map(PathBuf::from));
    let found = names.find(|path| path.file_name().is_some_and(|name| name == program.name()));
    found.with_context(|| format!("cargo built no executable `{}`", program.name()))
}

/// Whether a path exists, for messages that say what to install.
pub(crate) fn require(path: &Path, package: &str) -> Result<()> {
    ensure!(path.exists(), "{} is missing: `apt-get install {package}`", path.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_executable_is_the_one_that_cargo_names() {
        let messages = r#"{"reason":"compiler-artifact","executable":null}
{"reason":"compiler-artifact","executable":"/t/release/metrics-apiserver"}
{"reason":"build-finished","success":true}"#;
        assert_eq!(executable(messages, Program::Server).unwrap(), Path::new("/t/release/metrics-apiserver"));
        executable(messages, Program::Workload).unwrap_err();
    }
}
