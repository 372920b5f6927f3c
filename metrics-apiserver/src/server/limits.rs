//! How many requests are answered at one time, of one user and of all, and how long each may take.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use crate::api::LimitError;
use crate::authn::UserInfo;
use crate::limit::{ConcurrencyLimiter, Permit};

/// kube-apiserver's own components: refusing their probes would make a busy API an unavailable one.
const MASTERS: &str = "system:masters";

/// The limits on requests.
pub(super) struct Limits {
    request_timeout: Duration,
    read_deadline: Duration,
    /// By a hash of the user's name: two users with the same one would only share what each could have.
    in_flight: Arc<ConcurrencyLimiter<u64>>,
    hasher: RandomState,
}

impl Limits {
    /// `max_in_flight` 0 means no limit.
    pub(super) fn new(request_timeout: Duration, read_deadline: Duration, max_in_flight: usize) -> Self {
        let max = if max_in_flight == 0 { usize::MAX } else { max_in_flight };
        let in_flight = ConcurrencyLimiter::fair(max);
        Self { request_timeout, read_deadline, in_flight, hasher: RandomState::new() }
    }

    /// The deadline of a request: the client's own `timeout`, at most `--request-timeout`.
    pub(super) fn deadline(&self, requested: Option<Duration>) -> Duration {
        requested.map_or(self.request_timeout, |requested| requested.min(self.request_timeout))
    }

    /// How long a read waits for Prometheus: less than its deadline, so that the answer can say why it failed.
    pub(super) fn read_deadline(&self, requested: Option<Duration>) -> Duration {
        self.deadline(requested).min(self.read_deadline)
    }

    /// A permit for a request of `user`, to be held until it is answered; a user may have as many as are free. If all
    /// are in use, masters need none.
    pub(super) fn admit(&self, user: &UserInfo) -> Result<Option<Permit<u64>>, LimitError> {
        let permit = self.in_flight.try_acquire(self.hasher.hash_one(&user.name));
        if permit.is_none() && !user.groups.iter().any(|group| group == MASTERS) {
            return Err(LimitError::TooManyInFlight);
        }
        Ok(permit)
    }
}

#[cfg(test)]
mod tests {
    use super::{Duration, LimitError, Limits, MASTERS, UserInfo};

    #[test]
    fn the_last_permit_is_the_last_and_is_given_back() {
        let limits = Limits::new(Duration::from_secs(60), Duration::from_secs(1), 2);
        let user = UserInfo::default();
        let first = limits.admit(&user).ok();
        let second = limits.admit(&UserInfo { name: "other".to_owned(), ..UserInfo::default() }).ok();
        assert!(first.is_some() && second.is_some());
        assert_eq!(limits.admit(&user).err(), Some(LimitError::TooManyInFlight));
        let master = UserInfo { groups: vec![MASTERS.to_owned()], ..UserInfo::default() };
        assert!(limits.admit(&master).is_ok());
        drop(first);
        assert!(limits.admit(&user).is_ok());
    }

    #[test]
    fn one_user_leaves_permits_to_others() {
        let limits = Limits::new(Duration::from_secs(60), Duration::from_secs(1), 400);
        let permits = |name: &str| {
            let user = UserInfo { name: name.to_owned(), ..UserInfo::default() };
            std::iter::from_fn(|| limits.admit(&user).ok()).take(400).collect::<Vec<_>>()
        };
        let one = permits("one");
        assert_eq!(one.len(), 200);
        assert_eq!(permits("other").len(), 100, "and given back");
        drop(one);
        assert_eq!(permits("other").len(), 200);
    }

    #[test]
    fn zero_is_no_limit() {
        let limits = Limits::new(Duration::from_secs(60), Duration::from_secs(1), 0);
        let permits: Vec<_> = (0..1_000).map(|_| limits.admit(&UserInfo::default())).collect();
        assert!(permits.iter().all(Result::is_ok));
    }

    #[test]
    fn a_client_may_shorten_its_time_but_not_lengthen_it() {
        let limits = Limits::new(Duration::from_secs(60), Duration::from_secs(1), 0);
        assert_eq!(limits.deadline(None), Duration::from_secs(60));
        assert_eq!(limits.deadline(Some(Duration::from_secs(32))), Duration::from_secs(32));
        assert_eq!(limits.deadline(Some(Duration::from_secs(600))), Duration::from_secs(60));
        assert_eq!(limits.read_deadline(None), Duration::from_secs(1));
        assert_eq!(limits.read_deadline(Some(Duration::from_millis(300))), Duration::from_millis(300));
    }
}
