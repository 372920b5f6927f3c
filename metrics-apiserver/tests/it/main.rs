//! The whole crate from outside, in one binary so that it links once.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests may panic: clippy's own exemption covers test functions only"
)]

mod adapter_flags;
mod architecture;
mod chart;
mod config_samples;
mod go;
#[path = "../../src/testkit/http.rs"]
#[allow(dead_code, reason = "the crate's own tests need more of it")]
mod http;
mod in_pod;
mod language_go;
mod life;
mod log;
mod manifests;
mod online;
mod promql_go;
mod quantity_go;
mod stage;
mod traces;
