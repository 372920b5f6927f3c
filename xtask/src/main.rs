//! The developer's commands: `cargo xtask <command>`. Each is one thin file; what they do lies in `testbed`.

mod bench;
mod certs;
mod chart;
mod cluster;
mod demo;
mod dependencies;
mod faults;
mod fuzz;
mod images;
mod test;
mod tools;

use clap::Parser;
use std::process::ExitCode;

/// Commands for developers of metrics-apiserver
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Command {
    Demo(demo::Args),
    Test(test::Args),
    Cluster(cluster::Args),
    Bench(bench::Args),
    Faults(faults::Args),
    Fuzz(fuzz::Args),
    Certs(certs::Args),
    Chart(chart::Args),
    Images(images::Args),
    Tools(tools::Args),
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    match Command::parse() {
        Command::Demo(args) => demo::run(&args).await,
        Command::Test(args) => test::run(&args).await,
        Command::Cluster(args) => cluster::run(&args).await,
        Command::Bench(args) => bench::run(&args).await,
        Command::Faults(args) => faults::run(&args).await,
        Command::Fuzz(args) => fuzz::run(&args).await,
        Command::Certs(args) => certs::run(&args),
        Command::Chart(args) => chart::run(&args),
        Command::Images(args) => images::run(&args),
        Command::Tools(args) => tools::run(&args).await,
    }
}
