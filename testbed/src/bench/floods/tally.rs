//! What attackers got, counted.

use std::{
    collections::BTreeMap,
    fmt::Display,
    sync::{Mutex, PoisonError},
};

/// Answers by what was asked and what came of it.
#[derive(Debug, Default)]
pub(super) struct Tally {
    counts: Mutex<BTreeMap<(&'static str, String), usize>>,
}

impl Tally {
    pub(super) fn add(&self, what: &'static str, outcome: impl Display) {
        self.add_many(what, outcome, 1);
    }

    pub(super) fn add_many(&self, what: &'static str, outcome: impl Display, number: usize) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry((what, outcome.to_string())).or_default() += number;
    }

    /// Each with its number.
    pub(super) fn all(&self) -> Vec<(String, usize)> {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.iter().map(|((what, outcome), number)| (format!("{what}: {outcome}"), *number)).collect()
    }
}
