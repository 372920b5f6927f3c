//! Discovery of series for adapter rules: which metrics there are.
//!
//! Each distinct list of series that the rules ask for (`seriesQuery`, by backend) is called for by itself: at once,
//! and then an interval after it was received. A list that fails keeps what it found last, and is retried with growing
//! pauses; the others do not notice. A metric whose series are gone from a list that succeeded is no longer served.
//!
//! What was found is linked with the rules and the cluster's resources to the metrics that the catalog serves: when a
//! list changes, when the cluster's resources change, and when the rules change. Only the first of these asks
//! Prometheus. Linking thousands of names takes some time, so it runs on a thread for blocking work.
//!
//! The server starts without waiting for any of this. No probe depends on it.

mod discovery;
mod failure;
mod link;
mod metrics;
mod queries;
mod rules;

pub use discovery::{Options, Parts, Series};
pub use rules::Rules;
