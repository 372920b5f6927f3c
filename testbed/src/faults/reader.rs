//! Reads of all metrics through kube-apiserver, as the HPA controller makes them, but timed and looked at one by one.

use super::workload::{WORKLOADS, Workload};
use crate::{Cluster, demo::watch::quantity};
use anyhow::{Context, Result};
use serde_json::Value;
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

/// Between an answer and the next read.
const PAUSE: Duration = Duration::from_millis(200);
/// Long enough to see how long a hanging read takes.
const TIMEOUT: Duration = Duration::from_secs(70);

/// Reads until dropped.
pub(super) struct Reader {
    reads: Arc<Mutex<Reads>>,
    _tasks: JoinSet<()>,
}

/// What came of the reads since [`Reader::begin`].
#[derive(Clone, Debug, Default)]
pub(super) struct Reads {
    pub(super) count: usize,
    /// Those without a number, and the first of their answers.
    pub(super) failed: usize,
    pub(super) failure: Option<String>,
    pub(super) worst: Duration,
    /// Numbers that no load explains.
    pub(super) wrong: Vec<String>,
}

impl Reader {
    pub(super) fn start(cluster: &Cluster) -> Result<Self> {
        let reads = Arc::new(Mutex::new(Reads::default()));
        let mut tasks = JoinSet::new();
        for workload in WORKLOADS {
            let (client, reads) = (Client::new(cluster, workload)?, Arc::clone(&reads));
            tasks.spawn(async move {
                loop {
                    let begun = Instant::now();
                    let outcome = client.read().await;
                    lock(&reads).note(&workload, begun.elapsed(), outcome);
                    tokio::time::sleep(PAUSE).await;
                }
            });
        }
        Ok(Self { reads, _tasks: tasks })
    }

    /// Forgets what has been read.
    pub(super) fn begin(&self) {
        *lock(&self.reads) = Reads::default();
    }

    pub(super) fn reads(&self) -> Reads {
        lock(&self.reads).clone()
    }
}

impl Reads {
    fn note(&mut self, workload: &Workload, took: Duration, outcome: Result<f64>) {
        self.count += 1;
        self.worst = self.worst.max(took);
        match outcome {
            Ok(value) if workload.right().contains(&value) => {}
            Ok(value) => self.wrong.push(format!("{} {value}", workload.metric)),
            Err(error) => {
                self.failed += 1;
                self.failure.get_or_insert_with(|| format!("{error:#}"));
            }
        }
    }
}

/// Reads one metric.
pub(super) struct Client {
    http: reqwest::Client,
    url: String,
}

impl Client {
    pub(super) fn new(cluster: &Cluster, workload: Workload) -> Result<Self> {
        let credentials = cluster.credentials();
        let identity = credentials.cluster_ca.client("reader", Some("system:masters"))?;
        let identity = format!("{}{}", identity.certificate, identity.key);
        let ca = reqwest::Certificate::from_pem(credentials.cluster_ca.pem().as_bytes())?;
        let http = reqwest::Client::builder().no_proxy().timeout(TIMEOUT).tls_certs_only([ca]);
        let http = http.identity(reqwest::Identity::from_pem(identity.as_bytes())?).build()?;
        Ok(Self { http, url: format!("{}{}", cluster.url(), workload.path()) })
    }

    /// The number; what the HPA makes of several is their sum.
    pub(super) async fn read(&self) -> Result<f64> {
        let answer = self.http.get(&self.url).send().await?;
        let (code, body) = (answer.status(), answer.text().await?);
        anyhow::ensure!(code.is_success(), "{code}: {body}");
        let body: Value = serde_json::from_str(&body).context("reading the answer")?;
        let items = body["items"].as_array().context("no items")?;
        // An HPA makes no zero of it either.
        anyhow::ensure!(!items.is_empty(), "an empty list");
        let value = |item: &Value| item["value"].as_str().and_then(quantity).context("no value");
        items.iter().map(value).sum()
    }
}

fn lock(reads: &Mutex<Reads>) -> MutexGuard<'_, Reads> {
    reads.lock().unwrap_or_else(PoisonError::into_inner)
}
