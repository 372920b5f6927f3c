//! What the configuration would answer: its rules, run in this process against the backends.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::Client;
use prometheus_client::registry::Registry;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::wanted::Wanted;
use crate::answer::{AnswerError, Answers};
use crate::api::{GROUPS, Group, Media, Parameters};
use crate::backend::{Backends, DEFAULT_TIMEOUT};
use crate::cache::{self, Cache, QuerySource};
use crate::catalog::{Catalog, Discovered, ServedCatalog};
use crate::config::Config;
use crate::objects::{self, Objects};
use crate::readiness::{Endpoint, Readiness};
use crate::reload;
use crate::rules::ValueError;
use crate::series::{self, Series};

/// In which time series are looked for, and how long the lists are used: the server's defaults.
const SERIES_RANGE: SignedDuration = SignedDuration::from_mins(10);
/// For the first lists of series. A list that takes longer is reported by the check of its rule.
const DISCOVERY_MAX: Duration = Duration::from_secs(20);
/// Between two looks whether the first lists are there.
const POLL: Duration = Duration::from_millis(50);

/// The rules of a configuration with all that they need to answer.
pub(super) struct Local {
    answers: Arc<Answers>,
    cache: Arc<Cache>,
    readiness: Readiness,
    names: Names,
    /// Ends with this.
    _tasks: JoinSet<()>,
}

/// The names that rules give to their metrics, as discovery lists them.
type Names = BTreeSet<String>;

/// Why the configuration does not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unanswered {
    /// No rule serves the metric.
    NoRule(String),
    /// The rule finds no data.
    NoData(String),
    /// Anything else.
    Failed(String),
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::NoRule(text) | Self::NoData(text) | Self::Failed(text)) = self;
        f.write_str(text)
    }
}

impl Local {
    /// Starts with these backends, and waits for the first lists of series.
    pub(super) async fn start(config: &Config, backends: &Arc<Backends>, client: &Client) -> Self {
        let mut registry = Registry::default();
        // A check reads many namespaces, a few at a time, and only once.
        let options = objects::Options::new(-1.0, -1, Duration::ZERO);
        let objects = Arc::new(Objects::of_cluster(client.clone(), options, &mut registry));
        let source = Arc::clone(backends) as Arc<dyn QuerySource>;
        let cache = Arc::new(Cache::new(source, cache::Limits::default(), Handle::current()));
        let (file, rules) = reload::sources(config.rules.clone(), config.groups, &config.adapter);
        let catalog = Arc::new(ServedCatalog::new(Catalog::merge(Arc::new(file), Discovered::new())));
        let answers =
            Answers::new(Arc::clone(&catalog), Arc::clone(&cache), Arc::clone(&objects), &mut registry);
        let readiness = Readiness::default();
        let range = SERIES_RANGE.unsigned_abs();
        let parts = series::Parts {
            backends: Arc::clone(backends),
            objects,
            catalog,
            readiness: readiness.clone(),
            options: series::Options { relist_interval: range, max_age: range },
        };
        let series = Series::new(parts, rules, &mut registry);
        let mut tasks = JoinSet::new();
        tasks.spawn(Arc::clone(&series).follow_resources());
        tasks.spawn(series.run());
        let mut local =
            Self { answers: Arc::new(answers), cache, readiness, names: Names::new(), _tasks: tasks };
        local.wait().await;
        local
    }

    /// Waits until series were listed once. What is missing then is not served either.
    async fn wait(&mut self) {
        let is_pending = || {
            let checks = self.readiness.checks(Endpoint::Readyz);
            checks.iter().any(|check| check.name == "series" && check.outcome.is_err())
        };
        let listed = async {
            while is_pending() {
                sleep(POLL).await;
            }
        };
        // Reads say what is pending after that.
        let _ = timeout(DISCOVERY_MAX, listed).await;
        let catalog = self.answers.catalog().current();
        let lists = GROUPS.iter().filter_map(|group| (group.metrics)(&catalog));
        self.names = lists.flatten().map(|metric| metric.name).collect();
    }

    /// What a read of the API would be answered.
    pub(super) async fn read(&self, wanted: &Wanted) -> Result<Vec<u8>, Unanswered> {
        let no_path = || Unanswered::Failed("the path of the read is not served".to_owned());
        let version = wanted.versions.iter().find_map(|version| Group::find(GROUPS, wanted.group, version));
        let (_, version) = version.ok_or_else(no_path)?;
        let query = wanted.query();
        let segments: Vec<&str> = wanted.segments.iter().map(String::as_str).collect();
        let request = (version.parse)(&segments, &Parameters::parse(&query));
        let request = request.map_err(|error| Unanswered::Failed(error.to_string()))?.ok_or_else(no_path)?;
        match request.answer(&self.answers, Instant::now() + DEFAULT_TIMEOUT).await {
            Ok(response) => Ok(response.encode(Media::Json, Timestamp::now())),
            Err(error) => Err(self.unanswered(wanted, &error)),
        }
    }

    fn unanswered(&self, wanted: &Wanted, error: &AnswerError) -> Unanswered {
        let message = error.to_string();
        let has_rule = wanted.listed.as_ref().is_none_or(|name| {
            self.names.iter().any(|known| known == name || known.eq_ignore_ascii_case(name))
        });
        match error {
            AnswerError::Unknown { .. } | AnswerError::NoResourceRules => Unanswered::NoRule(message),
            AnswerError::NotFound { .. } if !has_rule => {
                Unanswered::NoRule(format!("no rule serves {}", wanted.listed.as_deref().unwrap_or_default()))
            }
            AnswerError::NotFound { .. }
            | AnswerError::NoObject { .. }
            | AnswerError::Value { source: ValueError::NoData, .. } => Unanswered::NoData(message),
            _ => Unanswered::Failed(message),
        }
    }

    /// Ends what runs.
    pub(super) async fn shutdown(self) {
        self.cache.shutdown().await;
    }
}
