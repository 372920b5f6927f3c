//! A control plane for reviews, a Prometheus with samples, and servers beside them.

use super::{
    connection::{Connection, Target},
    counters, proc, say,
    world::{self, Configuration},
};
use crate::{Cluster, Prometheus, Server, http, pki, ports, prometheus, server, workspace};
use anyhow::{Context, Result, ensure};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// The backend's default.
pub(super) const QUERY_TIMEOUT: Duration = Duration::from_secs(10);
/// The flag that `manifests/` set; 5 min is kube-apiserver's own default for its webhook.
pub(super) const ARGS: &[&str] = &["--authorization-webhook-cache-authorized-ttl=5m"];

/// What every measurement needs.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) cluster: Cluster,
    pub(super) prometheus: Prometheus,
    account: PathBuf,
    /// The build of metrics-apiserver that is measured; the sources' own without.
    pub(super) program: Option<PathBuf>,
}

/// A process that is measured, ours or another.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    pub(super) target: Arc<Target>,
    pub(super) pid: i32,
    /// Whether it counts the reads that its cache answers.
    pub(super) is_ours: bool,
}

/// A metrics-apiserver that is measured. It ends with this value.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) server: Server,
    pub(super) subject: Subject,
    config: PathBuf,
}

/// A server that has not been started.
#[derive(Debug)]
pub(super) struct Planned {
    name: String,
    options: server::Options,
    serving: server::Serving,
    pub(super) target: Arc<Target>,
}

/// Counts of a server and of Prometheus at one time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counts {
    pub(super) cpu_seconds: f64,
    /// Queries that Prometheus has answered.
    pub(super) queries: f64,
    /// Reads that found a reading in the cache, and all that looked there.
    pub(super) lookups: Option<(f64, f64)>,
}

impl Stage {
    pub(super) async fn start() -> Result<Self> {
        say("starting kube-apiserver and Prometheus");
        let cluster =
            Cluster::start(crate::Options { name: "bench".into(), ..crate::Options::default() }).await?;
        let prometheus = Prometheus::start(prometheus::Options {
            name: "bench-prometheus".into(),
            openmetrics: Some(world::samples()),
            ..prometheus::Options::default()
        })
        .await?;
        let account = Server::account(&cluster).await?;
        Ok(Self { cluster, prometheus, account, program: None })
    }

    /// The usual configuration.
    pub(super) fn configuration(&self) -> Configuration<'_> {
        Configuration { url: self.prometheus.url(), rules: world::RULES, timeout: QUERY_TIMEOUT, version: 0 }
    }

    /// A serving certificate and a free port, and what a client needs to read there.
    pub(super) fn serving(&self, dir: &Path) -> Result<(server::Serving, Arc<Target>)> {
        let serving = server::Serving {
            files: Server::identity(&self.cluster)?.write(dir, "serving")?,
            ca: self.cluster.credentials().serving_ca.pem(),
            port: ports::free()?,
        };
        let front_proxy = &self.cluster.credentials().files().front_proxy;
        let target = Arc::new(Target::new(front_proxy, &serving.ca, serving.port)?);
        Ok((serving, target))
    }

    /// Prepares all that a server needs, except the server.
    pub(super) fn plan(
        &self,
        name: &str,
        configuration: &Configuration<'_>,
        args: &[&str],
    ) -> Result<Planned> {
        self.plan_text(name, &configuration.text(), args)
    }

    /// The same for the text of any configuration.
    pub(super) fn plan_text(&self, name: &str, configuration: &str, args: &[&str]) -> Result<Planned> {
        let config = self.cluster.dir().state().join(format!("{name}.yaml"));
        pki::write(&config, configuration)?;
        let (serving, target) = self.serving(&self.cluster.dir().subdir(name)?)?;
        let args = args.iter().map(ToString::to_string).collect();
        let options = server::Options { config, kubeconfig: self.account.clone(), args };
        Ok(Planned { name: name.to_owned(), options, serving, target })
    }

    /// Starts a server and waits until it is ready.
    pub(super) async fn start_server(&self, planned: Planned) -> Result<Served> {
        let Planned { name, options, serving, target } = planned;
        let program = match &self.program {
            Some(program) => program.clone(),
            None => workspace::binary("metrics-apiserver").await?,
        };
        let server = Server::start_program(&self.cluster, &name, &options, serving, &program).await?;
        let subject = Subject { target, pid: server.process().pid().as_raw(), is_ours: true };
        Ok(Served { server, subject, config: options.config })
    }

    /// Both at once.
    pub(super) async fn serve(&self, name: &str, args: &[&str]) -> Result<Served> {
        self.start_server(self.plan(name, &self.configuration(), args)?).await
    }

    pub(super) async fn counts(&self, subject: &Subject) -> Result<Counts> {
        let url = format!("{}/metrics", self.prometheus.url());
        let prometheus = http::client(None)?.get(url).send().await?.error_for_status()?.text().await?;
        let query = "handler=\"/api/v1/query\"";
        Ok(Counts {
            cpu_seconds: proc::cpu_seconds(subject.pid)?,
            queries: counters::sum(&prometheus, "prometheus_http_requests_total", &[query]).unwrap_or(0.0),
            lookups: if subject.is_ours { lookups(&subject.metrics().await?) } else { None },
        })
    }
}

/// Hits and all lookups. Builds from before the cache was called one count them by another name.
fn lookups(metrics: &str) -> Option<(f64, f64)> {
    let sum = |labels: &[&str]| {
        let mut names =
            ["cache", "memory"].map(|room| format!("metrics_apiserver_{room}_lookups_total")).into_iter();
        names.find_map(|name| counters::sum(metrics, &name, labels))
    };
    sum(&["result=\"hit\""]).zip(sum(&[]))
}

impl Subject {
    /// What it shows at `/metrics`.
    pub(super) async fn metrics(&self) -> Result<String> {
        let target = Arc::clone(&self.target);
        let scrape = tokio::task::spawn_blocking(move || {
            let mut connection = Connection::new(&target);
            let request = world::get("/metrics", "bench", "system:masters");
            let (code, body) = connection.send(request.as_bytes())?;
            let text = String::from_utf8_lossy(body).into_owned();
            ensure!(code == 200, "/metrics answered {code}: {text}");
            Ok(text)
        });
        scrape.await?
    }
}

impl Served {
    /// Replaces the configuration file whole, as a ConfigMap's volume does.
    pub(super) fn configure(&self, text: &str) -> Result<()> {
        let unnamed = self.config.with_extension("new");
        pki::write(&unnamed, text)?;
        std::fs::rename(&unnamed, &self.config).context("replacing the configuration")
    }

    /// How many reloads have succeeded.
    pub(super) async fn reloads(&self) -> Result<f64> {
        let metrics = self.subject.metrics().await?;
        let success = ["outcome=\"success\""];
        counters::sum(&metrics, "metrics_apiserver_config_reloads_total", &success)
            .context("the server counts no reloads")
    }
}
