//! Who reads a query.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::QueryCounts;

/// Subscribers of one query that are told apart: rules that put the same one, of which there are seldom two.
const SUBSCRIBERS_MAX: usize = 4;

/// Who reads a query: for whom it is fetched ahead of reads, and where its queries count.
#[derive(Debug, Clone)]
pub struct Subscriber {
    /// Where queries count.
    pub(super) counts: Arc<QueryCounts>,
    owner: Weak<()>,
}

impl Subscriber {
    /// A subscriber that is there as long as `owner` is.
    pub fn new(owner: &Arc<()>, counts: Arc<QueryCounts>) -> Self {
        Self { counts, owner: Arc::downgrade(owner) }
    }

    /// Whether it will not read again: a reload took its rule away, or made it ask something else.
    pub(super) fn is_gone(&self) -> bool {
        self.owner.strong_count() == 0
    }
}

/// The subscribers of a query, as far as anything is to be fetched ahead for them.
#[derive(Debug, Default)]
pub(super) struct Subscribers(Vec<Known>);

#[derive(Debug)]
struct Known {
    subscriber: Subscriber,
    /// Of its last read, and when that was.
    max_age: Duration,
    last_read: Instant,
}

impl Known {
    /// Whether it is there and has read within `silence`.
    fn reads(&self, now: Instant, silence: Duration) -> bool {
        !self.subscriber.is_gone() && now.saturating_duration_since(self.last_read) <= silence
    }
}

impl Subscribers {
    /// Takes note of a read. Those that have not read within `silence` make room for it.
    pub(super) fn read(
        &mut self,
        subscriber: &Subscriber,
        max_age: Duration,
        now: Instant,
        silence: Duration,
    ) {
        if let Some(known) = self.0.iter_mut().find(|known| known.subscriber == *subscriber) {
            (known.max_age, known.last_read) = (max_age, now);
            return;
        }
        self.0.retain(|known| known.reads(now, silence));
        // One more than can be told apart: what is fetched for the stricter ones serves the others too.
        if self.0.len() >= SUBSCRIBERS_MAX
            && let Some(laxest) = (0..self.0.len()).max_by_key(|at| self.0[*at].max_age)
        {
            self.0.swap_remove(laxest);
        }
        // Most queries have one subscriber, and there may be twenty thousand of them.
        self.0.reserve_exact(1);
        self.0.push(Known { subscriber: subscriber.clone(), max_age, last_read: now });
    }

    /// Who takes the youngest readings, of those that are there and have read within `silence`; and how old they may be.
    pub(super) fn strictest(&self, now: Instant, silence: Duration) -> Option<(&Subscriber, Duration)> {
        let reading = self.0.iter().filter(|known| known.reads(now, silence));
        let strictest = reading.min_by_key(|known| known.max_age)?;
        Some((&strictest.subscriber, strictest.max_age))
    }

    /// Whether none of them will read again.
    pub(super) fn are_gone(&self) -> bool {
        self.0.iter().all(|known| known.subscriber.is_gone())
    }
}

#[cfg(test)]
impl Subscriber {
    /// A subscriber that is never gone.
    pub(super) fn constant() -> Self {
        static OWNER: std::sync::LazyLock<Arc<()>> = std::sync::LazyLock::new(Arc::default);
        Self::new(&OWNER, Arc::default())
    }
}

/// The same one, not one alike.
impl PartialEq for Subscriber {
    fn eq(&self, other: &Self) -> bool {
        self.owner.ptr_eq(&other.owner) && Arc::ptr_eq(&self.counts, &other.counts)
    }
}
