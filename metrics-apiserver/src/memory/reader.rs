//! Who reads a question.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::QueryCounts;

/// Readers of one question that are told apart: rules that put the same one, of which there are seldom two.
const READERS_MAX: usize = 4;

/// Who reads a question: for whom it is fetched ahead of reads, and where its queries count.
#[derive(Debug, Clone)]
pub struct Reader {
    /// Where queries count.
    pub(super) counts: Arc<QueryCounts>,
    asker: Weak<()>,
}

impl Reader {
    /// A reader that is there as long as `asker` is.
    pub fn new(asker: &Arc<()>, counts: Arc<QueryCounts>) -> Self {
        Self { counts, asker: Arc::downgrade(asker) }
    }

    /// Whether it will not read again: a reload took its rule away, or made it ask something else.
    pub(super) fn is_gone(&self) -> bool {
        self.asker.strong_count() == 0
    }
}

/// The readers of a question, as far as anything is to be fetched ahead for them.
#[derive(Debug, Default)]
pub(super) struct Readers(Vec<Known>);

#[derive(Debug)]
struct Known {
    reader: Reader,
    /// Of its last read, and when that was.
    max_age: Duration,
    last_read: Instant,
}

impl Known {
    /// Whether it is there and has read within `silence`.
    fn reads(&self, now: Instant, silence: Duration) -> bool {
        !self.reader.is_gone() && now.saturating_duration_since(self.last_read) <= silence
    }
}

impl Readers {
    /// Takes note of a read. Those that have not read within `silence` make room for it.
    pub(super) fn read(&mut self, reader: &Reader, max_age: Duration, now: Instant, silence: Duration) {
        if let Some(known) = self.0.iter_mut().find(|known| known.reader == *reader) {
            (known.max_age, known.last_read) = (max_age, now);
            return;
        }
        self.0.retain(|known| known.reads(now, silence));
        // One more than can be told apart: what is fetched for the stricter ones serves the others too.
        if self.0.len() >= READERS_MAX
            && let Some(laxest) = (0..self.0.len()).max_by_key(|at| self.0[*at].max_age)
        {
            self.0.swap_remove(laxest);
        }
        // Most questions have one reader, and there may be twenty thousand of them.
        self.0.reserve_exact(1);
        self.0.push(Known { reader: reader.clone(), max_age, last_read: now });
    }

    /// Who takes the youngest readings, of those that are there and have read within `silence`; and how old they may be.
    pub(super) fn strictest(&self, now: Instant, silence: Duration) -> Option<(&Reader, Duration)> {
        let reading = self.0.iter().filter(|known| known.reads(now, silence));
        let strictest = reading.min_by_key(|known| known.max_age)?;
        Some((&strictest.reader, strictest.max_age))
    }

    /// Whether none of them will read again.
    pub(super) fn are_gone(&self) -> bool {
        self.0.iter().all(|known| known.reader.is_gone())
    }
}

#[cfg(test)]
impl Reader {
    /// A reader that is never gone.
    pub(super) fn constant() -> Self {
        static ASKER: std::sync::LazyLock<Arc<()>> = std::sync::LazyLock::new(Arc::default);
        Self::new(&ASKER, Arc::default())
    }
}

/// The same one, not one alike.
impl PartialEq for Reader {
    fn eq(&self, other: &Self) -> bool {
        self.asker.ptr_eq(&other.asker) && Arc::ptr_eq(&self.counts, &other.counts)
    }
}
