//! The guides: each page is followed command by command on a real control plane, with the real Helm, kubectl,
//! Prometheus and VictoriaMetrics, and pods as the chart makes them.
//!
//! A page's `console` blocks are what is run, in order, in one checkout; what they show is what must come
//! ([`page`], [`pattern`]). A guide takes a cluster for itself and leaves it as it was ([`place`]).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "clippy spares only the test functions themselves"
)]

mod checkout;
mod followed;
mod page;
mod pattern;
mod place;
mod pool;
mod temporal;
mod values;
