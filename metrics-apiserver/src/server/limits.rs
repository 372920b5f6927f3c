//! How many requests at one time, and for how long each.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::api::LimitError;
use crate::authn::UserInfo;

/// kube-apiserver's own components; turning them away would make the API unavailable because it is busy.
const MASTERS: &str = "system:masters";

/// The bounds on requests.
pub(super) struct Limits {
    request_timeout: Duration,
    read_deadline: Duration,
    max_in_flight: usize,
    in_flight: AtomicUsize,
}

/// One request's place; given back when dropped.
pub(super) struct Seat<'a>(&'a AtomicUsize);

impl Limits {
    pub(super) fn new(request_timeout: Duration, read_deadline: Duration, max_in_flight: usize) -> Self {
        Self { request_timeout, read_deadline, max_in_flight, in_flight: AtomicUsize::new(0) }
    }

    /// A request's time: what the client asks for, but no more than allowed.
    pub(super) fn deadline(&self, asked: Option<Duration>) -> Duration {
        asked.map_or(self.request_timeout, |asked| asked.min(self.request_timeout))
    }

    /// How long a read may wait for Prometheus: less than its whole time, so that it ends with the reason.
    pub(super) fn read_deadline(&self, asked: Option<Duration>) -> Duration {
        self.deadline(asked).min(self.read_deadline)
    }

    /// A place for a request of `user`, unless all are taken.
    pub(super) fn seat(&self, user: &UserInfo) -> Result<Seat<'_>, LimitError> {
        let seat = Seat(&self.in_flight);
        let taken = self.in_flight.fetch_add(1, Ordering::Relaxed);
        let is_free = self.max_in_flight == 0 || taken < self.max_in_flight;
        if is_free || user.groups.iter().any(|group| group == MASTERS) {
            Ok(seat)
        } else {
            Err(LimitError::TooManyInFlight)
        }
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::{Duration, LimitError, Limits, MASTERS, UserInfo};

    #[test]
    fn the_last_place_is_the_last_and_is_given_back() {
        let limits = Limits::new(Duration::from_secs(60), Duration::from_secs(1), 2);
        let user = UserInfo::default();
        let first = limits.seat(&user).ok();
        let second = limits.seat(&user).ok();
        assert!(first.is_some() && second.is_some());
        assert_eq!(limits.seat(&user).err(), Some(LimitError::TooManyInFlight));
        let master = UserInfo { groups: vec![MASTERS.to_owned()], ..UserInfo::default() };
        assert!(limits.seat(&master).is_ok());
        drop(first);
        assert!(limits.seat(&user).is_ok());
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
