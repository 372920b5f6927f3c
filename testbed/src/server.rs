//! Our own metrics-apiserver as a process beside a cluster, with the rights of its ServiceAccount and no others.

mod registration;

use crate::{
    Cluster, Process, http,
    pki::{Identity, IdentityFiles},
    ports, workspace,
};
use anyhow::{Context, Result};
use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// The namespace, and in it the name of the Deployment, the Service and the ServiceAccount, as in `manifests/`.
pub const NAME: &str = "metrics-apiserver";
/// The only name that kube-apiserver checks in the serving certificate.
pub const HOST: &str = "metrics-apiserver.metrics-apiserver.svc";
/// How long the server may take to be ready.
const UP: Duration = Duration::from_secs(30);

/// A running metrics-apiserver. It ends with this value.
#[derive(Debug)]
pub struct Server {
    process: Process,
    port: u16,
    ca: String,
    serving: IdentityFiles,
}

/// How the server is to be started.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its configuration file.
    pub config: PathBuf,
    /// The kubeconfig that it uses for everything: see [`Server::account`].
    pub kubeconfig: PathBuf,
    /// Further flags.
    pub args: Vec<String>,
}

/// What the server shows and where it listens, for an `APIService` that was applied before it starts.
#[derive(Clone, Debug)]
pub struct Serving {
    /// A certificate for [`HOST`].
    pub files: IdentityFiles,
    /// The authority (PEM) that vouches for it.
    pub ca: String,
    /// A free port.
    pub port: u16,
}

impl Server {
    /// Starts the server and waits until `/readyz` says yes. Its name in the log folder is `name`.
    pub async fn start(cluster: &Cluster, name: &str, options: &Options) -> Result<Self> {
        let files = Self::identity(cluster)?.write(&cluster.dir().subdir(name)?, "serving")?;
        let ca = cluster.credentials().serving_ca.pem();
        Self::start_with(cluster, name, options, Serving { files, ca, port: ports::free()? }).await
    }

    /// As [`Server::start`], with a certificate and a port that were chosen before.
    pub async fn start_with(
        cluster: &Cluster,
        name: &str,
        options: &Options,
        serving: Serving,
    ) -> Result<Self> {
        let program = workspace::binary("metrics-apiserver").await?;
        Self::start_program(cluster, name, options, serving, &program).await
    }

    /// As [`Server::start_with`], with another build of the program than the sources' own.
    pub async fn start_program(
        cluster: &Cluster,
        name: &str,
        options: &Options,
        serving: Serving,
        program: &Path,
    ) -> Result<Self> {
        let Serving { files: serving, ca, port } = serving;
        let dir = cluster.dir().subdir(name)?;
        let mut command = Command::new(program);
        command.args(["--bind-address", "127.0.0.1", "--secure-port", &port.to_string()]);
        command.arg("--tls-cert-file").arg(&serving.certificate);
        command.arg("--tls-private-key-file").arg(&serving.key);
        for flag in ["--kubeconfig", "--authentication-kubeconfig", "--authorization-kubeconfig"] {
            command.arg(flag).arg(&options.kubeconfig);
        }
        command.arg("--config").arg(&options.config).args(&options.args).current_dir(&dir);
        let process = Process::start(name, &mut command, &cluster.dir().log(name))?;
        // By the name that kube-apiserver checks: the certificate need not have another.
        let client = http::client_of(&ca, HOST, (Ipv4Addr::LOCALHOST, port).into())?;
        let ready = format!("https://{HOST}:{port}/readyz");
        process.until("metrics-apiserver is ready", UP, || http::answers(&client, &ready)).await?;
        Ok(Self { process, port, ca, serving })
    }

    /// A new serving certificate, good for kube-apiserver and for callers on this machine.
    pub fn identity(cluster: &Cluster) -> Result<Identity> {
        cluster.credentials().serving_ca.server(&[HOST, "localhost", "127.0.0.1"])
    }

    /// Makes the namespace, the ServiceAccount and its rights, for tests that do not apply `manifests/`; gives a
    /// kubeconfig with the ServiceAccount's token only. Doing it twice is no error.
    pub async fn account(cluster: &Cluster) -> Result<PathBuf> {
        registration::apply(cluster, &registration::account()).await?;
        cluster.service_account_kubeconfig(NAME, NAME).await
    }

    /// Registers the server for `external.metrics.k8s.io/v1beta1`, for tests that do not apply `manifests/`: a Service
    /// of type `ExternalName` and an `APIService` with the port and the CA. The account must have been made.
    pub async fn register(&self, cluster: &Cluster) -> Result<()> {
        Self::register_at(cluster, self.port, &self.ca).await
    }

    /// As [`Server::register`], for whatever listens on this port with a certificate of this authority (PEM), which may
    /// be a bundle. Doing it again changes the registration.
    pub async fn register_at(cluster: &Cluster, port: u16, ca: &str) -> Result<()> {
        registration::apply(cluster, &registration::service()).await?;
        registration::patch_api_service(cluster, port, ca, ("external.metrics.k8s.io", "v1beta1", 100)).await
    }

    /// As [`Server::register_at`], for both versions of `custom.metrics.k8s.io`, with the rights of
    /// `manifests/components/custom-metrics`.
    pub async fn register_custom_at(cluster: &Cluster, port: u16, ca: &str) -> Result<()> {
        registration::apply(cluster, &registration::service()).await?;
        let rights = workspace::root().join("manifests/components/custom-metrics/rbac.yaml");
        let rights =
            std::fs::read_to_string(&rights).with_context(|| format!("reading {}", rights.display()))?;
        cluster.kubectl().run_with_input(&["apply", "-f", "-"], &rights).await?.success()?;
        for (version, priority) in [("v1beta1", 100), ("v1beta2", 200)] {
            let api = ("custom.metrics.k8s.io", version, priority);
            registration::patch_api_service(cluster, port, ca, api).await?;
        }
        Ok(())
    }

    /// Its address for callers on this machine, such as `https://localhost:18345`.
    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The authority (PEM) that vouches for its serving certificate.
    pub fn ca(&self) -> &str {
        &self.ca
    }

    /// The serving certificate's files, to replace them while it runs.
    pub fn serving_files(&self) -> &IdentityFiles {
        &self.serving
    }

    /// The process, to look at its log, to send it a signal or to stop it.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// The file with its log.
    pub fn log(&self) -> &Path {
        self.process.log()
    }
}
