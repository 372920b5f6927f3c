//! How much strangers may cost kube-apiserver: whoever reaches the port can show an invented token, or nothing and ask for
//! an invented path, and each is a review.
//!
//! Go's delegated clients are held to the same rate, but share it: there strangers make everybody wait. Here what strangers
//! cause is counted apart, and who finds no room is told so at once, for those who wait would take the place of others.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::ReviewError;

/// Reviews at one time. A busy kube-apiserver's take some hundred milliseconds, so these are some hundred a second; and one
/// that does not answer holds no more than these for the ten seconds a review may take.
const REVIEWS_AT_ONCE: usize = 32;
/// Reviews a second, and at once after a rest: as in every aggregated API server.
const REVIEWS_PER_SECOND: u32 = 200;
const BURST: u32 = 400;

const INTERVAL: Duration = Duration::from_micros(1_000_000 / REVIEWS_PER_SECOND as u64);

/// The room for the reviews of one kind.
#[derive(Debug)]
pub(crate) struct Room {
    taken: AtomicUsize,
    /// When as many as [`BURST`] may be sent at once again: nothing has to be refilled.
    rested_at: Mutex<Instant>,
}

/// The place of one review; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place<'a>(&'a AtomicUsize);

impl Room {
    pub(crate) fn new() -> Self {
        Self { taken: AtomicUsize::new(0), rested_at: Mutex::new(Instant::now()) }
    }

    /// A place for one review, unless there were too many lately.
    pub(crate) fn place(&self) -> Result<Place<'_>, ReviewError> {
        let place = Place(&self.taken);
        let is_free = self.taken.fetch_add(1, Ordering::Relaxed) < REVIEWS_AT_ONCE;
        // Who finds no place spends nothing of the rate.
        if is_free && self.spend(Instant::now()) { Ok(place) } else { Err(ReviewError::NoRoom) }
    }

    fn spend(&self, now: Instant) -> bool {
        // The lock holds one moment, which a panic cannot leave half written.
        let mut rested_at = self.rested_at.lock().unwrap_or_else(PoisonError::into_inner);
        let after = (*rested_at).max(now) + INTERVAL;
        let is_within = after - now <= INTERVAL * BURST;
        if is_within {
            *rested_at = after;
        }
        is_within
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_last_place_is_the_last_and_is_given_back() {
        let room = Room::new();
        let places: Vec<_> = (0..REVIEWS_AT_ONCE).map(|_| room.place().unwrap()).collect();
        for _ in 0..2 * BURST {
            assert!(matches!(room.place(), Err(ReviewError::NoRoom)));
        }
        drop(places);
        assert!(room.place().is_ok(), "those refused spent nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_at_once_and_then_so_many_a_second() {
        let room = Room::new();
        let passed = || (0..2 * BURST).filter(|_| room.place().is_ok()).count();
        assert_eq!(passed(), BURST as usize);
        assert_eq!(passed(), 0);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(passed(), REVIEWS_PER_SECOND as usize);
        tokio::time::advance(Duration::from_secs(3_600)).await;
        assert_eq!(passed(), BURST as usize, "rest saves no more than the burst");
    }
}
