//! The backends in use, and what each was made from.

use std::collections::HashMap;
use std::sync::Arc;

use super::body::BodyBudget;
use super::failover::Backend;
use super::{BuildError, Options};
use crate::cache::BackendName;

/// By name.
pub(super) type Clients = HashMap<BackendName, Entry>;

/// A backend with what it was made from.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    options: Options,
    pub(super) backend: Arc<Backend>,
}

/// The clients of these backends. One with the same options as `before` is kept.
pub(super) fn clients(
    backends: Vec<(BackendName, Options)>,
    before: &Clients,
    budget: &BodyBudget,
) -> Result<Clients, BuildError> {
    let entry = |(name, options): (BackendName, Options)| {
        let namesake = before.get(&name);
        if let Some(same) = namesake.filter(|entry| entry.options == options) {
            return Ok((name, same.clone()));
        }
        let counts = namesake.map(|entry| Arc::clone(&entry.backend.counts)).unwrap_or_default();
        let backend = Backend::new(&name, options.clone(), counts, budget)
            .map_err(|source| BuildError { backend: name.0.to_string(), source })?;
        Ok((name, Entry { options, backend: Arc::new(backend) }))
    };
    backends.into_iter().map(entry).collect()
}
