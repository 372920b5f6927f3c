//! A program that was started and that must end: with its value, and with this process, however that ends.
//!
//! Each program gets a *keeper*, a shell that waits for the end of a pipe whose other end only this process holds. A
//! panic, an exit or a SIGKILL closes the pipe, and the keeper then kills the program. (`PR_SET_PDEATHSIG` would do it
//! when the *thread* ends that started the program, and the threads of tests end early.) The standard library starts
//! the programs rather than tokio, since a program may outlive the runtime it was started on.

use anyhow::{Context, Result, anyhow, bail, ensure};
use nix::{
    sys::signal::{self, Signal},
    unistd::Pid,
};
use std::{
    ffi::OsStr,
    fs::File,
    io::{Read, Seek, SeekFrom},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// How long a program gets between SIGTERM and SIGKILL, unless told otherwise.
pub const GRACE: Duration = Duration::from_secs(10);
/// How much of its log an error quotes.
const TAIL_BYTES: u64 = 3_000;
/// Between two looks whether a program has ended.
const LOOK: Duration = Duration::from_millis(10);
/// Kills the group once the pipe closes; `read` ends with success only if we say that the program has ended.
const KEEPER: &str = "read -r done || kill -s KILL -- -$1 2>/dev/null";

/// A running program with its log in a file.
#[derive(Debug)]
pub struct Process {
    name: String,
    pid: Pid,
    child: Mutex<Child>,
    keeper: Child,
    log: PathBuf,
    grace: Duration,
}

impl Process {
    /// Starts `command` in a process group of its own; what it prints is appended to `log`.
    pub fn start(name: &str, command: &mut Command, log: &Path) -> Result<Self> {
        let out = File::options().create(true).append(true).open(log);
        let out = out.with_context(|| format!("opening the log {}", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {name} ({})", command.get_program().display()))?;
        let pid = Pid::from_raw(child.id().cast_signed());
        let keeper = keep(pid).inspect_err(|_| {
            let _ = signal::killpg(pid, Signal::SIGKILL);
        });
        let keeper = keeper.with_context(|| format!("starting the keeper of {name}"))?;
        Ok(Self {
            name: name.to_owned(),
            pid,
            child: Mutex::new(child),
            keeper,
            log: log.to_owned(),
            grace: GRACE,
        })
    }

    /// Changes how long the program gets between SIGTERM and SIGKILL.
    #[must_use]
    pub fn with_grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// The operating system's number of the program, which is also that of its process group.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// The file with everything the program has printed.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The last lines that the program printed.
    pub fn log_tail(&self) -> String {
        tail(&self.log).unwrap_or_else(|error| format!("(its log could not be read: {error})"))
    }

    /// Sends a signal to the program alone: `SIGSTOP` hangs it, `SIGCONT` lets it go on, `SIGKILL` ends it.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        // Held while sending: a program that nobody has waited for keeps its number.
        let mut child = self.child();
        ensure!(child.try_wait()?.is_none(), "{} has ended, so it cannot be sent {signal}", self.name);
        signal::kill(self.pid, signal).with_context(|| format!("sending {signal} to {}", self.name))
    }

    /// How the program ended; `None` while it runs.
    pub fn look(&self) -> Result<Option<ExitStatus>> {
        self.child().try_wait().with_context(|| format!("looking after {}", self.name))
    }

    /// Waits until `probe` gives true; fails with the end of the log when the program ends first or `limit` has passed.
    pub async fn until<F, Fut>(&self, what: &str, limit: Duration, mut probe: F) -> Result<()>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<bool>>,
    {
        let up = crate::eventually(what, limit, || {
            let ended = self.look();
            let answer = probe();
            async move {
                match ended? {
                    Some(status) => Ok(Some(Err(status))),
                    None => Ok(answer.await?.then_some(Ok(()))),
                }
            }
        });
        let problem = match up.await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(status)) => anyhow!("it ended with {status}"),
            Err(error) => error,
        };
        Err(problem.context(format!(
            "{} is not up; the end of {}:\n{}",
            self.name,
            self.log.display(),
            self.log_tail()
        )))
    }

    /// Waits until the program ends by itself.
    pub async fn ended(&self, limit: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.look()? {
                return Ok(status);
            }
            if Instant::now() >= deadline {
                bail!("{} still runs after {limit:?}", self.name);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Ends the program: SIGTERM, and SIGKILL when its grace has passed. Says how it ended.
    pub async fn stop(&self) -> Result<ExitStatus> {
        self.terminate()?;
        if let Ok(status) = self.ended(self.grace).await {
            return Ok(status);
        }
        self.kill()
    }

    /// Ends the program at once, with everything it started.
    pub fn kill(&self) -> Result<ExitStatus> {
        let mut child = self.child();
        if child.try_wait()?.is_none() {
            signal::killpg(self.pid, Signal::SIGKILL).with_context(|| format!("killing {}", self.name))?;
        }
        child.wait().with_context(|| format!("waiting for {}", self.name))
    }

    /// Asks the program to end; a stopped one is woken, or it would never hear of it.
    pub fn terminate(&self) -> Result<()> {
        if self.look()?.is_none() {
            self.signal(Signal::SIGTERM)?;
            self.signal(Signal::SIGCONT).ok();
        }
        Ok(())
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let deadline = Instant::now() + self.grace;
        let _ = self.terminate();
        while matches!(self.look(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(LOOK);
        }
        let _ = self.kill();
        // Only now: until here the keeper would have done it for us.
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}

/// Starts the shell that kills the group `pid` when this process is no more.
fn keep(pid: Pid) -> std::io::Result<Child> {
    Command::new("sh")
        .args([OsStr::new("-c"), OsStr::new(KEEPER), OsStr::new("keeper")])
        .arg(pid.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
}

/// The last whole lines of a file.
fn tail(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let whole = if length > TAIL_BYTES { text.split_once('\n').map_or("", |(_, rest)| rest) } else { &text };
    Ok(whole.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ample: everything waited for here takes milliseconds.
    const LIMIT: Duration = Duration::from_secs(20);

    fn shell(script: &str, dir: &tempfile::TempDir) -> Process {
        let mut command = Command::new("sh");
        Process::start("shell", command.args(["-c", script]), &dir.path().join("log")).unwrap()
    }

    fn runs(pid: Pid) -> bool {
        signal::kill(pid, None).is_ok()
    }

    async fn says_up(process: &Process) {
        let probe = || async { Ok(process.log_tail().contains("up")) };
        process.until("the shell says up", LIMIT, probe).await.unwrap();
    }

    #[tokio::test]
    async fn a_program_ends_with_its_value() {
        let dir = tempfile::tempdir().unwrap();
        let process = shell("exec sleep 1000", &dir);
        let pid = process.pid();
        assert!(runs(pid));
        drop(process);
        assert!(!runs(pid));
    }

    #[tokio::test]
    async fn a_program_ends_when_the_process_that_started_it_is_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let mut process = shell("exec sleep 1000", &dir);
        // What the kernel does for a process that was killed.
        drop(process.keeper.stdin.take());
        let status = process.ended(LIMIT).await.unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(Signal::SIGKILL as i32));
    }

    #[tokio::test]
    async fn a_program_deaf_to_sigterm_is_killed_with_what_it_started() {
        let dir = tempfile::tempdir().unwrap();
        let script = "trap '' TERM; sleep 1000 & echo $! > child; echo up; wait; wait";
        let mut command = Command::new("sh");
        command.args(["-c", script]).current_dir(dir.path());
        let process = Process::start("shell", &mut command, &dir.path().join("log")).unwrap();
        let process = process.with_grace(Duration::from_millis(100));
        says_up(&process).await;
        let child = std::fs::read_to_string(dir.path().join("child")).unwrap();
        process.stop().await.unwrap();
        let stat = format!("/proc/{}/stat", child.trim());
        let gone = crate::eventually("the child to end", LIMIT, || async {
            // An orphan may stay a zombie where nobody adopts it.
            let stat = std::fs::read_to_string(&stat).unwrap_or_default();
            Ok((stat.is_empty() || stat.contains(") Z ")).then_some(()))
        });
        gone.await.unwrap();
    }

    #[tokio::test]
    async fn a_hanging_program_can_go_on_and_be_ended() {
        let dir = tempfile::tempdir().unwrap();
        let process = shell("echo up; exec sleep 1000", &dir);
        says_up(&process).await;
        process.signal(Signal::SIGSTOP).unwrap();
        assert!(process.look().unwrap().is_none());
        let status = process.stop().await.unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(Signal::SIGTERM as i32));
        assert!(process.signal(Signal::SIGTERM).is_err());
    }

    #[tokio::test]
    async fn a_program_that_ends_early_is_reported_with_the_end_of_its_log() {
        let dir = tempfile::tempdir().unwrap();
        let process = shell("echo the port is taken; exit 3", &dir);
        let error = process.until("it serves", LIMIT, || async { Ok(false) }).await.unwrap_err();
        let error = format!("{error:#}");
        assert!(error.contains("the port is taken") && error.contains("exit status: 3"), "{error}");
    }
}
