//! The rules that read a query.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::{Owner, QueryCounts};

/// Subscribers kept of one query. Few rules have the same query.
const SUBSCRIBERS_MAX: usize = 4;

/// A rule that reads a query: it is prefetched as long as the rule exists, and counted for it.
#[derive(Debug, Clone)]
pub struct Subscriber {
    /// Where its queries are counted.
    pub(super) counts: Arc<QueryCounts>,
    /// What its queries are sent for.
    pub(super) sent_for: Owner,
    owner: Weak<()>,
}

impl Subscriber {
    /// A subscriber that exists as long as `owner` does.
    pub fn new(owner: &Arc<()>, counts: Arc<QueryCounts>) -> Self {
        Self { sent_for: Owner::new(&counts), counts, owner: Arc::downgrade(owner) }
    }

    /// The same rule, read in one namespace.
    #[must_use]
    pub fn in_namespace(self, namespace: &str) -> Self {
        Self { sent_for: self.sent_for.in_namespace(namespace), ..self }
    }

    /// Whether it will not read again: a reload removed or changed its rule.
    pub(super) fn is_gone(&self) -> bool {
        self.owner.strong_count() == 0
    }
}

/// The subscribers for which a query is prefetched.
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
    /// Whether it exists and has read within `unread_max`.
    fn reads(&self, now: Instant, unread_max: Duration) -> bool {
        !self.subscriber.is_gone() && now.saturating_duration_since(self.last_read) <= unread_max
    }
}

impl Subscribers {
    /// Records a read; whether it is one more of a subscriber that has read within `unread_max`, with the same
    /// `maxAge`. Subscribers that have not read within `unread_max` make room for it.
    pub(super) fn read(
        &mut self,
        subscriber: &Subscriber,
        max_age: Duration,
        now: Instant,
        unread_max: Duration,
    ) -> bool {
        if let Some(known) = self.0.iter_mut().find(|known| known.subscriber == *subscriber) {
            let is_repeated = known.max_age == max_age && known.reads(now, unread_max);
            (known.max_age, known.last_read) = (max_age, now);
            return is_repeated;
        }
        self.0.retain(|known| known.reads(now, unread_max));
        // One too many: what is prefetched for the stricter ones serves the others as well.
        if self.0.len() >= SUBSCRIBERS_MAX
            && let Some(laxest) = (0..self.0.len()).max_by_key(|at| self.0[*at].max_age)
        {
            self.0.swap_remove(laxest);
        }
        // Most queries have one subscriber, and there may be twenty thousand of them.
        self.0.reserve_exact(1);
        self.0.push(Known { subscriber: subscriber.clone(), max_age, last_read: now });
        false
    }

    /// The one with the shortest `maxAge` of those that exist and have read within `unread_max`, and that `maxAge`.
    pub(super) fn strictest(&self, now: Instant, unread_max: Duration) -> Option<(&Subscriber, Duration)> {
        let reading = self.0.iter().filter(|known| known.reads(now, unread_max));
        let strictest = reading.min_by_key(|known| known.max_age)?;
        Some((&strictest.subscriber, strictest.max_age))
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
