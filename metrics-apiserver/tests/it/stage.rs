//! The real executable between a Prometheus and a Kubernetes of this process.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reqwest::Certificate;
use serde_json::json;
use tempfile::TempDir;

use crate::http::{Play, Request, Server};

const METRICS: &str = "/apis/external.metrics.k8s.io/v1beta1/namespaces/shop";
/// Whoever reads is carol, with this token.
pub(crate) const TOKEN: &str = "a-secret-token";
/// The address that a process should listen on, for tests that are not about it.
pub(crate) const LOOPBACK: &str = "--bind-address=127.0.0.1";
/// How long a test waits for anything before it fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// No read of these tests takes a hundredth of it.
const READ_MAX: Duration = Duration::from_secs(2);
/// The two seconds that the last traces have, and what a busy machine takes to end a process.
const END_MAX: Duration = Duration::from_secs(5);

/// A server process, with the metrics `queue_depth`, `queue_age`, `queue_rate` and `broken`.
pub(crate) struct Stage {
    pub(crate) prometheus: Server,
    is_down: Arc<AtomicBool>,
    address: String,
    http: reqwest::Client,
    pub(crate) process: Process,
    _kubernetes: Server,
    pub(crate) directory: TempDir,
}

/// The process of a server.
pub(crate) struct Process {
    pid: Pid,
    /// Each line of the log; of a [`Stage`] those after that it serves.
    pub(crate) log: Receiver<String>,
    ended: Receiver<ExitStatus>,
}

impl Stage {
    /// With these flags besides those that all need. No more of the log is read than `log_lines_max` ahead of the test.
    pub(crate) fn start(flags: &[&str], log_lines_max: usize) -> Self {
        let is_down = Arc::<AtomicBool>::default();
        let prometheus = Server::start({
            let is_down = Arc::clone(&is_down);
            move |request| query(request, is_down.load(Ordering::SeqCst))
        });
        let kubernetes = Server::start(review);
        let directory = tempfile::tempdir().unwrap();
        let certificate = write_files(directory.path(), &prometheus.url, &kubernetes.url);
        let process = Process::start(directory.path(), &[&[LOOPBACK], flags].concat(), log_lines_max);
        // reqwest panics without one.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().tls_certs_only([certificate]).build().unwrap();
        let address = process.address();
        Self { prometheus, is_down, address, http, process, _kubernetes: kubernetes, directory }
    }

    /// Reads a metric; gives the status.
    pub(crate) async fn read(&self, metric: &str, traceparent: &str) -> u16 {
        let request = self
            .http
            .get(format!("https://{}{METRICS}/{metric}?labelSelector=app%3Dtill", self.address))
            .timeout(READ_MAX)
            .bearer_auth(TOKEN)
            .header("Audit-ID", "an-audit-id");
        let request =
            if traceparent.is_empty() { request } else { request.header("traceparent", traceparent) };
        request.send().await.unwrap().status().as_u16()
    }

    /// From now on Prometheus answers no query.
    pub(crate) fn take_prometheus_down(&self) {
        self.is_down.store(true, Ordering::SeqCst);
    }

    /// Ends the server and waits for that, which it has to be quick about.
    pub(crate) fn end(&self) {
        self.process.end();
    }
}

impl Process {
    /// With the files of [`write_files`] in this folder.
    pub(crate) fn start(directory: &Path, flags: &[&str], log_lines_max: usize) -> Self {
        Self::start_as(None, directory, flags, log_lines_max)
    }

    /// The same as this user, in group 0. Only root may do this.
    pub(crate) fn start_as(
        user: Option<u32>,
        directory: &Path,
        flags: &[&str],
        log_lines_max: usize,
    ) -> Self {
        let program = Path::new(env!("CARGO_BIN_EXE_metrics-apiserver"));
        let mut command = match user {
            None => Command::new(program),
            Some(user) => {
                // The folders above the program may be closed to others.
                let copy = directory.join("metrics-apiserver");
                std::fs::copy(program, &copy).unwrap();
                let mut command = Command::new(copy);
                command.uid(user).gid(0);
                command
            }
        };
        command.current_dir(directory);
        Self::run(command, &[&["--kubeconfig=kubeconfig.json"], flags].concat(), log_lines_max)
    }

    /// The same as in a pod, whose ServiceAccount has the files of the folder `serviceaccount`, and in which
    /// kube-apiserver is at this address. None where there are no mount namespaces.
    pub(crate) fn start_in_pod(directory: &Path, kubernetes: SocketAddr, flags: &[&str]) -> Option<Self> {
        let is_root = std::fs::metadata(directory).unwrap().uid() == 0;
        let unshare = || {
            let mut command = Command::new("unshare");
            // Others may do so as root of a user namespace.
            command.args(["--mount", "--map-root-user"].into_iter().take(if is_root { 1 } else { 2 }));
            command
        };
        if !unshare().arg("true").output().is_ok_and(|tried| tried.status.success()) {
            return None;
        }
        let mount = "mount -t tmpfs none /var/run && mkdir -p /var/run/secrets/kubernetes.io && \
                     cp -r serviceaccount /var/run/secrets/kubernetes.io && exec \"$0\" \"$@\"";
        let mut command = unshare();
        command.current_dir(directory).args(["sh", "-c", mount, env!("CARGO_BIN_EXE_metrics-apiserver")]);
        command.env("KUBERNETES_SERVICE_HOST", kubernetes.ip().to_string());
        command.env("KUBERNETES_SERVICE_PORT", kubernetes.port().to_string());
        Some(Self::run(command, flags, usize::from(u16::MAX)))
    }

    fn run(mut command: Command, flags: &[&str], log_lines_max: usize) -> Self {
        let mut child = command
            .args(["--secure-port=0", "--config=config.yaml"])
            .args(["--tls-cert-file=tls.crt", "--tls-private-key-file=tls.key"])
            .args(["--authentication-skip-lookup"])
            .args(flags)
            // Nothing may use a proxy of the environment: nobody listens there.
            .envs(["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"].map(|name| (name, "http://127.0.0.1:1")))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let pid = Pid::from_raw(child.id().try_into().unwrap());
        let lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let (told, log) = mpsc::sync_channel(log_lines_max);
        // Both end with the process; a test that is over does not want to know.
        std::thread::spawn(move || lines.for_each(|line| drop(told.send(line))));
        let (tell, ended) = mpsc::channel();
        std::thread::spawn(move || tell.send(child.wait().unwrap()));
        Self { pid, log, ended }
    }

    /// Where it serves, from its log.
    pub(crate) fn address(&self) -> String {
        loop {
            let line = self.log.recv_timeout(PATIENCE).expect("it serves");
            if let Some((_, address)) = line.split_once("serving address=") {
                return address.to_owned();
            }
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid, signal).unwrap();
    }

    /// Ends it and waits for that, which it has to be quick about.
    pub(crate) fn end(&self) {
        let began = Instant::now();
        self.signal(Signal::SIGTERM);
        let status = self.ended.recv_timeout(PATIENCE).unwrap();
        assert!(status.success(), "{status}");
        assert!(began.elapsed() < END_MAX, "{:?}", began.elapsed());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Gone already, unless the test failed.
        let _ = kill(self.pid, Signal::SIGKILL);
    }
}

/// The configuration, the kubeconfig, and a serving certificate with its key.
pub(crate) fn write_files(directory: &Path, prometheus: &str, kubernetes: &str) -> Certificate {
    let write = |name: &str, text: &str| std::fs::write(directory.join(name), text).unwrap();
    let metric = |name: &str| json!({"name": name, "query": name});
    let metrics = ["queue_depth", "queue_age", "queue_rate", "broken"].map(metric);
    let config = json!({"backends": {"default": {"url": prometheus}}, "metrics": metrics});
    write("config.yaml", &config.to_string());
    let made = rcgen::generate_simple_self_signed(["127.0.0.1", "::1"].map(str::to_owned)).unwrap();
    write("tls.crt", &made.cert.pem());
    write("tls.key", &made.signing_key.serialize_pem());
    let kubeconfig = json!({
        "current-context": "fake",
        "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake"}}],
        "clusters": [{"name": "fake", "cluster": {"server": kubernetes, "certificate-authority": "tls.crt"}}],
        "users": [{"name": "fake", "user": {}}],
    });
    write("kubeconfig.json", &kubeconfig.to_string());
    Certificate::from_pem(made.cert.pem().as_bytes()).unwrap()
}

/// Prometheus: 2.5, unless something is broken.
pub(crate) fn query(request: &Request, is_down: bool) -> Play {
    if is_down || request.line.contains("broken") {
        return Play::json(503, "");
    }
    let vector = json!({"resultType": "vector", "result": [{"metric": {}, "value": [0, "2.5"]}]});
    Play::json(200, json!({"status": "success", "data": vector}))
}

/// Kubernetes: the token is carol's, who may do everything.
pub(crate) fn review(request: &Request) -> Play {
    let mut review = request.json();
    review["status"] = if request.line.contains("tokenreviews") {
        json!({"authenticated": review["spec"]["token"] == TOKEN, "user": {"username": "carol"}})
    } else {
        json!({"allowed": true})
    };
    Play::json(201, review)
}
