//! A real Prometheus on loopback, beside a cluster or alone.

mod config;

pub use config::{Https, Options, StaticJob};

use crate::{Process, Tools, http, pki, ports, rundir::RunDir};
use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use nix::sys::signal::Signal;
use serde::{Deserialize, de::DeserializeOwned};
use std::{collections::BTreeMap, path::Path, process::Command, time::Duration};
use tokio::sync::Mutex;

/// How long Prometheus may take to come up; it reads its own data first.
const UP: Duration = Duration::from_secs(60);

/// A Prometheus that can be stopped and started again with the same address and data. It ends with this value.
#[derive(Debug)]
pub struct Prometheus {
    // First, so that it ends before its data goes.
    process: Mutex<Option<Process>>,
    command: Vec<String>,
    tools: Tools,
    url: String,
    dir: RunDir,
}

/// One series of an answer, with its value at the time asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Its labels, `__name__` among them if the query kept it.
    pub labels: BTreeMap<String, String>,
    /// Seconds since 1970.
    pub time: f64,
    /// The value, which may be NaN or infinite.
    pub value: f64,
}

/// What came of an alerting rule when it was last evaluated.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AlertingRule {
    /// The alert.
    pub name: String,
    /// `inactive`, `pending` until it has lasted, then `firing`.
    pub state: String,
    /// `ok`, `err`, or `unknown` before the first time.
    pub health: String,
    /// What went wrong, if anything.
    #[serde(default)]
    pub last_error: String,
    /// When that was.
    pub last_evaluation: Timestamp,
}

impl Prometheus {
    /// Starts Prometheus and waits until it answers queries.
    pub async fn start(options: Options) -> Result<Self> {
        let tools = Tools::ensure().await?;
        let dir = RunDir::new(&options.name)?;
        let config = dir.state().join("prometheus.json");
        pki::write(&config, &options.file()?)?;
        let data = dir.subdir("data")?;
        if let Some(text) = &options.openmetrics {
            import(&tools, &dir, text, &data).await?;
        }
        let port = ports::free()?;
        let mut command = vec![
            format!("--config.file={}", config.display()),
            format!("--storage.tsdb.path={}", data.display()),
            format!("--web.listen-address=127.0.0.1:{port}"),
            // Imported samples may be old, and the data goes with the run anyway.
            "--storage.tsdb.retention.time=100y".into(),
            "--log.level=warn".into(),
        ];
        command.extend(options.args);
        let url = format!("http://127.0.0.1:{port}");
        let this = Self { process: Mutex::new(None), command, tools, url, dir };
        this.start_again().await?;
        Ok(this)
    }

    /// Where it answers, such as `http://127.0.0.1:18234`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The folders of this run.
    pub fn dir(&self) -> &RunDir {
        &self.dir
    }

    /// Ends it in order; its data stays. Stopping it twice is no error.
    pub async fn stop(&self) -> Result<()> {
        if let Some(process) = self.process.lock().await.take() {
            process.stop().await?;
        }
        Ok(())
    }

    /// Starts it on the same address with the same data; does nothing while it runs.
    pub async fn start_again(&self) -> Result<()> {
        let mut slot = self.process.lock().await;
        if let Some(process) = slot.as_ref()
            && process.look()?.is_none()
        {
            return Ok(());
        }
        let mut command = Command::new(self.tools.prometheus());
        command.args(&self.command).current_dir(self.dir.state());
        let process = Process::start("prometheus", &mut command, &self.dir.log("prometheus"))?;
        let client = http::client(None)?;
        let ready = format!("{}/-/ready", self.url);
        process.until("prometheus is ready", UP, || http::answers(&client, &ready)).await?;
        *slot = Some(process);
        Ok(())
    }

    /// Sends it a signal: `SIGSTOP` makes it hang, `SIGCONT` lets it go on, `SIGKILL` ends it.
    pub async fn signal(&self, signal: Signal) -> Result<()> {
        self.process.lock().await.as_ref().context("prometheus is stopped")?.signal(signal)
    }

    /// Asks one query, for now.
    pub async fn instant(&self, promql: &str) -> Result<Vec<Sample>> {
        self.get::<Data>("query", &[("query", promql)]).await?.samples()
    }

    /// The alerting rules of [`Options::rule_files`].
    pub async fn alerting_rules(&self) -> Result<Vec<AlertingRule>> {
        let rules: Rules = self.get("rules", &[("type", "alert")]).await?;
        Ok(rules.groups.into_iter().flat_map(|group| group.rules).collect())
    }

    async fn get<T: DeserializeOwned + Default>(&self, path: &str, query: &[(&str, &str)]) -> Result<T> {
        let request = http::client(None)?.get(format!("{}/api/v1/{path}", self.url)).query(query);
        let answer = request.send().await?.bytes().await?;
        let answer: Answer<T> = serde_json::from_slice(&answer)
            .with_context(|| format!("reading the answer {}", String::from_utf8_lossy(&answer)))?;
        ensure!(answer.status == "success", "prometheus refused {path} of {query:?}: {}", answer.error);
        Ok(answer.data.unwrap_or_default())
    }
}

/// Turns text in the `OpenMetrics` format, with timestamps, into Prometheus' own blocks.
async fn import(tools: &Tools, dir: &RunDir, text: &str, data: &Path) -> Result<()> {
    let file = dir.state().join("import.om");
    pki::write(&file, text)?;
    let mut promtool = tokio::process::Command::new(tools.promtool());
    promtool.args(["tsdb", "create-blocks-from", "openmetrics"]).arg(&file).arg(data).kill_on_drop(true);
    let output = promtool.output().await.context("starting promtool")?;
    ensure!(
        output.status.success(),
        "promtool refused the samples: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

#[derive(Deserialize)]
struct Answer<T> {
    status: String,
    #[serde(default)]
    error: String,
    data: Option<T>,
}

#[derive(Default, Deserialize)]
struct Rules {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    rules: Vec<AlertingRule>,
}

/// Only the two types that metrics have: a string or a matrix is an error.
#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Data {
    Vector(Vec<Series>),
    Scalar((f64, String)),
}

#[derive(Deserialize)]
struct Series {
    metric: BTreeMap<String, String>,
    value: (f64, String),
}

impl Default for Data {
    fn default() -> Self {
        Self::Vector(Vec::new())
    }
}

impl Data {
    fn samples(self) -> Result<Vec<Sample>> {
        let series = match self {
            Self::Vector(series) => series,
            Self::Scalar(value) => vec![Series { metric: BTreeMap::new(), value }],
        };
        let sample = |series: Series| {
            let (time, value) = series.value;
            let value = value.parse().with_context(|| format!("`{value}` is no number"))?;
            Ok(Sample { labels: series.metric, time, value })
        };
        series.into_iter().map(sample).collect()
    }
}
