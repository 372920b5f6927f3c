//! Real Kubernetes and Prometheus on one machine, for the demo, the tests and the benchmarks.

pub mod serving_certificate;
