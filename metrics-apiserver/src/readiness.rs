//! What the process has reached in its life, for the health endpoints.
//!
//! Readiness does not follow Prometheus: a server without endpoints breaks the whole cluster's discovery, while a read
//! that fails tells its own client (contract §3.5, §6.1).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A health endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// `/healthz`, the old name of `/livez`.
    Healthz,
    /// `/livez`: restart the process if this fails.
    Livez,
    /// `/readyz`: send no requests here if this fails.
    Readyz,
}

impl Endpoint {
    /// The name as the last line of a verbose answer has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthz => "healthz",
            Self::Livez => "livez",
            Self::Readyz => "readyz",
        }
    }
}

/// One named check and how it went; the error says what is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Check {
    /// The name used in paths and in `?exclude=`.
    pub name: &'static str,
    /// The outcome.
    pub outcome: Result<(), &'static str>,
}

/// The latches; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<Latches>);

#[derive(Debug, Default)]
struct Latches {
    authentication_config: AtomicBool,
    configuration: AtomicBool,
    shutting_down: AtomicBool,
}

impl Readiness {
    /// The front proxy's CA and names were read once: requests can be told apart.
    pub fn authentication_config_synced(&self) {
        self.0.authentication_config.store(true, Ordering::Release);
    }

    /// A configuration is served.
    pub fn configuration_loaded(&self) {
        self.0.configuration.store(true, Ordering::Release);
    }

    /// The process was asked to end: no new requests, please.
    pub fn shutting_down(&self) {
        self.0.shutting_down.store(true, Ordering::Release);
    }

    /// Whether the process was asked to end.
    pub fn is_shutting_down(&self) -> bool {
        self.0.shutting_down.load(Ordering::Acquire)
    }

    /// The checks behind `endpoint`, in the order they are printed.
    ///
    /// `ping` and `log` are the names every Kubernetes component has: who can answer is alive, and standard error needs
    /// no flushing.
    pub fn checks(&self, endpoint: Endpoint) -> Vec<Check> {
        let mut checks =
            vec![Check { name: "ping", outcome: Ok(()) }, Check { name: "log", outcome: Ok(()) }];
        if endpoint == Endpoint::Readyz {
            checks.extend([
                Check {
                    name: "authentication-config",
                    outcome: when(
                        &self.0.authentication_config,
                        true,
                        "the authentication configuration is not read yet",
                    ),
                },
                Check {
                    name: "configuration",
                    outcome: when(&self.0.configuration, true, "the configuration is not loaded yet"),
                },
                Check {
                    name: "shutdown",
                    outcome: when(&self.0.shutting_down, false, "process is shutting down"),
                },
            ]);
        }
        checks
    }
}

fn when(latch: &AtomicBool, wanted: bool, message: &'static str) -> Result<(), &'static str> {
    if latch.load(Ordering::Acquire) == wanted { Ok(()) } else { Err(message) }
}
