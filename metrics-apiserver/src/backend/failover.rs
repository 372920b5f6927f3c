//! One backend: its servers, which of them is asked, and what is known of each.
//!
//! A backend of several `urls` is an HA pair: servers that scrape the same targets, each with the whole of the data, but
//! at other moments and with other gaps. So one query is answered by one of them, and the next ones by the same, for as
//! long as it answers: a rate that was read here and there would jump. When it fails, the query is put to the next one
//! within the same time, of which each try has an even part lest a server that hangs use up all of it, and queries stay
//! with the one that answers. A query that none answers, or that fails where others are answered, leads no others away.
//! A query's own fault (refused by Prometheus, too long an answer) is the same everywhere and is not tried again. What a
//! gateway refuses, before one server, may be let in before another.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, timeout};

use super::annotation_log::AnnotationLog;
use super::breaker::Verdict;
use super::client::{Answer, Client, Failed, Fault};
use super::metrics::Counts;
use super::room::Room;
use super::{ClientOptions, SetupError, probe};
use crate::cache::{BackendName, QueryError, Reading};

/// One backend and its health.
#[derive(Debug)]
pub(super) struct Backend {
    pub(super) counts: Arc<Counts>,
    client: Arc<Client>,
    /// The server asked first.
    preferred: AtomicUsize,
    annotation_log: AnnotationLog,
    probes: Mutex<Probes>,
}

/// The probes of servers that are down. They end with the backend.
#[derive(Debug, Default)]
struct Probes {
    tasks: JoinSet<()>,
    /// By server; one that was never down has none.
    running: Vec<Option<AbortHandle>>,
}

impl Backend {
    /// `counts` may be those of an earlier backend of the name.
    pub(super) fn new(
        name: &BackendName,
        options: ClientOptions,
        counts: Arc<Counts>,
        room: &Room,
    ) -> Result<Self, SetupError> {
        Ok(Self {
            counts,
            client: Arc::new(Client::new(name, options, room)?),
            preferred: AtomicUsize::new(0),
            annotation_log: AnnotationLog::default(),
            probes: Mutex::default(),
        })
    }

    /// How many servers it has.
    pub(super) fn urls(&self) -> usize {
        self.client.servers.len()
    }

    /// How many of them are worth asking.
    pub(super) fn closed(&self) -> usize {
        self.client.servers.iter().filter(|server| server.breaker.cause().is_none()).count()
    }

    /// What an instant query gives, now.
    pub(super) async fn query(&self, promql: &str) -> Result<Reading, QueryError> {
        let _in_flight = self.counts.begin();
        let began = Instant::now();
        let fetched = self.try_each(promql, began).await.map(|answer| self.reading(promql, answer));
        self.counts.ended(&fetched, began.elapsed());
        fetched
    }

    /// Ends the probes.
    pub(super) async fn shutdown(&self) {
        let mut probes = std::mem::take(&mut *self.probes());
        probes.tasks.shutdown().await;
    }

    fn reading(&self, promql: &str, Answer { asked, samples, annotations }: Answer) -> Reading {
        self.counts.noted(&annotations);
        self.annotation_log.log(&self.client.name, promql, &annotations);
        Reading { samples, partial: annotations.partial.map(Into::into), asked }
    }

    async fn try_each(&self, promql: &str, began: Instant) -> Result<Answer, QueryError> {
        let servers = self.urls();
        let first = self.preferred.load(Ordering::Relaxed);
        let (mut failure, mut pardoned) = (None, false);
        for tried in 0..servers {
            let at = (first + tried) % servers;
            if let Some(cause) = self.client.servers[at].breaker.cause() {
                self.keep_probing(at);
                keep(&mut failure, QueryError::BreakerOpen { cause });
                continue;
            }
            let left = self.client.timeout.saturating_sub(began.elapsed());
            if left.is_zero() {
                // It would fail without having been asked.
                break;
            }
            let sent = Instant::now();
            match self.attempt(at, promql, left / self.worth_trying(first, tried)).await {
                Ok(answer) => {
                    if !pardoned {
                        // Another query may have led on already.
                        let _ =
                            self.preferred.compare_exchange(first, at, Ordering::Relaxed, Ordering::Relaxed);
                    }
                    return Ok(answer);
                }
                Err(Failed { error, fault: Fault::QuerySource }) => return Err(error),
                Err(failed) => {
                    // Pardoned once, it counts nowhere: the next server answers nobody else who could speak for it.
                    pardoned = pardoned || self.pardons(at, sent, &failed);
                    keep(&mut failure, failed.error);
                }
            }
        }
        Err(failure.unwrap_or(QueryError::TimedOut(self.client.timeout)))
    }

    /// How many of the servers not yet tried have a closed breaker, the next one included.
    fn worth_trying(&self, first: usize, tried: usize) -> u32 {
        let servers = self.urls();
        let closed = |ahead: &usize| self.client.servers[(first + ahead) % servers].breaker.cause().is_none();
        u32::try_from((tried..servers).filter(closed).count()).unwrap_or(u32::MAX).max(1)
    }

    async fn attempt(&self, at: usize, promql: &str, allowed: Duration) -> Result<Answer, Failed> {
        let server = &self.client.servers[at];
        let said = rounded(allowed);
        let answered = tokio::select! {
            biased;
            // Who waits for a server that is found to be down need not wait on.
            cause = server.breaker.opened() => return Err(QueryError::BreakerOpen { cause }.into()),
            answered = timeout(allowed, self.client.ask(server, promql, said)) => {
                answered.unwrap_or_else(|_| Err(QueryError::TimedOut(said).into()))
            }
        };
        let has_answered =
            answered.as_ref().map_or_else(|failed| failed.fault == Fault::QuerySource, |_| true);
        if has_answered && server.breaker.answered(Instant::now()) {
            tracing::info!(backend = &*self.client.name.0, server = at, "prometheus answers again");
        }
        answered
    }

    /// Takes note of a failure that may not be the query's own; says whether it is, for the server answers others.
    fn pardons(&self, at: usize, sent: Instant, Failed { error, fault }: &Failed) -> bool {
        let breaker = &self.client.servers[at].breaker;
        if *fault == Fault::Gateway {
            return breaker.answered_since(sent);
        }
        if matches!(error, QueryError::BreakerOpen { .. }) {
            // Given up because of others.
            return false;
        }
        let verdict = breaker.failed(sent, &error.to_string());
        if verdict == Verdict::Opened {
            let (backend, detail) = (&*self.client.name.0, error.detail());
            tracing::warn!(
                backend,
                server = at,
                %error,
                detail,
                "prometheus failed several times in a row; it gets no queries until it answers a probe"
            );
            self.keep_probing(at);
        }
        verdict == Verdict::Pardoned
    }

    /// Begins to probe a server, unless that is being done.
    fn keep_probing(&self, at: usize) {
        let mut probes = self.probes();
        while let Some(ended) = probes.tasks.try_join_next() {
            if let Err(error) = ended {
                tracing::error!(%error, "a probe crashed; please report it");
            }
        }
        probes.running.resize(self.urls(), None);
        if probes.running[at].as_ref().is_none_or(AbortHandle::is_finished) {
            let task = probes.tasks.spawn(probe::until_answered(Arc::clone(&self.client), at));
            probes.running[at] = Some(task);
        }
    }

    fn probes(&self) -> std::sync::MutexGuard<'_, Probes> {
        self.probes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps of several failures the one to tell: the last one, but a refusal says most and an open breaker least.
fn keep(failure: &mut Option<QueryError>, error: QueryError) {
    match (&failure, &error) {
        (Some(QueryError::Refused { .. }), _) | (Some(_), QueryError::BreakerOpen { .. }) => {}
        _ => *failure = Some(error),
    }
}

/// As it is said to people and servers: what is left of 10 s after 1 ms is 10 s, and nothing is 1 ms.
fn rounded(allowed: Duration) -> Duration {
    let step = if allowed >= Duration::from_millis(900) { 100_000 } else { 1_000 };
    let micros = u64::try_from(allowed.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(micros.max(1).div_ceil(step).saturating_mul(step))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::pin::pin;

    use futures_util::poll;

    use super::super::Auth;
    use super::super::breaker::FAILURES_TO_OPEN;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_server_for_which_no_time_is_left_has_not_failed() {
        // Takes connections and answers nothing.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let options = ClientOptions {
            urls: vec![format!("http://{}", silent.local_addr().unwrap()); 2],
            timeout: Duration::from_secs(10),
            headers: Vec::new(),
            auth: Auth::None,
            ca_file: None,
            identity: None,
        };
        let backend =
            Backend::new(&BackendName("default".into()), options, Arc::default(), &Room::default()).unwrap();
        let second = &backend.client.servers[1].breaker;
        for _ in 0..FAILURES_TO_OPEN {
            second.failed(Instant::now(), "down");
        }
        let mut query = pin!(backend.query("up"));
        assert!(poll!(&mut query).is_pending(), "the first server has all the time while the second is down");
        second.probed();
        assert_eq!(query.await, Err(QueryError::TimedOut(Duration::from_secs(10))));
        for _ in 1..FAILURES_TO_OPEN {
            assert_eq!(second.failed(Instant::now(), "down again"), Verdict::Counted);
        }
    }
}
