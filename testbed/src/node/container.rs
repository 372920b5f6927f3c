//! One container: a process that is started, probed, and started again after it ended.

use super::{
    plan::ContainerPlan,
    probe::Probes,
    sandbox::{Namespaces, View},
};
use crate::Process;
use anyhow::Result;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use std::{
    os::unix::process::ExitStatusExt,
    path::PathBuf,
    process::{Command, ExitStatus},
    time::{Duration, Instant},
};

/// Before the first restart; doubled at each. Shorter than kubelet's 10 s to 5 min, since nobody here waits that long.
const BACK_OFF_FIRST: Duration = Duration::from_secs(1);
const BACK_OFF_MAX: Duration = Duration::from_secs(30);
/// A container that ran for so long has recovered.
const RECOVERED: Duration = Duration::from_secs(60);

/// When a container that ended is started again, as in the pod's spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RestartPolicy {
    Always,
    OnFailure,
    Never,
}

impl RestartPolicy {
    /// Of the pod's containers; absent means always.
    pub(super) fn of(pod: &Pod) -> Self {
        match pod.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref()) {
            Some("Never") => Self::Never,
            Some("OnFailure") => Self::OnFailure,
            _ => Self::Always,
        }
    }

    /// Of the pod's init containers, which must succeed once.
    pub(super) fn init_of(pod: &Pod) -> Self {
        match Self::of(pod) {
            Self::Never => Self::Never,
            Self::Always | Self::OnFailure => Self::OnFailure,
        }
    }

    fn restarts(self, ended: &Ended) -> bool {
        match self {
            Self::Always => true,
            Self::OnFailure => ended.code != 0,
            Self::Never => false,
        }
    }
}

/// How and when a process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    /// As a shell tells it: 128 and the signal's number for a process that was killed.
    pub(super) code: i32,
    pub(super) started: Timestamp,
    pub(super) finished: Timestamp,
}

impl Ended {
    fn now(status: ExitStatus, started: Timestamp) -> Self {
        let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
        Self { code, started, finished: Timestamp::now() }
    }
}

#[derive(Debug)]
struct Running {
    process: Process,
    started: Timestamp,
    since: Instant,
    probes: Probes,
    /// It was asked to end, because of a probe, and is killed at this time.
    kill: Option<Instant>,
}

#[derive(Debug)]
enum State {
    Running(Box<Running>),
    Waiting { until: Instant },
    Done,
}

/// What a container's process stands on.
#[derive(Clone, Debug)]
pub(super) struct Ground {
    pub(super) log: PathBuf,
    pub(super) policy: RestartPolicy,
    /// How long it gets to end.
    pub(super) grace: Duration,
    /// The namespaces and folders of a container with a view of its own.
    pub(super) folders: Option<Folders>,
}

/// The folders of a container with a view of its own.
#[derive(Clone, Debug)]
pub(super) struct Folders {
    pub(super) namespaces: Namespaces,
    /// The container's root, without what is mounted in it.
    pub(super) root: PathBuf,
    /// The pod's volumes, by their names.
    pub(super) volumes: PathBuf,
}

/// One container of a pod.
#[derive(Debug)]
pub(super) struct Container {
    pub(super) plan: ContainerPlan,
    pub(super) ground: Ground,
    state: State,
    back_off: Duration,
    last: Option<Ended>,
    restarts: i32,
}

/// What the status says of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    Running {
        started: Timestamp,
        has_started: bool,
        ready: bool,
    },
    /// Waits to be started again.
    BackOff,
    Terminated,
}

impl Container {
    /// Starts it.
    pub(super) fn start(plan: ContainerPlan, ground: Ground) -> Result<Self> {
        let state = run(&plan, &ground)?;
        Ok(Self { plan, ground, state, back_off: BACK_OFF_FIRST, last: None, restarts: 0 })
    }

    /// Looks after the process, probes it, starts it again: whatever is due.
    pub(super) async fn step(&mut self, client: &reqwest::Client) -> Result<()> {
        match &mut self.state {
            State::Running(running) => match running.process.look()? {
                None => running.step(client, self.ground.grace).await?,
                Some(status) => {
                    let ended = Ended::now(status, running.started);
                    if running.since.elapsed() > RECOVERED {
                        self.back_off = BACK_OFF_FIRST;
                    }
                    self.state = if self.ground.policy.restarts(&ended) {
                        State::Waiting { until: Instant::now() + self.back_off }
                    } else {
                        State::Done
                    };
                    self.last = Some(ended);
                }
            },
            State::Waiting { until } if Instant::now() >= *until => {
                self.state = run(&self.plan, &self.ground)?;
                self.restarts += 1;
                self.back_off = (self.back_off * 2).min(BACK_OFF_MAX);
            }
            State::Waiting { .. } | State::Done => {}
        }
        Ok(())
    }

    /// Ends the process: SIGTERM, and SIGKILL when the grace period has passed.
    pub(super) async fn stop(&mut self, grace: Duration) -> Result<()> {
        if let State::Running(running) = &self.state {
            let status = ended(&running.process, self.plan.pre_stop.min(grace), grace).await?;
            self.last = Some(Ended::now(status, running.started));
        }
        self.state = State::Done;
        Ok(())
    }

    pub(super) fn shown(&self) -> Shown {
        match &self.state {
            State::Running(running) => {
                let (has_started, ready) = (running.probes.has_started(), running.probes.is_ready());
                let ready = ready && running.kill.is_none();
                Shown::Running { started: running.started, has_started, ready }
            }
            State::Waiting { .. } => Shown::BackOff,
            State::Done => Shown::Terminated,
        }
    }

    /// How it ended last, if it has.
    pub(super) fn last(&self) -> Option<&Ended> {
        self.last.as_ref()
    }

    pub(super) fn restarts(&self) -> i32 {
        self.restarts
    }
}

impl Running {
    /// Probes it; ends it when a probe says so.
    async fn step(&mut self, client: &reqwest::Client, grace: Duration) -> Result<()> {
        match self.kill {
            Some(kill) if Instant::now() >= kill => drop(self.process.kill()?),
            Some(_) => {}
            None => {
                if let Some(why) = self.probes.step(client).await {
                    tracing::debug!(why, "a container is started again");
                    self.process.terminate()?;
                    self.kill = Some(Instant::now() + grace);
                }
            }
        }
        Ok(())
    }
}

/// Ends a process within its grace, which the time before SIGTERM is a part of.
async fn ended(process: &Process, pre_stop: Duration, grace: Duration) -> Result<ExitStatus> {
    if !pre_stop.is_zero()
        && let Ok(status) = process.ended(pre_stop).await
    {
        return Ok(status);
    }
    process.terminate()?;
    match process.ended(grace.saturating_sub(pre_stop)).await {
        Ok(status) => Ok(status),
        Err(_) => process.kill(),
    }
}

fn run(plan: &ContainerPlan, ground: &Ground) -> Result<State> {
    let mut command = match (&plan.view, &ground.folders) {
        (Some(view), Some(folders)) => in_view(view, plan, folders)?,
        _ => Command::new(&plan.program),
    };
    command.args(&plan.args).env_clear().envs(&plan.env);
    // Dropped without a stop, it is killed at once: only an orderly end has time for grace.
    let process = Process::start(&plan.name, &mut command, &ground.log)?.with_grace(Duration::ZERO);
    let (started, since) = (Timestamp::now(), Instant::now());
    let running = Running { process, started, since, probes: Probes::begin(plan), kill: None };
    Ok(State::Running(Box::new(running)))
}

fn in_view(view: &View, plan: &ContainerPlan, folders: &Folders) -> Result<Command> {
    folders.namespaces.run(view, &plan.program, &folders.root, &folders.volumes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::probe::{Action, Probe};
    use nix::sys::signal::Signal;
    use std::collections::BTreeMap;

    fn shell(script: &str, policy: RestartPolicy, dir: &tempfile::TempDir) -> Container {
        let plan = ContainerPlan {
            name: "c".into(),
            image: "sh".into(),
            program: "/bin/sh".into(),
            args: vec!["-c".into(), script.into()],
            env: BTreeMap::from([("GREETING".into(), "hello".into())]),
            startup: None,
            liveness: None,
            readiness: None,
            pre_stop: Duration::ZERO,
            view: None,
        };
        let grace = Duration::from_secs(20);
        let ground = Ground { log: dir.path().join("log"), policy, grace, folders: None };
        Container::start(plan, ground).unwrap()
    }

    async fn until(container: &mut Container, condition: impl Fn(&Container) -> bool) {
        let client = crate::http::client(None).unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while !condition(container) {
            assert!(Instant::now() < deadline, "still {container:?}");
            container.step(&client).await.unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn a_crashed_container_waits_and_is_started_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut container = shell("echo $GREETING; exit 3", RestartPolicy::Always, &dir);
        until(&mut container, |it| it.shown() == Shown::BackOff).await;
        assert_eq!(container.last().unwrap().code, 3);
        until(&mut container, |it| it.restarts() == 1).await;
        until(&mut container, |it| it.shown() == Shown::BackOff).await;
        assert_eq!(std::fs::read_to_string(dir.path().join("log")).unwrap(), "hello\nhello\n");
    }

    #[tokio::test]
    async fn a_container_that_may_end_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let mut container = shell("exit 0", RestartPolicy::OnFailure, &dir);
        until(&mut container, |it| it.shown() == Shown::Terminated).await;
        assert_eq!((container.last().unwrap().code, container.restarts()), (0, 0));
    }

    #[tokio::test]
    async fn a_container_whose_liveness_probe_fails_is_ended_and_started_again() {
        let dir = tempfile::tempdir().unwrap();
        // Nobody listens on this port.
        let probe = Probe {
            action: Action::Connect("127.0.0.1:1".into()),
            delay: Duration::from_millis(200),
            period: Duration::from_millis(10),
            timeout: Duration::from_secs(1),
            failures: 2,
            successes: 1,
        };
        let script = "trap 'echo asked; exit 0' TERM; while :; do sleep 0.01; done";
        let mut container = shell(script, RestartPolicy::Always, &dir);
        container.plan.liveness = Some(probe);
        // Its first process knows no probe yet.
        container.state = run(&container.plan, &container.ground).unwrap();
        until(&mut container, |it| it.restarts() == 1).await;
        assert_eq!(container.last().unwrap().code, 0);
        assert!(std::fs::read_to_string(dir.path().join("log")).unwrap().contains("asked"));
    }

    #[tokio::test]
    async fn a_container_that_sleeps_before_its_end_is_not_asked_to_end_before() {
        let dir = tempfile::tempdir().unwrap();
        let script = "trap 'echo asked; exit 0' TERM; echo up; while :; do sleep 0.01; done";
        let mut container = shell(script, RestartPolicy::Always, &dir);
        container.plan.pre_stop = Duration::from_millis(300);
        let log = || std::fs::read_to_string(dir.path().join("log")).unwrap_or_default();
        let up = || async { Ok(log().contains("up").then_some(())) };
        crate::eventually("the shell to be up", Duration::from_secs(20), up).await.unwrap();
        let before = Instant::now();
        container.stop(Duration::from_secs(20)).await.unwrap();
        assert!(before.elapsed() >= Duration::from_millis(300));
        assert!(log().contains("asked"), "then it is asked, within its grace");
    }

    #[tokio::test]
    async fn a_container_gets_its_grace_and_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let script = "trap 'exit 7' TERM; echo up; while :; do sleep 0.01; done";
        let mut polite = shell(script, RestartPolicy::Always, &dir);
        let up =
            || async { Ok(std::fs::read_to_string(dir.path().join("log"))?.contains("up").then_some(())) };
        crate::eventually("the shell to be up", Duration::from_secs(20), up).await.unwrap();
        polite.stop(Duration::from_secs(20)).await.unwrap();
        assert_eq!(polite.last().unwrap().code, 7);

        let dir = tempfile::tempdir().unwrap();
        let mut deaf =
            shell("trap '' TERM; echo up; while :; do sleep 0.01; done", RestartPolicy::Always, &dir);
        let up =
            || async { Ok(std::fs::read_to_string(dir.path().join("log"))?.contains("up").then_some(())) };
        crate::eventually("the shell to be up", Duration::from_secs(20), up).await.unwrap();
        deaf.stop(Duration::from_millis(50)).await.unwrap();
        assert_eq!(deaf.last().unwrap().code, 128 + Signal::SIGKILL as i32);
    }
}
