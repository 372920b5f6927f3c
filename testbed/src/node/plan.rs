//! From a pod's spec to what is started: pure, so that everything a spec can ask for is refused or understood here.

use super::{
    Images,
    env::environment,
    expand::expand,
    image::Image,
    objects::Objects,
    probe::{Action, Probe},
    sandbox::{Identity, Mount, View},
};
use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::{
    api::core::v1::{Container, Pod, Probe as ProbeSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, SocketAddrV4},
    path::PathBuf,
    time::Duration,
};

/// One container, ready to be started.
#[derive(Clone, Debug)]
pub(super) struct ContainerPlan {
    pub(super) name: String,
    pub(super) image: String,
    pub(super) program: PathBuf,
    pub(super) args: Vec<String>,
    pub(super) env: BTreeMap<String, String>,
    pub(super) startup: Option<Probe>,
    pub(super) liveness: Option<Probe>,
    pub(super) readiness: Option<Probe>,
    /// Between the wish to end it and SIGTERM.
    pub(super) pre_stop: Duration,
    /// Its own view of the file system, for the containers of pods that have volumes.
    pub(super) view: Option<View>,
}

/// Where a pod runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) node: &'a str,
    pub(super) node_ip: Ipv4Addr,
    pub(super) pod_ip: Ipv4Addr,
    pub(super) apiserver: SocketAddrV4,
}

/// What to start for a pod.
#[derive(Clone, Debug)]
pub(super) struct Plans {
    /// One after the other, before the containers.
    pub(super) init: Vec<ContainerPlan>,
    pub(super) containers: Vec<ContainerPlan>,
}

/// What to start for a pod.
pub(super) fn plan(pod: &Pod, images: &Images, objects: &Objects, place: Place<'_>) -> Result<Plans> {
    let spec = pod.spec.as_ref().context("the pod has no spec")?;
    let plans = |containers: &[Container]| {
        let plan = |container: &Container| {
            container_plan(pod, container, images, objects, place)
                .with_context(|| format!("container `{}`", container.name))
        };
        containers.iter().map(plan).collect::<Result<Vec<_>>>()
    };
    let init = spec.init_containers.as_deref().unwrap_or_default();
    let sidecar = init.iter().find(|it| it.restart_policy.is_some());
    if let Some(sidecar) = sidecar {
        bail!("container `{}`: restartPolicy of init containers is not supported here", sidecar.name);
    }
    Ok(Plans { init: plans(init)?, containers: plans(&spec.containers)? })
}

/// Whether every image of the pod is known.
pub(super) fn has_images(pod: &Pod, images: &Images) -> bool {
    all_containers(pod)
        .map(|it| it.image.as_deref().unwrap_or_default())
        .all(|image| images.contains_key(image))
}

/// Whether the pod's containers need views of their own.
pub(super) fn has_volumes(pod: &Pod) -> bool {
    all_containers(pod).any(|it| it.volume_mounts.as_ref().is_some_and(|mounts| !mounts.is_empty()))
}

fn all_containers(pod: &Pod) -> impl Iterator<Item = &Container> {
    let spec = pod.spec.iter();
    spec.flat_map(|spec| spec.containers.iter().chain(spec.init_containers.iter().flatten()))
}

fn container_plan(
    pod: &Pod,
    container: &Container,
    images: &Images,
    objects: &Objects,
    place: Place<'_>,
) -> Result<ContainerPlan> {
    let name = container.image.clone().unwrap_or_default();
    let image = images.get(&name).with_context(|| {
        format!(
            "image `{name}` is unknown, known are: {}",
            images.keys().cloned().collect::<Vec<_>>().join(", ")
        )
    })?;
    let env = environment(pod, container, objects, place)?;
    let probe = |spec: &Option<ProbeSpec>, what: &'static str| {
        let probe = spec.as_ref().map(|it| probe(it, container, place.pod_ip));
        probe.transpose().context(what)
    };
    Ok(ContainerPlan {
        name: container.name.clone(),
        program: image.program.clone(),
        args: arguments(container, image, &env, place),
        startup: probe(&container.startup_probe, "startupProbe")?,
        liveness: probe(&container.liveness_probe, "livenessProbe")?,
        readiness: probe(&container.readiness_probe, "readinessProbe")?,
        pre_stop: pre_stop(container)?,
        view: has_volumes(pod).then(|| view(pod, container, image)).transpose()?,
        image: name,
        env,
    })
}

/// Of hooks, only a `preStop` that sleeps is run here.
fn pre_stop(container: &Container) -> Result<Duration> {
    let Some(lifecycle) = &container.lifecycle else { return Ok(Duration::ZERO) };
    let sleep = lifecycle.pre_stop.as_ref().map(|handler| &handler.sleep);
    match (sleep, &lifecycle.post_start) {
        (Some(Some(sleep)), None) => {
            Ok(Duration::from_secs(u64::try_from(sleep.seconds).context("lifecycle: preStop")?))
        }
        _ => bail!("lifecycle: only `preStop` with `sleep` is supported here"),
    }
}

/// An image has one program: a command's first word names it by its path in the image.
fn arguments(
    container: &Container,
    image: &Image,
    env: &BTreeMap<String, String>,
    place: Place<'_>,
) -> Vec<String> {
    let command = container.command.iter().flatten().skip(1);
    let mut args: Vec<String> =
        command.chain(container.args.iter().flatten()).map(|arg| expand(arg, env)).collect();
    if let Some(flag) = image.missing_flag(&args) {
        let address = BTreeMap::from([("POD_IP".to_owned(), place.pod_ip.to_string())]);
        args.push(expand(flag, &address));
    }
    args
}

fn view(pod: &Pod, container: &Container, image: &Image) -> Result<View> {
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    let volumes: BTreeSet<&str> = volumes.map(|it| &*it.name).collect();
    let mounts = container.volume_mounts.iter().flatten().map(|mount| {
        ensure!(volumes.contains(&*mount.name), "the pod has no volume `{}`", mount.name);
        ensure!(mount.sub_path_expr.is_none(), "subPathExpr is not supported here");
        Ok(Mount {
            volume: mount.name.clone(),
            path: format!("/{}", mount.mount_path.trim_matches('/')),
            sub_path: mount.sub_path.clone().filter(|it| !it.is_empty()),
            read_only: mount.read_only.unwrap_or(false),
        })
    });
    let context = container.security_context.as_ref();
    Ok(View {
        program: image.path(container.command.as_deref().unwrap_or_default()),
        mounts: mounts.collect::<Result<_>>()?,
        identity: identity(pod, container, image)?,
        read_only: context.and_then(|it| it.read_only_root_filesystem).unwrap_or(false),
    })
}

/// Who the processes are: as the container says, else as the pod says, else as the image says.
fn identity(pod: &Pod, container: &Container, image: &Image) -> Result<Identity> {
    let of_pod = pod.spec.as_ref().and_then(|it| it.security_context.as_ref());
    let own = container.security_context.as_ref();
    let id = |id: i64| u32::try_from(id).with_context(|| format!("{id} is no user or group"));
    let user = own.and_then(|it| it.run_as_user).or_else(|| of_pod?.run_as_user);
    let group = own.and_then(|it| it.run_as_group).or_else(|| of_pod?.run_as_group);
    let user = user.map_or(Ok(image.user.0), id)?;
    let non_root = own.and_then(|it| it.run_as_non_root).or_else(|| of_pod?.run_as_non_root);
    ensure!(user != 0 || non_root != Some(true), "runAsNonRoot forbids user 0");
    let further = of_pod
        .iter()
        .flat_map(|it| it.fs_group.into_iter().chain(it.supplemental_groups.iter().flatten().copied()));
    let groups = further.map(id).collect::<Result<_>>()?;
    Ok(Identity { user, group: group.map_or(Ok(image.user.1), id)?, groups })
}

fn probe(spec: &ProbeSpec, container: &Container, pod_ip: Ipv4Addr) -> Result<Probe> {
    let action = if let Some(get) = &spec.http_get {
        let scheme = get.scheme.as_deref().unwrap_or("HTTP").to_lowercase();
        let host = get.host.clone().unwrap_or_else(|| pod_ip.to_string());
        let path = get.path.as_deref().unwrap_or("/").trim_start_matches('/');
        Action::Get(format!("{scheme}://{host}:{}/{path}", port(&get.port, container)?))
    } else if let Some(socket) = &spec.tcp_socket {
        let host = socket.host.clone().unwrap_or_else(|| pod_ip.to_string());
        Action::Connect(format!("{host}:{}", port(&socket.port, container)?))
    } else {
        bail!("only httpGet and tcpSocket are supported here");
    };
    // Kubernetes' defaults; the API server fills them in anyway.
    let seconds = |field: Option<i32>, default| seconds(field.unwrap_or(default));
    Ok(Probe {
        action,
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

fn port(port: &IntOrString, container: &Container) -> Result<i32> {
    match port {
        IntOrString::Int(port) => Ok(*port),
        IntOrString::String(name) => {
            let mut ports = container.ports.iter().flatten();
            let port = ports.find(|port| port.name.as_ref() == Some(name));
            Ok(port.with_context(|| format!("no port is named `{name}`"))?.container_port)
        }
    }
}

#[cfg(test)]
mod tests;
