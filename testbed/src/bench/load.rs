//! Load: reads that are sent when they are planned, whether or not earlier ones were answered.
//!
//! A latency counts from the planned time. A read that had to wait because the server was slow with others has waited,
//! and its HPA with it; a generator that would send it later and count from there would omit just the waits that
//! matter. Threads that block rather than tasks: their sleeps end within microseconds, not at the next millisecond.
//!
//! Of the idle connections the one used last is taken, as Go's HTTP client does and with it kube-apiserver: few reads
//! at a time keep few connections busy, and the rest are closed as idle.

use super::{
    connection::{Connection, Target},
    hpas::{Planned, Schedule},
};
use anyhow::{Result, anyhow, ensure};
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// Between the start of the threads and the first read.
const SETTING_UP: Duration = Duration::from_secs(1);
/// The longest sleep at a time: how soon a load that is given up ends.
const NAP: Duration = Duration::from_secs(1);
/// A read that could not be sent by then has failed, as it has for a client that gives up. Without that, a load that
/// the machine can't bear would go on for long after its end, with ever later reads.
const TOO_LATE: Duration = Duration::from_secs(5);
/// Messages of failed reads that each thread keeps.
const FAILURES: usize = 3;

/// A request and what its right answer holds.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) bytes: Vec<u8>,
    pub(super) expected: String,
}

/// The result of a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The right number.
    Right,
    /// An error.
    Failed,
    /// An answer with another number: the worst there is.
    Wrong,
}

/// A read that was sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Read {
    /// Since the load's beginning.
    pub(super) planned: Duration,
    /// How much later it was sent: the generator's part of `took`, or a wait for a connection.
    pub(super) late: Duration,
    /// From the planned time until the whole answer had come.
    pub(super) took: Duration,
    pub(super) verdict: Verdict,
}

/// All reads of a load, in the order of their planned times.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) reads: Vec<Read>,
    /// Messages of some failed reads.
    pub(super) failures: Vec<String>,
}

impl Request {
    /// Reads once.
    pub(super) fn send(&self, connection: &mut Connection) -> (Verdict, Option<String>) {
        match connection.send(&self.bytes) {
            Err(error) => (Verdict::Failed, Some(error.to_string())),
            Ok((200, body)) if contains(body, self.expected.as_bytes()) => (Verdict::Right, None),
            Ok((code, body)) => {
                let verdict = if code == 200 { Verdict::Wrong } else { Verdict::Failed };
                (verdict, Some(format!("{code}: {}", String::from_utf8_lossy(body))))
            }
        }
    }
}

/// Sends each read once; an error unless all have the right answer.
pub(super) fn all_right(target: &Arc<Target>, requests: &[Request]) -> Result<()> {
    let mut connection = Connection::new(target);
    for request in requests {
        let (verdict, failure) = request.send(&mut connection);
        ensure!(verdict == Verdict::Right, "{}", failure.unwrap_or_default());
    }
    Ok(())
}

fn contains(body: &[u8], part: &[u8]) -> bool {
    body.windows(part.len()).any(|bytes| bytes == part)
}

impl Outcome {
    fn add(&mut self, read: Read, failure: Option<String>) {
        self.reads.push(read);
        if let Some(failure) = failure.filter(|_| self.failures.len() < FAILURES) {
            self.failures.push(failure);
        }
    }

    fn merge(parts: Vec<Self>) -> Self {
        let mut whole = Self::default();
        for part in parts {
            whole.reads.extend(part.reads);
            whole.failures.extend(part.failures);
        }
        whole.reads.sort_unstable_by_key(|read| read.planned);
        whole.failures.sort_unstable();
        whole.failures.dedup();
        whole.failures.truncate(FAILURES);
        whole
    }
}

/// A load under way. It ends with this value.
#[derive(Debug)]
pub(super) struct OpenLoop {
    started: Instant,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Outcome>>,
}

impl OpenLoop {
    /// Sends the reads of `schedule` that are planned within `time`, at most `at_once` at a time.
    pub(super) fn start(
        target: &Arc<Target>,
        requests: &Arc<[Request]>,
        schedule: Schedule,
        time: Duration,
        at_once: usize,
    ) -> Self {
        let started = Instant::now() + SETTING_UP;
        let stop = Arc::new(AtomicBool::new(false));
        let shared = Arc::new(Shared {
            started,
            time,
            schedule: Mutex::new(schedule),
            requests: Arc::clone(requests),
            target: Arc::clone(target),
            idle: Mutex::default(),
            stop: Arc::clone(&stop),
        });
        let thread = |_| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.work())
        };
        Self { started, stop, threads: (0..at_once).map(thread).collect() }
    }

    /// Waits until this time after the beginning.
    pub(super) async fn at(&self, time: Duration) {
        tokio::time::sleep_until((self.started + time).into()).await;
    }

    /// The time since the beginning.
    pub(super) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Ends before its time.
    pub(super) async fn stop(self) -> Result<Outcome> {
        self.stop.store(true, Ordering::Relaxed);
        self.finish().await
    }

    /// Waits until all reads have their answers.
    pub(super) async fn finish(mut self) -> Result<Outcome> {
        let threads = std::mem::take(&mut self.threads);
        let parts = tokio::task::spawn_blocking(move || threads.into_iter().map(join).collect());
        let parts: Result<Vec<_>> = parts.await?;
        Ok(Outcome::merge(parts?))
    }
}

impl Drop for OpenLoop {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in std::mem::take(&mut self.threads) {
            let _ = thread.join();
        }
    }
}

fn join(thread: JoinHandle<Outcome>) -> Result<Outcome> {
    thread.join().map_err(|_| anyhow!("a thread of the load panicked"))
}

/// What the threads of a load have in common.
struct Shared {
    started: Instant,
    time: Duration,
    schedule: Mutex<Schedule>,
    requests: Arc<[Request]>,
    target: Arc<Target>,
    /// The one used last is the last.
    idle: Mutex<Vec<Connection>>,
    stop: Arc<AtomicBool>,
}

impl Shared {
    fn work(&self) -> Outcome {
        // By default the kernel may prolong a sleep by 50 µs. Where this cannot be set, latencies include that.
        let _ = nix::sys::prctl::set_timerslack(1);
        let mut outcome = Outcome::default();
        while let Some(Planned { at, query }) = self.next() {
            let due = self.started + at;
            if !self.sleep(due) {
                break;
            }
            let Some(request) = self.requests.get(query) else { break };
            let late = due.elapsed();
            let (verdict, failure) = if late > TOO_LATE {
                (Verdict::Failed, Some(format!("not sent within {TOO_LATE:?}: all connections were waiting")))
            } else {
                self.send(request)
            };
            outcome.add(Read { planned: at, late, took: due.elapsed(), verdict }, failure);
        }
        outcome
    }

    fn send(&self, request: &Request) -> (Verdict, Option<String>) {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let last = idle().pop();
        let mut connection = last.unwrap_or_else(|| Connection::new(&self.target));
        let sent = request.send(&mut connection);
        idle().push(connection);
        sent
    }

    fn next(&self) -> Option<Planned> {
        let mut schedule = self.schedule.lock().unwrap_or_else(PoisonError::into_inner);
        schedule.next().filter(|planned| planned.at < self.time)
    }

    /// Sleeps until `due`; false if the load was stopped meanwhile.
    fn sleep(&self, due: Instant) -> bool {
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return false;
            }
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            thread::sleep(left.min(NAP));
        }
    }
}

/// Reads over a number of connections, each of which sends the next read when it has an answer.
pub(super) async fn closed_loop(
    target: &Arc<Target>,
    requests: &Arc<[Request]>,
    connections: usize,
    time: Duration,
) -> Result<Outcome> {
    let started = Instant::now();
    let thread = |first: usize| {
        let (target, requests) = (Arc::clone(target), Arc::clone(requests));
        thread::spawn(move || {
            let mut connection = Connection::new(&target);
            let mut outcome = Outcome::default();
            for request in requests.iter().cycle().skip(first) {
                let planned = started.elapsed();
                if planned >= time {
                    break;
                }
                let (verdict, failure) = request.send(&mut connection);
                let took = started.elapsed().saturating_sub(planned);
                outcome.add(Read { planned, late: Duration::ZERO, took, verdict }, failure);
            }
            outcome
        })
    };
    // Each begins at another query.
    let step = requests.len() / connections.max(1);
    let threads: Vec<_> = (0..connections).map(|index| thread(index * step)).collect();
    let parts = tokio::task::spawn_blocking(move || threads.into_iter().map(join).collect());
    let parts: Result<Vec<_>> = parts.await?;
    Ok(Outcome::merge(parts?))
}

#[cfg(test)]
mod tests;
