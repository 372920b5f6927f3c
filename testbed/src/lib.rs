//! Real Kubernetes and Prometheus on one machine, for the demo, the tests and the benchmarks.
//!
//! Nothing here imitates: [`Tools`] builds the real programs once, [`Cluster`] runs etcd, kube-apiserver and
//! kube-controller-manager, [`Prometheus`] runs Prometheus, [`Server`] our own program beside them. Whatever is started
//! ends with the value that started it, and with this process, however it ends ([`process`]).

pub mod balancer;
pub mod bench;
pub mod chart;
pub mod cluster;
pub mod demo;
pub mod fault_proxy;
pub mod faults;
pub mod helm;
pub mod http;
pub mod kubeconfig;
pub mod kubectl;
pub mod load;
mod loopback;
pub mod node;
pub mod pki;
pub mod ports;
pub mod process;
pub mod prometheus;
pub mod rundir;
pub mod server;
pub mod serving_certificate;
pub mod tools;
pub mod victoria_metrics;
pub mod wait;
pub mod workspace;

pub use balancer::Balancer;
pub use cluster::{Cluster, Options, User};
pub use fault_proxy::{Call, Fault, FaultProxy};
pub use helm::Helm;
pub use kubectl::Kubectl;
pub use node::Node;
pub use process::Process;
pub use prometheus::Prometheus;
pub use server::Server;
pub use tools::Tools;
pub use victoria_metrics::VictoriaMetrics;
pub use wait::eventually;

/// Names the one TLS provider of this process; harmless when it has been named before.
pub fn install_crypto() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
