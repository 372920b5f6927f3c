//! `cargo xtask images`.

use anyhow::Result;
use comfy_table::{Table, presets};
use images::{Architecture, Program, release};
use std::{fs, io::Write as _, path::PathBuf, process::ExitCode};
use testbed::workspace;

/// Build the container images for amd64 and arm64 with buildah, and check them
///
/// Cross-compiles both programs, and leaves an OCI layout with one image per architecture for each of them. The same
/// commit, toolchain and CA certificates give the same digests. Checked are the size, the user, the labels, the files,
/// that the programs are static, and that the image for this machine runs.
#[derive(clap::Args)]
#[command(
    after_help = "Push a layout with `skopeo copy --all oci:target/images/metrics-apiserver docker://REGISTRY/NAME`."
)]
pub(crate) struct Args {
    /// Build only the image of this program; may be repeated
    #[arg(long = "program", value_name = "NAME")]
    programs: Vec<Program>,
    /// Build only for this architecture; may be repeated
    #[arg(long = "architecture", value_name = "NAME")]
    architectures: Vec<Architecture>,
    /// Give the images another label; may be repeated
    #[arg(long = "label", value_name = "NAME=VALUE")]
    labels: Vec<String>,
    /// The folder that gets the layouts [default: target/images]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let directory = match &args.out {
        Some(directory) => std::path::absolute(directory)?,
        None => workspace::target_dir()?.join("images"),
    };
    fs::create_dir_all(&directory)?;
    let made = release::make(&release::Options {
        programs: or_all(&args.programs, &[Program::Server, Program::Workload]),
        architectures: or_all(&args.architectures, &[Architecture::Amd64, Architecture::Arm64]),
        labels: &args.labels,
        directory: &directory,
    })?;
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["image", "for", "MB", "digest"]);
    for it in &made {
        table.add_row([it.program.name(), "all", "", &it.digest]);
        for image in &it.images {
            let size = bytes_as_megabytes(image.size);
            table.add_row(["", &image.configuration.architecture, &size, &image.digest]);
        }
    }
    let mut out = std::io::stdout().lock();
    for version in made.iter().filter_map(|it| it.version.as_deref()) {
        writeln!(out, "{version} runs from its image.")?;
    }
    writeln!(out, "{table}\nThe layouts are in {}", directory.display())?;
    Ok(ExitCode::SUCCESS)
}

fn or_all<'a, T>(chosen: &'a [T], all: &'a [T]) -> &'a [T] {
    if chosen.is_empty() { all } else { chosen }
}

/// With two digits: 7.35.
fn bytes_as_megabytes(bytes: u64) -> String {
    format!("{}.{:02}", bytes / 1_000_000, bytes % 1_000_000 / 10_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_two_digits_behind_the_point() {
        assert_eq!(bytes_as_megabytes(9_999_999), "9.99");
        assert_eq!(bytes_as_megabytes(12_050_000), "12.05");
    }
}
