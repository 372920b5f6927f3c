//! Prometheus over HTTP: implements [`QuerySource`] for the configured backends, and lists series.
//!
//! Every query ends within the backend's timeout, including the wait for a permit; a list of series has a timeout of
//! its own. Calls at once, bytes (decompressed), series and labels are limited. No proxy of the environment is used and
//! no redirect is followed (it would carry the credentials elsewhere). A failed call ends with a [`QueryError`], whose
//! detail is for the log and contains no URL. A call to a backend that is down fails at once, and one that another
//! server of the backend can answer is answered by that (`failover`, `breaker`).

mod advice;
mod annotation_log;
mod annotations;
mod body;
mod breaker;
mod build_info;
mod call;
mod certificate;
mod client;
mod clients;
mod counts;
mod credentials;
mod decode;
mod diagnosis;
mod engine;
mod excerpt;
mod failover;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod kubeconfig;
mod metrics;
mod namespaced;
mod options;
mod probe;
mod proxy;
mod server_name;

use std::sync::Arc;

use arc_swap::ArcSwap;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use prometheus_client::registry::Registry;

use crate::cache::{BackendName, Owner, Query, QueryError, QuerySource, Reading};

pub use call::SeriesQuery;
pub use certificate::{CertificateChain, ServerCertificate, presented_chain};
pub use decode::{Engine, LabelNames, SeriesSummary};
pub use diagnosis::{Diagnosis, HttpAnswer};
pub use kubeconfig::KubeconfigError;
pub use namespaced::{NamespacedText, ParseNamespacedError};
pub use options::{
    Auth, BuildError, DEFAULT_TIMEOUT, FileOrData, Identity, Method, Options, Secret, SetupError,
};
pub use proxy::{ParseProxyError, ProxyUrl};
pub use server_name::{ParseServerNameError, ServerName};

use body::BodyBudget;
use clients::{Clients, clients};
use failover::Backend;

/// All configured backends by name.
#[derive(Debug)]
pub struct Backends {
    current: Arc<ArcSwap<Clients>>,
    budget: BodyBudget,
}

impl Backends {
    /// Reads the credential files and prepares a client for each backend; connects to none.
    pub fn build(backends: Vec<(BackendName, Options)>) -> Result<Self, BuildError> {
        let budget = BodyBudget::default();
        let current = ArcSwap::from_pointee(clients(backends, &Clients::new(), &budget)?);
        Ok(Self { current: Arc::new(current), budget })
    }

    /// Registers the metrics of the backends in use.
    pub fn register(&self, registry: &mut Registry) {
        metrics::register(registry, Arc::clone(&self.current));
    }

    /// Uses another configuration as a whole, or nothing of it if a part cannot be used.
    ///
    /// A backend with the same options keeps its client, its connections and what is known about its health. Calls in
    /// flight end where they began.
    pub fn replace(&self, backends: Vec<(BackendName, Options)>) -> Result<(), BuildError> {
        self.current.store(Arc::new(clients(backends, &self.current.load(), &self.budget)?));
        Ok(())
    }

    /// Lists the series of a backend, without label values.
    pub async fn series(&self, name: &BackendName, query: &SeriesQuery) -> Result<SeriesSummary, QueryError> {
        self.backend(name)?.series(query).await
    }

    /// Asks each server once what it is, and warns about engines that need a query parameter; never ends.
    pub async fn recognize_engines(self: Arc<Self>) {
        engine::recognize_all(&self.current).await;
    }

    /// What each URL of a backend answers, for people; asks whether its breaker is open or not.
    pub async fn diagnose(&self, name: &BackendName) -> Result<Vec<Diagnosis>, QueryError> {
        Ok(self.backend(name)?.diagnose().await)
    }

    /// Ends the probes of backends that are down, for shutdown.
    pub async fn shutdown(&self) {
        let current = self.current.load_full();
        join_all(current.values().map(|backend| backend.shutdown())).await;
    }

    fn backend(&self, name: &BackendName) -> Result<Arc<Backend>, QueryError> {
        let backend = self.current.load().get(name).map(Arc::clone);
        // The configuration check refuses such a rule; a reload may have removed the backend since.
        backend.ok_or_else(|| QueryError::Unavailable { detail: "there is no backend with this name".into() })
    }
}

impl QuerySource for Backends {
    fn query(&self, query: Query, owner: Owner) -> BoxFuture<'static, Result<Reading, QueryError>> {
        let backend = self.backend(&query.backend);
        async move { backend?.query(&query, owner).await }.boxed()
    }
}

#[cfg(test)]
mod tests;
