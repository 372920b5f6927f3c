//! Graceful shutdown: readiness fails at once, serving continues for a delay, then requests in flight are drained.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use crate::readiness::Readiness;

/// How serving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Every request was answered, or the drain timed out: exit code 0.
    Drained,
    /// A second signal was received: exit at once, code 1.
    Forced,
}

/// SIGTERM and SIGINT of this process.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Handles both signals from here on; they no longer end the process.
    pub fn install() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Resolves when the listener must be closed.
#[derive(Debug)]
pub struct Stop(oneshot::Receiver<()>);

impl Stop {
    /// Waits for it.
    pub async fn requested(self) {
        // Stop as well if the sender is gone.
        let _ = self.0.await;
    }
}

/// Runs `serve` until it returns, or until signals end it.
///
/// The first signal fails the `shutdown` check. After `delay`, in which the endpoints of the Service are updated,
/// `serve` closes its listener and drains, with a timeout of its own. A second signal ends delay or drain.
pub async fn until_signalled<F>(
    mut next_signal: impl AsyncFnMut(),
    readiness: &Readiness,
    delay: Duration,
    serve: impl FnOnce(Stop) -> F,
) -> io::Result<Ending>
where
    F: Future<Output = io::Result<()>>,
{
    let (stop, stopped) = oneshot::channel();
    let steering = async {
        next_signal().await;
        tracing::info!(delay = ?delay, "shutting down: no longer ready, still serving");
        readiness.shutting_down();
        tokio::select! {
            () = next_signal() => return,
            () = tokio::time::sleep(delay) => {}
        }
        tracing::info!("shutting down: closing the listener, draining requests in flight");
        // Without a receiver `serve` has returned, which the other branch handles.
        let _ = stop.send(());
        next_signal().await;
    };
    tokio::select! {
        served = serve(Stop(stopped)) => served.map(|()| Ending::Drained),
        () = steering => Ok(Ending::Forced),
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::sync::mpsc;

    use super::{Duration, Ending, Readiness, Stop, until_signalled};
    use crate::readiness::Endpoint;

    fn ready(readiness: &Readiness) -> bool {
        readiness
            .checks(Endpoint::Readyz)
            .iter()
            .all(|check| check.name != "shutdown" || check.outcome.is_ok())
    }

    #[tokio::test(start_paused = true)]
    async fn readiness_fails_at_once_and_the_listener_closes_after_the_delay() {
        let (signals, mut received) = mpsc::channel(2);
        let readiness = Readiness::default();
        let serving = async |stop: Stop| {
            let started = tokio::time::Instant::now();
            signals.send(()).await.unwrap();
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert!(!ready(&readiness), "not ready while still serving");
            stop.requested().await;
            assert_eq!(started.elapsed(), Duration::from_secs(5));
            Ok(())
        };
        let next = async || _ = received.recv().await;
        let ending = until_signalled(next, &readiness, Duration::from_secs(5), serving).await.unwrap();
        assert_eq!(ending, Ending::Drained);
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_signal_ends_delay_and_drain_at_once() {
        for delay in [Duration::from_secs(3600), Duration::ZERO] {
            let (signals, mut received) = mpsc::channel(2);
            signals.send(()).await.unwrap();
            let later = tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(1)).await;
                signals.send(()).await.unwrap();
                pending::<()>().await;
            });
            let next = async || _ = received.recv().await;
            let serving = async |_stop: Stop| pending().await;
            let ending = until_signalled(next, &Readiness::default(), delay, serving).await.unwrap();
            assert_eq!(ending, Ending::Forced);
            later.abort();
        }
    }
}
