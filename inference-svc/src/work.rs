//! The simulated inference: a bounded queue, first come, first served, in front of a number of slots.
//!
//! An inference is a timer and holds no thread, so no number of them can slow down the server's threads. Whoever
//! drops an [`Admitted`], or the future of its `run`, gives its place in the queue, or its slot, to the next one.

mod jitter;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Config;
use crate::metrics::{Metrics, Queued};
use jitter::Jitter;

/// The slots and their queue; clones share them.
#[derive(Debug, Clone)]
pub struct Work {
    slots: Arc<Semaphore>,
    queue_limit: u32,
    jitter: Arc<Jitter>,
    metrics: Metrics,
}

/// How long one inference took.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// From being accepted to getting a slot.
    pub queued: Duration,
    /// Time in the slot.
    pub ran: Duration,
}

/// The queue has no place left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the queue is full, try again later")]
pub struct QueueFull;

/// One accepted request: it holds a slot or a place in the queue.
#[derive(Debug)]
pub struct Admitted {
    work: Work,
    arrival: Instant,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Slot(OwnedSemaphorePermit),
    Queue(Queued),
}

impl Work {
    /// `slots` inferences at a time, `queue_limit` waiting, each taking `inference_time` give or take `jitter`.
    pub fn new(config: &Config, metrics: Metrics) -> Self {
        Self {
            slots: Arc::new(Semaphore::new(config.slots.get().into())),
            queue_limit: config.queue_limit,
            jitter: Arc::new(Jitter::new(config.inference_time, config.jitter)),
            metrics,
        }
    }

    /// Takes a slot or, if all are busy, a place in the queue.
    ///
    /// # Errors
    /// [`QueueFull`], at once.
    pub fn admit(&self) -> Result<Admitted, QueueFull> {
        // A freed slot goes to the first in the queue, so nobody overtakes here.
        let place = match Arc::clone(&self.slots).try_acquire_owned() {
            Ok(slot) => Place::Slot(slot),
            Err(_) => Place::Queue(self.metrics.queue(self.queue_limit).ok_or(QueueFull)?),
        };
        Ok(Admitted { work: self.clone(), arrival: Instant::now(), place })
    }
}

impl Admitted {
    /// Waits for a slot, if it has none, and runs one inference in it.
    pub async fn run(self) -> Times {
        let _slot = match self.place {
            Place::Slot(slot) => Some(slot),
            Place::Queue(place) => {
                // Nobody closes the semaphore, so there is always a slot in the end.
                let slot = self.work.slots.acquire_owned().await.ok();
                drop(place);
                slot
            }
        };
        let start = Instant::now();
        tokio::time::sleep(self.work.jitter.next()).await;
        Times { queued: start - self.arrival, ran: start.elapsed() }
    }
}

#[cfg(test)]
mod tests;
