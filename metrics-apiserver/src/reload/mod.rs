//! Reload: follows the configuration file while the server runs.
//!
//! The content of the file is polled every few seconds, and read at once on SIGHUP. Content rather than modification
//! times or file system events: a mounted ConfigMap changes by a swap of symbolic links above the file, which a watch
//! of the file misses.
//!
//! A configuration is served as a whole or not at all: if it is refused, the last good one stays, and log, metrics and
//! `/readyz?verbose` say so. Readiness never depends on it. Readings are cached by query, so those of unchanged rules
//! stay valid; those of a backend that is reached in another way (another address, another tenant) are dropped.
//!
//! A rule never lacks its backend: new backends are added before the rules that name them, and a backend without rules
//! is removed after a retirement period, when no read of the old rules can need it.
//!
//! Adapter rules that a new configuration keeps also keep what was discovered for them.
//!
//! Reading, checking and freeing take milliseconds to seconds. They run on a thread for blocking work, never on a
//! thread that serves requests.

mod backends;
mod follow;
mod metrics;
mod sighup;
mod sources;

#[cfg(test)]
mod tests;

pub use follow::{Parts, Reload};
pub use metrics::Metrics;
pub use sighup::Sighup;
pub use sources::sources;
