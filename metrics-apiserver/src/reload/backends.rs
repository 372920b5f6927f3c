//! The backends of the configuration, and those that retire after their last rule is gone.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::backend::{Backends, BuildError, Options};
use crate::cache::Cache;
use crate::rules::BackendName;

/// How long a backend outlives its last rule: longer than any read that began with that rule. Then its queries are
/// dropped from the cache, which would otherwise refresh them ahead of reads that never come.
const RETIREMENT: Duration = Duration::from_secs(60);

/// The backends in use, and their readings.
pub(super) struct BackendSet {
    backends: Arc<Backends>,
    cache: Arc<Cache>,
    /// Named by the rules served.
    configured: Vec<Configured>,
    retired: Vec<Retired>,
}

type Configured = (BackendName, Options);

/// A backend that no rule names any more.
struct Retired {
    backend: Configured,
    until: Instant,
}

impl BackendSet {
    pub(super) fn new(backends: Arc<Backends>, cache: Arc<Cache>, configured: Vec<Configured>) -> Self {
        Self { backends, cache, configured, retired: Vec::new() }
    }

    /// Adds and changes backends, and retires those that are gone; if one cannot be used, nothing changes.
    pub(super) fn replace(&mut self, new: Vec<Configured>, now: Instant) -> Result<(), BuildError> {
        let is_gone = |(name, _): &Configured| new.iter().all(|(other, _)| other != name);
        let until = now + RETIREMENT;
        let leaving = self.configured.iter().filter(|backend| is_gone(backend));
        let leaving: Vec<_> = leaving.map(|backend| Retired { backend: backend.clone(), until }).collect();
        let retired = self.retired.iter().chain(&leaving).map(|retired| &retired.backend);
        let all = new.iter().chain(retired.filter(|backend| is_gone(backend))).cloned().collect();
        self.backends.replace(all)?;

        let before = self.configured.iter().chain(self.retired.iter().map(|retired| &retired.backend));
        for (name, before) in before {
            if new.iter().any(|(other, options)| other == name && !options.has_the_data_of(before)) {
                self.cache.forget(name);
            }
        }
        self.retired.retain(|retired| is_gone(&retired.backend));
        self.retired.extend(leaving);
        self.configured = new;
        Ok(())
    }

    /// Removes the backends whose retirement is over.
    pub(super) fn remove_retired(&mut self, now: Instant) {
        let over: Vec<_> = self.retired.extract_if(.., |retired| retired.until <= now).collect();
        if over.is_empty() {
            return;
        }
        for Retired { backend: (name, _), .. } in &over {
            self.cache.forget(name);
        }
        let retired = self.retired.iter().map(|retired| &retired.backend);
        let rest = self.configured.iter().chain(retired).cloned().collect();
        if let Err(error) = self.backends.replace(rest) {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "unused backends cannot be removed yet");
        }
    }
}
