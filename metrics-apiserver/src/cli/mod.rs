//! The command line: the server, and the commands besides it.

mod check;
mod options;

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};

pub use check::{CheckArgs, check};
pub use options::Options;

/// The exit code for an invalid command line or configuration (`EX_USAGE`).
pub const EXIT_USAGE: u8 = 64;

/// What the process does.
#[derive(Debug)]
pub enum Command {
    /// Serve until stopped.
    Serve(Box<Options>),
    /// Check a configuration file, with [`check`].
    Check(CheckArgs),
    /// Print this text, help or version, on standard output and exit.
    Print(String),
}

/// Why a command line is invalid: for standard error, with exit code [`EXIT_USAGE`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(String);

/// Parses a command line; the first of `args` is the name of the program.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Command, UsageError> {
    let mut args: Vec<OsString> = args.into_iter().map(with_dashes).collect();
    match args.get(1).and_then(|first| first.to_str()) {
        Some("check") => {
            args.remove(1);
            read(args).map(|parsed| parsed.map_or_else(Command::Print, Command::Check))
        }
        Some("version") => Ok(Command::Print(version())),
        Some("help") => Ok(Command::Print(help())),
        _ => match read::<Options>(args)?.map(|options| (options.errors(), options)) {
            Err(text) => Ok(Command::Print(text)),
            Ok((errors, options)) if errors.is_empty() => Ok(Command::Serve(Box::new(options))),
            Ok((errors, options)) => Err(invalid_flags(&errors, &options.positional)),
        },
    }
}

/// The message for invalid flags. A mistyped command would otherwise be ignored silently.
fn invalid_flags(errors: &[String], positional: &[String]) -> UsageError {
    let note = positional.first().map_or_else(String::new, |word| {
        format!("\nnote: {word:?} is not a command and is ignored; the commands are check and version\n")
    });
    UsageError(format!("error: {}\n{note}\nFor more information, try '--help'.\n", errors.join("\n")))
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
        Err(error) => Err(UsageError(error.to_string())),
    }
}

/// The argument with underscores in the name of a flag replaced by dashes, as Go's API servers accept them.
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
