//! The process: flags, log and exit code (64 for wrong flags, 1 if it cannot start, 0 after a clean shutdown).

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Parser as _;
use inference_svc::app::App;
use inference_svc::config::Config;
use inference_svc::shutdown::stop_signal;
use tracing_subscriber::EnvFilter;

/// `EX_USAGE` of sysexits.h: the command line is wrong.
const EXIT_USAGE: u8 = 64;

fn main() -> ExitCode {
    let config = match Config::try_parse().and_then(Config::checked) {
        Ok(config) => config,
        Err(error) => {
            // If the terminal is gone, there is nowhere to report it.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(EXIT_USAGE) } else { ExitCode::SUCCESS };
        }
    };
    log_to_stderr();
    match serve(&config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "stopped by an error");
            ExitCode::FAILURE
        }
    }
}

fn serve(config: &Config) -> anyhow::Result<()> {
    actix_web::rt::System::new().block_on(async {
        let stop = stop_signal()?;
        let app = App::bind(config)?;
        app.announce();
        Ok(app.run(stop).await?)
    })
}

/// `RUST_LOG` overrides the filter. actix's own start-up lines would only repeat ours.
fn log_to_stderr() {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,actix_server=warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
}
