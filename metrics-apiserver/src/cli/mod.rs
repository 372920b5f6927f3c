//! The command line: serving, and the subcommands besides it.

mod check;

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};

use crate::config::{FlagErrors, Flags, Options};

pub use check::{CheckArgs, check};

/// The exit code of a command line or a configuration that is wrong (`EX_USAGE`).
pub const EXIT_USAGE: u8 = 64;

/// What the process is to do.
#[derive(Debug)]
pub enum Command {
    /// Serve until told to stop.
    Serve(Box<Options>),
    /// Check a configuration file, with [`check`].
    Check(CheckArgs),
    /// Print this text on standard output and end well: help or the version.
    Print(String),
}

/// Why a command line is none: for standard error, with exit code [`EXIT_USAGE`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(String);

/// Serve external metrics to Kubernetes, computed by PromQL.
#[derive(Debug, Parser)]
#[command(name = "metrics-apiserver", version, term_width = 100, args_override_self = true)]
#[command(
    after_help = "Commands (as the first argument):\n  check    check a configuration file and show the queries it makes\n  \
                        version  print the version\n\nWithout a command, the server starts. Durations are written as in Go: 500ms, 10s, 1m30s.\n\
                        Exit codes: 0 after a clean shutdown, 1 if the server can't start, 64 for wrong flags or configuration."
)]
struct Serve {
    #[command(flatten)]
    flags: Flags,
    /// Ignored, as prometheus-adapter does: its manifests pass the program's path once more.
    #[arg(hide = true)]
    positional: Vec<String>,
}

/// Check a configuration file: list every problem, or show the queries it makes.
#[derive(Debug, Parser)]
#[command(name = "metrics-apiserver check", bin_name = "metrics-apiserver check")]
#[command(term_width = 100, args_override_self = true)]
struct Check {
    #[command(flatten)]
    args: CheckArgs,
}

/// Reads a command line; the first of `args` is the program's name.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Command, UsageError> {
    let mut args: Vec<OsString> = args.into_iter().map(with_dashes).collect();
    match args.get(1).and_then(|first| first.to_str()) {
        Some("check") => {
            args.remove(1);
            read::<Check>(args)
                .map(|parsed| parsed.map_or_else(Command::Print, |check| Command::Check(check.args)))
        }
        Some("version") => Ok(Command::Print(version())),
        Some("help") => Ok(Command::Print(help())),
        _ => read::<Serve>(args).and_then(|parsed| match parsed {
            Err(text) => Ok(Command::Print(text)),
            Ok(serve) => Options::check(serve.flags, &serve.positional)
                .map(|options| Command::Serve(Box::new(options)))
                .map_err(|errors| refused_flags(&errors, &serve.positional)),
        }),
    }
}

/// What is wrong with the flags; a word that was probably meant as a command would otherwise be ignored without a word.
fn refused_flags(errors: &FlagErrors, positional: &[String]) -> UsageError {
    let note = positional.first().map_or_else(String::new, |word| {
        format!(
            "\nnote: {word:?} is no command, so the server would start; the commands are check and version\n"
        )
    });
    UsageError(format!("error: {errors}\n{note}\nFor more information, try '--help'.\n"))
}

/// The text of `--help`.
pub fn help() -> String {
    Serve::command().render_long_help().to_string()
}

fn version() -> String {
    format!("metrics-apiserver {}\n", env!("CARGO_PKG_VERSION"))
}

/// The parsed command line, or the text it asked for (help, version).
fn read<P: Parser>(args: Vec<OsString>) -> Result<Result<P, String>, UsageError> {
    match P::try_parse_from(args) {
        Ok(parsed) => Ok(Ok(parsed)),
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            Ok(Err(error.to_string()))
        }
        Err(error) => Err(UsageError(error.to_string())),
    }
}

/// The argument with the underscores of a flag's name made dashes, as Go's API servers accept them.
fn with_dashes(argument: OsString) -> OsString {
    match argument.to_str().filter(|text| text.starts_with("--")) {
        Some(text) => {
            let (name, value) = text.split_at(text.find('=').unwrap_or(text.len()));
            format!("{}{value}", name.replace('_', "-")).into()
        }
        None => argument,
    }
}

#[cfg(test)]
mod tests;
