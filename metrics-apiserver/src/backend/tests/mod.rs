//! The client against a server on loopback that replays and misbehaves.

mod engines;
mod http;
mod outage;
mod proxy;
mod recorded;
mod series;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use super::{Auth, Backends, Options};
use crate::cache::{BackendName, Owner, Query, QueryError, QuerySource, Reading};
use crate::files::{DEBOUNCE, POLL_INTERVAL};
use crate::syntax::BaseUrl;
use crate::testkit::{self, Play, Server};

/// Longer than any answer takes on a busy machine.
const PATIENT: Duration = Duration::from_secs(30);

/// One sample with the value 42.
const ANSWER: &str =
    r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1.5,"42"]}]}}"#;

fn url(text: &str) -> BaseUrl {
    BaseUrl::parse(text, "/api/v1").unwrap()
}

fn options(server: &Server) -> Options {
    Options { timeout: PATIENT, ..Options::new(vec![url(&server.url)]) }
}

fn backends(options: Options) -> Backends {
    Backends::build(vec![(BackendName("default".into()), options)]).unwrap()
}

async fn query(backends: &Backends, promql: &str) -> Result<Reading, QueryError> {
    query_for(&Arc::new(()), backends, promql).await
}

/// The same for the metric with this owner.
async fn query_for(owner: &Arc<()>, backends: &Backends, promql: &str) -> Result<Reading, QueryError> {
    backends.query(testkit::query(promql), Owner::new(owner)).await
}

/// Advances the clock, so that the next query reads the files again.
async fn files_become_due() {
    jump(POLL_INTERVAL).await;
}

/// The same, after a query that has seen what is new in them.
async fn files_settle(backends: &Backends) {
    files_become_due().await;
    let _ = query(backends, "up").await;
    jump(DEBOUNCE).await;
}

async fn jump(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

#[track_caller]
fn assert_value(result: Result<Reading, QueryError>, value: f64) {
    let values: Vec<f64> = result.unwrap().samples.iter().map(|sample| sample.value).collect();
    assert_eq!(values, [value]);
}
