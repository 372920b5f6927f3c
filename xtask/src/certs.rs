//! `cargo xtask certs`.

use anyhow::Result;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use testbed::serving_certificate::{Overlay, Request, generate};

/// Create the serving certificate and a kustomization that installs it with an overlay
///
/// certs/README.md describes the files and the rotation.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Service that the `APIService` refers to
    #[arg(long, default_value = "metrics-apiserver")]
    service: String,
    /// Namespace of the Service
    #[arg(long, default_value = "metrics-apiserver")]
    namespace: String,
    /// Kustomize directory to install; without it, only the certificate is created
    #[arg(long, value_name = "DIR")]
    overlay: Option<PathBuf>,
    /// Output directory
    #[arg(long, value_name = "DIR", default_value = "certs/generated")]
    out: PathBuf,
    /// Validity of the certificate, in days
    #[arg(long, default_value_t = 365)]
    days: u32,
    /// Replace a certificate that is still valid; its CA stays in the bundle
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let overlay = args.overlay.as_deref().map(|directory| Overlay { directory, api_service_port: None });
    let made = generate(&Request {
        service: &args.service,
        namespace: &args.namespace,
        validity: Duration::from_secs(24 * 60 * 60) * args.days,
        out_dir: &args.out,
        overlay,
        force: args.force,
    })?;
    let mut out = std::io::stdout().lock();
    let what = if made.kept { "Kept" } else { "Made" };
    writeln!(out, "{what} {}, valid until {}.", made.certificate_file.display(), made.expires)?;
    if overlay.is_some() {
        writeln!(out, "Install with: kubectl apply -k {}", args.out.display())?;
    }
    Ok(ExitCode::SUCCESS)
}
