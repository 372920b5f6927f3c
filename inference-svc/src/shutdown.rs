//! The end of the process: stop being ready, go on answering, finish, leave.

use std::io;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep, timeout_at};

use crate::readiness::Readiness;

/// New connections are still accepted for this long after the signal (at most half the drain time): whoever sends
/// traffic learns from the failing readiness only a moment later, and what it sends till then must not be lost.
const LINGER_MAX: Duration = Duration::from_secs(2);

/// Starts listening for SIGTERM and SIGINT at once; the future resolves with the first of them.
///
/// # Errors
/// If the handlers can't be installed.
pub fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// How a drain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// Every request was answered.
    Finished,
    /// The time was over first.
    TimedOut,
}

/// Takes the server out of service within `drain_timeout`.
pub async fn drain(server: ServerHandle, readiness: Readiness, drain_timeout: Duration) -> Drained {
    let deadline = Instant::now() + drain_timeout;
    readiness.drain();
    tracing::info!(timeout_seconds = drain_timeout.as_secs_f64(), "stopping");
    sleep(LINGER_MAX.min(drain_timeout / 2)).await;
    match timeout_at(deadline, server.stop(true)).await {
        Ok(()) => Drained::Finished,
        Err(_) => Drained::TimedOut,
    }
}
