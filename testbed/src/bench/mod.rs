//! `cargo xtask bench`: how fast, how small. Real TLS with the front proxy's certificate, a real kube-apiserver for reviews
//! and a real Prometheus; memory and live reads come from one server in one run, so that their ratio means something.

mod reads;

use crate::{Cluster, Prometheus, Server, pki, prometheus, server, workspace};
use anyhow::{Context, Result};
pub use reads::Latency;
use reads::Reader;
use serde::Serialize;
use std::{
    fs,
    time::{Duration, Instant},
};

/// Reads one after another for each latency figure.
const READS: usize = 5_000;
/// As prometheus-adapter was measured.
const CONNECTIONS: usize = 5;
/// How long the closed loop runs.
const CLOSED_LOOP: Duration = Duration::from_secs(5);

/// What was measured.
#[derive(Debug, Serialize)]
pub struct Report {
    /// From the process' start until a read has its first correct answer.
    pub first_answer_ms: f64,
    /// Resident memory before the reads.
    pub idle_memory_mb: f64,
    /// Resident memory after them.
    pub memory_after_reads_mb: f64,
    /// Reads answered from memory.
    pub from_memory: Latency,
    /// Reads that each ask Prometheus (`maxAge: 0s`).
    pub live: Latency,
    /// Reads from memory in a closed loop of five connections, the load on the same cores.
    pub reads_per_second: f64,
    /// The server's processor time for a thousand of those.
    pub cpu_ms_per_1000_reads: f64,
    /// Size of the server's program.
    pub server_binary_mb: f64,
    /// Size of the inference service's program.
    pub inference_binary_mb: f64,
}

/// Measures with the programs of the running profile.
pub async fn run() -> Result<Report> {
    let cluster =
        Cluster::start(crate::Options { name: "bench".into(), ..crate::Options::default() }).await?;
    let prometheus = Prometheus::start(prometheus::Options {
        name: "bench-prometheus".into(),
        openmetrics: Some(samples()),
        ..prometheus::Options::default()
    })
    .await?;
    let config = cluster.dir().state().join("bench.yaml");
    pki::write(&config, &configuration(prometheus.url()))?;
    let options = server::Options { config, kubeconfig: Server::account(&cluster).await?, args: Vec::new() };
    let started = Instant::now();
    let server = Server::start(&cluster, "bench-server", &options).await?;
    let reader = Reader::new(&cluster, &server)?;
    reader.read("bench_memory").await?;
    let first_answer_ms = millis(started.elapsed());
    let pid = server.process().pid().as_raw();
    let idle_memory_mb = resident_mb(pid)?;
    let from_memory = reader.latency("bench_memory", READS).await?;
    let live = reader.latency("bench_live", READS).await?;
    let cpu_before = cpu_seconds(pid)?;
    let reads = reader.closed_loop("bench_memory", CONNECTIONS, CLOSED_LOOP).await?;
    let cpu = cpu_seconds(pid)? - cpu_before;
    let report = Report {
        first_answer_ms,
        idle_memory_mb,
        memory_after_reads_mb: resident_mb(pid)?,
        from_memory,
        live,
        reads_per_second: count(reads) / CLOSED_LOOP.as_secs_f64(),
        cpu_ms_per_1000_reads: cpu * 1e6 / count(reads),
        server_binary_mb: size_mb("metrics-apiserver").await?,
        inference_binary_mb: size_mb("inference-svc").await?,
    };
    cluster.shutdown().await?;
    Ok(report)
}

/// A gauge with one sample now, and one in the past so that it is found whenever the query is evaluated.
fn samples() -> String {
    let now = jiff::Timestamp::now().as_second();
    format!(
        "# TYPE bench gauge\nbench{{namespace=\"default\"}} 41 {}\nbench{{namespace=\"default\"}} 42 {now}\n# EOF\n",
        now - 60
    )
}

fn configuration(url: &str) -> String {
    format!(
        "backends:\n  default:\n    url: {url}\nmetrics:\n- name: bench_memory\n  query: sum(last_over_time(bench[1h]))\n  maxAge: 1m\n\
         - name: bench_live\n  query: max(last_over_time(bench[1h]))\n  maxAge: 0s\n"
    )
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[expect(clippy::cast_precision_loss, reason = "counts of reads stay far below 2^52")]
fn count(reads: usize) -> f64 {
    reads as f64
}

#[expect(clippy::cast_precision_loss, reason = "sizes of programs stay far below 2^52")]
async fn size_mb(program: &str) -> Result<f64> {
    Ok(fs::metadata(workspace::binary(program).await?)?.len() as f64 / 1e6)
}

fn resident_mb(pid: i32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kibibytes: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kibibytes * 1024.0 / 1e6)
}

/// Linux counts in hundredths of a second for every program outside the kernel.
fn cpu_seconds(pid: i32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(") ").context("an odd /proc/stat")?;
    let ticks = fields.split(' ').skip(11).take(2).map(str::parse::<f64>).sum::<Result<f64, _>>()?;
    Ok(ticks / 100.0)
}
