//! The real prometheus-adapter and our server side by side: the same flags, the same configuration, the same reads.
//!
//! `configurations/NN-name.yaml` is a configuration, `configurations/NN-name.reads` what is read from both servers
//! (see [`case`]). Adding a case is adding two files. Answers and the queries that reach Prometheus are compared; each
//! difference is either a failure or one of the known [`differences`]. A configuration in `configurations/refused` must
//! be refused.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "clippy spares only the test functions themselves"
)]

mod answer;
mod case;
mod comparison;
mod differences;
mod refused;
mod series;
mod side;
mod suite;
mod world;

/// Whether our server takes part. Without it the suite checks the adapter's answers against those in the files.
const OUR_SERVER_TAKES_PART: bool = true;
