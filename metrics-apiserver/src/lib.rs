//! A Kubernetes external metrics API server that answers from Prometheus.
//!
//! `ARCHITECTURE.md` at the root of the repository describes the rooms and which may import which;
//! `tests/it/architecture.rs` checks the code against it.

pub mod answer;
pub mod api;
pub mod app;
pub mod authn;
pub mod authz;
pub mod backend;
pub mod cache;
pub mod catalog;
mod causes;
pub mod cli;
pub mod config;
mod files;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
pub mod kubernetes;
mod limit;
pub mod metric;
pub mod objects;
pub mod readiness;
pub mod registration;
pub mod reload;
pub mod rules;
pub mod series;
pub mod server;
pub mod shutdown;
pub mod syntax;
pub mod telemetry;
#[cfg(test)]
mod testkit;
pub mod tls;
mod x509;
