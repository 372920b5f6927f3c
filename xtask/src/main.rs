//! The developer's commands: `cargo xtask <command>`. Each is one thin file; what they do lies in `testbed`.

mod cluster;
mod test;
mod tools;

use clap::Parser;
use std::process::ExitCode;

/// The developer's commands of metrics-apiserver
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Command {
    Test(test::Args),
    Cluster(cluster::Args),
    Tools(tools::Args),
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    match Command::parse() {
        Command::Test(args) => test::run(&args).await,
        Command::Cluster(args) => cluster::run(&args).await,
        Command::Tools(args) => tools::run(&args).await,
    }
}
