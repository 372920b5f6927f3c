//! What the API server is told of a pod: pure, from its containers to its status.

use super::container::{Container, Ended, Shown};
use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{
        ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting,
        ContainerStatus, HostIP, Pod, PodCondition, PodIP, PodStatus,
    },
    apimachinery::pkg::apis::meta::v1::Time,
};
use std::net::Ipv4Addr;

/// What the containers' status is put into.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) node_ip: Ipv4Addr,
    pub(super) pod_ip: Ipv4Addr,
    pub(super) started: Timestamp,
    /// The conditions told last: their times of change stay while they do.
    pub(super) conditions: Vec<PodCondition>,
}

/// The status of a pod with these containers.
pub(super) fn status(frame: &Frame, init: &[Container], containers: &[Container]) -> PodStatus {
    let initialized = init.iter().all(has_succeeded);
    let ready = initialized && !containers.is_empty();
    let ready = ready && containers.iter().all(|it| matches!(it.shown(), Shown::Running { ready: true, .. }));
    let conditions = ["PodScheduled", "Initialized", "ContainersReady", "Ready"].map(|kind| {
        condition(frame, kind, ready || kind == "PodScheduled" || initialized && kind == "Initialized")
    });
    let ip = frame.pod_ip.to_string();
    PodStatus {
        phase: Some(phase(init, containers).to_owned()),
        host_ip: Some(frame.node_ip.to_string()),
        host_ips: Some(vec![HostIP { ip: frame.node_ip.to_string() }]),
        pod_ip: Some(ip.clone()),
        pod_ips: Some(vec![PodIP { ip }]),
        start_time: Some(Time(frame.started)),
        conditions: Some(conditions.into()),
        init_container_statuses: Some(init.iter().map(container_status).collect()),
        container_statuses: Some(containers.iter().map(container_status).collect()),
        ..PodStatus::default()
    }
}

/// The status of a pod that waits for something to be made.
pub(super) fn waiting(frame: &Frame, pod: &Pod, message: &str) -> PodStatus {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers).map(|container| {
        let waiting = ContainerStateWaiting {
            reason: Some("ContainerCreating".into()),
            message: Some(message.to_owned()),
        };
        ContainerStatus {
            name: container.name.clone(),
            image: container.image.clone().unwrap_or_default(),
            state: Some(ContainerState { waiting: Some(waiting), ..ContainerState::default() }),
            ..ContainerStatus::default()
        }
    });
    let containers = containers.collect();
    PodStatus { container_statuses: Some(containers), ..status(frame, &[], &[]) }
}

/// The status of a pod that can't run here. Not `Failed`: its `ReplicaSet` would make the next one at once, for ever.
pub(super) fn refused(reason: &str, message: String) -> PodStatus {
    PodStatus {
        phase: Some("Pending".into()),
        reason: Some(reason.into()),
        message: Some(message),
        ..PodStatus::default()
    }
}

/// Whether a container has ended as it should.
pub(super) fn has_succeeded(container: &Container) -> bool {
    container.shown() == Shown::Terminated && container.last().is_some_and(|ended| ended.code == 0)
}

fn phase(init: &[Container], containers: &[Container]) -> &'static str {
    let has_ended = |it: &Container| it.shown() == Shown::Terminated;
    if init.iter().any(|it| has_ended(it) && !has_succeeded(it)) {
        "Failed"
    } else if containers.is_empty() {
        "Pending"
    } else if !containers.iter().all(has_ended) {
        "Running"
    } else if containers.iter().all(has_succeeded) {
        "Succeeded"
    } else {
        "Failed"
    }
}

fn condition(frame: &Frame, kind: &str, holds: bool) -> PodCondition {
    let status = if holds { "True" } else { "False" };
    let told = frame.conditions.iter().find(|it| it.type_ == kind && it.status == status);
    told.cloned().unwrap_or_else(|| PodCondition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        last_transition_time: Some(Time(Timestamp::now())),
        ..PodCondition::default()
    })
}

fn container_status(container: &Container) -> ContainerStatus {
    let shown = container.shown();
    let (state, ready) = match &shown {
        Shown::Running { started, ready, .. } => {
            let running = ContainerStateRunning { started_at: Some(Time(*started)) };
            (ContainerState { running: Some(running), ..ContainerState::default() }, *ready)
        }
        Shown::BackOff => {
            let waiting = ContainerStateWaiting {
                reason: Some("CrashLoopBackOff".into()),
                message: container.last().map(|ended| format!("it ended with code {}", ended.code)),
            };
            (ContainerState { waiting: Some(waiting), ..ContainerState::default() }, false)
        }
        Shown::Terminated => (terminated(container.last()), false),
    };
    let last_state = (shown != Shown::Terminated).then(|| terminated(container.last()));
    ContainerStatus {
        name: container.plan.name.clone(),
        image: container.plan.image.clone(),
        started: Some(matches!(shown, Shown::Running { has_started: true, .. })),
        ready,
        restart_count: container.restarts(),
        state: Some(state),
        last_state,
        ..ContainerStatus::default()
    }
}

fn terminated(ended: Option<&Ended>) -> ContainerState {
    let terminated = ended.map(|ended| ContainerStateTerminated {
        exit_code: ended.code,
        reason: Some(if ended.code == 0 { "Completed" } else { "Error" }.into()),
        started_at: Some(Time(ended.started)),
        finished_at: Some(Time(ended.finished)),
        ..ContainerStateTerminated::default()
    });
    ContainerState { terminated, ..ContainerState::default() }
}
