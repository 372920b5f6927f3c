//! The backends in use, and what each was made from.

use std::collections::HashMap;
use std::sync::Arc;

use super::body::BodyBudget;
use super::failover::Backend;
use super::{BuildError, Options};
use crate::cache::BackendName;

/// The backends by name.
pub(super) type Clients = HashMap<BackendName, Arc<Backend>>;

/// The clients of these backends. One with the same options as `before` is kept.
pub(super) fn clients(
    backends: Vec<(BackendName, Options)>,
    before: &Clients,
    budget: &BodyBudget,
) -> Result<Clients, BuildError> {
    let client = |(name, options): (BackendName, Options)| {
        let namesake = before.get(&name);
        if let Some(same) = namesake.filter(|backend| backend.options == options) {
            return Ok((name, Arc::clone(same)));
        }
        let counts = namesake.map(|backend| Arc::clone(&backend.counts)).unwrap_or_default();
        let backend = Backend::new(&name, options, counts, budget)
            .map_err(|source| BuildError { backend: name.0.to_string(), source })?;
        Ok((name, Arc::new(backend)))
    };
    backends.into_iter().map(client).collect()
}
