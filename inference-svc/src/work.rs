//! The simulated inference: a bounded FIFO queue in front of a number of slots.
//!
//! An inference is a timer and occupies no thread, so inferences never slow down the server. Dropping an [`Admitted`],
//! or the future of its `run`, frees its place in the queue or its slot.

mod jitter;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Config;
use crate::metrics::{Metrics, Queued};
use jitter::Jitter;

/// The slots and the queue; clones share them.
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
    /// Time from admission to getting a slot.
    pub queued: Duration,
    /// Time in the slot.
    pub ran: Duration,
}

/// The queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the queue is full, try again later")]
pub struct QueueFull;

/// An admitted request, which holds a slot or a place in the queue.
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
    /// `slots` concurrent inferences of `inference_time` ± `jitter` each, and `queue_limit` waiting requests.
    pub fn new(config: &Config, metrics: Metrics) -> Self {
        Self {
            slots: Arc::new(Semaphore::new(config.slots.get().into())),
            queue_limit: config.queue_limit,
            jitter: Arc::new(Jitter::new(config.inference_time, config.jitter)),
            metrics,
        }
    }

    /// Takes a slot or, if all are in use, a place in the queue.
    ///
    /// # Errors
    /// [`QueueFull`], at once.
    pub fn admit(&self) -> Result<Admitted, QueueFull> {
        // The semaphore is fair: a freed slot goes to the first waiter, so a new request cannot overtake.
        let place = match Arc::clone(&self.slots).try_acquire_owned() {
            Ok(slot) => Place::Slot(slot),
            Err(_) => Place::Queue(self.metrics.queue(self.queue_limit).ok_or(QueueFull)?),
        };
        Ok(Admitted { work: self.clone(), arrival: Instant::now(), place })
    }
}

impl Admitted {
    /// Waits for a slot if necessary and runs one inference.
    pub async fn run(self) -> Times {
        let _slot = match self.place {
            Place::Slot(slot) => Some(slot),
            Place::Queue(place) => {
                // The semaphore is never closed, so this always succeeds.
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
