//! Prometheus over HTTP: implements [`QuerySource`] for the configured backends.
//!
//! What holds for every query: it ends within the backend's timeout, waiting for its turn included; so many at once and
//! a second, so many bytes (after decompression), series and labels, no more; no proxy, no redirect (it would carry the
//! credentials elsewhere); whatever comes back is an answer or a [`QueryError`], whose detail is for the log and names no
//! URL. A query to a backend that is down ends at once, and one that another server of the backend can answer is
//! answered by that (`backend`, `breaker`).

mod annotation_log;
mod annotations;
mod breaker;
mod budget;
mod client;
mod concurrency;
mod credentials;
mod decode;
mod failover;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod long;
mod marks;
mod metrics;
mod options;
mod probe;
mod room;
mod slow;

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use prometheus_client::registry::Registry;

use crate::cache::{BackendName, Query, QueryError, QuerySource, Reading};

pub use options::{Auth, BuildError, Identity, Options, SetupError};

use failover::Backend;
use options::Options as ClientOptions;
use room::Room;

/// All configured backends by name.
#[derive(Debug)]
pub struct Backends {
    current: Arc<ArcSwap<Clients>>,
    room: Room,
}

type Clients = HashMap<BackendName, Entry>;

/// A backend with what it was made from.
#[derive(Debug, Clone)]
struct Entry {
    options: ClientOptions,
    backend: Arc<Backend>,
}

impl Backends {
    /// Reads the credential files and prepares a client for each backend; connects to none.
    pub fn build(backends: Vec<(BackendName, ClientOptions)>) -> Result<Self, BuildError> {
        let room = Room::default();
        let current = ArcSwap::from_pointee(clients(backends, &Clients::new(), &room)?);
        Ok(Self { current: Arc::new(current), room })
    }

    /// Tells of the backends of the moment at `/metrics`.
    pub fn register(&self, registry: &mut Registry) {
        metrics::register(registry, Arc::clone(&self.current));
    }

    /// Takes up another configuration as a whole, or, if a part of it cannot be used, nothing of it.
    ///
    /// A backend with the same options keeps its client with its connections and what is known of its health. Queries
    /// under way end where they began.
    pub fn replace(&self, backends: Vec<(BackendName, ClientOptions)>) -> Result<(), BuildError> {
        self.current.store(Arc::new(clients(backends, &self.current.load(), &self.room)?));
        Ok(())
    }

    /// Ends the probes of backends that are down; for when nobody asks any more.
    pub async fn shutdown(&self) {
        let current = self.current.load_full();
        join_all(current.values().map(|entry| entry.backend.shutdown())).await;
    }
}

fn clients(
    backends: Vec<(BackendName, ClientOptions)>,
    before: &Clients,
    room: &Room,
) -> Result<Clients, BuildError> {
    let entry = |(name, options): (BackendName, ClientOptions)| {
        let namesake = before.get(&name);
        if let Some(same) = namesake.filter(|entry| entry.options == options) {
            return Ok((name, same.clone()));
        }
        let counts = namesake.map(|entry| Arc::clone(&entry.backend.counts)).unwrap_or_default();
        let backend = Backend::new(&name, options.clone(), counts, room)
            .map_err(|source| BuildError { backend: name.0.to_string(), source })?;
        Ok((name, Entry { options, backend: Arc::new(backend) }))
    };
    backends.into_iter().map(entry).collect()
}

impl QuerySource for Backends {
    fn query(&self, query: Query) -> BoxFuture<'static, Result<Reading, QueryError>> {
        let backend = self.current.load().get(&query.backend).map(|entry| Arc::clone(&entry.backend));
        async move {
            match backend {
                Some(backend) => backend.query(&query.promql).await,
                // The configuration check refuses such a rule; a reload may have taken the backend away since.
                None => Err(QueryError::Unavailable { detail: "there is no backend of this name".into() }),
            }
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests;
