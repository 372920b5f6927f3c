//! The whole on a real control plane.
//!
//! All tests share one cluster, which the first makes and the last drops, and one runtime, on which everything that
//! lives longer than a test may run. Each test works in namespaces of its own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "clippy spares only the test functions themselves"
)]

mod access;
mod api;
mod control_plane;
mod direct;
mod drop_in;
mod faults;
mod fixture;
mod hpa;
mod lifecycle;
mod manifests;
mod metrics;
mod monitoring;
mod node;
mod outage;
mod prefetch;
mod prometheus;
mod reload;
mod rights;
mod shared;
mod trust;
mod victoria_metrics;
mod workload;
