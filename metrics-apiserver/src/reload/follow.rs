//! One poll of the configuration file, and what it changes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::backends::BackendSet;
use super::metrics::Metrics;
use super::sighup::Sighup;
use super::sources::sources;
use crate::answer::Answers;
use crate::backend::{self, Backends};
use crate::cache::Cache;
use crate::catalog::{Catalog, ServedCatalog};
use crate::causes::causes;
use crate::config::{self, AdapterRules, Config, DefaultBackend, Fingerprint, Source};
use crate::readiness::Readiness;
use crate::rules::BackendName;
use crate::series::Series;

/// How often the file is read. A mounted ConfigMap is updated within about a minute, so this adds little.
pub(super) const POLL_INTERVAL: Duration = Duration::from_secs(5);
/// New content is read again before it is served: a file that is being written may be incomplete, and yet valid.
pub(super) const DEBOUNCE: Duration = Duration::from_secs(1);
/// How often refused content is checked again: it may lack another file, which is mounted later.
const RETRY_INTERVAL: Duration = Duration::from_secs(60);

/// What a reload changes, and where its outcome is reported.
pub struct Parts {
    /// The configuration file.
    pub file: PathBuf,
    /// The backend that flags define.
    pub default_backend: Option<DefaultBackend>,
    /// Has the rules.
    pub catalog: Arc<ServedCatalog>,
    /// Gets the rules, and adds the metrics of series.
    pub series: Arc<Series>,
    /// Gets the backends.
    pub backends: Arc<Backends>,
    /// Drops the readings of backends that changed or are gone.
    pub cache: Arc<Cache>,
    /// Prepares what the first read of new rules would otherwise prepare, while the others wait.
    pub answers: Arc<Answers>,
    /// Shows the generation that is served.
    pub readiness: Readiness,
    /// Counts outcomes.
    pub metrics: Metrics,
}

/// Follows the configuration file.
pub struct Reload {
    parts: Parts,
    backends: BackendSet,
    adapter: AdapterRules,
    /// The content that is served.
    served: Fingerprint,
    pub(super) refused: Option<Refused>,
    /// What the previous poll found.
    last_seen: Content,
    /// The previous rules: kept until the next poll, so that no request has to free them.
    replaced: Option<Arc<Catalog>>,
}

/// What a poll finds.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Content {
    Text(Fingerprint),
    /// With the reason.
    Unreadable(String),
}

/// Content that is not served.
#[derive(Debug)]
pub(super) struct Refused {
    content: Content,
    pub(super) problems: String,
    retry_at: Instant,
}

impl Reload {
    /// Follows the file from the content with this fingerprint on, which is served with these backends and adapter
    /// rules.
    pub fn new(
        parts: Parts,
        served: Fingerprint,
        configured: Vec<(BackendName, backend::Options)>,
        adapter: AdapterRules,
    ) -> Self {
        let backends = BackendSet::new(Arc::clone(&parts.backends), Arc::clone(&parts.cache), configured);
        let last_seen = Content::Text(served);
        let reload = Self { parts, backends, adapter, served, refused: None, last_seen, replaced: None };
        reload.report_success();
        reload
    }

    /// Polls the file until dropped.
    pub async fn run(mut self, mut sighup: Sighup) {
        let mut wait = POLL_INTERVAL;
        loop {
            let is_requested = tokio::select! {
                () = tokio::time::sleep(wait) => false,
                () = sighup.next() => true,
            };
            let now = Instant::now();
            let poll = tokio::task::spawn_blocking(move || {
                let wait = self.poll(is_requested, now);
                (self, wait)
            });
            (self, wait) = match poll.await {
                Ok(polled) => polled,
                Err(crash) => match crash.try_into_panic() {
                    // Ends the process, which joins this task: a server must not run on without following its file.
                    Ok(panic) => std::panic::resume_unwind(panic),
                    // The runtime shuts down.
                    Err(_) => return,
                },
            };
        }
    }

    /// Reads the file and serves new content; returns how long to wait for the next poll.
    ///
    /// `is_requested`: on SIGHUP, which skips the debounce and always logs an outcome.
    pub(super) fn poll(&mut self, is_requested: bool, now: Instant) -> Duration {
        self.replaced = None;
        self.backends.remove_retired(now);
        let read = config::read(&self.parts.file).map_err(|problems| problems.to_string());
        let content = match &read {
            Ok(source) => Content::Text(source.fingerprint()),
            Err(why) => Content::Unreadable(why.clone()),
        };
        let is_stable = std::mem::replace(&mut self.last_seen, content.clone()) == content;
        if content == Content::Text(self.served) {
            self.keep(is_requested);
            return POLL_INTERVAL;
        }
        let wait = match &self.refused {
            _ if is_requested => None,
            Some(refused) if refused.content == content => (now < refused.retry_at).then_some(POLL_INTERVAL),
            _ => (!is_stable).then_some(DEBOUNCE),
        };
        if let Some(wait) = wait {
            return wait;
        }
        let served = read.and_then(|source| self.load(source)).and_then(|config| self.serve(config, now));
        if let Err(problems) = served {
            self.refuse(Refused { content, problems, retry_at: now + RETRY_INTERVAL }, is_requested);
        }
        POLL_INTERVAL
    }

    /// The file has the content that is served.
    fn keep(&mut self, is_requested: bool) {
        if self.refused.take().is_some() {
            self.parts.metrics.count_success();
            self.report_success();
            let generation = self.parts.catalog.current().generation();
            tracing::info!(generation, "the configuration file is back to the configuration in use");
        } else if is_requested {
            tracing::info!("the configuration file has not changed");
        }
    }

    /// Checks and links new content.
    fn load(&self, source: Source) -> Result<Config, String> {
        // A panic on this text must not end a server that serves another.
        let check = || config::link(config::check_with(source, self.parts.default_backend.as_ref()));
        catch_unwind(AssertUnwindSafe(check))
            .map_err(|_| {
                format!("the check of {} panicked; please report it with the file", self.parts.file.display())
            })?
            .map_err(|problems| problems.to_string())
    }

    /// Serves this configuration; if a backend cannot be used, nothing changes.
    fn serve(&mut self, config: Config, now: Instant) -> Result<(), String> {
        let Config { backends, rules, mut adapter, groups, warnings, fingerprint } = config;
        let changed = self.backends.replace(backends, now).map_err(|error| causes(&error).to_string())?;
        self.replaced = Some(self.parts.catalog.current());
        adapter.replace(&self.adapter);
        let (file, series) = sources(rules, groups, &adapter);
        self.parts.series.replace(file, series, &changed);
        self.adapter = adapter;
        self.parts.answers.prepare();
        (self.served, self.refused) = (fingerprint, None);
        for warning in &warnings {
            tracing::warn!("{warning}");
        }
        self.parts.metrics.count_success();
        self.report_success();
        let catalog = self.parts.catalog.current();
        let (generation, rules) = (catalog.generation(), self.rules(&catalog));
        tracing::info!(generation, rules, "new configuration in use");
        Ok(())
    }

    /// Reports that this content is not served: once, and on request.
    fn refuse(&mut self, refused: Refused, is_requested: bool) {
        let generation = self.parts.catalog.current().generation();
        let is_known = self
            .refused
            .as_ref()
            .is_some_and(|known| known.content == refused.content && known.problems == refused.problems);
        if is_requested || !is_known {
            self.parts.metrics.count_failure();
            let problems = &refused.problems;
            tracing::error!(generation, %problems, "the configuration file is refused; the last good one stays in use");
        }
        let what = match refused.content {
            Content::Text(_) => "the file's newest content is refused",
            Content::Unreadable(_) => "the file cannot be read",
        };
        self.parts.readiness.note_configuration(&format!("{what}, generation {generation} is served"));
        self.refused = Some(refused);
    }

    /// How many rules the file has.
    fn rules(&self, catalog: &Catalog) -> usize {
        let native = catalog.entries().filter(|(_, rule)| rule.native_query().is_some()).count();
        native + self.adapter.custom.len() + self.adapter.external.len()
    }

    fn report_success(&self) {
        let catalog = self.parts.catalog.current();
        self.parts.metrics.is_served(self.rules(&catalog));
        self.parts.readiness.note_configuration(&format!("generation {}", catalog.generation()));
    }
}
