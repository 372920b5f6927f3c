//! Limits on what is used at once and per second: concurrency, rate and memory.
//!
//! - [`ConcurrencyLimiter`]: at most N at once, handed round among keys;
//! - [`TokenBucket`]: at most N per second, with a burst;
//! - [`ByteBudget`]: at most N bytes in use at once;
//! - [`LogLimiter`]: at most N lines of one kind in the log;
//! - [`backoff`]: ever longer pauses between retries.
//!
//! The numbers, and the reasons for them, belong to the rooms that set a limit. This room imports no other.

mod backoff;
mod bytes;
mod concurrency;
mod log;
mod rate;

pub(crate) use backoff::backoff;
pub(crate) use bytes::{ByteBudget, BytePermit};
pub(crate) use concurrency::{ConcurrencyLimiter, Permit};
pub(crate) use log::LogLimiter;
pub(crate) use rate::TokenBucket;
