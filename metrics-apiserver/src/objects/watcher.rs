//! Keeps the objects of one resource up to date: a list, then a watch from its version on. A watch that breaks goes on
//! from the last version; one whose version is too old begins with a list again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kube::Client;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::backoff::Backoff;
use super::error::RequestError;
use super::key::{ACCEPT_WATCH, Key};
use super::list::List;
use super::metrics::Metrics;
use super::request::{self, Response};
use super::split::PIECE_BYTES_MAX;
use super::store::{Budget, Store};
use super::watched::Watched;
use super::wire::WatchEvent;
use crate::causes::causes;

/// How long a list of all objects may take.
const LIST_DEADLINE: Duration = Duration::from_secs(60);
/// A watch without events for this long is sent again, because its connection may be dead.
const QUIET_MAX: Duration = Duration::from_secs(30);
/// A watch that ends earlier than this counts as a failure, so that it is not sent again and again without a pause.
const STEADY: Duration = Duration::from_secs(5);
/// The pauses after failures.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The pause after objects did not fit into memory.
const OUT_OF_BUDGET_PAUSE: Duration = Duration::from_secs(15 * 60);

/// What keeps the objects of one resource up to date.
pub(super) struct Watcher {
    pub(super) client: Client,
    pub(super) budget: Arc<Budget>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) watched: Arc<Watched>,
    /// Whether the current failure was logged.
    reported: AtomicBool,
}

impl Watcher {
    pub(super) fn new(
        client: Client,
        budget: Arc<Budget>,
        metrics: Arc<Metrics>,
        watched: Arc<Watched>,
    ) -> Self {
        Self { client, budget, metrics, watched, reported: AtomicBool::new(false) }
    }

    /// Watches until no read wants the objects any more; returns what was watched.
    pub(super) async fn run(self) -> Key {
        tokio::select! {
            () = self.watched.unused() => {}
            () = self.watch() => {}
        }
        self.watched.clear(&self.budget);
        self.metrics.unwatched(&self.watched.key);
        self.metrics.held(&self.budget);
        self.watched.key.clone()
    }

    /// Lists and watches without end.
    async fn watch(&self) {
        let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        // A list from memory may be older than the version that was too old.
        let mut is_cached = true;
        loop {
            let failed = match self.list(is_cached).await {
                Ok(version) => self.watch_from(version, &mut backoff).await,
                Err(error) => error,
            };
            is_cached = !failed.is_expired();
            sleep(self.failed(&failed, &mut backoff)).await;
        }
    }

    /// Lists all objects. If they do not fit into memory beside the old ones, the old ones go.
    async fn list(&self, is_cached: bool) -> Result<String, RequestError> {
        match self.list_once(is_cached).await {
            Err(RequestError::OutOfBudget) if self.watched.clear(&self.budget) => {
                self.list_once(is_cached).await
            }
            listed => listed,
        }
    }

    async fn list_once(&self, is_cached: bool) -> Result<String, RequestError> {
        let mut store = Store::new(Arc::clone(&self.budget));
        let list = List { key: &self.watched.key, namespace: None, selector: None, is_cached };
        let deadline = Instant::now() + LIST_DEADLINE;
        let mut take = |metadata| Ok(store.insert(metadata)?);
        let read = timeout_at(deadline, list.read(&self.client, deadline, &mut take)).await;
        let version = read.unwrap_or(Err(RequestError::Timeout))?;
        self.watched.replace(store);
        self.report_size();
        Ok(version)
    }

    /// Watches from this version on, until a list is needed.
    async fn watch_from(&self, mut version: String, backoff: &mut Backoff) -> RequestError {
        loop {
            let began = Instant::now();
            let ended = self.watch_once(&mut version).await;
            let is_steady = began.elapsed() >= STEADY;
            if is_steady {
                backoff.reset();
            }
            match ended {
                Ok(()) if is_steady => {}
                Ok(()) => sleep(backoff.pause()).await,
                Err(RequestError::Status(status)) if status < 500 && status != 429 => {
                    return RequestError::Status(status);
                }
                Err(RequestError::OutOfBudget) => return RequestError::OutOfBudget,
                Err(error) => sleep(self.failed(&error, backoff)).await,
            }
        }
    }

    /// One watch, until it ends or is quiet for too long.
    async fn watch_once(&self, version: &mut String) -> Result<(), RequestError> {
        let target = self.watched.key.watch_target(version);
        let mut response = request::get(&self.client, &target, ACCEPT_WATCH, None).await?;
        self.watched.contact();
        if self.reported.swap(false, Ordering::Relaxed) {
            tracing::info!(resource = %self.watched.key.resource.resource, "watching again");
        }
        let mut buffer = Vec::new();
        while self.next_lines(&mut response, &mut buffer).await? {
            let mut begin = 0;
            while let Some(length) = buffer[begin..].iter().position(|byte| *byte == b'\n') {
                let line = &buffer[begin..begin + length];
                begin += length + 1;
                if line.iter().all(u8::is_ascii_whitespace) {
                    continue;
                }
                let after = self.watched.apply(serde_json::from_slice::<WatchEvent>(line)?)?;
                if !after.is_empty() {
                    *version = after;
                }
            }
            buffer.drain(..begin);
            self.report_size();
        }
        Ok(())
    }

    /// Adds the next bytes of the watch to `buffer`; false at its end, and if it is quiet for too long.
    async fn next_lines(&self, response: &mut Response, buffer: &mut Vec<u8>) -> Result<bool, RequestError> {
        let Ok(chunk) = timeout(QUIET_MAX, response.chunk()).await else { return Ok(false) };
        let Some(chunk) = chunk? else { return Ok(false) };
        buffer.extend_from_slice(&chunk);
        if buffer.len() > PIECE_BYTES_MAX {
            return Err(RequestError::TooLarge(PIECE_BYTES_MAX));
        }
        Ok(true)
    }

    /// Counts and logs a failure; returns the pause before the next attempt.
    fn failed(&self, error: &RequestError, backoff: &mut Backoff) -> Duration {
        let resource = &self.watched.key.resource.resource;
        let (reason, may_serve) = match error {
            RequestError::OutOfBudget => ("memory", false),
            RequestError::Status(403) => ("forbidden", false),
            RequestError::Status(410) => ("expired", true),
            RequestError::Status(status) if *status < 500 && *status != 429 => ("refused", false),
            _ => ("failed", true),
        };
        self.metrics.watch_restarted(reason);
        self.watched.lose(may_serve);
        if error.is_expired() {
            return backoff.pause();
        }
        if !self.reported.swap(true, Ordering::Relaxed) {
            if error.is_forbidden() {
                tracing::warn!(
                    %resource,
                    "not allowed to list and watch {resource}, so each read lists it; grant the server's \
                     ServiceAccount get, list and watch"
                );
            } else {
                tracing::warn!(%resource, error = %causes(error), "cannot watch; retrying");
            }
        }
        if matches!(error, RequestError::OutOfBudget) {
            self.watched.clear(&self.budget);
            self.report_size();
            return OUT_OF_BUDGET_PAUSE;
        }
        backoff.pause()
    }

    fn report_size(&self) {
        self.metrics.stored(&self.watched.key, self.watched.len());
        self.metrics.held(&self.budget);
    }
}
