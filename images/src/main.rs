//! `cargo run --package images`: what the build stage of the Dockerfiles calls.

use anyhow::Result;
use clap::Parser;
use images::{Architecture, Program, root};
use std::path::PathBuf;

/// Compile a program statically and lay out the file system of its image
#[derive(Parser)]
struct Args {
    /// The program
    program: Program,
    /// The processor it is for
    architecture: Architecture,
    /// The folder that gets the files
    root: PathBuf,
}

fn main() -> Result<()> {
    let Args { program, architecture, root } = Args::parse();
    root::lay_out(program, architecture, &root)
}
