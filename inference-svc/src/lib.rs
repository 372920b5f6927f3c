//! The demo workload: a service with a simulated slow *inference*. Its load shows in the histogram
//! `python_request_duration_seconds`, on which the HPA scales it.
//!
//! A request goes through `http` (limits) and `work` (queue, slot, inference); `metrics` measures it from arrival to
//! answer. `readiness` and `shutdown` are the life cycle of the process, and `app` wires everything together.

pub mod app;
pub mod config;
pub mod http;
pub mod metrics;
pub mod readiness;
pub mod shutdown;
pub mod work;
