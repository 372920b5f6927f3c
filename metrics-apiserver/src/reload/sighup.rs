//! SIGHUP: look at the configuration file at once.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The SIGHUPs of this process.
#[derive(Debug)]
pub struct Sighup(Signal);

impl Sighup {
    /// Takes the signal over; from here on it does not end the process.
    pub fn install() -> io::Result<Self> {
        Ok(Self(signal(SignalKind::hangup())?))
    }

    /// Waits for the next one; those that come while nobody waits count as one.
    pub async fn next(&mut self) {
        if self.0.recv().await.is_none() {
            // There will be no more.
            std::future::pending::<()>().await;
        }
    }
}
