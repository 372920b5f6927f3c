//! Which questions are asked on a beat, and when to review each anew.
//!
//! An HPA reads every 15 s and a yes is remembered for 10 s, so each of its reads would wait for a review.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::api::authorization::v1::SubjectAccessReviewSpec;
use tokio::time::Instant;

use super::MAX_DECISIONS;
use super::key::Key;
use crate::rhythm::Rhythm;

/// How long before a request its review is made: a review takes milliseconds, a busy kube-apiserver's some hundred.
const LEAD: Duration = Duration::from_secs(1);

/// The questions that were answered with yes, and when they are expected again.
#[derive(Debug, Default)]
pub(super) struct Expected(Mutex<HashMap<Key, Asked>>);

#[derive(Debug)]
struct Asked {
    question: SubjectAccessReviewSpec,
    rhythm: Rhythm,
    lead: Duration,
    last: Instant,
}

impl Expected {
    /// A question was asked, and answered with a yes that is remembered for `lifetime`.
    pub(super) fn used(
        &self,
        key: Key,
        question: impl FnOnce() -> SubjectAccessReviewSpec,
        lifetime: Duration,
        now: Instant,
    ) {
        let mut asked = self.lock();
        if lifetime.is_zero() || (!asked.contains_key(&key) && asked.len() as u64 >= MAX_DECISIONS) {
            return;
        }
        let asked = asked.entry(key).or_insert_with(|| Asked {
            question: question(),
            rhythm: Rhythm::default(),
            lead: LEAD.min(lifetime / 4),
            last: now,
        });
        asked.last = now;
        asked.rhythm.read(now, lifetime, asked.lead);
    }

    /// The questions to be asked now; forgets those that nobody asks any more.
    pub(super) fn due(&self, now: Instant) -> Vec<(Key, SubjectAccessReviewSpec)> {
        let mut due = Vec::new();
        self.lock().retain(|key, asked| {
            if asked.rhythm.due(asked.lead).is_some_and(|at| at <= now) {
                asked.rhythm.fetched();
                due.push((*key, asked.question.clone()));
            }
            now.saturating_duration_since(asked.last) <= asked.rhythm.silence_max()
        });
        due
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Asked>> {
        // A panic under the lock leaves at worst a question that is reviewed too early or late.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
