//! The state of the process for the health endpoints.
//!
//! Readiness does not depend on Prometheus. Without ready replicas the `APIService` becomes unavailable, which breaks
//! discovery for the whole cluster, whereas a failed read is reported to its client.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// A health endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// `/healthz`, the old name of `/livez`.
    Healthz,
    /// `/livez`: if it fails, the kubelet restarts the container.
    Livez,
    /// `/readyz`: if it fails, the pod gets no requests.
    Readyz,
}

impl Endpoint {
    /// The name, as in the last line of verbose output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthz => "healthz",
            Self::Livez => "livez",
            Self::Readyz => "readyz",
        }
    }
}

/// A named check and its outcome; the error says what is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// The name in paths and in `?exclude=`.
    pub name: &'static str,
    /// The outcome.
    pub outcome: Result<(), &'static str>,
    /// Details of a passed check. Readable without authentication.
    pub note: Option<Arc<str>>,
}

impl Check {
    /// A check without a note.
    pub const fn new(name: &'static str, outcome: Result<(), &'static str>) -> Self {
        Self { name, outcome, note: None }
    }
}

/// The state; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<Latches>);

#[derive(Debug, Default)]
struct Latches {
    authentication_config: AtomicBool,
    configuration: AtomicBool,
    configuration_note: RwLock<Option<Arc<str>>>,
    awaits_series: AtomicBool,
    series_note: RwLock<Option<Arc<str>>>,
    registration_note: RwLock<Option<Arc<str>>>,
    shutting_down: AtomicBool,
}

impl Readiness {
    /// The CA bundles were loaded: requests can be authenticated.
    pub fn authentication_config_synced(&self) {
        self.0.authentication_config.store(true, Ordering::Release);
    }

    /// A configuration is in use.
    pub fn configuration_loaded(&self) {
        self.0.configuration.store(true, Ordering::Release);
    }

    /// Describes the configuration in use, for `?verbose`. Must not contain keys, names or values of the file.
    pub fn note_configuration(&self, note: &str) {
        *self.0.configuration_note.write().unwrap_or_else(PoisonError::into_inner) = Some(note.into());
    }

    /// The rules that need series are not served yet: until [`Self::series_discovered`], other replicas answer better.
    pub fn await_series(&self) {
        self.0.awaits_series.store(true, Ordering::Release);
    }

    /// Series were looked for, with or without success.
    pub fn series_discovered(&self) {
        self.0.awaits_series.store(false, Ordering::Release);
    }

    /// Describes the discovery of series, for `?verbose`; none without rules that need it. Must not contain keys, names
    /// or values of the file.
    pub fn note_series(&self, note: Option<&str>) {
        *self.0.series_note.write().unwrap_or_else(PoisonError::into_inner) = note.map(Into::into);
    }

    /// Describes whether the `APIService`s lead to this server, for `?verbose`; without a note it is not known.
    pub fn note_registration(&self, note: &str) {
        *self.0.registration_note.write().unwrap_or_else(PoisonError::into_inner) = Some(note.into());
    }

    /// Shutdown has begun: the pod must get no new requests.
    pub fn shutting_down(&self) {
        self.0.shutting_down.store(true, Ordering::Release);
    }

    /// Whether shutdown has begun.
    pub fn is_shutting_down(&self) -> bool {
        self.0.shutting_down.load(Ordering::Acquire)
    }

    /// The checks of `endpoint`, in the order in which they are printed.
    ///
    /// `ping` and `log` exist in every Kubernetes component. They always pass: the process answers, and standard error
    /// needs no flushing.
    pub fn checks(&self, endpoint: Endpoint) -> Vec<Check> {
        let mut checks = vec![Check::new("ping", Ok(())), Check::new("log", Ok(()))];
        if endpoint == Endpoint::Readyz {
            let Latches {
                authentication_config,
                configuration,
                configuration_note,
                awaits_series,
                series_note,
                registration_note,
                shutting_down,
            } = &*self.0;
            let synced =
                when(authentication_config, true, "the authentication configuration is not loaded yet");
            let loaded = when(configuration, true, "the configuration is not loaded yet");
            let note = configuration_note.read().unwrap_or_else(PoisonError::into_inner).clone();
            checks.extend([
                Check::new("authentication-config", synced),
                Check { note, ..Check::new("configuration", loaded) },
            ]);
            let listed = when(awaits_series, false, "series are being looked for, for the first time");
            // Once series were looked for, both pass always: replicas that are not ready would break discovery for the
            // whole cluster.
            for (name, outcome, note) in
                [("series", listed, series_note), ("registration", Ok(()), registration_note)]
            {
                let note = note.read().unwrap_or_else(PoisonError::into_inner).clone();
                checks.extend(note.map(|note| Check { note: Some(note), ..Check::new(name, outcome) }));
            }
            checks.extend([Check::new("shutdown", when(shutting_down, false, "process is shutting down"))]);
        }
        checks
    }
}

fn when(latch: &AtomicBool, wanted: bool, message: &'static str) -> Result<(), &'static str> {
    if latch.load(Ordering::Acquire) == wanted { Ok(()) } else { Err(message) }
}
