//! Reviews in flight. Each is a task of its own, which all requests that need it share, and whose answer is kept: a
//! client that gives up causes no second review and no new connection.
//!
//! In Go's delegated clients all reviews share one rate limit, so one client can delay everybody. Here they are handed
//! round among users ([`ConcurrencyLimiter`]), and reviews for those in doubt, who are unknown or were denied something
//! a moment ago, have a rate limit besides.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tracing::Instrument as _;

use super::review::{DEADLINE, ReviewError};
use super::reviews::ReviewCounts;
use crate::limit::{ConcurrencyLimiter, Permit, TokenBucket};

/// Reviews of one kind at once, and so connections to kube-apiserver: both kinds and the watch of the `ConfigMap` have
/// fewer than twenty. An idle kube-apiserver takes a millisecond or two for one.
pub(crate) const RUNNING_MAX: usize = 8;

/// Reviews that run or wait. One user can have half of them: each occupies a connection.
pub(crate) const PENDING_MAX: usize = 256;

/// Reviews per second for those in doubt, and the burst. Both kinds together stay below 200 per second, the limit of
/// every aggregated API server.
const DOUBTFUL_PER_SECOND: u32 = 80;
const DOUBTFUL_BURST: u32 = 100;

const INTERVAL: Duration = Duration::from_micros(1_000_000 / DOUBTFUL_PER_SECOND as u64);

/// What a review is about: equal reviews are sent once.
type Key = [u8; 32];

/// The Kubernetes API answers if it has in this time. While reviews wait because of the rate limit alone, one is
/// answered every 100 ms at the least: eight intervals.
const ANSWERING: Duration = Duration::from_millis(250);

type Outcome<T> = Result<T, Arc<ReviewError>>;
type Waiter<T> = watch::Receiver<Progress<T>>;

/// What has become of a review.
#[derive(Debug)]
enum Progress<T> {
    Waiting,
    Sent,
    Done(Outcome<T>),
}

impl<T> Progress<T> {
    fn outcome(&self) -> Option<&Outcome<T>> {
        match self {
            Self::Done(outcome) => Some(outcome),
            Self::Waiting | Self::Sent => None,
        }
    }
}

/// The reviews of one kind in flight; `K` says who causes a review, `T` is what it decides.
#[derive(Debug)]
pub(crate) struct ReviewQueue<K: Eq + Hash + Clone, T> {
    pending: Arc<ConcurrencyLimiter<K>>,
    running: Arc<ConcurrencyLimiter<K>>,
    doubtful: TokenBucket,
    in_flight: Mutex<InFlight<T>>,
    /// Until when the Kubernetes API wants no reviews.
    throttled: Mutex<Option<Instant>>,
    /// When the Kubernetes API last answered a review.
    answered: Mutex<Option<Instant>>,
    counts: ReviewCounts,
}

#[derive(Debug)]
struct InFlight<T> {
    waiters: HashMap<Key, Waiter<T>>,
    tasks: JoinSet<()>,
}

/// A review to be sent.
pub(crate) struct Wanted<K, D, R> {
    pub(crate) key: Key,
    /// Who causes it.
    pub(crate) by: K,
    /// Whether it is for somebody in doubt; asked when it is about to be sent.
    pub(crate) is_doubtful: D,
    /// Sends the review and keeps its answer.
    pub(crate) review: R,
}

impl<K, T> ReviewQueue<K, T>
where
    K: Debug + Eq + Hash + Clone + Send + 'static,
    T: Clone + Send + Sync + 'static,
{
    pub(crate) fn new(counts: ReviewCounts) -> Arc<Self> {
        Arc::new(Self {
            pending: ConcurrencyLimiter::fair(PENDING_MAX),
            running: ConcurrencyLimiter::fair(RUNNING_MAX),
            doubtful: TokenBucket::new(INTERVAL, DOUBTFUL_BURST),
            in_flight: Mutex::new(InFlight { waiters: HashMap::new(), tasks: JoinSet::new() }),
            throttled: Mutex::new(None),
            answered: Mutex::new(None),
            counts,
        })
    }

    /// The outcome of a review: of the one in flight, or of a new one. [`ReviewError::TooMany`] if too many wait for
    /// whoever causes it, [`ReviewError::TimedOut`] at the deadline, or after `patience` if the API does not answer.
    /// While the API throttles, it is waited for if the deadline allows that.
    pub(crate) async fn outcome<D, R>(
        self: &Arc<Self>,
        wanted: impl Fn() -> Wanted<K, D, R>,
        patience: Option<Duration>,
        deadline: Instant,
    ) -> Outcome<T>
    where
        D: FnOnce() -> bool + Send + 'static,
        R: Future<Output = Result<T, ReviewError>> + Send + 'static,
    {
        // The API is waited for no longer than that either.
        let latest = patience.map_or(deadline, |patience| deadline.min(Instant::now() + patience));
        loop {
            let outcome = self.wait(self.join(wanted())?, patience, deadline).await;
            match &outcome {
                Err(error) => match **error {
                    ReviewError::Throttled { until } if until < latest => sleep_until(until).await,
                    _ => return outcome,
                },
                Ok(_) => return outcome,
            }
        }
    }

    async fn wait(&self, mut waiter: Waiter<T>, patience: Option<Duration>, deadline: Instant) -> Outcome<T> {
        let started = Instant::now();
        loop {
            let until = patience.map_or(deadline, |patience| deadline.min(Instant::now() + patience));
            let is_done = |progress: &Progress<T>| progress.outcome().is_some();
            if let Ok(progress) = timeout_at(until, waiter.wait_for(is_done)).await {
                let outcome = progress.ok().and_then(|progress| progress.outcome().cloned());
                return outcome.unwrap_or_else(|| Err(Arc::new(ReviewError::Ended)));
            }
            // One that was not sent says nothing about the API: it is behind others, of the same client perhaps.
            let is_sent = matches!(*waiter.borrow(), Progress::Sent);
            if is_sent || !self.is_answering() {
                return Err(Arc::new(ReviewError::TimedOut(started.elapsed())));
            }
            if until == deadline {
                return Err(Arc::new(ReviewError::TooMany { is_answering: true }));
            }
        }
    }

    /// Ends the reviews in flight, for when nobody waits for them any more.
    pub(crate) async fn shutdown(&self) {
        let mut tasks = std::mem::take(&mut self.in_flight().tasks);
        tasks.shutdown().await;
    }

    fn join<D, R>(self: &Arc<Self>, wanted: Wanted<K, D, R>) -> Result<Waiter<T>, Arc<ReviewError>>
    where
        D: FnOnce() -> bool + Send + 'static,
        R: Future<Output = Result<T, ReviewError>> + Send + 'static,
    {
        let mut in_flight = self.in_flight();
        while let Some(ended) = in_flight.tasks.try_join_next() {
            if let Err(error) = ended {
                tracing::error!(%error, "a review task panicked; please report this");
            }
        }
        // One that is over without having been removed has panicked.
        if let Some(waiter) = in_flight.waiters.get(&wanted.key).filter(|waiter| waiter.has_changed().is_ok())
        {
            return Ok(waiter.clone());
        }
        let Some(pending) = self.pending.try_acquire(wanted.by.clone()) else {
            self.counts.refused.inc();
            return Err(Arc::new(ReviewError::TooMany { is_answering: self.is_answering() }));
        };
        let (sender, waiter) = watch::channel(Progress::Waiting);
        in_flight.waiters.insert(wanted.key, waiter.clone());
        in_flight.tasks.spawn(Arc::clone(self).run(wanted, pending, sender).in_current_span());
        Ok(waiter)
    }

    async fn run<D, R>(
        self: Arc<Self>,
        wanted: Wanted<K, D, R>,
        pending: Permit<K>,
        waiters: watch::Sender<Progress<T>>,
    ) where
        D: FnOnce() -> bool,
        R: Future<Output = Result<T, ReviewError>>,
    {
        let Wanted { key, by, is_doubtful, review } = wanted;
        let complete = |outcome: Result<T, ReviewError>| {
            self.in_flight().waiters.remove(&key);
            // Asked before the outcome is sent: whoever has read it is gone too.
            let is_abandoned = waiters.receiver_count() == 0;
            waiters.send_replace(Progress::Done(outcome.map_err(Arc::new)));
            is_abandoned
        };
        let Ok(permit) = timeout(DEADLINE, self.running.acquire(by)).await else {
            self.counts.failure.inc();
            let is_answering = self.is_answering();
            let too_many = ReviewError::TooMany { is_answering };
            complete(Err(if is_answering { too_many } else { ReviewError::TimedOut(DEADLINE) }));
            return;
        };
        if let Some(until) = self.throttled_until() {
            self.counts.throttled.inc();
            complete(Err(ReviewError::Throttled { until }));
            return;
        }
        let due = is_doubtful().then(|| self.doubtful.reserve());
        waiters.send_replace(Progress::Sent);
        let outcome = review.await;
        if let Err(ReviewError::Throttled { until }) = outcome {
            *self.throttled.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
        }
        if !outcome.as_ref().is_err_and(ReviewError::is_outage) {
            *self.answered.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
        if complete(outcome) {
            self.counts.abandoned.inc();
        }
        drop(pending);
        // The rate limit delays no answer: it keeps the permit, so that the next review begins no earlier.
        if let Some(due) = due {
            sleep_until(due).await;
        }
        drop(permit);
    }

    /// Until when no review is sent, if now is before that.
    fn throttled_until(&self) -> Option<Instant> {
        let until = *self.throttled.lock().unwrap_or_else(PoisonError::into_inner);
        until.filter(|until| Instant::now() < *until)
    }

    /// Whether the Kubernetes API has answered a review a moment ago.
    fn is_answering(&self) -> bool {
        let answered = *self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        answered.is_some_and(|answered| answered.elapsed() < ANSWERING)
    }

    fn in_flight(&self) -> MutexGuard<'_, InFlight<T>> {
        // Nothing that is done under the lock panics half-way.
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::time::{Instant, sleep};

    use super::*;
    use crate::authn::Reviews;

    type Queue = Arc<ReviewQueue<&'static str, u8>>;

    fn queue() -> Queue {
        ReviewQueue::new(Reviews::default().access)
    }

    /// Waits for a review of some milliseconds.
    async fn ask(
        queue: &Queue,
        number: usize,
        by: &'static str,
        is_doubtful: bool,
        millis: u64,
    ) -> Outcome<u8> {
        let mut key = Key::default();
        key[..8].copy_from_slice(&number.to_le_bytes());
        let wanted = || Wanted {
            key,
            by,
            is_doubtful: move || is_doubtful,
            review: async move {
                sleep(Duration::from_millis(millis)).await;
                Ok(7)
            },
        };
        queue.outcome(wanted, None, Instant::now() + Duration::from_secs(1_000)).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_review_goes_on_when_its_client_gives_up_and_the_next_one_joins_it() {
        let queue = queue();
        let began = Instant::now();
        let hasty = timeout(Duration::from_millis(1), ask(&queue, 1, "jane", false, 100)).await;
        assert!(hasty.is_err());
        assert!(matches!(ask(&queue, 1, "jane", false, 100_000).await, Ok(7)));
        assert_eq!(began.elapsed(), Duration::from_millis(100));
    }

    #[tokio::test(start_paused = true)]
    async fn a_review_that_every_client_has_given_up_is_counted_and_others_are_not() {
        let queue = queue();
        for (number, patience) in [(1, &[10, 20][..]), (2, &[10, 200]), (3, &[200]), (4, &[10])] {
            let clients = patience.iter().map(|patience| {
                timeout(Duration::from_millis(*patience), ask(&queue, number, "jane", false, 100))
            });
            futures_util::future::join_all(clients).await;
        }
        sleep(Duration::from_secs(1)).await;
        assert_eq!(queue.counts.abandoned.get(), 2, "the first and the last");
    }

    #[tokio::test(start_paused = true)]
    async fn one_user_has_half_of_what_may_wait_and_the_next_free_permit_is_for_another() {
        let queue = queue();
        let mut many: Vec<_> =
            (0..PENDING_MAX).map(|n| Box::pin(ask(&queue, n, "many", false, 1_000))).collect();
        let refused = many.iter_mut().filter_map(FutureExt::now_or_never).count();
        assert_eq!(refused, PENDING_MAX / 2);
        let began = Instant::now();
        assert!(ask(&queue, 9_999, "jane", false, 10).await.is_ok());
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
        assert_eq!(queue.counts.refused.get(), (PENDING_MAX / 2) as u64);
    }

    #[tokio::test(start_paused = true)]
    async fn a_review_that_hangs_costs_its_deadline_and_its_late_answer_serves_the_next() {
        let queue = queue();
        let began = Instant::now();
        let slow = || Wanted {
            key: [1; 32],
            by: "jane",
            is_doubtful: || false,
            review: async {
                sleep(Duration::from_secs(3)).await;
                Ok(7)
            },
        };
        let error = queue.outcome(slow, None, began + Duration::from_secs(1)).await.unwrap_err();
        assert!(matches!(*error, ReviewError::TimedOut(_)), "{error:?}");
        assert_eq!(began.elapsed(), Duration::from_secs(1));
        assert!(queue.outcome(slow, None, began + Duration::from_secs(10)).await.is_ok());
        assert_eq!(began.elapsed(), Duration::from_secs(3));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_sent_while_the_api_throttles_and_whoever_has_the_time_waits() {
        let queue = queue();
        let (began, sent) = (Instant::now(), Arc::new(std::sync::atomic::AtomicU32::new(0)));
        let ask = async |key: u8, seconds: u64| {
            let wanted = || {
                let sent = Arc::clone(&sent);
                let review = async move {
                    match sent.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
                        0 => Err(ReviewError::Throttled { until: began + Duration::from_secs(2) }),
                        _ => Ok(7),
                    }
                };
                Wanted { key: [key; 32], by: "jane", is_doubtful: || false, review }
            };
            queue.outcome(wanted, None, Instant::now() + Duration::from_secs(seconds)).await
        };
        for key in 0..5 {
            let error = ask(key, 1).await.unwrap_err();
            assert!(matches!(*error, ReviewError::Throttled { .. }), "{error:?}");
        }
        assert_eq!((began.elapsed(), sent.load(std::sync::atomic::Ordering::SeqCst)), (Duration::ZERO, 1));
        assert_eq!(queue.counts.throttled.get(), 4, "the first one counts itself");
        assert!(ask(9, 3).await.is_ok());
        assert_eq!((began.elapsed().as_secs(), sent.load(std::sync::atomic::Ordering::SeqCst)), (2, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn those_in_doubt_have_a_burst_and_then_so_many_reviews_per_second() {
        let queue = queue();
        let began = Instant::now();
        for number in 0..(DOUBTFUL_BURST + 2 * DOUBTFUL_PER_SECOND) as usize {
            assert!(ask(&queue, number, "mallory", true, 0).await.is_ok());
        }
        let took = began.elapsed();
        assert!((1_900..2_100).contains(&took.as_millis()), "{took:?}");
        let began = Instant::now();
        assert!(ask(&queue, 9_999, "jane", false, 0).await.is_ok());
        assert_eq!(began.elapsed(), Duration::ZERO);
    }

    #[tokio::test]
    async fn a_review_that_panics_is_an_error_and_the_next_one_is_sent() {
        let queue = queue();
        let wanted = || Wanted {
            key: [0; 32],
            by: "jane",
            is_doubtful: || false,
            review: async { panic!("on purpose") },
        };
        let deadline = Instant::now() + Duration::from_secs(10);
        assert!(matches!(*queue.outcome(wanted, None, deadline).await.unwrap_err(), ReviewError::Ended));
        assert!(ask(&queue, 0, "jane", false, 0).await.is_ok());
    }
}
