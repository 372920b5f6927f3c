//! Which queries are asked on a beat, and when to review each anew.
//!
//! An HPA reads every 15 s and a yes is remembered for 10 s, so each of its reads would wait for a review.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::api::authorization::v1::SubjectAccessReviewSpec;
use tokio::time::Instant;

use super::key::Key;
use super::{Attributes, MAX_DECISIONS, spec};
use crate::authn::UserInfo;
use crate::rhythm::Rhythm;

/// How long before a request its review is made: a review takes milliseconds, a busy kube-apiserver's some hundred.
const LEAD: Duration = Duration::from_secs(1);

/// Bytes of a query above which it is not expected again, the user's part included: as many as there may be take 16 MiB
/// by this. An HPA controller's has about 500: name, three groups, and of its token and node an id each.
const EXPECTED_BYTES_MAX: usize = 2 * 1024;

/// A query that was answered with yes. Expected again only if its request came to something
/// ([`Authorizer::used`](super::Authorizer::used)): else anybody could have names reviewed that are invented.
#[derive(Debug)]
pub struct Grant<'a>(Option<Query<'a>>);

#[derive(Debug)]
pub(super) struct Query<'a> {
    pub(super) key: Key,
    pub(super) user: &'a UserInfo,
    pub(super) wanted: &'a Attributes,
    /// When it was asked, however long the answer took.
    pub(super) at: Instant,
}

impl<'a> Grant<'a> {
    /// What was allowed without a review.
    pub(super) const fn unasked() -> Self {
        Self(None)
    }

    /// What a review of a query of so many bytes allowed.
    pub(super) fn reviewed(query: Query<'a>, bytes: usize) -> Self {
        Self(Some(query).filter(|_| bytes <= EXPECTED_BYTES_MAX))
    }

    pub(super) const fn query(&self) -> Option<&Query<'a>> {
        self.0.as_ref()
    }
}

/// The queries that were answered with yes, and when they are expected again.
#[derive(Debug, Default)]
pub(super) struct Expected(Mutex<Queries>);

#[derive(Debug, Default)]
struct Queries {
    /// Boxed, for a map has up to twice the places that it needs.
    asked: HashMap<Key, Box<Asked>>,
    /// By the number of their last use, so that finding the longest unused one is no search.
    by_use: BTreeMap<u64, Key>,
    uses: u64,
}

#[derive(Debug)]
struct Asked {
    query: SubjectAccessReviewSpec,
    rhythm: Rhythm,
    lead: Duration,
    last: Instant,
    last_use: u64,
}

impl Expected {
    /// A query was asked, and answered with a yes that is remembered for `lifetime`.
    pub(super) fn used(&self, query: &Query<'_>, lifetime: Duration) {
        if lifetime.is_zero() {
            return;
        }
        let (key, now) = (query.key, query.at);
        let mut queries = self.lock();
        let asked = queries.take_note(key, || {
            Box::new(Asked {
                query: spec(query.user, query.wanted),
                rhythm: Rhythm::default(),
                lead: LEAD.min(lifetime / 4),
                last: now,
                last_use: 0,
            })
        });
        asked.last = asked.last.max(now);
        asked.rhythm.read(now, lifetime, asked.lead, false);
    }

    /// The queries to be asked now; forgets those that nobody asks any more.
    pub(super) fn due(&self, now: Instant) -> Vec<(Key, SubjectAccessReviewSpec)> {
        let mut due = Vec::new();
        let Queries { asked, by_use, .. } = &mut *self.lock();
        asked.retain(|key, asked| {
            if asked.rhythm.due(asked.lead).is_some_and(|at| at <= now) {
                asked.rhythm.fetched();
                due.push((*key, asked.query.clone()));
            }
            let is_kept = now.saturating_duration_since(asked.last) <= asked.rhythm.silence_max();
            if !is_kept {
                by_use.remove(&asked.last_use);
            }
            is_kept
        });
        due
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let queries = self.lock();
        assert_eq!(queries.asked.len(), queries.by_use.len());
        queries.asked.len()
    }

    fn lock(&self) -> MutexGuard<'_, Queries> {
        // A panic under the lock leaves at worst a query that is reviewed too early or late.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queries {
    /// The query of this key, used now. Of too many, the longest unused one makes room.
    fn take_note(&mut self, key: Key, new: impl FnOnce() -> Box<Asked>) -> &mut Asked {
        if !self.asked.contains_key(&key)
            && self.asked.len() as u64 >= MAX_DECISIONS
            && let Some((_, longest_unused)) = self.by_use.pop_first()
        {
            self.asked.remove(&longest_unused);
        }
        self.uses += 1;
        let asked = self.asked.entry(key).or_insert_with(new);
        self.by_use.remove(&asked.last_use);
        self.by_use.insert(self.uses, key);
        asked.last_use = self.uses;
        asked
    }
}
