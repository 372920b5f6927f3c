//! The configuration of the moment: follows the file while the server runs.
//!
//! The file's content is read every few seconds, and at once on SIGHUP. The content, not dates or notices of the file
//! system: a mounted ConfigMap changes by a swap of symbolic links above the file, which a watch of the file misses.
//!
//! What the file says is checked as a whole and served as a whole, or nothing of it is: then the last good
//! configuration stays, and log, metrics and `/readyz?verbose` say so. Readiness never fails by it. Readings are
//! kept by query, so those of unchanged rules go on being used; those of a backend that is reached in another way now
//! (another address, another tenant) are forgotten.
//!
//! No read meets a rule without its backend: new backends come before the rules that name them, and backends that no
//! rule names any more go `RETIREMENT` later, when no read that began with the old rules can still need them.
//!
//! Reading, checking and freeing take milliseconds to seconds: all of it runs on a thread for blocking work, none on a
//! thread that answers requests.

mod metrics;
mod sighup;
mod state;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::backend::{Backends, ClientOptions};
use crate::catalog::{Catalog, ServedCatalog};
use crate::config::{self, Fingerprint};
use crate::readiness::Readiness;
use crate::rules::BackendName;

pub use metrics::Metrics;
pub use sighup::Sighup;

use state::{Content, Refused, Retired};

/// How often the file is read. A mounted ConfigMap follows its change within about a minute, so this adds little.
const POLL_INTERVAL: Duration = Duration::from_secs(5);
/// New content is read once more before it counts: a file that is being written could be half of a good one.
const SETTLE: Duration = Duration::from_secs(1);
/// How often refused content is checked again: what it lacks may be another file, mounted later than this one.
const REFUSED_AGAIN: Duration = Duration::from_secs(60);
/// How long a backend outlives the last rule that named it: ample for the reads that began with that rule. Then memory
/// forgets its queries, lest it fetch ahead of reads that will not come.
const RETIREMENT: Duration = Duration::from_secs(60);

/// What is kept up to date, and where it is told.
pub struct Parts {
    /// The configuration file.
    pub file: PathBuf,
    /// Gets the rules.
    pub catalog: Arc<ServedCatalog>,
    /// Get the backends.
    pub backends: Arc<Backends>,
    /// What a backend's client must know, from the configuration.
    pub client_options: fn(config::Backend) -> (BackendName, ClientOptions),
    /// Forgets the readings of a backend that is another one from now on, or none.
    pub forget: Box<dyn Fn(&BackendName) + Send>,
    /// Makes what the first read by new rules would have to make, with the others waiting.
    pub prepare: Box<dyn Fn() + Send>,
    /// Where the generation served is noted.
    pub readiness: Readiness,
    /// Where outcomes are counted.
    pub metrics: Metrics,
}

/// Follows the configuration file.
pub struct Reload {
    parts: Parts,
    /// The content that is served.
    served: Fingerprint,
    /// The backends that the rules served name.
    backends: Vec<(BackendName, ClientOptions)>,
    retired: Vec<Retired>,
    refused: Option<Refused>,
    /// What the look before this one found.
    last_seen: Content,
    /// The rules served before these: kept until the next look, so that no request is the one that frees them.
    replaced: Option<Arc<Catalog>>,
}

impl Reload {
    /// Follows the file from the content with this fingerprint on, which is served with these backends.
    pub fn new(parts: Parts, served: Fingerprint, backends: Vec<(BackendName, ClientOptions)>) -> Self {
        let last_seen = Content::Text(served);
        let (retired, refused, replaced) = (Vec::new(), None, None);
        let reload = Self { parts, served, backends, retired, refused, last_seen, replaced };
        reload.tell_success();
        reload
    }

    /// Looks at the file, again and again, until dropped.
    pub async fn run(mut self, mut sighup: Sighup) {
        let mut wait = POLL_INTERVAL;
        loop {
            let is_asked = tokio::select! {
                () = tokio::time::sleep(wait) => false,
                () = sighup.next() => true,
            };
            let now = Instant::now();
            let look = tokio::task::spawn_blocking(move || {
                let wait = self.look(is_asked, now);
                (self, wait)
            });
            (self, wait) = match look.await {
                Ok(looked) => looked,
                Err(crash) => match crash.try_into_panic() {
                    // Whoever joins this task ends the process: a server must not go on without following its file.
                    Ok(panic) => std::panic::resume_unwind(panic),
                    // The runtime ends.
                    Err(_) => return,
                },
            };
        }
    }
}
