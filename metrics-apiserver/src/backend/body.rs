//! The body of a response while it is read and decoded, and the memory that bodies may use.
//!
//! Almost all bodies are *small* and use no budget. *Large* and *giant* ones take from a budget of their own kind, of
//! which one server gets at most half, so that a server that sends slowly, or stops in the middle, leaves the rest to
//! others. A body takes its share when it grows into the kind, and keeps it until it is decoded. A body that
//! holds a share waits only for a larger one, so no two bodies wait for each other.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use reqwest::Response;
use tokio::sync::{Mutex, mpsc};
use tokio::time::Instant;

use super::decode::DecodeError;
use super::excerpt::Beginning;
use crate::cache::QueryError;
use crate::causes::causes;
use crate::limit::{ByteBudget, BytePermit};

/// A response of a thousand series; decoding it takes a millisecond or two.
const SMALL_BYTES_MAX: usize = 256 << 10;

/// Some thousands of series.
const LARGE_BYTES_MAX: usize = 1 << 20;

/// 10,000 series with 1.6 KiB of labels each.
const BYTES_MAX: usize = 16 << 20;
const LIMIT: &str = "16 MiB";

/// Sixteen large bodies and two giant ones, of all backends together: 48 MiB, and somewhat less when decoded.
const LARGE_BUDGET: u32 = 16 << 20;
const GIANT_BUDGET: u32 = 32 << 20;

/// More than queries run at one server at once, so none is refused.
const WAITERS_MAX: usize = 64;

/// Chunks read ahead of the decoder, of a body that is decoded while it is read.
const CHUNKS_AHEAD: usize = 2;

/// What is read of a failed request's body: Prometheus' message is in its first lines.
const FAILURE_BYTES_MAX: usize = 64 << 10;

/// What is logged of a backend's own message.
const DETAIL_CHARS_MAX: usize = 1000;

/// The memory for bodies that are not small.
#[derive(Debug)]
pub(super) struct BodyBudget {
    large: ByteBudget,
    giant: ByteBudget,
}

impl Default for BodyBudget {
    fn default() -> Self {
        let budget = |bytes| ByteBudget::new(bytes, WAITERS_MAX);
        Self { large: budget(LARGE_BUDGET), giant: budget(GIANT_BUDGET) }
    }
}

impl BodyBudget {
    /// What one server may use of it.
    pub(super) fn half(&self) -> Self {
        Self { large: self.large.share(LARGE_BUDGET / 2), giant: self.giant.share(GIANT_BUDGET / 2) }
    }
}

/// What one body uses of the budget.
#[derive(Debug, Default)]
struct Permits {
    large: Option<BytePermit>,
    giant: Option<BytePermit>,
}

impl Permits {
    /// Waits until a body may have `bytes`.
    async fn grow(&mut self, budget: &BodyBudget, bytes: usize, allowed: Duration) -> Result<(), QueryError> {
        let deadline = Instant::now() + allowed;
        let timed_out = |_| QueryError::TimedOut(allowed);
        if bytes > SMALL_BYTES_MAX && self.large.is_none() {
            self.large = Some(budget.large.acquire(LARGE_BYTES_MAX, deadline).await.map_err(timed_out)?);
        }
        if bytes > LARGE_BYTES_MAX && self.giant.is_none() {
            self.giant = Some(budget.giant.acquire(BYTES_MAX, deadline).await.map_err(timed_out)?);
        }
        Ok(())
    }
}

/// A body that is not read yet.
pub(super) struct Body<'a> {
    pub(super) response: Response,
    pub(super) budget: &'a BodyBudget,
    /// How long the whole request may take; the caller keeps the time.
    pub(super) allowed: Duration,
    /// Gets the beginning of what is read.
    pub(super) beginning: &'a Beginning,
}

impl Body<'_> {
    async fn chunk(&mut self) -> reqwest::Result<Option<impl AsRef<[u8]> + use<>>> {
        let chunk = self.response.chunk().await?;
        if let Some(chunk) = &chunk {
            self.beginning.add(chunk);
        }
        Ok(chunk)
    }

    /// Reads all of it, decompressed, and decodes it; one that is not small on a thread for blocking work.
    pub(super) async fn decode_whole<T: Send + 'static>(
        mut self,
        decode: fn(&[u8]) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        let (mut bytes, mut permits) = (Vec::new(), Permits::default());
        while let Some(chunk) = self.chunk().await.map_err(cut_off)? {
            let chunk = chunk.as_ref();
            let length = bytes.len() + chunk.len();
            if length > BYTES_MAX {
                return Err(DecodeError::TooMuch(LIMIT));
            }
            permits.grow(self.budget, length, self.allowed).await?;
            bytes.extend_from_slice(chunk);
        }
        if permits.large.is_none() {
            return decode(&bytes);
        }
        let decode = move || {
            let decoded = decode(&bytes);
            drop((bytes, permits));
            decoded
        };
        tokio::task::spawn_blocking(decode).await.unwrap_or_else(|_| Err(crashed()))
    }

    /// Decodes it while it is read. What is decoded takes at most as much memory as the body, and never more than a
    /// giant one: so much is reserved, as the body grows.
    pub(super) async fn decode_stream<T: Send + 'static>(
        mut self,
        (bytes_max, limit): (usize, &'static str),
        decode: impl FnOnce(&mut dyn Read) -> Result<T, DecodeError> + Send + 'static,
    ) -> Result<T, DecodeError> {
        let permits = Arc::<Mutex<Permits>>::default();
        let (sender, receiver) = mpsc::channel(CHUNKS_AHEAD);
        // If the call is cancelled, this ends with the sender, and only then gives the memory back.
        let kept = Arc::clone(&permits);
        let decoding = tokio::task::spawn_blocking(move || {
            let decoded = decode(&mut Chunks { receiver, chunk: None, read: 0 });
            drop(kept);
            decoded
        });
        let mut length = 0;
        while let Some(chunk) = self.chunk().await.map_err(cut_off)? {
            length += chunk.as_ref().len();
            if length > bytes_max {
                return Err(DecodeError::TooMuch(limit));
            }
            permits.lock().await.grow(self.budget, length, self.allowed).await?;
            if sender.send(chunk).await.is_err() {
                // Decoded no further; the result says why.
                break;
            }
        }
        drop(sender);
        decoding.await.unwrap_or_else(|_| Err(crashed()))
    }

    /// The beginning of a failed request's body.
    pub(super) async fn failure(mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while let Ok(Some(chunk)) = self.chunk().await {
            bytes.extend_from_slice(chunk.as_ref());
            if bytes.len() > FAILURE_BYTES_MAX {
                return Vec::new();
            }
        }
        bytes
    }
}

/// Reads the chunks of a body on a thread that may block.
struct Chunks<C> {
    receiver: mpsc::Receiver<C>,
    chunk: Option<C>,
    /// How much of the chunk was read.
    read: usize,
}

impl<C: AsRef<[u8]>> Read for Chunks<C> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let left =
                self.chunk.as_ref().and_then(|chunk| chunk.as_ref().get(self.read..)).unwrap_or_default();
            if !left.is_empty() {
                let length = left.len().min(buffer.len());
                buffer[..length].copy_from_slice(&left[..length]);
                self.read += length;
                return Ok(length);
            }
            (self.chunk, self.read) = (self.receiver.blocking_recv(), 0);
            if self.chunk.is_none() {
                return Ok(0);
            }
        }
    }
}

fn crashed() -> DecodeError {
    DecodeError::Malformed("the decoder crashed; please report it".to_owned())
}

fn cut_off(error: reqwest::Error) -> DecodeError {
    QueryError::Malformed { detail: transport(error) }.into()
}

/// A transport error without the URL, which holds the query and perhaps a tenant's path.
pub(super) fn transport(error: reqwest::Error) -> Arc<str> {
    short(&causes(&error.without_url()).to_string())
}

/// A backend's own message, truncated.
pub(super) fn short(detail: &str) -> Arc<str> {
    let end = detail.char_indices().nth(DETAIL_CHARS_MAX).map_or(detail.len(), |(at, _)| at);
    detail[..end].into()
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    /// What a body that has grown to so many bytes uses, if there is budget for it now.
    fn body(budget: &BodyBudget, bytes: usize) -> Option<Permits> {
        let mut permits = Permits::default();
        grows(&mut permits, budget, bytes).then_some(permits)
    }

    fn grows(permits: &mut Permits, budget: &BodyBudget, bytes: usize) -> bool {
        permits.grow(budget, bytes, Duration::from_secs(1)).now_or_never().is_some_and(|grown| grown.is_ok())
    }

    #[tokio::test]
    async fn small_bodies_use_no_budget() {
        let budget = BodyBudget::default().half();
        let bodies: Vec<_> = (0..100).filter_map(|_| body(&budget, SMALL_BYTES_MAX)).collect();
        assert_eq!(bodies.len(), 100);
        assert!(bodies.iter().all(|permits| permits.large.is_none() && permits.giant.is_none()));
    }

    #[tokio::test]
    async fn one_server_leaves_half_of_the_budget_to_the_others() {
        for (bytes, bodies) in [(SMALL_BYTES_MAX + 1, 16), (LARGE_BYTES_MAX + 1, 2)] {
            let budget = BodyBudget::default();
            let (one, other, third) = (budget.half(), budget.half(), budget.half());
            let taken = |half| std::iter::from_fn(|| body(half, bytes)).collect::<Vec<_>>();
            let of_one = taken(&one);
            assert_eq!(of_one.len(), bodies / 2);
            assert_eq!(taken(&other).len(), bodies / 2, "and given back");
            let _of_other = taken(&other);
            assert!(taken(&third).is_empty(), "no more than there are, of all servers");
            drop(of_one);
            assert_eq!(taken(&third).len(), bodies / 2);
        }
    }

    #[tokio::test]
    async fn giant_bodies_wait_for_each_other_and_large_ones_pass_them() {
        let budget = BodyBudget::default().half();
        let mut giant = body(&budget, SMALL_BYTES_MAX + 1).unwrap();
        assert!(grows(&mut giant, &budget, LARGE_BYTES_MAX + 1), "it grows step by step");
        assert!(grows(&mut giant, &budget, BYTES_MAX));
        assert!(body(&budget, LARGE_BYTES_MAX + 1).is_none());
        assert!(body(&budget, LARGE_BYTES_MAX).is_some());
        drop(giant);
        assert!(body(&budget, LARGE_BYTES_MAX + 1).is_some());
    }

    #[test]
    fn the_budget_is_what_all_bodies_together_may_take() {
        assert_eq!(LARGE_BUDGET + GIANT_BUDGET, 48 << 20);
        // A summary of series, and the names it is made of.
        const { assert!(crate::backend::decode::KEPT_BYTES_MAX * 2 <= BYTES_MAX) };
    }
}
