//! The demo workload: a service whose slow *inference* is simulated and whose load shows in the histogram
//! `python_request_duration_seconds`, which the HPA is driven by.
//!
//! One request takes the way `http` (arrival, limits) → `work` (queue, slot, the inference) → answer; `metrics`
//! sees it from arrival to answer. `readiness` and `shutdown` are the life of the process; `app` puts all together.

pub mod app;
pub mod config;
pub mod http;
pub mod metrics;
pub mod readiness;
pub mod shutdown;
pub mod work;
