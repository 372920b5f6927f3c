//! The real executable on loopback: every test starts its own, on free ports.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests may fail this way, and print"
)]

#[path = "../support/mod.rs"]
mod support;

mod flags;
mod probes;
mod requests;
mod shutdown;
