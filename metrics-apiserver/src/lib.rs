//! A Kubernetes external metrics API server that answers from Prometheus.
//!
//! `ARCHITECTURE.md` in the repository's root draws the rooms and says which may import which;
//! `tests/it/architecture.rs` holds the code to it.

pub mod answer;
pub mod catalog;
pub mod cli;
pub mod config;
pub mod memory;
pub mod metric;
pub mod rules;
