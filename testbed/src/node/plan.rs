//! From a pod's spec to what is started: pure, so that everything a spec can ask for is refused or understood here.

use super::{Images, expand::expand, probe::Probe};
use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::{
    api::core::v1::{Container, EnvVar, HTTPGetAction, Pod, Probe as ProbeSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};
use std::{collections::BTreeMap, net::Ipv4Addr, path::PathBuf, time::Duration};

/// One container, ready to be started.
#[derive(Clone, Debug)]
pub(super) struct ContainerPlan {
    pub(super) name: String,
    pub(super) image: String,
    pub(super) program: PathBuf,
    pub(super) args: Vec<String>,
    pub(super) env: BTreeMap<String, String>,
    pub(super) readiness: Option<Probe>,
}

/// Where a pod runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) node: &'a str,
    pub(super) node_ip: Ipv4Addr,
    pub(super) pod_ip: Ipv4Addr,
}

/// What to start for a pod.
pub(super) fn plan(pod: &Pod, images: &Images, place: Place<'_>) -> Result<Vec<ContainerPlan>> {
    let spec = pod.spec.as_ref().context("the pod has no spec")?;
    ensure!(
        spec.init_containers.as_ref().is_none_or(Vec::is_empty),
        "init containers are not run here: remove them"
    );
    let containers = spec.containers.iter().map(|container| {
        container_plan(pod, container, images, place)
            .with_context(|| format!("container `{}`", container.name))
    });
    containers.collect()
}

/// Whether every image of the pod is known.
pub(super) fn has_images(pod: &Pod, images: &Images) -> bool {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    containers.map(|it| it.image.as_deref().unwrap_or_default()).all(|image| images.contains_key(image))
}

fn container_plan(
    pod: &Pod,
    container: &Container,
    images: &Images,
    place: Place<'_>,
) -> Result<ContainerPlan> {
    let image = container.image.clone().unwrap_or_default();
    let program = images.get(&image).with_context(|| {
        format!(
            "image `{image}` is unknown, known are: {}",
            images.keys().cloned().collect::<Vec<_>>().join(", ")
        )
    })?;
    ensure!(
        container.env_from.as_ref().is_none_or(Vec::is_empty),
        "envFrom is not supported here: write the variables out"
    );
    let env = environment(pod, container.env.iter().flatten(), place)?;
    // An image has one program: a command's first word names it by its path in the image.
    let command = container.command.iter().flatten().skip(1);
    let args = command.chain(container.args.iter().flatten()).map(|arg| expand(arg, &env)).collect();
    let readiness = container.readiness_probe.as_ref();
    let readiness =
        readiness.map(|it| probe(it, container, place.pod_ip)).transpose().context("readinessProbe")?;
    Ok(ContainerPlan { name: container.name.clone(), image, program: program.clone(), args, env, readiness })
}

/// The container's variables and no others; later ones may refer to earlier ones.
fn environment<'a>(
    pod: &Pod,
    variables: impl Iterator<Item = &'a EnvVar>,
    place: Place<'_>,
) -> Result<BTreeMap<String, String>> {
    let mut env = BTreeMap::from([("HOSTNAME".to_owned(), pod.metadata.name.clone().unwrap_or_default())]);
    for variable in variables {
        let value = match (&variable.value, &variable.value_from) {
            (Some(value), _) => expand(value, &env),
            (None, None) => String::new(),
            (None, Some(source)) => match &source.field_ref {
                Some(field) => field_value(pod, &field.field_path, place)?,
                None => bail!("variable `{}`: only value and fieldRef are supported here", variable.name),
            },
        };
        env.insert(variable.name.clone(), value);
    }
    Ok(env)
}

fn field_value(pod: &Pod, path: &str, place: Place<'_>) -> Result<String> {
    let meta = &pod.metadata;
    Ok(match path {
        "metadata.name" => meta.name.clone().unwrap_or_default(),
        "metadata.namespace" => meta.namespace.clone().unwrap_or_default(),
        "metadata.uid" => meta.uid.clone().unwrap_or_default(),
        "spec.nodeName" => place.node.to_owned(),
        "spec.serviceAccountName" => {
            pod.spec.as_ref().and_then(|it| it.service_account_name.clone()).unwrap_or_default()
        }
        "status.hostIP" | "status.hostIPs" => place.node_ip.to_string(),
        "status.podIP" | "status.podIPs" => place.pod_ip.to_string(),
        _ => bail!("fieldRef `{path}` is not supported here"),
    })
}

fn probe(spec: &ProbeSpec, container: &Container, pod_ip: Ipv4Addr) -> Result<Probe> {
    let get = spec.http_get.as_ref().context("only httpGet is supported here")?;
    let scheme = get.scheme.as_deref().unwrap_or("HTTP").to_lowercase();
    let host = get.host.clone().unwrap_or_else(|| pod_ip.to_string());
    let path = get.path.as_deref().unwrap_or("/").trim_start_matches('/');
    let url = format!("{scheme}://{host}:{}/{path}", port(get, container)?);
    // Kubernetes' defaults; the API server fills them in anyway.
    let seconds = |field: Option<i32>, default| seconds(field.unwrap_or(default));
    Ok(Probe {
        url,
        delay: seconds(spec.initial_delay_seconds, 0),
        period: seconds(spec.period_seconds, 10),
        timeout: seconds(spec.timeout_seconds, 1),
        failures: spec.failure_threshold.unwrap_or(3),
        successes: spec.success_threshold.unwrap_or(1),
    })
}

fn seconds(seconds: i32) -> Duration {
    Duration::from_secs(seconds.max(0).unsigned_abs().into())
}

fn port(get: &HTTPGetAction, container: &Container) -> Result<i32> {
    match &get.port {
        IntOrString::Int(port) => Ok(*port),
        IntOrString::String(name) => {
            let mut ports = container.ports.iter().flatten();
            let port = ports.find(|port| port.name.as_ref() == Some(name));
            Ok(port.with_context(|| format!("no port is named `{name}`"))?.container_port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn planned(container: &Value) -> Result<Vec<ContainerPlan>> {
        let pod = json!({
            "metadata": {"name": "web-1", "namespace": "shop", "uid": "u"},
            "spec": {"containers": [container]},
        });
        let pod = serde_json::from_value(pod).unwrap();
        let images = Images::from([("web:1".to_owned(), PathBuf::from("/bin/web"))]);
        let node = Ipv4Addr::new(127, 9, 8, 1);
        let place = Place { node: "node", node_ip: node, pod_ip: Ipv4Addr::new(127, 9, 8, 7) };
        plan(&pod, &images, place)
    }

    #[test]
    fn a_container_becomes_a_program_with_arguments_variables_and_a_probe() {
        let plans = planned(&json!({
            "name": "web", "image": "web:1",
            "command": ["/web", "serve"],
            "args": ["--bind-address=$(POD_IP)", "--name=$(FULL)"],
            "env": [
                {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                {"name": "FULL", "value": "$(NAME)@$(POD_IP)"},
            ],
            "ports": [{"name": "metrics", "containerPort": 8081}],
            "readinessProbe": {"httpGet": {"path": "/readyz", "port": "metrics"}, "periodSeconds": 2},
        }));
        let plan = plans.unwrap().remove(0);
        assert_eq!(plan.program, PathBuf::from("/bin/web"));
        assert_eq!(plan.args, ["serve", "--bind-address=127.9.8.7", "--name=web-1@127.9.8.7"]);
        assert_eq!(plan.env["HOSTNAME"], "web-1");
        let probe = plan.readiness.unwrap();
        assert_eq!(probe.url, "http://127.9.8.7:8081/readyz");
        assert_eq!((probe.period, probe.delay), (Duration::from_secs(2), Duration::ZERO));
        assert_eq!((probe.failures, probe.successes), (3, 1));
    }

    #[test]
    fn a_probe_may_use_tls() {
        let get = json!({"path": "/readyz", "port": 6443, "scheme": "HTTPS"});
        let container = json!({"name": "web", "image": "web:1", "readinessProbe": {"httpGet": get}});
        let probe = planned(&container).unwrap().remove(0).readiness.unwrap();
        assert_eq!(probe.url, "https://127.9.8.7:6443/readyz");
    }

    #[test]
    fn what_cannot_be_done_is_refused_by_name() {
        for (container, expected) in [
            (json!({"name": "c", "image": "db:1"}), "image `db:1` is unknown, known are: web:1"),
            (
                json!({"name": "c", "image": "web:1", "env": [
                    {"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}),
                "variable `S`",
            ),
            (json!({"name": "c", "image": "web:1", "envFrom": [{}]}), "envFrom"),
            (
                json!({"name": "c", "image": "web:1", "readinessProbe": {"tcpSocket": {"port": 1}}}),
                "only httpGet",
            ),
            (
                json!({"name": "c", "image": "web:1", "readinessProbe": {"httpGet": {"port": "x"}}}),
                "no port is named `x`",
            ),
        ] {
            let error = format!("{:#}", planned(&container).unwrap_err());
            assert!(error.starts_with("container `c`") && error.contains(expected), "{error}");
        }
    }
}
