//! A real `VictoriaMetrics`, single node, on loopback.

use crate::{Process, http, ports, rundir::RunDir, tools};
use anyhow::{Result, ensure};
use std::{process::Command, time::Duration};

/// How long it may take to come up.
const UP: Duration = Duration::from_secs(60);

/// A running `VictoriaMetrics`. It ends with this value.
#[derive(Debug)]
pub struct VictoriaMetrics {
    // First, so that it ends before its data goes.
    _process: Process,
    url: String,
    _dir: RunDir,
}

impl VictoriaMetrics {
    /// Starts it and waits until it answers. The name begins that of its log folder.
    pub async fn start(name: &str) -> Result<Self> {
        let program = tools::victoria_metrics().await?;
        let dir = RunDir::new(name)?;
        let port = ports::free()?;
        let mut command = Command::new(program);
        command.arg(format!("-httpListenAddr=127.0.0.1:{port}"));
        command.arg(format!("-storageDataPath={}", dir.subdir("data")?.display()));
        command.arg("-loggerLevel=WARN").current_dir(dir.state());
        let process = Process::start("victoria-metrics", &mut command, &dir.log("victoria-metrics"))?;
        let url = format!("http://127.0.0.1:{port}");
        let (client, health) = (http::client(None)?, format!("{url}/health"));
        process.until("victoria-metrics is ready", UP, || http::answers(&client, &health)).await?;
        Ok(Self { _process: process, url, _dir: dir })
    }

    /// Where it answers, such as `http://127.0.0.1:18234`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Writes samples of now, in Prometheus' text format.
    pub async fn write(&self, samples: &str) -> Result<()> {
        let url = format!("{}/api/v1/import/prometheus", self.url);
        let status = http::client(None)?.post(url).body(samples.to_owned()).send().await?.status();
        ensure!(status.is_success(), "victoria-metrics refused samples: {status}");
        Ok(())
    }
}
