//! The rules: whether their first query is answered.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};

use super::report::Report;
use crate::backend::{Backends, DEFAULT_TIMEOUT, SeriesQuery};
use crate::cache::{Owner, QueryError, QuerySource as _};
use crate::config::Config;
use crate::metric::{Namespace, Resources, Selector};
use crate::rules::{BackendName, Query};

/// Queries at once: a check must not be a load.
const AT_ONCE: usize = 4;
/// In which time series are looked for, as discovery does by default.
const SERIES_RANGE: SignedDuration = SignedDuration::from_mins(10);
/// The name of the object of a sample request.
const OBJECT: &str = "example";

/// The sample request.
pub(super) struct Request<'a> {
    pub(super) namespace: &'a Namespace,
    pub(super) selector: &'a Selector,
}

/// The first thing that a rule asks its backend.
enum First {
    Query(String),
    Series(Arc<str>),
    /// The rule refuses the sample request.
    Refused(String),
}

/// A rule with its place in the file.
struct Asked {
    name: String,
    backend: BackendName,
    first: First,
}

/// Checks each rule whose backend works.
pub(super) async fn check(
    config: &Config,
    backends: &Backends,
    working: &BTreeSet<BackendName>,
    request: &Request<'_>,
    report: &mut Report,
) {
    let asked = natives(config, request).chain(adapters(config)).chain(usage(config, request));
    let answers = stream::iter(asked).map(async |asked| {
        let found = if working.contains(&asked.backend) {
            Some(ask(backends, &asked, request.namespace).await)
        } else {
            None
        };
        (asked, found)
    });
    // Collected as they were asked.
    let answers: Vec<_> = answers.buffered(AT_ONCE).collect().await;
    for (Asked { name, backend, first }, found) in answers {
        if let First::Refused(why) = first {
            report.skipped(&name, &format!("the sample request would be refused: {why}; use --selector"));
            continue;
        }
        match found {
            None => report.skipped(&name, &format!("backend {} answers no queries", backend.0)),
            Some(Ok(detail)) => report.ok(&name, &detail),
            Some(Err(error)) => {
                let detail = match error.detail() {
                    "" => error.to_string(),
                    detail => format!("{error}: {detail}"),
                };
                report.failed(&name, &detail, fix(&error));
            }
        }
    }
}

fn natives<'a>(config: &'a Config, request: &'a Request<'_>) -> impl Iterator<Item = Asked> + 'a {
    config.rules.iter().map(|rule| {
        let plan = rule.external_plan(request.namespace, request.selector, &Resources::default());
        let first = plan.map_err(|error| error.to_string()).map(|plan| plan.queries.into_iter().next());
        let first = match first {
            Ok(Some(query)) => First::Query(query.promql.to_string()),
            Ok(None) => First::Refused("it asks nothing".to_owned()),
            Err(error) => First::Refused(error),
        };
        Asked { name: format!("metrics.{}.query", rule.name.as_str()), backend: rule.backend.clone(), first }
    })
}

fn adapters(config: &Config) -> impl Iterator<Item = Asked> {
    let custom = config.adapter.custom.iter().enumerate().map(|(index, rule)| ("rules", index, rule));
    let external = config.adapter.external.iter().enumerate();
    let external = external.map(|(index, rule)| ("externalRules", index, rule));
    // A rule without `seriesQuery` has a fixed name, and discovers nothing.
    let discovering = custom.chain(external).filter(|(_, _, rule)| !rule.series_query.is_empty());
    discovering.map(|(section, index, rule)| Asked {
        name: format!("{section}[{index}].seriesQuery"),
        backend: rule.backend.clone(),
        first: First::Series(Arc::clone(&rule.series_query)),
    })
}

fn usage<'a>(config: &'a Config, request: &'a Request<'_>) -> impl Iterator<Item = Asked> + 'a {
    config.adapter.resource.iter().flat_map(move |rules| {
        let both = [("cpu", &rules.cpu), ("memory", &rules.memory)];
        both.into_iter().filter_map(move |(key, rule)| {
            let rule = rule.as_ref()?;
            let promql = rule.pod_query(&[request.namespace.as_str()], &[OBJECT], &Resources::default());
            let first = promql.map_or_else(|error| First::Refused(error.to_string()), First::Query);
            Some(Asked {
                name: format!("resourceRules.{key}.containerQuery"),
                backend: rules.backend.clone(),
                first,
            })
        })
    })
}

/// What the backend found.
async fn ask(backends: &Backends, asked: &Asked, namespace: &Namespace) -> Result<String, QueryError> {
    match &asked.first {
        First::Refused(_) => Ok(String::new()),
        First::Query(promql) => {
            let query = Query {
                namespace: Some(namespace.clone()),
                ..Query::new(asked.backend.clone(), promql.as_str())
            };
            let reading = backends.query(query, Owner::new(&Arc::new(()))).await?;
            let partial = if reading.partial.is_some() { ", a partial answer" } else { "" };
            Ok(match reading.samples.len() {
                0 => format!("answered, no data for the sample request{partial} (--namespace, --selector)"),
                samples => format!("answered, {samples} series{partial}"),
            })
        }
        First::Series(matcher) => {
            let start = Timestamp::now().saturating_sub(SERIES_RANGE).unwrap_or(Timestamp::UNIX_EPOCH);
            let matchers = vec![matcher.to_string()];
            let query = SeriesQuery { matchers, start, timeout: DEFAULT_TIMEOUT };
            let found = backends.series(&asked.backend, &query).await?.metrics.len();
            Ok(match found {
                0 => "answered, no series in the last 10 minutes: the rule serves no metric now".to_owned(),
                found => format!("answered, series of {found} names"),
            })
        }
    }
}

fn fix(error: &QueryError) -> &'static str {
    match error {
        QueryError::Refused { .. } => "correct the query: paste it, as `check` prints it, into Prometheus",
        QueryError::TimedOut(_) => "make the query cheaper, or raise the backend's timeout",
        QueryError::Unfit { .. } | QueryError::TooMuch { .. } => "correct the query",
        QueryError::Unavailable { .. } | QueryError::Malformed { .. } | QueryError::BreakerOpen { .. } => {
            "look at the log of the backend, or of the gateway before it"
        }
    }
}
