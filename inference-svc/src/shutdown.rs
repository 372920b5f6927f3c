//! Graceful shutdown: fail readiness, keep serving for a moment, finish requests, exit.

use std::io;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep, timeout_at};

use crate::readiness::Readiness;

/// How long new connections are still accepted after the signal (at most half the drain timeout). Clients learn of the
/// failing readiness a moment later, and what they send until then must not be lost.
const LINGER_MAX: Duration = Duration::from_secs(2);

/// Installs handlers for SIGTERM and SIGINT at once; the future resolves with the first signal.
///
/// # Errors
/// If the handlers cannot be installed.
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
    /// All requests were answered.
    Finished,
    /// The timeout passed first.
    TimedOut,
}

/// Stops the server gracefully within `drain_timeout`.
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
