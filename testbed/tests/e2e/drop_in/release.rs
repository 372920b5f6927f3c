//! A Deployment of prometheus-adapter as manifests describe it, and its pod.
//!
//! The node of the testbed gives its pods neither volumes nor tokens. So the pod's command line runs beside it: its
//! paths lie in a folder, its port is a free one, and a kubeconfig stands for the token of its ServiceAccount.

use crate::{direct::Caller, direct::front_proxy};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};
use testbed::{Cluster, Process, ports};

/// How long a program may take to be ready.
const UP: Duration = Duration::from_secs(60);
/// prometheus-adapter itself ends slowly, and nothing is lost with it.
const GRACE: Duration = Duration::from_secs(1);
/// Where both take the configuration from.
const CONFIG: &str = "etc/adapter/config.yaml";
/// The flags of what a pod has from its ServiceAccount.
const KUBECONFIGS: [&str; 3] =
    ["--lister-kubeconfig", "--authentication-kubeconfig", "--authorization-kubeconfig"];

/// The manifests of a Deployment and of all that belongs to it.
#[derive(Clone)]
pub(super) struct Release(Vec<Value>);

/// The process that stands for a Deployment's pods.
pub(super) struct Pod {
    pub(super) process: Process,
    port: u16,
    /// The pod's file system.
    root: PathBuf,
    certificates: PathBuf,
}

/// The documents of a manifest.
pub(super) fn documents(text: &str) -> Vec<Value> {
    text.split("\n---\n").map(|document| serde_saphyr::from_str(document).unwrap()).collect()
}

/// Applies objects with kubectl, as an operator would.
pub(super) async fn apply(cluster: &Cluster, objects: &[Value]) -> Result<()> {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
    cluster.kubectl().run_with_input(&["apply", "-f", "-"], &list).await?.success()?;
    Ok(())
}

impl Release {
    pub(super) fn new(manifests: &str) -> Self {
        Self(documents(manifests))
    }

    /// Changes the only object of this kind.
    pub(super) fn change(&mut self, kind: &str, change: impl Fn(&mut Value)) {
        self.0.iter_mut().filter(|object| object["kind"] == kind).for_each(change);
    }

    /// The names of what it registers.
    pub(super) fn api_services(&self) -> Vec<String> {
        let services = self.0.iter().filter(|object| object["kind"] == "APIService");
        services.map(|service| service["metadata"]["name"].as_str().unwrap().to_owned()).collect()
    }

    /// Applies everything but the registration. The Service leads to this machine.
    pub(super) async fn prepare(&self, cluster: &Cluster) -> Result<()> {
        let mut objects = self.0.clone();
        objects.retain(|object| object["kind"] != "APIService");
        for service in objects.iter_mut().filter(|object| object["kind"] == "Service") {
            service["spec"] = json!({"type": "ExternalName", "externalName": "localhost"});
        }
        apply(cluster, &objects).await
    }

    /// Registers the pod. Doing it again with another pod changes the registration.
    pub(super) async fn register(&self, cluster: &Cluster, pod: &Pod) -> Result<()> {
        let mut services = self.0.clone();
        services.retain(|object| object["kind"] == "APIService");
        for service in &mut services {
            // A Service of type ExternalName has no ports.
            service["spec"]["service"]["port"] = pod.port.into();
        }
        apply(cluster, &services).await
    }

    /// Removes the registration.
    pub(super) async fn unregister(&self, cluster: &Cluster) -> Result<()> {
        let services = self.api_services();
        let mut args = vec!["delete", "apiservice"];
        args.extend(services.iter().map(String::as_str));
        cluster.kubectl().run(&args).await?.success()?;
        Ok(())
    }

    fn object(&self, kind: &str) -> &Value {
        self.0.iter().find(|object| object["kind"] == kind).unwrap()
    }

    /// Runs `program` as the Deployment's pod, and waits until it is ready. Its name in the log folder is `name`.
    pub(super) async fn run(
        &self,
        cluster: &Cluster,
        name: &str,
        program: &Path,
        prometheus: &str,
    ) -> Result<Pod> {
        let deployment = self.object("Deployment");
        let namespace = deployment["metadata"]["namespace"].as_str().context("no namespace")?;
        let account = deployment["spec"]["template"]["spec"]["serviceAccountName"].as_str();
        let account = account.context("no ServiceAccount")?;
        let kubeconfig = cluster.service_account_kubeconfig(namespace, account).await?;
        let root = cluster.dir().subdir(name)?;
        let config = self.object("ConfigMap")["data"]["config.yaml"].as_str().context("no configuration")?;
        std::fs::create_dir_all(root.join(CONFIG).parent().unwrap_or(&root))?;
        std::fs::write(root.join(CONFIG), config)?;
        let port = ports::free()?;
        let args = arguments(deployment).into_iter().map(|arg| moved(arg, port, &root, prometheus));
        let args: Vec<String> = args.collect();
        let certificates = args.iter().find_map(|arg| arg.strip_prefix("--cert-dir="));
        let certificates = PathBuf::from(certificates.context("no --cert-dir")?);
        let mut command = Command::new(program);
        command.args(&args).env_clear().current_dir(&root);
        for flag in KUBECONFIGS {
            command.arg(flag).arg(&kubeconfig);
        }
        let process = Process::start(name, &mut command, &cluster.dir().log(name))?.with_grace(GRACE);
        let client = reqwest::Client::builder().no_proxy().tls_danger_accept_invalid_certs(true).build()?;
        let url = format!("https://localhost:{port}/readyz");
        let ready = async || Ok(client.get(&url).send().await?.error_for_status().map(|_| true)?);
        process.until("the pod is ready", UP, ready).await?;
        Ok(Pod { process, port, root, certificates })
    }
}

impl Pod {
    /// The pod's file system.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// One who calls the pod directly, as kube-apiserver does for an administrator. The pod must have made its
    /// certificate itself.
    pub(super) fn caller(&self, cluster: &Cluster) -> Caller {
        let certificate = std::fs::read_to_string(self.certificates.join("apiserver.crt")).unwrap();
        let url = format!("https://localhost:{}", self.port);
        Caller::new(&url, &certificate, Some(&front_proxy(cluster)), false).for_admin()
    }
}

/// The arguments of a Deployment's only container.
fn arguments(deployment: &Value) -> Vec<&str> {
    let args = &deployment["spec"]["template"]["spec"]["containers"][0]["args"];
    args.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// The argument with what it names on this machine.
fn moved(arg: &str, port: u16, root: &Path, prometheus: &str) -> String {
    match arg.split_once('=') {
        Some(("--secure-port", _)) => format!("--secure-port={port}"),
        // The slash at the end, if there is one, is not moved.
        Some(("--prometheus-url", url)) if url.ends_with('/') => format!("--prometheus-url={prometheus}/"),
        Some(("--prometheus-url", _)) => format!("--prometheus-url={prometheus}"),
        Some((flag, path)) if path.starts_with('/') => format!("{flag}={}{path}", root.display()),
        _ => arg.to_owned(),
    }
}

#[test]
fn only_ports_paths_and_the_address_of_prometheus_are_moved() {
    let moved = |arg| moved(arg, 1234, Path::new("/dir"), "http://127.0.0.1:9");
    for (arg, expected) in [
        ("/adapter", "/adapter"),
        ("--secure-port=6443", "--secure-port=1234"),
        ("--cert-dir=/tmp/cert", "--cert-dir=/dir/tmp/cert"),
        ("--prometheus-url=http://p.default.svc:9090", "--prometheus-url=http://127.0.0.1:9"),
        ("--prometheus-url=http://p.default.svc:9090/", "--prometheus-url=http://127.0.0.1:9/"),
        ("--v=4", "--v=4"),
    ] {
        assert_eq!(moved(arg), expected);
    }
}
