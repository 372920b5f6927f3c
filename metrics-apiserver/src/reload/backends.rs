//! The backends of the configuration, and those that retire after their last rule is gone.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::backend::{Backends, BuildError, Options};
use crate::cache::Cache;
use crate::causes::causes;
use crate::rules::BackendName;

/// How long a backend outlives its last rule: longer than any read that began with that rule. Then its queries are
/// dropped from the cache, which would otherwise refresh them ahead of reads that never come.
const RETIREMENT: Duration = Duration::from_secs(60);

/// The backends in use, and their readings.
pub(super) struct BackendSet {
    backends: Arc<Backends>,
    cache: Arc<Cache>,
    known: Vec<Known>,
}

type Configured = (BackendName, Options);

#[derive(Clone)]
struct Known {
    backend: Configured,
    /// When its retirement is over; none while it is configured.
    retired_until: Option<Instant>,
}

impl BackendSet {
    pub(super) fn new(backends: Arc<Backends>, cache: Arc<Cache>, configured: Vec<Configured>) -> Self {
        Self { backends, cache, known: configured.into_iter().map(Known::configured).collect() }
    }

    /// Adds and changes backends, and retires those that are gone; if one cannot be used, nothing changes. Returns
    /// those that have other data now.
    pub(super) fn replace(
        &mut self,
        new: Vec<Configured>,
        now: Instant,
    ) -> Result<Vec<BackendName>, BuildError> {
        let mut known: Vec<_> = new.into_iter().map(Known::configured).collect();
        for before in &self.known {
            if find(&known, before.name()).is_none() {
                let retired_until = before.retired_until.or(Some(now + RETIREMENT));
                known.push(Known { retired_until, ..before.clone() });
            }
        }
        self.backends.replace(options(&known))?;
        let mut changed = Vec::new();
        for Known { backend: (name, before), .. } in &self.known {
            if find(&known, name).is_some_and(|after| !after.has_the_data_of(before)) {
                self.cache.forget(name);
                changed.push(name.clone());
            }
        }
        self.known = known;
        Ok(changed)
    }

    /// Removes the backends whose retirement is over.
    pub(super) fn remove_retired(&mut self, now: Instant) {
        let is_over = |known: &mut Known| known.retired_until.is_some_and(|until| until <= now);
        let over: Vec<_> = self.known.extract_if(.., is_over).collect();
        if over.is_empty() {
            return;
        }
        for known in &over {
            self.cache.forget(known.name());
        }
        if let Err(error) = self.backends.replace(options(&self.known)) {
            tracing::warn!(error = %causes(&error), "unused backends cannot be removed yet");
        }
    }
}

impl Known {
    fn configured(backend: Configured) -> Self {
        Self { backend, retired_until: None }
    }

    fn name(&self) -> &BackendName {
        &self.backend.0
    }
}

fn find<'a>(known: &'a [Known], name: &BackendName) -> Option<&'a Options> {
    known.iter().map(|known| &known.backend).find(|(other, _)| other == name).map(|(_, options)| options)
}

fn options(known: &[Known]) -> Vec<Configured> {
    known.iter().map(|known| known.backend.clone()).collect()
}
