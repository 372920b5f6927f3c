//! Who reads a question.

use std::sync::{Arc, Weak};

use super::QueryCounts;

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
