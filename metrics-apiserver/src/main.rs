//! The process: reads the command line, serves or runs a subcommand, and turns the outcome into an exit code.

use std::io::{self, Write as _};
use std::process::ExitCode;

use metrics_apiserver::app::{self, Signals};
use metrics_apiserver::cli::{self, Command, EXIT_USAGE};
use metrics_apiserver::config::{self, Options};
use metrics_apiserver::shutdown::Ending;

fn main() -> ExitCode {
    match cli::parse(std::env::args_os()) {
        Ok(Command::Serve(options)) => serve(*options),
        Ok(Command::Check(args)) => match cli::check(&args, &mut io::stdout().lock()) {
            Ok(code) => ExitCode::from(code),
            Err(error) => fail(1, &format_args!("error: cannot write: {error}\n")),
        },
        Ok(Command::Print(text)) => {
            // A closed pipe is the reader's wish.
            let _ = io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(usage) => fail(EXIT_USAGE, &usage),
    }
}

fn serve(options: Options) -> ExitCode {
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return fail(1, &format_args!("error: cannot start threads: {error}\n")),
    };
    let code = runtime.block_on(serving(options));
    // A thread that resolves a name or reads a file may hang, and nobody can stop it: the process ends without it.
    runtime.shutdown_background();
    code
}

async fn serving(options: Options) -> ExitCode {
    // First of all: a SIGHUP that comes early must not end the process.
    let signals = match Signals::install() {
        Ok(signals) => signals,
        Err(error) => return fail(1, &format_args!("error: {error:#}\n")),
    };
    let config = match config::load(&options.config_file) {
        Ok(config) => config,
        Err(problems) => return fail(EXIT_USAGE, &format_args!("{problems}\n")),
    };
    match app::serve(options, config, signals).await {
        Ok(Ending::Drained) => ExitCode::SUCCESS,
        Ok(Ending::Forced) => ExitCode::FAILURE,
        Err(error) => fail(1, &format_args!("error: {error:#}\n")),
    }
}

fn fail(code: u8, message: &dyn std::fmt::Display) -> ExitCode {
    // Standard error is the last resort; if it is closed, the exit code still speaks.
    let _ = write!(io::stderr(), "{message}");
    ExitCode::from(code)
}
