//! Memory for large answers.
//!
//! Almost all answers have a few hundred bytes. One with an item for each of thousands of series has megabytes, which
//! are in use until the client has received them, and fifty HPAs may read it at once, or one client slowly. A user can
//! have half of the memory. A request that waits for it holds none of the values: it reads them again afterwards.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use hyper::body::Bytes;
use tokio::time::Instant;

use crate::api::LimitError;
use crate::limit::{ByteBudget, BytePermit, ConcurrencyLimiter, Permit};

/// An answer of about a hundred items. One on each of the allowed connections takes 16 MiB.
const SMALL_BYTES_MAX: usize = 16 << 10;

/// All large answers together, of the 160 MiB that the manifests allow: the program takes 16, the cache 48, and
/// responses of backends up to 90, rarely all of it at one time.
const BUDGET_BYTES: u32 = 16 << 20;

/// Large answers of one user.
const USER_BYTES: u32 = BUDGET_BYTES / 2;

/// Requests of one user that wait for the budget.
const WAITERS_MAX: usize = 64;

/// Scrapes at once, one of each user: with ten thousand rules each has ten megabytes. Separate from the budget, so that
/// reads of metrics cannot delay scrapes, which alerts need.
const SCRAPES_MAX: usize = 2;

/// The memory that large answers share.
pub(super) struct LargeAnswers {
    budget: ByteBudget,
    /// The parts of users who have large answers, or wait for them, by name.
    users: Mutex<HashMap<String, Weak<ByteBudget>>>,
    scrapes: Arc<ConcurrencyLimiter<String>>,
}

/// The memory of one answer; given back when dropped. A small one has none.
#[derive(Debug, Default)]
pub(super) struct AnswerPermit {
    _bytes: Option<(BytePermit, Arc<ByteBudget>)>,
}

impl Default for LargeAnswers {
    fn default() -> Self {
        Self {
            budget: ByteBudget::new(BUDGET_BYTES, WAITERS_MAX),
            users: Mutex::default(),
            scrapes: ConcurrencyLimiter::fair(SCRAPES_MAX),
        }
    }
}

impl LargeAnswers {
    /// The memory for an answer of about so many bytes, if it is free. Small answers need none.
    pub(super) fn try_acquire(&self, user: &str, bytes: usize) -> Option<AnswerPermit> {
        if bytes <= SMALL_BYTES_MAX {
            return Some(AnswerPermit::default());
        }
        let budget = self.of_user(user);
        Some(AnswerPermit { _bytes: Some((budget.try_acquire(bytes)?, budget)) })
    }

    /// The memory for a large answer, by `deadline`.
    pub(super) async fn acquire(
        &self,
        user: &str,
        bytes: usize,
        deadline: Instant,
    ) -> Result<AnswerPermit, LimitError> {
        let budget = self.of_user(user);
        let permit = budget.acquire(bytes, deadline).await.map_err(|_| LimitError::TooLarge)?;
        Ok(AnswerPermit { _bytes: Some((permit, budget)) })
    }

    /// The memory for a scrape, which waits until the deadline of its request.
    pub(super) async fn acquire_scrape(&self, user: &str) -> Permit<String> {
        self.scrapes.acquire(user.to_owned()).await
    }

    fn of_user(&self, user: &str) -> Arc<ByteBudget> {
        // Nothing that is done under the lock panics half-way.
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(budget) = users.get(user).and_then(Weak::upgrade) {
            return budget;
        }
        users.retain(|_, budget| budget.strong_count() > 0);
        let budget = Arc::new(self.budget.share(USER_BYTES));
        users.insert(user.to_owned(), Arc::downgrade(&budget));
        budget
    }
}

/// The bytes of an answer. They keep the permit until the last of them is dropped, which hyper does after writing it.
pub(super) fn hold(body: Vec<u8>, permit: impl Send + 'static) -> Bytes {
    Bytes::from_owner(Held { body, _permit: permit })
}

struct Held<P> {
    body: Vec<u8>,
    _permit: P,
}

impl<P> AsRef<[u8]> for Held<P> {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt as _;

    use super::*;

    const MIB: usize = 1 << 20;

    fn take(large: &LargeAnswers, user: &str, bytes: usize) -> Option<AnswerPermit> {
        large.try_acquire(user, bytes)
    }

    #[tokio::test]
    async fn large_answers_have_so_much_memory_together_and_small_ones_need_none() {
        let large = LargeAnswers::default();
        let first = take(&large, "jane", 5 * MIB);
        assert!(first.is_some());
        assert!(take(&large, "jane", 5 * MIB).is_none(), "more than half");
        assert!(take(&large, "jane", 3 * MIB).is_some());
        let of_others = [take(&large, "kim", 8 * MIB), take(&large, "lee", 3 * MIB)];
        assert!(of_others.iter().all(Option::is_some));
        assert!(take(&large, "pat", SMALL_BYTES_MAX + 1).is_none());
        assert!((0..1_000).all(|_| take(&large, "jane", SMALL_BYTES_MAX).is_some()));
        drop((first, of_others));
        assert!(take(&large, "jane", 100 * MIB).is_some(), "one that is larger has all that a user can have");
        assert!(large.users.lock().unwrap().len() <= 4);
    }

    #[tokio::test]
    async fn the_memory_is_given_back_with_the_last_byte_of_the_answer() {
        let large = LargeAnswers::default();
        let permit = take(&large, "jane", 8 * MIB).unwrap();
        let mut answer = hold(vec![b'a'; 8 * MIB], permit);
        let rest = answer.split_off(MIB);
        drop(answer);
        assert!(take(&large, "jane", MIB).is_none());
        assert_eq!(rest.len(), 7 * MIB);
        drop(rest);
        assert!(take(&large, "jane", MIB).is_some());
    }

    #[tokio::test]
    async fn scrapes_wait_for_each_other_alone_and_a_slow_user_keeps_no_other_waiting() {
        let large = LargeAnswers::default();
        let _taken = take(&large, "jane", 8 * MIB);
        let scrape = |user: &'static str| large.acquire_scrape(user).now_or_never();
        let slow = scrape("mallory").unwrap();
        assert!(scrape("mallory").is_none());
        let other = scrape("prometheus").unwrap();
        assert!(scrape("kim").is_none());
        drop((slow, other));
        assert!(scrape("mallory").is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_waits_for_memory_until_its_deadline_and_so_many_do() {
        let large = LargeAnswers::default();
        let taken = take(&large, "jane", 8 * MIB);
        let waiting = || large.acquire("jane", MIB, Instant::now() + Duration::from_secs(1));
        let mut all: Vec<_> = (0..WAITERS_MAX).map(|_| Box::pin(waiting())).collect();
        assert!(all.iter_mut().all(|one| one.now_or_never().is_none()));
        assert_eq!(waiting().now_or_never().unwrap().err(), Some(LimitError::TooLarge), "one more");
        let began = Instant::now();
        assert_eq!(all.pop().unwrap().await.err(), Some(LimitError::TooLarge));
        assert_eq!(began.elapsed(), Duration::from_secs(1));
        drop((taken, all));
        assert!(take(&large, "jane", MIB).is_some());
    }
}
