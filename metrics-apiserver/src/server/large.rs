//! Answers that are large: how many at once, and how they leave.
//!
//! Almost all answers have a few hundred bytes. One with an item for each of thousands of series has megabytes, from before
//! it is written until its client has taken it, and fifty HPAs may read it in one moment, or one client slowly.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::connection::Peer;
use super::heads::Line;
use crate::api::LimitError;

/// An answer of a hundred items or so; one on each connection that there may be takes 16 MiB.
const SMALL_BYTES_MAX: usize = 16 << 10;

/// What large answers may take together: of the 160 MiB that the manifests allow, the program takes 16, the memory 48, and
/// answers of backends up to 90.
const ROOM_KIB: u32 = 8 << 10;

/// Requests that wait for room: what each holds meanwhile is a hundred bytes for an item.
const WAITING_MAX: usize = 64;

/// Scrapes at once: with ten thousand rules each is ten megabytes. Apart from the rest, so that nobody who reads metrics keeps
/// the alerts from theirs.
const SCRAPES_MAX: usize = 2;

/// What is handed to actix at once: it copies that before the first byte leaves.
const PIECE_BYTES: usize = 32 << 10;

/// The room that large answers share.
pub(super) struct Room {
    kibibytes: Arc<Semaphore>,
    waiting: Semaphore,
    scrapes: Arc<Semaphore>,
}

/// One answer's place in it, if it needs one; given back when dropped.
pub(super) struct Place(#[expect(dead_code, reason = "held, not looked at")] Option<OwnedSemaphorePermit>);

impl Default for Room {
    fn default() -> Self {
        Self {
            kibibytes: Arc::new(Semaphore::new(ROOM_KIB as usize)),
            waiting: Semaphore::new(WAITING_MAX),
            scrapes: Arc::new(Semaphore::new(SCRAPES_MAX)),
        }
    }
}

impl Room {
    /// A place for an answer of about so many bytes, by `deadline`.
    pub(super) async fn place(&self, bytes: usize, deadline: Instant) -> Result<Place, LimitError> {
        if bytes <= SMALL_BYTES_MAX {
            return Ok(Place(None));
        }
        let _turn = self.waiting.try_acquire().map_err(|_| LimitError::TooLarge)?;
        // The largest has all of it for itself.
        let wanted = u32::try_from(bytes.div_ceil(1 << 10)).unwrap_or(u32::MAX).min(ROOM_KIB);
        let kibibytes = timeout_at(deadline, Arc::clone(&self.kibibytes).acquire_many_owned(wanted));
        // It is never closed.
        Ok(Place(kibibytes.await.map_err(|_| LimitError::TooLarge)?.ok()))
    }

    /// A place for a scrape, which waits as long as its request may.
    pub(super) async fn scrape(&self) -> Place {
        Place(Arc::clone(&self.scrapes).acquire_owned().await.ok())
    }
}

/// Keeps the answer's place until it has left.
pub(super) fn placed(mut response: HttpResponse, place: Place) -> HttpResponse {
    response.extensions_mut().insert(place);
    response
}

/// Has a large answer leave in pieces, and its connection's next request wait until the last one has left.
pub(super) fn in_pieces(request: &HttpRequest, mut response: HttpResponse) -> HttpResponse {
    let place = response.extensions_mut().remove::<Place>();
    let is_large = matches!(response.body().size(), BodySize::Sized(bytes) if bytes > SMALL_BYTES_MAX as u64);
    let line = request.conn_data::<Peer>().map(|peer| peer.line.clone()).filter(|_| is_large);
    let Some(line) = line else { return response };
    response.map_body(|_, body| match body.try_into_bytes() {
        Ok(left) => {
            line.set_more(true);
            BoxBody::new(Pieces { left, line, _place: place })
        }
        Err(body) => body,
    })
}

/// What is left of an answer.
struct Pieces {
    left: Bytes,
    line: Line,
    _place: Option<Place>,
}

impl MessageBody for Pieces {
    type Error = std::convert::Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.left.len() as u64)
    }

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let length = self.left.len().min(PIECE_BYTES);
        Poll::Ready((length > 0).then(|| Ok(self.left.split_to(length))))
    }
}

/// Whatever ends it, no more will come.
impl Drop for Pieces {
    fn drop(&mut self) {
        self.line.set_more(false);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt as _;

    use super::*;

    const MIB: usize = 1 << 20;

    fn place(room: &Room, bytes: usize) -> Option<Result<Place, LimitError>> {
        room.place(bytes, Instant::now() + Duration::from_secs(1)).now_or_never()
    }

    #[tokio::test]
    async fn large_answers_have_so_much_room_together_and_small_ones_need_none() {
        let room = Room::default();
        let first = place(&room, 5 * MIB).unwrap().ok();
        assert!(first.is_some());
        assert!(place(&room, 5 * MIB).is_none(), "it waits");
        assert!(place(&room, 3 * MIB).unwrap().is_ok());
        let all = place(&room, 3 * MIB).unwrap().ok();
        assert!(all.is_some() && place(&room, SMALL_BYTES_MAX + 1).is_none());
        assert!((0..1_000).all(|_| place(&room, SMALL_BYTES_MAX).is_some_and(|place| place.is_ok())));
        drop((first, all));
        assert!(place(&room, 100 * MIB).unwrap().is_ok(), "one that is larger has all of it");
    }

    #[tokio::test]
    async fn scrapes_wait_for_each_other_alone() {
        let room = Room::default();
        let _taken = place(&room, 8 * MIB);
        let scrapes: Vec<_> = (0..SCRAPES_MAX).map(|_| room.scrape().now_or_never().unwrap()).collect();
        assert!(room.scrape().now_or_never().is_none());
        drop(scrapes);
        assert!(room.scrape().now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_waits_for_room_until_its_deadline_and_so_many_do() {
        let room = Room::default();
        let taken = place(&room, 8 * MIB).unwrap().ok();
        let waiting = || room.place(MIB, Instant::now() + Duration::from_secs(1));
        let mut all: Vec<_> = (0..WAITING_MAX).map(|_| Box::pin(waiting())).collect();
        assert!(all.iter_mut().all(|one| one.now_or_never().is_none()));
        assert_eq!(waiting().now_or_never().unwrap().err(), Some(LimitError::TooLarge), "one more");
        let began = Instant::now();
        assert_eq!(all.pop().unwrap().await.err(), Some(LimitError::TooLarge));
        assert_eq!(began.elapsed(), Duration::from_secs(1));
        drop((taken, all));
        assert!(place(&room, MIB).unwrap().is_ok());
    }
}
