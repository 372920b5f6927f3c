//! One look at the file, and what it changes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use tokio::time::Instant;

use super::{POLL_INTERVAL, REFUSED_AGAIN, RETIREMENT, Reload, SETTLE};
use crate::backend::ClientOptions;
use crate::catalog::Catalog;
use crate::causes::causes;
use crate::config::{self, Config, Fingerprint};
use crate::rules::BackendName;

/// What a look finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    Text(Fingerprint),
    /// With the reason.
    Unreadable(String),
}

/// Content that is not served.
#[derive(Debug)]
pub(super) struct Refused {
    content: Content,
    pub(super) problems: String,
    again_at: Instant,
}

/// A backend that no rule names any more.
#[derive(Debug)]
pub(super) struct Retired {
    backend: (BackendName, ClientOptions),
    until: Instant,
}

impl Reload {
    /// Looks at the file, and takes up what is new in it; how long to wait for the next look.
    ///
    /// `is_asked`: somebody wants it now and waits for a word about it.
    pub(super) fn look(&mut self, is_asked: bool, now: Instant) -> Duration {
        self.let_go(now);
        let read = config::read(&self.parts.file).map_err(|errors| errors.to_string());
        let content = match &read {
            Ok(text) => Content::Text(Fingerprint::of(text)),
            Err(why) => Content::Unreadable(why.clone()),
        };
        let is_settled = std::mem::replace(&mut self.last_seen, content.clone()) == content;
        if content == Content::Text(self.served) {
            self.keep(is_asked);
            return POLL_INTERVAL;
        }
        let wait = match &self.refused {
            _ if is_asked => None,
            Some(refused) if refused.content == content => (now < refused.again_at).then_some(POLL_INTERVAL),
            _ => (!is_settled).then_some(SETTLE),
        };
        if let Some(wait) = wait {
            return wait;
        }
        let served = read.and_then(|text| self.check(&text)).and_then(|config| self.serve(config, now));
        if let Err(problems) = served {
            self.refuse(Refused { content, problems, again_at: now + REFUSED_AGAIN }, is_asked);
        }
        POLL_INTERVAL
    }

    /// The file says what is served already.
    fn keep(&mut self, is_asked: bool) {
        if self.refused.take().is_some() {
            self.parts.metrics.count_success();
            self.tell_success();
            let generation = self.parts.catalog.current().generation();
            tracing::info!(generation, "the configuration file is again as it is served");
        } else if is_asked {
            tracing::info!("the configuration file has not changed");
        }
    }

    fn check(&self, text: &str) -> Result<Config, String> {
        let file = self.parts.file.display().to_string();
        // A crash on this text must not end a server that serves another.
        let checked = catch_unwind(AssertUnwindSafe(|| config::check(text, &file, &config::can_be_read)));
        checked
            .map_err(|_| format!("checking {file} crashed; please report it with the file"))?
            .map_err(|errors| errors.to_string())
    }

    /// Serves this configuration; if a backend cannot be used, nothing changes.
    fn serve(&mut self, config: Config, now: Instant) -> Result<(), String> {
        let Config { backends, rules, warnings, fingerprint } = config;
        let backends: Vec<_> = backends.into_iter().map(self.parts.client_options).collect();
        let is_named = |name: &BackendName| backends.iter().any(|(named, _)| named == name);
        let retiring = |backend: &(BackendName, ClientOptions)| Retired {
            backend: backend.clone(),
            until: now + RETIREMENT,
        };
        let leaving: Vec<Retired> =
            self.backends.iter().filter(|(name, _)| !is_named(name)).map(retiring).collect();
        let still = self.retired.iter().chain(&leaving).map(|retired| &retired.backend);
        let still = still.filter(|(name, _)| !is_named(name));
        let together = backends.iter().chain(still).cloned().collect();
        self.parts.backends.replace(together).map_err(|error| causes(&error).to_string())?;
        let before = self.backends.iter().chain(self.retired.iter().map(|retired| &retired.backend));
        for (name, before) in before {
            if backends.iter().any(|(named, options)| named == name && !options.has_the_data_of(before)) {
                (self.parts.forget)(name);
            }
        }

        self.replaced = Some(self.parts.catalog.current());
        self.parts.catalog.replace(Catalog::new(rules));
        (self.parts.prepare)();
        self.retired.retain(|retired| !is_named(&retired.backend.0));
        self.retired.extend(leaving);
        (self.served, self.backends, self.refused) = (fingerprint, backends, None);
        for warning in &warnings {
            tracing::warn!("{warning}");
        }
        self.parts.metrics.count_success();
        self.tell_success();
        let catalog = self.parts.catalog.current();
        let (generation, rules) = (catalog.generation(), catalog.rules().len());
        tracing::info!(generation, rules, "a new configuration is served");
        Ok(())
    }

    /// Tells that this content is not served: once, and whenever somebody asks.
    fn refuse(&mut self, refused: Refused, is_asked: bool) {
        let generation = self.parts.catalog.current().generation();
        let is_known = self
            .refused
            .as_ref()
            .is_some_and(|known| known.content == refused.content && known.problems == refused.problems);
        if is_asked || !is_known {
            self.parts.metrics.count_failure();
            let problems = &refused.problems;
            tracing::error!(generation, %problems, "the configuration file is refused; what was served before stays");
        }
        let what = match refused.content {
            Content::Text(_) => "the file's newest content is refused",
            Content::Unreadable(_) => "the file can't be read",
        };
        self.parts.readiness.note_configuration(&format!("{what}, generation {generation} is served"));
        self.refused = Some(refused);
    }

    pub(super) fn tell_success(&self) {
        let catalog = self.parts.catalog.current();
        self.parts.metrics.is_served(catalog.rules().len());
        self.parts.readiness.note_configuration(&format!("generation {}", catalog.generation()));
    }

    /// Frees the rules of before, and the backends whose time is over.
    fn let_go(&mut self, now: Instant) {
        drop(self.replaced.take());
        let over: Vec<_> = self.retired.extract_if(.., |retired| now >= retired.until).collect();
        if over.is_empty() {
            return;
        }
        for Retired { backend: (name, _), .. } in &over {
            // Cache must not go on fetching ahead for reads of before.
            (self.parts.forget)(name);
        }
        let retired = self.retired.iter().map(|retired| &retired.backend);
        let backends = self.backends.iter().chain(retired).cloned().collect();
        if let Err(error) = self.parts.backends.replace(backends) {
            tracing::warn!(
                error = %causes(&error),
                "backends that no rule names any more stay a while longer"
            );
        }
    }
}
