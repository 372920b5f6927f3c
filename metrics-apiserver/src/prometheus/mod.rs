//! Prometheus over HTTP: implements [`Query`] for the configured backends.
//!
//! What holds for every query: it ends within the backend's timeout, waiting for its turn included; so many at once,
//! so many bytes (after decompression) and series, no more; no proxy, no redirect (it would carry the credentials
//! elsewhere); whatever comes back is an answer or a [`QueryError`], whose detail is for the log and names no URL.

mod client;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod notes;
mod options;
mod session;
mod wire;

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::memory::{BackendName, Fetched, Query, QueryError, Question};

pub use options::{Auth, BuildError, ClientOptions, Identity, SetupError};

use client::Client;

/// All configured backends by name.
#[derive(Debug)]
pub struct Backends {
    clients: HashMap<BackendName, Arc<Client>>,
}

impl Backends {
    /// Reads the credential files and prepares a client for each backend; connects to none.
    pub fn build(backends: Vec<(BackendName, ClientOptions)>) -> Result<Self, BuildError> {
        let client = |(name, options): (BackendName, ClientOptions)| {
            let client = Client::new(&name, options)
                .map_err(|source| BuildError { backend: name.0.to_string(), source })?;
            Ok((name, Arc::new(client)))
        };
        Ok(Self { clients: backends.into_iter().map(client).collect::<Result<_, _>>()? })
    }
}

impl Query for Backends {
    fn query(&self, question: Question) -> BoxFuture<'static, Result<Fetched, QueryError>> {
        let client = self.clients.get(&question.backend).map(Arc::clone);
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
