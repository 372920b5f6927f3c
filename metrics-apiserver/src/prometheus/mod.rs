//! Prometheus over HTTP: implements [`Query`] for the configured backends.
//!
//! What holds for every query: it ends within the backend's timeout, waiting for its turn included; so many at once,
//! so many bytes (after decompression) and series, no more; no proxy, no redirect (it would carry the credentials
//! elsewhere); whatever comes back is an answer or a [`QueryError`], whose detail is for the log and names no URL.

mod client;
mod notes;
mod options;
mod session;
mod wire;

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::memory::{BackendName, Fetched, Query, QueryError, Question};

pub use options::{Auth, BuildError, ClientOptions, Identity, SetupError};

use client::Client;

/// All configured backends by name.
#[derive(Debug)]
pub struct Backends {
    current: ArcSwap<Clients>,
}

type Clients = HashMap<BackendName, Entry>;

/// A client with what it was made from.
#[derive(Debug, Clone)]
struct Entry {
    options: ClientOptions,
    client: Arc<Client>,
}

impl Backends {
    /// Reads the credential files and prepares a client for each backend; connects to none.
    pub fn build(backends: Vec<(BackendName, ClientOptions)>) -> Result<Self, BuildError> {
        Ok(Self { current: ArcSwap::from_pointee(clients(backends, &Clients::new())?) })
    }

    /// Takes up another configuration as a whole, or, if a part of it cannot be used, nothing of it.
    ///
    /// A backend with the same options keeps its client with its connections and what is known of its health. Queries
    /// under way end where they began.
    pub fn replace(&self, backends: Vec<(BackendName, ClientOptions)>) -> Result<(), BuildError> {
        self.current.store(Arc::new(clients(backends, &self.current.load())?));
        Ok(())
    }
}

fn clients(backends: Vec<(BackendName, ClientOptions)>, before: &Clients) -> Result<Clients, BuildError> {
    let entry = |(name, options): (BackendName, ClientOptions)| {
        if let Some(same) = before.get(&name).filter(|entry| entry.options == options) {
            return Ok((name, same.clone()));
        }
        let client = Client::new(&name, options.clone())
            .map_err(|source| BuildError { backend: name.0.to_string(), source })?;
        Ok((name, Entry { options, client: Arc::new(client) }))
    };
    backends.into_iter().map(entry).collect()
}

impl Query for Backends {
    fn query(&self, question: Question) -> BoxFuture<'static, Result<Fetched, QueryError>> {
        let client = self.current.load().get(&question.backend).map(|entry| Arc::clone(&entry.client));
        async move {
            match client {
                Some(client) => client.query(&question.promql).await,
                // The configuration check refuses such a rule; a reload may have taken the backend away since.
                None => Err(QueryError::Unavailable { detail: "there is no backend of this name".into() }),
            }
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests;
