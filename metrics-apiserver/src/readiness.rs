//! What the process has reached in its life, for the health endpoints.
//!
//! Readiness does not follow Prometheus: a server without endpoints breaks the whole cluster's discovery, while a read
//! that fails tells its own client (contract §3.5, §6.1).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// The name used in paths and in `?exclude=`.
    pub name: &'static str,
    /// The outcome.
    pub outcome: Result<(), &'static str>,
    /// What is worth knowing of a check that is passed. Everybody may read it.
    pub note: Option<Arc<str>>,
}

impl Check {
    /// A check without a note.
    pub const fn new(name: &'static str, outcome: Result<(), &'static str>) -> Self {
        Self { name, outcome, note: None }
    }
}

/// The latches; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<Latches>);

#[derive(Debug, Default)]
struct Latches {
    authentication_config: AtomicBool,
    configuration: AtomicBool,
    configuration_note: RwLock<Option<Arc<str>>>,
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

    /// Says which configuration is served, for `?verbose`: no key, name or value from the file may be in it.
    pub fn note_configuration(&self, note: &str) {
        *self.0.configuration_note.write().unwrap_or_else(PoisonError::into_inner) = Some(note.into());
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
        let mut checks = vec![Check::new("ping", Ok(())), Check::new("log", Ok(()))];
        if endpoint == Endpoint::Readyz {
            let Latches { authentication_config, configuration, configuration_note, shutting_down } =
                &*self.0;
            let synced =
                when(authentication_config, true, "the authentication configuration is not read yet");
            let loaded = when(configuration, true, "the configuration is not loaded yet");
            let note = configuration_note.read().unwrap_or_else(PoisonError::into_inner).clone();
            checks.extend([
                Check::new("authentication-config", synced),
                Check { note, ..Check::new("configuration", loaded) },
                Check::new("shutdown", when(shutting_down, false, "process is shutting down")),
            ]);
        }
        checks
    }
}

fn when(latch: &AtomicBool, wanted: bool, message: &'static str) -> Result<(), &'static str> {
    if latch.load(Ordering::Acquire) == wanted { Ok(()) } else { Err(message) }
}
