//! The life of one pod on the node, from its address to its deletion.

use super::{
    Shared,
    container::{Container, RestartPolicy},
    plan::{self, ContainerPlan, Place},
    status::{self, Frame},
};
use anyhow::{Context, Result};
use futures_util::future::try_join_all;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
};
use serde_json::json;
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;

/// Between two looks at the processes: short beside a probe's period, long beside the cost of a look.
const LOOK: Duration = Duration::from_millis(50);
/// Kubernetes' default, which the API server fills in anyway.
const GRACE_DEFAULT: Duration = Duration::from_secs(30);

/// What a pod is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Run,
    /// The API says so: end within this time, then go from the API.
    Delete(Duration),
    /// It has gone from the API: end at once.
    Gone,
    /// The node stops: end within the pod's grace period.
    Leave,
}

impl Wish {
    /// What the API wishes.
    pub(super) fn of(pod: &Pod) -> Self {
        match (&pod.metadata.deletion_timestamp, pod.metadata.deletion_grace_period_seconds) {
            (None, _) => Self::Run,
            (Some(_), None) => Self::Delete(GRACE_DEFAULT),
            (Some(_), Some(seconds)) => Self::Delete(seconds_or_zero(seconds)),
        }
    }
}

/// Runs a pod until its wish is to end.
pub(super) async fn run(node: Arc<Shared>, pod: Pod, mut wish: watch::Receiver<Wish>) -> Result<()> {
    let api: Api<Pod> = Api::namespaced(node.client.clone(), &pod.namespace().unwrap_or_default());
    let name = pod.name_any();
    let lived = live(&node, &api, &pod, &mut wish).await;
    let lived = lived.with_context(|| format!("running pod {}/{name}", pod.namespace().unwrap_or_default()));
    if let Err(error) = &lived {
        tracing::warn!(error = format!("{error:#}"), "a pod can't run");
        tell(&api, &name, &status::refused("NodeRefused", format!("{error:#}"))).await;
    }
    // A pod that can't run stays in the API, for all to see, until somebody deletes it.
    let end = *wish.wait_for(|wish| *wish != Wish::Run).await.context("the node was dropped")?;
    if matches!(end, Wish::Delete(_)) { delete(&api, &pod).await } else { Ok(()) }
}

/// Starts, watches and stops the pod's processes. The address is given back at the end.
async fn live(node: &Shared, api: &Api<Pod>, pod: &Pod, wish: &mut watch::Receiver<Wish>) -> Result<()> {
    if *wish.borrow() != Wish::Run {
        return Ok(());
    }
    let address = node.addresses.take().context("all addresses are taken, delete pods first")?;
    let place = Place { node: &node.name, node_ip: node.addresses.node(), pod_ip: address.ip };
    let mut containers = start(node, pod, plan::plan(pod, &node.images, place)?)?;
    let client = crate::http::probe_client()?;
    let mut frame = Frame {
        node_ip: place.node_ip,
        pod_ip: place.pod_ip,
        started: Timestamp::now(),
        conditions: Vec::new(),
    };
    let mut told = PodStatus::default();
    while *wish.borrow() == Wish::Run {
        for container in &mut containers {
            container.step(&client).await?;
        }
        let status = status::status(&frame, &containers);
        if status != told && tell(api, &pod.name_any(), &status).await {
            frame.conditions = status.conditions.clone().unwrap_or_default();
            told = status;
        }
        let _ = tokio::time::timeout(LOOK, wish.changed()).await;
    }
    let grace = match *wish.borrow() {
        Wish::Delete(grace) => grace,
        Wish::Gone => Duration::ZERO,
        Wish::Run | Wish::Leave => grace_of(pod),
    };
    try_join_all(containers.iter_mut().map(|it| it.stop(grace))).await?;
    tell(api, &pod.name_any(), &status::status(&frame, &containers)).await;
    Ok(())
}

fn start(node: &Shared, pod: &Pod, plans: Vec<ContainerPlan>) -> Result<Vec<Container>> {
    let policy = pod.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref());
    let policy = RestartPolicy::from_spec(policy);
    let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
    let start = |plan: ContainerPlan| {
        let log = node.logs.join(format!("{namespace}_{name}_{}.log", plan.name));
        Container::start(plan, policy, log)
    };
    plans.into_iter().map(start).collect()
}

fn grace_of(pod: &Pod) -> Duration {
    let seconds = pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds);
    seconds.map_or(GRACE_DEFAULT, seconds_or_zero)
}

fn seconds_or_zero(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
}

/// Writes the status; `false` means that it must be written again: a pod does not end because the API server is away.
async fn tell(api: &Api<Pod>, name: &str, status: &PodStatus) -> bool {
    let patch = Patch::Merge(json!({ "status": status }));
    match api.patch_status(name, &PatchParams::default(), &patch).await {
        Ok(_) => true,
        // That the pod has gone meanwhile is no error: its end will be heard of.
        Err(error) if is_gone(&error) => true,
        Err(error) => {
            tracing::debug!(pod.name = name, %error, "a pod's status was not written");
            false
        }
    }
}

/// Removes the pod from the API for good, and no other that has taken its name.
async fn delete(api: &Api<Pod>, pod: &Pod) -> Result<()> {
    let preconditions = Preconditions { uid: pod.uid(), resource_version: None };
    let params =
        DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() }.grace_period(0);
    match api.delete(&pod.name_any(), &params).await {
        Ok(_) => Ok(()),
        Err(error) if is_gone(&error) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("deleting pod {}", pod.name_any())),
    }
}

/// The pod is no more (404), or another one has its name (409).
fn is_gone(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404 || status.code == 409)
}
