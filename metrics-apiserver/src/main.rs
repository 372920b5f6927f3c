//! The process: parses the command line, serves or runs a command, and maps the outcome to an exit code.

use std::fmt::Display;
use std::io::{self, Write as _};
use std::process::ExitCode;

use metrics_apiserver::app;
use metrics_apiserver::cli::{self, CheckArgs, Command, EXIT_USAGE, Options};
use metrics_apiserver::config::Problems;
use metrics_apiserver::shutdown::Ending;

fn main() -> ExitCode {
    match cli::parse(std::env::args_os()) {
        Ok(Command::Serve(options)) => serve(*options),
        Ok(Command::Check(args)) => check(&args),
        Ok(Command::Print(text)) => {
            // A closed pipe is what its reader wants.
            let _ = io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(usage) => fail(usage.exit_code, &usage),
    }
}

fn check(args: &CheckArgs) -> ExitCode {
    let out = &mut io::stdout().lock();
    let checked =
        if args.is_online() { run(app::check_online(args, out)).flatten() } else { cli::check(args, out) };
    match checked {
        Ok(verdict) => ExitCode::from(verdict.exit_code()),
        Err(error) => fail(1, &format_args!("error: cannot write: {error}\n")),
    }
}

/// Runs a future on threads of its own. An error if they cannot be started.
fn run<T>(future: impl Future<Output = T>) -> io::Result<T> {
    let runtime = tokio::runtime::Runtime::new()?;
    let output = runtime.block_on(future);
    // A thread that resolves a name or reads a file may hang, and cannot be stopped: the process exits without it.
    runtime.shutdown_background();
    Ok(output)
}

fn serve(options: Options) -> ExitCode {
    match run(app::serve(options)) {
        Ok(Ok(Ending::Drained)) => ExitCode::SUCCESS,
        Ok(Ok(Ending::Forced)) => ExitCode::FAILURE,
        Ok(Err(error)) => match error.downcast::<Problems>() {
            Ok(problems) => fail(EXIT_USAGE, &format_args!("{problems}\n")),
            Err(error) => fail(1, &format_args!("error: {error:#}\n")),
        },
        Err(error) => fail(1, &format_args!("error: cannot start threads: {error}\n")),
    }
}

fn fail(code: u8, message: &dyn Display) -> ExitCode {
    // Standard error is the last resort; if it is closed, the exit code remains.
    let _ = write!(io::stderr(), "{message}");
    ExitCode::from(code)
}
