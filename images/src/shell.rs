//! Calls of other programs, which are awaited.

use crate::workspace;
use anyhow::{Context, Result, bail};
use std::process::{Command, Stdio};

/// cargo in the workspace, without the variables that describe the package of a program under `cargo run`: build
/// scripts watch some of them.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        if name
            .to_str()
            .is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"))
        {
            command.env_remove(name);
        }
    }
    command.current_dir(workspace());
    command
}

/// Runs a program that shows its progress on standard error; what it prints on standard output.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stderr(Stdio::inherit()).output().with_context(|| format!("starting `{name}`"))?;
    if !output.status.success() {
        let args: Vec<_> = command.get_args().map(|it| it.to_string_lossy()).collect();
        bail!("`{name} {}` ended with {}", args.join(" "), output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("the output of `{name}` is not UTF-8"))
}
