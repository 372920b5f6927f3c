//! SIGHUP: read the configuration file at once.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The SIGHUPs of this process.
#[derive(Debug)]
pub struct Sighup(Signal);

impl Sighup {
    /// Handles the signal from here on; it no longer ends the process.
    pub fn install() -> io::Result<Self> {
        Ok(Self(signal(SignalKind::hangup())?))
    }

    /// Waits for the next one; several that arrive in between count as one.
    pub async fn next(&mut self) {
        if self.0.recv().await.is_none() {
            // No more signals are delivered.
            std::future::pending::<()>().await;
        }
    }
}
