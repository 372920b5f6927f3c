//! The command line: the server, and the commands besides it.

mod adapter;
mod arguments;
mod check;
mod ignored;
mod options;
mod prometheus;
mod prometheus_url;

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};

pub use adapter::AdapterOptions;
pub use check::{CheckArgs, Verdict, check, check_online};
pub use options::Options;
pub use prometheus::{DefaultBackendError, PrometheusOptions};

use arguments::{Arguments, rewrite};

/// The exit code for an invalid flag or configuration (`EX_USAGE`).
pub const EXIT_USAGE: u8 = 64;

/// The exit code for an unknown flag, as in prometheus-adapter.
const EXIT_UNKNOWN_FLAG: u8 = 2;

/// The exit code if the cluster that `check --cluster` looks at is not reached (`EX_UNAVAILABLE`).
const EXIT_UNREACHABLE: u8 = 69;

/// What the process does.
#[derive(Debug)]
pub enum Command {
    /// Serve until stopped.
    Serve(Box<Options>),
    /// Check a configuration file, with [`check`] or [`check_online`].
    Check(Box<CheckArgs>),
    /// Print this text, help or version, on standard output and exit.
    Print(String),
}

impl Verdict {
    /// The exit code of the process.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Passed => 0,
            Self::Failed => 1,
            Self::Invalid => EXIT_USAGE,
            Self::Unreachable => EXIT_UNREACHABLE,
        }
    }
}

/// Why a command line is invalid, for standard error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct UsageError {
    message: String,
    /// The exit code of the process.
    pub exit_code: u8,
}

/// Parses a command line; the first of `args` is the name of the program.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Command, UsageError> {
    let mut args: Vec<OsString> = args.into_iter().collect();
    match args.get(1).and_then(|first| first.to_str()) {
        Some("check") => {
            args.remove(1);
            let Arguments { arguments, .. } = rewrite(args, &CheckArgs::command());
            read(arguments)
                .map(|parsed| parsed.map_or_else(Command::Print, |args| Command::Check(Box::new(args))))
        }
        Some("version") => Ok(Command::Print(version())),
        Some("help") => Ok(Command::Print(help())),
        _ => serve(args),
    }
}

fn serve(args: Vec<OsString>) -> Result<Command, UsageError> {
    let Arguments { arguments, ignored } = rewrite(args, &Options::command());
    match read::<Options>(arguments)?.map(|options| (options.errors(), options)) {
        Err(text) => Ok(Command::Print(text)),
        Ok((errors, options)) if errors.is_empty() => {
            Ok(Command::Serve(Box::new(Options { ignored, ..options })))
        }
        Ok((errors, options)) => Err(invalid_flags(&errors, &options.positional)),
    }
}

/// The message for invalid flags. A mistyped command would otherwise be ignored silently.
fn invalid_flags(errors: &[String], positional: &[String]) -> UsageError {
    let note = positional.first().map_or_else(String::new, |word| {
        format!("\nnote: {word:?} is not a command and is ignored; the commands are check and version\n")
    });
    let message = format!("error: {}\n{note}\nFor more information, try '--help'.\n", errors.join("\n"));
    UsageError { message, exit_code: EXIT_USAGE }
}

/// The text of `--help`.
pub fn help() -> String {
    Options::command().render_long_help().to_string()
}

fn version() -> String {
    format!("metrics-apiserver {}\n", env!("CARGO_PKG_VERSION"))
}

/// The parsed command line, or the text that it requests (help, version).
fn read<P: Parser>(args: Vec<OsString>) -> Result<Result<P, String>, UsageError> {
    match P::try_parse_from(args) {
        Ok(parsed) => Ok(Ok(parsed)),
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            Ok(Err(error.to_string()))
        }
        Err(error) => {
            let is_unknown = error.kind() == ErrorKind::UnknownArgument;
            let exit_code = if is_unknown { EXIT_UNKNOWN_FLAG } else { EXIT_USAGE };
            Err(UsageError { message: error.to_string(), exit_code })
        }
    }
}

#[cfg(test)]
mod tests;
