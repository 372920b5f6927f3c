//! Calls of other programs, which are awaited.

use crate::workspace;
use anyhow::{Context, Result, bail};
use std::process::{Command, Stdio};

/// cargo in the workspace, without the variables that describe the package of a program under `cargo run`: build
/// scripts watch some of them.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(describes_a_package) {
            command.env_remove(name);
        }
    }
    command.current_dir(workspace());
    command
}

fn describes_a_package(variable: &str) -> bool {
    ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|prefix| variable.starts_with(prefix))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_is_called_without_the_variables_of_the_package_that_calls_it() {
        // Under `cargo test` they are set.
        let command = cargo();
        let removed: Vec<_> =
            command.get_envs().filter_map(|(name, value)| value.is_none().then_some(name)).collect();
        assert!(removed.iter().any(|name| *name == "CARGO_PKG_NAME"), "{removed:?}");
        assert!(removed.iter().any(|name| *name == "CARGO_MANIFEST_DIR"), "{removed:?}");
        assert!(!describes_a_package("CARGO_TARGET_DIR") && !describes_a_package("CARGO_HOME"));
    }
}
