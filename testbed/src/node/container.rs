//! One container: a process that is started, probed, and started again after it ended.

use super::{plan::ContainerPlan, probe::Readiness};
use crate::Process;
use anyhow::Result;
use jiff::Timestamp;
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
    /// From the spec's word; absent means always.
    pub(super) fn from_spec(word: Option<&str>) -> Self {
        match word {
            Some("Never") => Self::Never,
            Some("OnFailure") => Self::OnFailure,
            _ => Self::Always,
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
    readiness: Readiness,
}

#[derive(Debug)]
enum State {
    Running(Box<Running>),
    Waiting { until: Instant },
    Done,
}

/// One container of a pod.
#[derive(Debug)]
pub(super) struct Container {
    pub(super) plan: ContainerPlan,
    state: State,
    log: PathBuf,
    policy: RestartPolicy,
    back_off: Duration,
    last: Option<Ended>,
    restarts: i32,
}

/// What the status says of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    Running {
        started: Timestamp,
        ready: bool,
    },
    /// Waits to be started again.
    BackOff,
    Terminated,
}

impl Container {
    /// Starts it.
    pub(super) fn start(plan: ContainerPlan, policy: RestartPolicy, log: PathBuf) -> Result<Self> {
        let state = run(&plan, &log)?;
        Ok(Self { plan, state, log, policy, back_off: BACK_OFF_FIRST, last: None, restarts: 0 })
    }

    /// Looks after the process, probes it, starts it again: whatever is due.
    pub(super) async fn step(&mut self, client: &reqwest::Client) -> Result<()> {
        match &mut self.state {
            State::Running(running) => match running.process.look()? {
                None => running.readiness.step(client).await,
                Some(status) => {
                    let ended = Ended::now(status, running.started);
                    if running.since.elapsed() > RECOVERED {
                        self.back_off = BACK_OFF_FIRST;
                    }
                    self.state = if self.policy.restarts(&ended) {
                        State::Waiting { until: Instant::now() + self.back_off }
                    } else {
                        State::Done
                    };
                    self.last = Some(ended);
                }
            },
            State::Waiting { until } if Instant::now() >= *until => {
                self.state = run(&self.plan, &self.log)?;
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
            running.process.terminate()?;
            let status = match running.process.ended(grace).await {
                Ok(status) => status,
                Err(_) => running.process.kill()?,
            };
            self.last = Some(Ended::now(status, running.started));
        }
        self.state = State::Done;
        Ok(())
    }

    pub(super) fn shown(&self) -> Shown {
        match &self.state {
            State::Running(running) => {
                Shown::Running { started: running.started, ready: running.readiness.is_ready() }
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

fn run(plan: &ContainerPlan, log: &std::path::Path) -> Result<State> {
    let mut command = Command::new(&plan.program);
    command.args(&plan.args).env_clear().envs(&plan.env);
    // Dropped without a stop, it is killed at once: only an orderly end has time for grace.
    let process = Process::start(&plan.name, &mut command, log)?.with_grace(Duration::ZERO);
    let readiness = Readiness::begin(plan.readiness.as_ref());
    let running = Running { process, started: Timestamp::now(), since: Instant::now(), readiness };
    Ok(State::Running(Box::new(running)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::signal::Signal;
    use std::collections::BTreeMap;

    fn shell(script: &str, policy: RestartPolicy, dir: &tempfile::TempDir) -> Container {
        let plan = ContainerPlan {
            name: "c".into(),
            image: "sh".into(),
            program: "/bin/sh".into(),
            args: vec!["-c".into(), script.into()],
            env: BTreeMap::from([("GREETING".into(), "hello".into())]),
            readiness: None,
        };
        Container::start(plan, policy, dir.path().join("log")).unwrap()
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
