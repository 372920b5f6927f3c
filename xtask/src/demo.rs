//! `cargo xtask demo`.

use anyhow::Result;
use std::{path::PathBuf, process::ExitCode};
use testbed::demo::{Options, run as play};

/// Watch a plain HPA scale the inference service out under load and in again, on a real Kubernetes
///
/// Starts a control plane and Prometheus on 127.0.0.1, applies manifests/ with kubectl, sends load, and shows the
/// metric, the HPA and the replicas as they change. Ends with a summary and a picture, target/demo.svg; exits with 0
/// only if the service went to its maximum and back.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Keep everything running after the summary, until ctrl-c, and print how to use it
    #[arg(long)]
    keep: bool,
    /// Use inferences of 10 s and windows of 240 and 300 s, as in the manifests: takes about twenty minutes
    #[arg(long)]
    realistic: bool,
    /// Configure the server with a rule and the flags of prometheus-adapter instead of a query of its own
    #[arg(long, conflicts_with = "realistic")]
    adapter_config: bool,
    /// Run the server from its image in this OCI layout, made by `cargo xtask images`, in the image's file system
    #[arg(long, value_name = "FOLDER")]
    image: Option<PathBuf>,
}

pub(crate) async fn run(args: &Args) -> Result<ExitCode> {
    let Args { keep, realistic, adapter_config, image } = args;
    let options = Options { realistic: *realistic, keep: *keep, adapter_config: *adapter_config };
    play(options, image.as_deref()).await?;
    Ok(ExitCode::SUCCESS)
}
