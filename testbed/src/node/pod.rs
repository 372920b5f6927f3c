//! The life of one pod on the node, from its address to its deletion.

use super::{
    Shared,
    container::{Container, Ground, RestartPolicy},
    objects::Missing,
    plan::{self, ContainerPlan, Place, Plans},
    pod_files::PodFiles,
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
/// Between two attempts to start a pod that waits for an object.
const WAIT: Duration = Duration::from_millis(200);
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
    let place = Place {
        node: &node.name,
        node_ip: node.addresses.node(),
        pod_ip: address.ip,
        apiserver: node.apiserver,
    };
    let frame = Frame {
        node_ip: place.node_ip,
        pod_ip: place.pod_ip,
        started: Timestamp::now(),
        conditions: Vec::new(),
    };
    let mut life = Life {
        node,
        api,
        pod,
        place,
        files: PodFiles::new(node, pod).await?,
        client: crate::http::probe_client()?,
        frame,
        told: PodStatus::default(),
        init: Vec::new(),
        containers: Vec::new(),
    };
    let lived = life.live(wish).await;
    let end = *wish.borrow();
    let stopped = life.stop(end).await;
    let removed = life.files.remove();
    lived.and(stopped).and(removed)
}

/// A pod that has an address.
struct Life<'a> {
    node: &'a Shared,
    api: &'a Api<Pod>,
    pod: &'a Pod,
    place: Place<'a>,
    files: PodFiles,
    client: reqwest::Client,
    frame: Frame,
    /// The status told last.
    told: PodStatus,
    init: Vec<Container>,
    containers: Vec<Container>,
}

impl Life<'_> {
    /// Until the pod's wish is to end.
    async fn live(&mut self, wish: &mut watch::Receiver<Wish>) -> Result<()> {
        let Some(plans) = self.prepare(wish).await? else { return Ok(()) };
        for plan in plans.init {
            let container = self.start(plan, RestartPolicy::init_of(self.pod))?;
            self.init.push(container);
            while *wish.borrow() == Wish::Run && !self.init.last().is_some_and(status::has_succeeded) {
                self.step(wish).await?;
            }
        }
        if *wish.borrow() == Wish::Run {
            for plan in plans.containers {
                let container = self.start(plan, RestartPolicy::of(self.pod))?;
                self.containers.push(container);
            }
        }
        while *wish.borrow() == Wish::Run {
            self.step(wish).await?;
        }
        Ok(())
    }

    /// Writes the volumes, as soon as all there is to them is there; `None` if the pod is to end before.
    async fn prepare(&mut self, wish: &mut watch::Receiver<Wish>) -> Result<Option<Plans>> {
        while *wish.borrow() == Wish::Run {
            let prepared = match self.files.write(self.node, self.pod, self.place).await {
                Ok(objects) => plan::plan(self.pod, &self.node.images, &objects, self.place),
                Err(error) => Err(error),
            };
            match prepared {
                Ok(plans) => return Ok(Some(plans)),
                Err(error) if may_pass(&error) => {
                    let status = status::waiting(&self.frame, self.pod, &format!("{error:#}"));
                    self.tell(status).await;
                }
                Err(error) => return Err(error),
            }
            let _ = tokio::time::timeout(WAIT, wish.changed()).await;
        }
        Ok(None)
    }

    fn start(&mut self, plan: ContainerPlan, policy: RestartPolicy) -> Result<Container> {
        let (namespace, name) = (self.pod.namespace().unwrap_or_default(), self.pod.name_any());
        let ground = Ground {
            log: self.node.logs.join(format!("{namespace}_{name}_{}.log", plan.name)),
            policy,
            grace: grace_of(self.pod),
            folders: self.files.folders(&plan.name, self.pod, self.place.pod_ip)?,
        };
        Container::start(plan, ground)
    }

    /// One look at everything.
    async fn step(&mut self, wish: &mut watch::Receiver<Wish>) -> Result<()> {
        self.files.step(self.node, self.pod, self.place).await?;
        for container in self.init.iter_mut().chain(&mut self.containers) {
            container.step(&self.client).await?;
        }
        self.tell(status::status(&self.frame, &self.init, &self.containers)).await;
        let _ = tokio::time::timeout(LOOK, wish.changed()).await;
        Ok(())
    }

    /// Ends the processes within the time that the wish leaves them.
    async fn stop(&mut self, wish: Wish) -> Result<()> {
        let grace = match wish {
            Wish::Delete(grace) => grace,
            Wish::Gone => Duration::ZERO,
            Wish::Run | Wish::Leave => grace_of(self.pod),
        };
        try_join_all(self.init.iter_mut().chain(&mut self.containers).map(|it| it.stop(grace))).await?;
        self.tell(status::status(&self.frame, &self.init, &self.containers)).await;
        Ok(())
    }

    /// Writes the status, if it is another one.
    async fn tell(&mut self, status: PodStatus) {
        if status != self.told && tell(self.api, &self.pod.name_any(), &status).await {
            self.frame.conditions = status.conditions.clone().unwrap_or_default();
            self.told = status;
        }
    }
}

/// Whether an error may go by itself: something is not there yet, or kube-apiserver did not answer.
fn may_pass(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Missing>().is_some() || error.downcast_ref::<kube::Error>().is_some()
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
