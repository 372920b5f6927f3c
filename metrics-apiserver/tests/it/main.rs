//! Integration tests of the library, in one binary so that they link once.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failing test should stop where it fails"
)]

mod architecture;
mod config_samples;
mod manifests;
mod quantity_go;
