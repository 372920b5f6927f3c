//! Room for the bodies of answers while they are read and decoded.
//!
//! A body is read as a whole, so that ten answers at once could take ten times the largest, and those of several backends
//! still more. Almost all answers are *small* and need no room. *Large* ones have so many places, and *giant* ones a few of
//! their own; of both a single server gets no more than half, so that one that sends slowly, or stops in the middle, leaves
//! room to the others. A body asks for a place when it grows into it, and has it until it is decoded. Whoever has a place
//! needs nothing but a larger one to go on, so that no two wait for each other.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// An answer of a thousand series; decoding it takes a millisecond or two.
const SMALL_BYTES_MAX: usize = 256 << 10;

/// Some thousands of series.
const LARGE_BYTES_MAX: usize = 1 << 20;

/// Places of each kind, of all backends together. All taken, they hold 48 MiB, and somewhat less when it is decoded.
const PLACES: [usize; 2] = [16, 2];

/// The places that all backends share.
#[derive(Debug, Clone)]
pub(super) struct Room([Arc<Semaphore>; 2]);

/// What one server may take of it.
#[derive(Debug)]
pub(super) struct Share {
    own: [Arc<Semaphore>; 2],
    all: Room,
}

/// The places that one body has.
#[derive(Debug, Default)]
pub(super) struct Places(Vec<OwnedSemaphorePermit>);

impl Default for Room {
    fn default() -> Self {
        Self(PLACES.map(|places| Arc::new(Semaphore::new(places))))
    }
}

impl Room {
    /// The share of one more server.
    pub(super) fn share(&self) -> Share {
        Share { own: PLACES.map(|places| Arc::new(Semaphore::new(places / 2))), all: self.clone() }
    }
}

impl Share {
    /// Waits until a body with these places may have so many bytes.
    pub(super) async fn grow(&self, places: &mut Places, bytes: usize) {
        let kinds = self.own.iter().zip(&self.all.0).zip([SMALL_BYTES_MAX, LARGE_BYTES_MAX]);
        for (kind, ((own, all), below)) in kinds.enumerate() {
            // Of each kind there are two.
            if bytes > below && places.0.len() <= 2 * kind {
                // The server's own first: who waits for that keeps nobody else from a place.
                for semaphore in [own, all] {
                    // None is ever closed.
                    places.0.extend(Arc::clone(semaphore).acquire_owned().await);
                }
            }
        }
    }
}

impl Places {
    /// Whether it took none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    /// A body that has grown to so many bytes, if there is room now.
    fn body(share: &Share, bytes: usize) -> Option<Places> {
        let mut places = Places::default();
        share.grow(&mut places, bytes).now_or_never().map(|()| places)
    }

    #[test]
    fn small_bodies_need_no_room() {
        let share = Room::default().share();
        assert!((0..100).all(|_| body(&share, SMALL_BYTES_MAX).is_some_and(|places| places.is_empty())));
    }

    #[test]
    fn one_server_leaves_half_of_the_places_to_the_others() {
        for (kind, bytes) in [SMALL_BYTES_MAX + 1, LARGE_BYTES_MAX + 1].into_iter().enumerate() {
            let room = Room::default();
            let (one, other, third) = (room.share(), room.share(), room.share());
            let taken = |share| std::iter::from_fn(|| body(share, bytes)).collect::<Vec<_>>();
            let of_one = taken(&one);
            assert_eq!(of_one.len(), PLACES[kind] / 2);
            assert_eq!(taken(&other).len(), PLACES[kind] / 2, "and given back");
            let _of_other = taken(&other);
            assert!(taken(&third).is_empty(), "no more than there are, of all servers");
            drop(of_one);
            assert_eq!(taken(&third).len(), PLACES[kind] / 2);
        }
    }

    #[test]
    fn giants_wait_for_each_other_and_large_ones_pass_them() {
        let share = Room::default().share();
        let mut giant = body(&share, SMALL_BYTES_MAX + 1).unwrap();
        assert!(
            share.grow(&mut giant, LARGE_BYTES_MAX + 1).now_or_never().is_some(),
            "it grows step by step"
        );
        assert!(share.grow(&mut giant, 16 * LARGE_BYTES_MAX).now_or_never().is_some());
        assert!(body(&share, LARGE_BYTES_MAX + 1).is_none());
        assert!(body(&share, LARGE_BYTES_MAX).is_some());
        drop(giant);
        assert!(body(&share, LARGE_BYTES_MAX + 1).is_some());
    }
}
