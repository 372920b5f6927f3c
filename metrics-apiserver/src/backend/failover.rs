//! One backend: its servers, which of them is called, and the health of each.
//!
//! A backend with several `urls` is an HA pair: servers that scrape the same targets, each with all the data, but
//! scraped at other moments and with other gaps. So a call is answered by one of them, and the next calls by the same
//! one for as long as it answers: a rate that was read now here and now there would jump. When it fails, the call is
//! sent to the next one within the same timeout, of which each attempt gets an equal share, so that a server that
//! hangs does not use up all of it; calls then stay with the server that answers. A call that no server answers, or
//! that fails where others are answered, does not change which server is preferred. A call that is itself at fault
//! (refused by Prometheus, too large a response) would fail everywhere and is not retried. What a gateway refuses
//! before one server may be let in before another.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, timeout};

use super::annotation_log::AnnotationLog;
use super::annotations::Annotations;
use super::body::BodyBudget;
use super::breaker::{FAILURES_TO_OPEN, Verdict};
use super::call::{Call, InstantQuery};
use super::client::{Answer, Client, Failed, Fault};
use super::counts::Counts;
use super::diagnosis::{self, Diagnosis};
use super::{Options, SeriesQuery, SeriesSummary, SetupError, probe};
use crate::cache::{BackendName, Owner, Query, QueryError, Reading};
use crate::metric::Namespace;

/// One backend and its health.
#[derive(Debug)]
pub(super) struct Backend {
    pub(super) options: Options,
    pub(super) counts: Arc<Counts>,
    pub(super) client: Arc<Client>,
    /// The server that is called first.
    preferred: AtomicUsize,
    annotation_log: AnnotationLog,
    probes: Mutex<Probes>,
}

/// The probes of servers whose breaker is open. They end with the backend.
#[derive(Debug, Default)]
struct Probes {
    tasks: JoinSet<()>,
    /// By server; None if its breaker never opened.
    running: Vec<Option<AbortHandle>>,
}

impl Backend {
    /// `counts` may be those of an earlier backend of the name.
    pub(super) fn new(
        name: &BackendName,
        options: Options,
        counts: Arc<Counts>,
        budget: &BodyBudget,
    ) -> Result<Self, SetupError> {
        Ok(Self {
            client: Arc::new(Client::new(name, options.clone(), budget)?),
            options,
            counts,
            preferred: AtomicUsize::new(0),
            annotation_log: AnnotationLog::default(),
            probes: Mutex::default(),
        })
    }

    /// How many servers it has.
    pub(super) fn urls(&self) -> usize {
        self.client.servers.len()
    }

    /// How many of them have a closed breaker.
    pub(super) fn closed(&self) -> usize {
        self.client.servers.iter().filter(|server| server.breaker.cause().is_none()).count()
    }

    /// What each server answers, healthy or not.
    pub(super) async fn diagnose(&self) -> Vec<Diagnosis> {
        join_all(
            self.client.servers.iter().map(|server| diagnosis::diagnose(&self.client, &self.options, server)),
        )
        .await
    }

    /// Runs an instant query for `owner`.
    pub(super) async fn query(&self, query: &Query, owner: Owner) -> Result<Reading, QueryError> {
        let Query { promql, namespace, .. } = query;
        let namespace = namespace.as_ref();
        self.check_namespace(namespace)?;
        let _in_flight = self.counts.begin();
        let began = Instant::now();
        let answer = self.call(&InstantQuery { promql, namespace }, Some(owner)).await;
        let reading = answer.map(|Answer { asked, content: samples, annotations }| {
            self.note(promql, &annotations);
            Reading { samples, partial: annotations.partial.map(Into::into), asked }
        });
        self.counts.queries.ended(&reading, began.elapsed());
        reading
    }

    /// Lists series.
    pub(super) async fn series(&self, query: &SeriesQuery) -> Result<SeriesSummary, QueryError> {
        self.check_namespace(None)?;
        let Answer { content, annotations, .. } = self.call(query, None).await?;
        self.note(&query.matchers.join(" "), &annotations);
        Ok(SeriesSummary { partial: annotations.partial.map(Into::into), ..content })
    }

    /// A backend that is told the namespace is never called without one. The configuration check allows no rule that
    /// would, but a query may have been made just before the backend was changed.
    fn check_namespace(&self, namespace: Option<&Namespace>) -> Result<(), QueryError> {
        if namespace.is_none() && self.options.needs_namespace() {
            let what = "the backend needs a namespace (`$namespace`), and the query is for none; read again";
            return Err(QueryError::Unfit { what });
        }
        Ok(())
    }

    /// Ends the probes.
    pub(super) async fn shutdown(&self) {
        let mut probes = std::mem::take(&mut *self.probes());
        probes.tasks.shutdown().await;
    }

    fn note(&self, query: &str, annotations: &Annotations) {
        self.counts.noted(annotations);
        self.annotation_log.log(&self.client.name, query, annotations);
    }

    async fn call<C: Call>(&self, call: &C, owner: Option<Owner>) -> Result<Answer<C::Content>, QueryError> {
        let began = Instant::now();
        let (servers, longest) = (self.urls(), call.timeout(self.client.timeout));
        let first = self.preferred.load(Ordering::Relaxed);
        let (mut failure, mut is_ignored) = (None, false);
        for tried in 0..servers {
            let at = (first + tried) % servers;
            if let Some(cause) = self.client.servers[at].breaker.cause() {
                self.keep_probing(at);
                keep(&mut failure, QueryError::BreakerOpen { cause });
                continue;
            }
            let left = longest.saturating_sub(began.elapsed());
            if left.is_zero() {
                // It would fail without having been called.
                break;
            }
            let sent = Instant::now();
            match self.attempt(at, call, owner, left / self.worth_trying(first, tried)).await {
                Ok(answer) => {
                    if !is_ignored {
                        // Another call may have changed it already.
                        let _ =
                            self.preferred.compare_exchange(first, at, Ordering::Relaxed, Ordering::Relaxed);
                    }
                    return Ok(answer);
                }
                Err(Failed { error, fault: Fault::Call }) => return Err(error),
                Err(failed) => {
                    // Ignored once, it counts nowhere: on the next server no other answer could show the same.
                    is_ignored = is_ignored || self.ignores(at, sent, &failed);
                    keep(&mut failure, failed.error);
                }
            }
        }
        Err(failure.unwrap_or(QueryError::TimedOut(longest)))
    }

    /// How many of the servers not yet tried have a closed breaker, the next one included.
    fn worth_trying(&self, first: usize, tried: usize) -> u32 {
        let servers = self.urls();
        let closed = |ahead: &usize| self.client.servers[(first + ahead) % servers].breaker.cause().is_none();
        u32::try_from((tried..servers).filter(closed).count()).unwrap_or(u32::MAX).max(1)
    }

    async fn attempt<C: Call>(
        &self,
        at: usize,
        call: &C,
        owner: Option<Owner>,
        allowed: Duration,
    ) -> Result<Answer<C::Content>, Failed> {
        let server = &self.client.servers[at];
        let rounded = rounded(allowed);
        let answered = tokio::select! {
            biased;
            // No need to wait any longer for a server that is found to be down.
            cause = server.breaker.opened() => return Err(QueryError::BreakerOpen { cause }.into()),
            answered = timeout(allowed, self.client.call(server, call, owner, rounded)) => {
                answered.unwrap_or_else(|_| Err(QueryError::TimedOut(rounded).into()))
            }
        };
        let has_answered = answered.as_ref().map_or_else(|failed| failed.fault == Fault::Call, |_| true);
        if has_answered && server.breaker.answered(Instant::now()) {
            let backend = &*self.client.name.0;
            tracing::info!(backend, server = at, "circuit breaker closed: prometheus answers again");
        }
        answered
    }

    /// Counts a failure that may not be the call's own; whether it is ignored because the server answers other calls.
    fn ignores(&self, at: usize, sent: Instant, Failed { error, fault }: &Failed) -> bool {
        let breaker = &self.client.servers[at].breaker;
        if *fault == Fault::Gateway {
            return breaker.answered_since(sent);
        }
        if matches!(error, QueryError::BreakerOpen { .. }) {
            // Given up because other calls failed.
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
                "circuit breaker open after {FAILURES_TO_OPEN} failures; waiting for a successful probe"
            );
            self.keep_probing(at);
        }
        verdict == Verdict::Ignored
    }

    /// Starts to probe a server, unless a probe is running.
    fn keep_probing(&self, at: usize) {
        let mut probes = self.probes();
        while let Some(ended) = probes.tasks.try_join_next() {
            if let Err(error) = ended {
                tracing::error!(%error, "a probe panicked; please report it");
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

/// Keeps the failure to report of several: the last one, but a refusal says most and an open breaker least.
fn keep(failure: &mut Option<QueryError>, error: QueryError) {
    match (&failure, &error) {
        (Some(QueryError::Refused { .. }), _) | (Some(_), QueryError::BreakerOpen { .. }) => {}
        _ => *failure = Some(error),
    }
}

/// For messages and the `timeout` parameter: 9.999 s is 10 s, and 0 is 1 ms.
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

    use super::*;
    use crate::syntax::BaseUrl;

    #[tokio::test(start_paused = true)]
    async fn a_server_for_which_no_time_is_left_has_not_failed() {
        // Takes connections and answers nothing.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = BaseUrl::parse(&format!("http://{}", silent.local_addr().unwrap()), "/api/v1").unwrap();
        let options = Options { timeout: Duration::from_secs(10), ..Options::new(vec![url; 2]) };
        let backend =
            Backend::new(&BackendName("default".into()), options, Arc::default(), &BodyBudget::default())
                .unwrap();
        let second = &backend.client.servers[1].breaker;
        for _ in 0..FAILURES_TO_OPEN {
            second.failed(Instant::now(), "down");
        }
        let up = Query::new(BackendName("default".into()), "up");
        let mut query = pin!(backend.query(&up, Owner::new(&Arc::new(()))));
        assert!(poll!(&mut query).is_pending(), "the first server has all the time while the second is down");
        second.probed();
        assert_eq!(query.await, Err(QueryError::TimedOut(Duration::from_secs(10))));
        for _ in 1..FAILURES_TO_OPEN {
            assert_eq!(second.failed(Instant::now(), "down again"), Verdict::Counted);
        }
    }
}
