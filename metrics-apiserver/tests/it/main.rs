//! The whole crate from outside.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests may panic: clippy's own exemption covers test functions only"
)]

mod config_samples;
