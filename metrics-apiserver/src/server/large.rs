//! Memory for large answers.
//!
//! Almost all answers have a few hundred bytes. One with an item for each of thousands of series has megabytes, which
//! are in use until the client has received them, and fifty HPAs may read it at once, or one client slowly.

use std::sync::Arc;

use hyper::body::Bytes;
use tokio::time::Instant;

use crate::api::LimitError;
use crate::limit::{ByteBudget, BytePermit, ConcurrencyLimiter, Permit};

/// An answer of about a hundred items. One on each of the allowed connections takes 16 MiB.
const SMALL_BYTES_MAX: usize = 16 << 10;

/// All large answers together: of the 160 MiB that the manifests allow, the program takes 16, the cache 48, and
/// responses of backends up to 90.
const BUDGET_BYTES: u32 = 8 << 20;

/// Requests that wait for the budget. Meanwhile each holds some hundred bytes per item.
const WAITERS_MAX: usize = 64;

/// Scrapes at once: with ten thousand rules each has ten megabytes. Separate from the budget, so that reads of metrics
/// cannot delay scrapes, which alerts need.
const SCRAPES_MAX: usize = 2;

/// The memory that large answers share.
pub(super) struct LargeAnswers {
    budget: ByteBudget,
    scrapes: Arc<ConcurrencyLimiter>,
}

impl Default for LargeAnswers {
    fn default() -> Self {
        Self {
            budget: ByteBudget::new(BUDGET_BYTES, WAITERS_MAX),
            scrapes: ConcurrencyLimiter::new(SCRAPES_MAX, SCRAPES_MAX),
        }
    }
}

impl LargeAnswers {
    /// The memory for an answer of about so many bytes, by `deadline`. Small answers need no permit.
    pub(super) async fn acquire(
        &self,
        bytes: usize,
        deadline: Instant,
    ) -> Result<Option<BytePermit>, LimitError> {
        if bytes <= SMALL_BYTES_MAX {
            return Ok(None);
        }
        self.budget.acquire(bytes, deadline).await.map(Some).map_err(|_| LimitError::TooLarge)
    }

    /// The memory for a scrape, which waits until the deadline of its request.
    pub(super) async fn acquire_scrape(&self) -> Permit {
        self.scrapes.acquire(()).await
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

    type Acquired = Result<Option<BytePermit>, LimitError>;

    fn acquire(large: &LargeAnswers, bytes: usize) -> Option<Acquired> {
        large.acquire(bytes, Instant::now() + Duration::from_secs(1)).now_or_never()
    }

    #[tokio::test]
    async fn large_answers_have_so_much_memory_together_and_small_ones_need_none() {
        let large = LargeAnswers::default();
        let first = acquire(&large, 5 * MIB).unwrap().ok();
        assert!(first.is_some());
        assert!(acquire(&large, 5 * MIB).is_none(), "it waits");
        assert!(acquire(&large, 3 * MIB).unwrap().is_ok());
        let all = acquire(&large, 3 * MIB).unwrap().ok();
        assert!(all.is_some() && acquire(&large, SMALL_BYTES_MAX + 1).is_none());
        assert!(
            (0..1_000).all(|_| acquire(&large, SMALL_BYTES_MAX).is_some_and(|acquired| acquired.is_ok()))
        );
        drop((first, all));
        assert!(acquire(&large, 100 * MIB).unwrap().is_ok(), "one that is larger has all of it");
    }

    #[tokio::test]
    async fn the_memory_is_given_back_with_the_last_byte_of_the_answer() {
        let large = LargeAnswers::default();
        let permit = acquire(&large, 8 * MIB).unwrap().unwrap();
        let mut answer = hold(vec![b'a'; 8 * MIB], permit);
        let rest = answer.split_off(MIB);
        drop(answer);
        assert!(acquire(&large, MIB).is_none());
        assert_eq!(rest.len(), 7 * MIB);
        drop(rest);
        assert!(acquire(&large, MIB).unwrap().is_ok());
    }

    #[tokio::test]
    async fn scrapes_wait_for_each_other_alone() {
        let large = LargeAnswers::default();
        let _taken = acquire(&large, 8 * MIB);
        let scrapes: Vec<_> =
            (0..SCRAPES_MAX).map(|_| large.acquire_scrape().now_or_never().unwrap()).collect();
        assert!(large.acquire_scrape().now_or_never().is_none());
        drop(scrapes);
        assert!(large.acquire_scrape().now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_waits_for_memory_until_its_deadline_and_so_many_do() {
        let large = LargeAnswers::default();
        let taken = acquire(&large, 8 * MIB).unwrap().ok();
        let waiting = || large.acquire(MIB, Instant::now() + Duration::from_secs(1));
        let mut all: Vec<_> = (0..WAITERS_MAX).map(|_| Box::pin(waiting())).collect();
        assert!(all.iter_mut().all(|one| one.now_or_never().is_none()));
        assert_eq!(waiting().now_or_never().unwrap().err(), Some(LimitError::TooLarge), "one more");
        let began = Instant::now();
        assert_eq!(all.pop().unwrap().await.err(), Some(LimitError::TooLarge));
        assert_eq!(began.elapsed(), Duration::from_secs(1));
        drop((taken, all));
        assert!(acquire(&large, MIB).unwrap().is_ok());
    }
}
