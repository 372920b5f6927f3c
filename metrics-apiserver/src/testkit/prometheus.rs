//! A backend that answers by script, and a scrape of the server's own metrics.

use std::sync::{Arc, Mutex};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;
use tokio::time::Instant;

use crate::cache::{BackendName, Owner, Query, QueryError, QuerySource, Reading};
use crate::metric::{Labels, Sample};

type Outcome = Result<Reading, QueryError>;

/// A backend that answers by script and records its queries.
pub(crate) struct FakeSource {
    script: Box<dyn Fn(usize, Query) -> BoxFuture<'static, Outcome> + Send + Sync>,
    asked: Mutex<Vec<Query>>,
}

impl FakeSource {
    /// The script gets each query with its number, from 0.
    pub(crate) fn new<F>(script: impl Fn(usize, Query) -> F + Send + Sync + 'static) -> Arc<Self>
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let script = Box::new(move |number, query| script(number, query).boxed());
        Arc::new(Self { script, asked: Mutex::default() })
    }

    /// All queries so far.
    pub(crate) fn asked(&self) -> Vec<Query> {
        self.asked.lock().unwrap().clone()
    }
}

impl QuerySource for FakeSource {
    fn query(&self, query: Query, _: Owner) -> BoxFuture<'static, Outcome> {
        let mut asked = self.asked.lock().unwrap();
        let number = asked.len();
        asked.push(query.clone());
        drop(asked);
        (self.script)(number, query)
    }
}

/// A query for the backend `default`.
pub(crate) fn query(promql: &str) -> Query {
    Query::new(BackendName("default".into()), promql)
}

/// A reading that was just fetched, with one sample without labels for each value.
pub(crate) fn reading(values: impl IntoIterator<Item = f64>) -> Reading {
    let sample = |value| Sample { labels: Labels::new(), value, timestamp: Timestamp::UNIX_EPOCH };
    Reading { samples: values.into_iter().map(sample).collect(), partial: None, asked: Instant::now() }
}

/// The text that a scrape of these metrics returns.
pub(crate) fn scrape(registry: &Registry) -> String {
    let mut page = String::new();
    text::encode(&mut page, registry).unwrap();
    page
}
