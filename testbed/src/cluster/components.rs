//! The three programs and their flags.

use super::{Credentials, Options};
use crate::{Process, Tools, http, kubeconfig, loopback::Network, ports, rundir::RunDir};
use anyhow::Result;
use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use kube::Api;
use std::{ffi::OsString, fmt::Display, net::SocketAddrV4, path::Path, process::Command, time::Duration};

/// How long a component may take to come up: seconds on an idle machine, much more on one that compiles meanwhile.
const UP: Duration = Duration::from_secs(120);
/// How long a component gets to end: nothing of what it would save is kept.
const GRACE: Duration = Duration::from_secs(3);
/// The controllers that the story needs. Without node lifecycle: nothing renews the nodes' leases. Without endpoints and
/// endpoint slices: kube-apiserver takes no loopback addresses in them, see `node::slices`.
const CONTROLLERS: &str = "clusterrole-aggregation-controller,daemonset-controller,deployment-controller,\
    disruption-controller,garbage-collector-controller,\
    horizontal-pod-autoscaler-controller,job-controller,namespace-controller,pod-garbage-collector-controller,\
    replicaset-controller,resourcequota-controller,root-ca-certificate-publisher-controller,serviceaccount-controller,\
    serviceaccount-token-controller,statefulset-controller";

/// One of the programs of a control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Component {
    /// The store.
    Etcd,
    /// kube-apiserver.
    ApiServer,
    /// kube-controller-manager.
    ControllerManager,
}

/// A running etcd and where it answers.
pub(super) struct Etcd {
    pub(super) process: Process,
    pub(super) url: String,
}

pub(super) async fn start_etcd(tools: &Tools, dir: &RunDir) -> Result<Etcd> {
    let url = format!("http://127.0.0.1:{}", ports::free()?);
    let peer = format!("http://127.0.0.1:{}", ports::free()?);
    let mut flags = Flags::default();
    flags.path("data-dir", &dir.state().join("etcd"));
    flags.text("listen-client-urls", &url).text("advertise-client-urls", &url);
    flags.text("listen-peer-urls", &peer).text("initial-advertise-peer-urls", &peer);
    flags.text("initial-cluster", format!("default={peer}"));
    // Nothing here survives the run, so that nothing need reach the disk.
    flags.text("unsafe-no-fsync", true).text("log-level", "warn");
    let process = flags.start("etcd", &tools.etcd(), dir)?;
    let client = http::client(None)?;
    let health = format!("{url}/health");
    process.until("etcd is healthy", UP, || http::answers(&client, &health)).await?;
    Ok(Etcd { process, url })
}

/// What kube-apiserver stands on and where it listens.
pub(super) struct Place<'a> {
    pub(super) etcd: &'a str,
    pub(super) address: SocketAddrV4,
    /// The addresses that Services get.
    pub(super) services: &'a Network,
}

pub(super) async fn start_apiserver(
    tools: &Tools,
    dir: &RunDir,
    credentials: &Credentials,
    place: &Place<'_>,
    more: &[String],
) -> Result<Process> {
    let files = credentials.files();
    let mut flags = Flags::default();
    flags.text("etcd-servers", place.etcd).text("bind-address", place.address.ip());
    flags.text("secure-port", place.address.port());
    // A loopback address may not be advertised; nobody uses this one.
    flags.text("advertise-address", "10.1.1.1").text("endpoint-reconciler-type", "none");
    flags.text("service-cluster-ip-range", place.services.cidr()).text("allow-privileged", true);
    flags
        .path("tls-cert-file", &files.apiserver.certificate)
        .path("tls-private-key-file", &files.apiserver.key);
    flags.path("client-ca-file", &files.cluster_ca).text("authorization-mode", "RBAC");
    flags.text("service-account-issuer", "https://kubernetes.default.svc.cluster.local");
    flags.path("service-account-signing-key-file", &files.token_key);
    flags.path("service-account-key-file", &files.token_public_key);
    front_proxy_flags(&mut flags, credentials);
    flags.raw(more);
    let process = flags.start("kube-apiserver", &tools.kube_apiserver(), dir)?;
    let client = http::client(Some(&credentials.cluster_ca.pem()))?;
    let ready = format!("https://{}/readyz", place.address);
    process.until("kube-apiserver is ready", UP, || http::answers(&client, &ready)).await?;
    Ok(process)
}

/// How kube-apiserver speaks to the servers behind `APIServices`, and what they may believe.
fn front_proxy_flags(flags: &mut Flags, credentials: &Credentials) {
    let files = credentials.files();
    flags.path("requestheader-client-ca-file", &files.request_header_ca);
    flags.text("requestheader-allowed-names", super::credentials::FRONT_PROXY);
    flags.text("requestheader-username-headers", "X-Remote-User");
    flags.text("requestheader-group-headers", "X-Remote-Group");
    flags.text("requestheader-extra-headers-prefix", "X-Remote-Extra-");
    flags.text("requestheader-uid-headers", "X-Remote-Uid");
    flags.path("proxy-client-cert-file", &files.front_proxy.certificate);
    flags.path("proxy-client-key-file", &files.front_proxy.key);
    // Through the Service's name, so that a Service of type ExternalName reaches a process on loopback.
    flags.text("enable-aggregator-routing", false);
}

pub(super) async fn start_controller_manager(
    tools: &Tools,
    dir: &RunDir,
    credentials: &Credentials,
    options: &Options,
) -> Result<Process> {
    let files = credentials.files();
    let mut flags = Flags::default();
    flags.path("kubeconfig", &files.controller_manager).text("use-service-account-credentials", true);
    flags.text("leader-elect", false).text("secure-port", 0).text("controllers", CONTROLLERS);
    flags.path("service-account-private-key-file", &files.token_key).path("root-ca-file", &files.cluster_ca);
    flags.text("horizontal-pod-autoscaler-sync-period", format!("{}ms", options.hpa_sync_period.as_millis()));
    flags.text("kube-api-qps", 200).text("kube-api-burst", 400);
    flags.raw(&options.controller_manager_args);
    let process = flags.start("kube-controller-manager", &tools.kube_controller_manager(), dir)?;
    let client = kubeconfig::client(credentials.kubeconfig(super::User::Admin)).await?;
    process
        .until("the controllers have set up the namespace default", UP, || is_default_set_up(&client))
        .await?;
    Ok(process)
}

/// Two controllers have worked, and pods that name no ServiceAccount can be made.
async fn is_default_set_up(client: &kube::Client) -> Result<bool> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "default");
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "default");
    Ok(accounts.get_opt("default").await?.is_some() && maps.get_opt("kube-root-ca.crt").await?.is_some())
}

/// Flags in the form `--name=value`.
#[derive(Default)]
struct Flags(Vec<OsString>);

impl Flags {
    fn text(&mut self, name: &str, value: impl Display) -> &mut Self {
        self.0.push(format!("--{name}={value}").into());
        self
    }

    fn path(&mut self, name: &str, value: &Path) -> &mut Self {
        let mut flag = OsString::from(format!("--{name}="));
        flag.push(value);
        self.0.push(flag);
        self
    }

    fn raw(&mut self, flags: &[String]) {
        self.0.extend(flags.iter().map(OsString::from));
    }

    /// Starts a component that stays in the run's folder, whatever it leaves behind.
    fn start(&self, name: &str, program: &Path, dir: &RunDir) -> Result<Process> {
        let mut command = Command::new(program);
        command.args(&self.0).current_dir(dir.state());
        Ok(Process::start(name, &mut command, &dir.log(name))?.with_grace(GRACE))
    }
}
