//! The process: parses the command line, serves or runs a command, and maps the outcome to an exit code.

use std::fmt::Display;
use std::io::{self, Write as _};
use std::process::ExitCode;

use metrics_apiserver::app;
use metrics_apiserver::cli::{self, Command, EXIT_USAGE, Options};
use metrics_apiserver::config::Problems;
use metrics_apiserver::shutdown::Ending;

fn main() -> ExitCode {
    match cli::parse(std::env::args_os()) {
        Ok(Command::Serve(options)) => serve(*options),
        Ok(Command::Check(args)) => match cli::check(&args, &mut io::stdout().lock()) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::from(EXIT_USAGE),
            Err(error) => fail(1, &format_args!("error: cannot write: {error}\n")),
        },
        Ok(Command::Print(text)) => {
            // A closed pipe is what its reader wants.
            let _ = io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(usage) => fail(usage.exit_code, &usage),
    }
}

fn serve(options: Options) -> ExitCode {
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return fail(1, &format_args!("error: cannot start threads: {error}\n")),
    };
    let outcome = runtime.block_on(app::serve(options));
    // A thread that resolves a name or reads a file may hang, and cannot be stopped: the process exits without it.
    runtime.shutdown_background();
    match outcome {
        Ok(Ending::Drained) => ExitCode::SUCCESS,
        Ok(Ending::Forced) => ExitCode::FAILURE,
        Err(error) => match error.downcast::<Problems>() {
            Ok(problems) => fail(EXIT_USAGE, &format_args!("{problems}\n")),
            Err(error) => fail(1, &format_args!("error: {error:#}\n")),
        },
    }
}

fn fail(code: u8, message: &dyn Display) -> ExitCode {
    // Standard error is the last resort; if it is closed, the exit code remains.
    let _ = write!(io::stderr(), "{message}");
    ExitCode::from(code)
}
