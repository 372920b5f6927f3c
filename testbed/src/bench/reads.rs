//! Reads as kube-apiserver sends them for the HPA controller.

use super::millis;
use crate::{Cluster, Server};
use anyhow::{Context, Result, ensure};
use serde::Serialize;
use std::{
    fs,
    time::{Duration, Instant},
};

/// Who the HPA controller is to the server; the bootstrap roles let it read every external metric.
const HPA: &str = "system:serviceaccount:kube-system:horizontal-pod-autoscaler";
/// Reads before counting: connections come up, reviews are cached.
const WARM_UP: usize = 200;

/// How long reads took, the client's own time included.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Latency {
    /// Half of them took at most this.
    pub p50_ms: f64,
    /// All but one in a hundred.
    pub p99_ms: f64,
    /// The slowest.
    pub max_ms: f64,
}

/// A client with the front proxy's certificate.
#[derive(Clone)]
pub(super) struct Reader {
    identity: String,
    ca: String,
    base: String,
    client: reqwest::Client,
}

impl Reader {
    pub(super) fn new(cluster: &Cluster, server: &Server) -> Result<Self> {
        let files = &cluster.credentials().files().front_proxy;
        let identity = fs::read_to_string(&files.certificate)? + &fs::read_to_string(&files.key)?;
        let base = format!("{}/apis/external.metrics.k8s.io/v1beta1/namespaces/default", server.url());
        let client = client(&identity, server.ca())?;
        Ok(Self { identity, ca: server.ca().to_owned(), base, client })
    }

    /// One read; its answer must carry the number that Prometheus was given.
    pub(super) async fn read(&self, metric: &str) -> Result<()> {
        let request = self.client.get(format!("{}/{metric}", self.base));
        let response = request.header("X-Remote-User", HPA).send().await?;
        let (status, body) = (response.status(), response.text().await?);
        ensure!(status.is_success() && body.contains("\"value\":\"42\""), "{status}: {body}");
        Ok(())
    }

    /// The latency of reads one after another on one connection.
    pub(super) async fn latency(&self, metric: &str, reads: usize) -> Result<Latency> {
        for _ in 0..WARM_UP {
            self.read(metric).await?;
        }
        let mut took = Vec::with_capacity(reads);
        for _ in 0..reads {
            let started = Instant::now();
            self.read(metric).await?;
            took.push(started.elapsed());
        }
        took.sort_unstable();
        let at = |share: usize| took.get((took.len() - 1) * share / 100).copied().unwrap_or_default();
        Ok(Latency { p50_ms: millis(at(50)), p99_ms: millis(at(99)), max_ms: millis(at(100)) })
    }

    /// How many reads `connections` clients do in `time`, each beginning the next when it has its answer.
    pub(super) async fn closed_loop(
        &self,
        metric: &str,
        connections: usize,
        time: Duration,
    ) -> Result<usize> {
        let end = Instant::now() + time;
        let clients = (0..connections).map(|_| {
            let (reader, metric) = (self.on_a_new_connection(), metric.to_owned());
            tokio::spawn(async move {
                let reader = reader?;
                let mut reads = 0;
                while Instant::now() < end {
                    reader.read(&metric).await?;
                    reads += 1;
                }
                anyhow::Ok(reads)
            })
        });
        let mut reads = 0;
        for client in clients.collect::<Vec<_>>() {
            reads += client.await.context("a client panicked")??;
        }
        Ok(reads)
    }

    fn on_a_new_connection(&self) -> Result<Self> {
        Ok(Self { client: client(&self.identity, &self.ca)?, ..self.clone() })
    }
}

fn client(identity: &str, ca: &str) -> Result<reqwest::Client> {
    crate::install_crypto();
    Ok(reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(5))
        .identity(reqwest::Identity::from_pem(identity.as_bytes())?)
        .tls_certs_only([reqwest::Certificate::from_pem(ca.as_bytes())?])
        .build()?)
}
