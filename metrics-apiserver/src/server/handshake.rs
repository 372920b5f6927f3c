//! TLS handshakes, with a timeout; failures are counted and logged by cause.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::listen::canonical;
use crate::limit::TokenBucket;
use crate::tls::HandshakeFailure;

/// kube-apiserver gives a handshake 10 s; ours takes milliseconds.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(3);
/// One log line per cause in this time: anybody who reaches the port can make handshakes fail.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// The server's side of TLS handshakes.
pub(super) struct Handshakes {
    acceptor: TlsAcceptor,
    failures: Family<FailureLabels, Counter>,
    logs: [FailureLog; HandshakeFailure::ALL.len()],
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FailureLabels {
    cause: &'static str,
}

/// The log of one cause.
#[derive(Debug)]
struct FailureLog {
    lines: TokenBucket,
    /// Failures since the last line.
    suppressed: AtomicU64,
}

impl Handshakes {
    pub(super) fn new(config: ServerConfig, registry: &mut Registry) -> Self {
        let failures = Family::<FailureLabels, Counter>::default();
        for cause in HandshakeFailure::ALL {
            // A counter must be there before its first increment, or rate() misses that.
            let _ = failures.get_or_create(&FailureLabels { cause: cause.as_str() });
        }
        registry.sub_registry_with_prefix("metrics_apiserver_tls").register(
            "handshake_failures",
            "Failed TLS handshakes, by cause",
            failures.clone(),
        );
        Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            failures,
            logs: HandshakeFailure::ALL.map(|_| FailureLog::new()),
        }
    }

    /// The TLS connection, or nothing if the handshake fails.
    pub(super) async fn accept(&self, stream: TcpStream, peer: SocketAddr) -> Option<TlsStream<TcpStream>> {
        let accepted = timeout(HANDSHAKE_TIMEOUT, self.acceptor.accept(stream)).await;
        match accepted.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(stream) => Some(stream),
            Err(error) => {
                self.record(HandshakeFailure::of(&error), peer, &error);
                None
            }
        }
    }

    fn record(&self, cause: HandshakeFailure, peer: SocketAddr, error: &io::Error) {
        self.failures.get_or_create(&FailureLabels { cause: cause.as_str() }).inc();
        if let Some(suppressed) = self.logs.get(cause as usize).and_then(FailureLog::next_line) {
            tracing::warn!(
                peer = %canonical(peer),
                cause = cause.as_str(),
                %error,
                suppressed,
                "TLS handshake failed"
            );
        }
    }
}

impl FailureLog {
    fn new() -> Self {
        Self { lines: TokenBucket::new(LOG_INTERVAL, 1), suppressed: AtomicU64::new(0) }
    }

    /// How many failures were not logged since the last line, if this one is.
    fn next_line(&self) -> Option<u64> {
        if self.lines.try_take() {
            Some(self.suppressed.swap(0, Ordering::Relaxed))
        } else {
            self.suppressed.fetch_add(1, Ordering::Relaxed);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_cause_is_logged_once_in_an_interval_with_the_number_suppressed() {
        let log = FailureLog::new();
        assert_eq!(log.next_line(), Some(0));
        assert_eq!((log.next_line(), log.next_line()), (None, None));
        tokio::time::advance(LOG_INTERVAL).await;
        assert_eq!(log.next_line(), Some(2));
        assert_eq!(log.next_line(), None);
        tokio::time::advance(LOG_INTERVAL).await;
        assert_eq!(log.next_line(), Some(1));
    }
}
