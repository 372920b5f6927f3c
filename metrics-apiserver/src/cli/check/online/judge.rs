//! What is said about one metric of an HPA.

use k8s_openapi::api::autoscaling::v2::{HorizontalPodAutoscalerCondition, MetricSpec};

use super::apis::NO_API;
use super::local::Unanswered;
use super::raw::Refusal;
use super::report::{Hint, HpaMetric, Outcome};
use super::values::{Number, agree, ratio};
use super::wanted::{RESOURCE, Reduce, Wanted, name_and_target};
use crate::metric::Quantity;

const NO_RULE: Hint = Hint {
    fix: "add a rule for this metric, or correct its name in the HPA",
    page: "docs/configuration.md#the-file",
};
const NO_DATA: Hint = Hint {
    fix: "check that the backend has these series now: `check` without --cluster prints the query",
    page: "docs/operations.md#reads-find-no-value",
};
const NOT_REGISTERED: Hint = Hint {
    fix: "apply the APIService of this API, or install what serves it",
    page: "docs/operations.md#registration",
};
const UNAVAILABLE: Hint = Hint {
    fix: "see the checks of the APIServices",
    page: "docs/operations.md#the-apiservice-is-not-available",
};
const FORBIDDEN: Hint = Hint {
    fix: "run the check as a user who may read the API of metrics",
    page: "docs/operations.md#reads-are-refused",
};
const READ_FAILED: Hint = Hint { fix: "see the message", page: "docs/operations.md#when-something-is-wrong" };
const DIFFER: Hint = Hint {
    fix: "compare the queries of both servers (--v=6)",
    page: "docs/migrating-from-prometheus-adapter.md#what-differs-and-why",
};
const HPA: Hint = Hint {
    fix: "correct the HPA, or see why its workload cannot be read",
    page: "docs/operations.md#hpas-in-the-check-of-the-cluster",
};

const SCALE_FORBIDDEN: Hint = Hint {
    fix: "grant `get` on this scale, or run the check as an administrator",
    page: "docs/operations.md#hpas-in-the-check-of-the-cluster",
};

/// The reads of one metric.
#[derive(Debug, Default)]
pub(super) struct Reads {
    /// What kube-apiserver answers now.
    pub(super) now: Option<Result<Number, Refusal>>,
    /// What the configuration answers, if there is one that serves the group.
    pub(super) configured: Option<Result<Number, Unanswered>>,
    /// Whether discovery lists the metric now; `None` if that is not known.
    pub(super) is_listed: Option<bool>,
}

/// What an HPA says about its last sync.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct State<'a> {
    /// The replicas.
    pub(super) replicas: Option<i32>,
    /// The condition `ScalingActive`.
    pub(super) active: Option<&'a HorizontalPodAutoscalerCondition>,
}

impl State<'_> {
    /// Whether the HPA reads nothing, because its workload has no replicas.
    pub(super) fn is_disabled(&self) -> bool {
        self.active.is_some_and(|condition| condition.reason.as_deref() == Some("ScalingDisabled"))
    }

    fn is_failing(&self) -> bool {
        self.active.is_some_and(|condition| condition.status == "False")
    }
}

/// The outcome of a metric.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) outcome: Outcome,
    pub(super) detail: String,
    pub(super) hint: Option<Hint>,
    pub(super) hpa: HpaMetric,
}

/// Judges one metric of an HPA.
pub(super) fn judge(
    metric: &MetricSpec,
    wanted: Result<&Wanted, &Refusal>,
    reads: &Reads,
    state: &State<'_>,
) -> Judged {
    let kind = metric.type_.clone();
    let wanted = match wanted {
        Ok(wanted) => wanted,
        Err(why) => {
            let (outcome, hint) =
                if why.is_forbidden() { (Outcome::Skipped, SCALE_FORBIDDEN) } else { (Outcome::Failed, HPA) };
            let (name, target) = name_and_target(metric);
            let detail = format!("{kind} {name}: {why}");
            let hpa = HpaMetric { kind, metric: name, target, ..HpaMetric::default() };
            return Judged { outcome, detail, hint: Some(hint), hpa };
        }
    };
    let now = reads.now.as_ref().and_then(|now| now.as_ref().ok());
    let configured = reads.configured.as_ref().and_then(|found| found.as_ref().ok());
    let ratio = now.zip(configured).and_then(|(now, configured)| ratio(now.value, configured.value));
    let hpa = HpaMetric {
        kind,
        metric: wanted.metric.clone(),
        target: wanted.target.clone(),
        now: now.map(|number| number.value.to_string()),
        configuration: configured.map(|number| number.value.to_string()),
        ratio,
        ..HpaMetric::default()
    };
    let (outcome, hint) = outcome(reads, state);
    let detail = format!(
        "{} {}: {}{}",
        wanted.kind,
        wanted.metric,
        spoken_now(reads, wanted, state),
        spoken_configured(reads, wanted, state, ratio)
    );
    Judged { outcome, detail, hint, hpa }
}

fn spoken_now(reads: &Reads, wanted: &Wanted, state: &State<'_>) -> String {
    match &reads.now {
        None if state.is_disabled() => "not read, because the workload has no replicas".to_owned(),
        None => "not read, because the time for all HPAs is over".to_owned(),
        Some(Ok(number)) => format!("{}, target {}", spoken(number, wanted, state), wanted.target),
        Some(Err(refusal)) => unanswered(refusal, reads, wanted, state),
    }
}

fn spoken_configured(reads: &Reads, wanted: &Wanted, state: &State<'_>, ratio: Option<f64>) -> String {
    match &reads.configured {
        None => String::new(),
        Some(Ok(number)) => {
            let ratio = ratio.map_or_else(String::new, |ratio| format!(", ratio {ratio}"));
            format!("; the configuration gives {}{ratio}", spoken(number, wanted, state))
        }
        Some(Err(why)) => format!("; the configuration gives no value: {why}"),
    }
}

fn outcome(reads: &Reads, state: &State<'_>) -> (Outcome, Option<Hint>) {
    let configured = reads.configured.as_ref();
    if let Some(Err(why)) = configured {
        let hint = match why {
            Unanswered::NoRule(_) => NO_RULE,
            Unanswered::NoData(_) => NO_DATA,
            Unanswered::Failed(_) => READ_FAILED,
        };
        return (Outcome::Failed, Some(hint));
    }
    match (&reads.now, configured) {
        (Some(Ok(now)), Some(Ok(configured))) if !agree(now.value, configured.value) => {
            (Outcome::Failed, Some(DIFFER))
        }
        (Some(Ok(_)), _) => (Outcome::Ok, None),
        // The controller may read what this user may not.
        (Some(Err(refusal)), _) if refusal.is_forbidden() => {
            (if state.is_failing() { Outcome::Failed } else { Outcome::Skipped }, Some(FORBIDDEN))
        }
        (Some(Err(refusal)), _) => (Outcome::Failed, Some(hint(refusal, reads))),
        (None, _) => (Outcome::Skipped, None),
    }
}

/// Whether kube-apiserver itself answered, because it does not reach the server. A server without its backend answers
/// with a message of its own.
fn is_unreached(refusal: &Refusal) -> bool {
    let message = &refusal.message;
    refusal.code == 503
        && (message.contains("unable to handle the request")
            || ["service unavailable", "error trying to reach service"]
                .iter()
                .any(|text| message.starts_with(text)))
}

/// Whether kube-apiserver has no version of the API that the controller reads.
fn is_unregistered(refusal: &Refusal) -> bool {
    refusal.message.starts_with(NO_API)
}

fn hint(refusal: &Refusal, reads: &Reads) -> Hint {
    match (refusal.code, reads.is_listed) {
        (404, _) if is_unregistered(refusal) => NOT_REGISTERED,
        (404, Some(false)) => NO_RULE,
        (200 | 404, _) => NO_DATA,
        _ if is_unreached(refusal) => UNAVAILABLE,
        _ => READ_FAILED,
    }
}

/// Why there is no answer now.
fn unanswered(refusal: &Refusal, reads: &Reads, wanted: &Wanted, state: &State<'_>) -> String {
    let why = match (refusal.code, reads.is_listed) {
        (200, _) => "the answer has no values".to_owned(),
        (404, _) if is_unregistered(refusal) => refusal.message.clone(),
        (404, Some(false)) if wanted.group != RESOURCE => {
            format!("{}; no metric of this name is served", refusal.message)
        }
        (404, Some(true)) => {
            format!("{}; the metric is served, but there is no data for this", refusal.message)
        }
        _ => refusal.to_string(),
    };
    let said = state.active.filter(|_| refusal.is_forbidden()).map_or_else(String::new, |condition| {
        let reason = condition.reason.as_deref().unwrap_or_default();
        format!("; the HPA's last sync: ScalingActive {} ({reason})", condition.status)
    });
    format!("not answered: {why}{said}")
}

/// A number with what it is about.
fn spoken(number: &Number, wanted: &Wanted, state: &State<'_>) -> String {
    let value = number.value;
    match &wanted.reduce {
        Reduce::Mean | Reduce::Usage { .. } => format!("{value} per pod ({})", count(number.items, "pod")),
        Reduce::One | Reduce::Sum if wanted.is_per_replica => {
            match state.replicas.filter(|replicas| *replicas > 0) {
                Some(replicas) => {
                    let each = Quantity::from_milli(number.value.milli() / i64::from(replicas));
                    let pods = usize::try_from(replicas).unwrap_or_default();
                    format!("{value}, {each} per pod ({})", count(pods, "pod"))
                }
                None => value.to_string(),
            }
        }
        Reduce::One | Reduce::Sum => value.to_string(),
    }
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::assert_page_exists;
    use super::*;

    #[test]
    fn the_section_of_each_hint_exists() {
        for hint in [
            NO_RULE,
            NO_DATA,
            NOT_REGISTERED,
            UNAVAILABLE,
            FORBIDDEN,
            READ_FAILED,
            DIFFER,
            HPA,
            SCALE_FORBIDDEN,
        ] {
            assert_page_exists(hint.page);
        }
    }

    fn number(milli: i64) -> Number {
        Number { value: Quantity::from_milli(milli), items: 1 }
    }

    #[test]
    fn each_reason_has_its_own_hint() {
        let refusal = |code: u16, message: &str| Some(Err(Refusal { code, message: message.to_owned() }));
        let why = |make: fn(String) -> Unanswered| Some(Err(make(String::new())));
        for (now, configured, is_listed, expected) in [
            (Some(Ok(number(1))), None, None, (Outcome::Ok, None)),
            (Some(Ok(number(1000))), Some(Ok(number(1050))), None, (Outcome::Ok, None)),
            (Some(Ok(number(1000))), Some(Ok(number(2000))), None, (Outcome::Failed, Some(DIFFER))),
            (Some(Ok(number(1))), why(Unanswered::NoRule), None, (Outcome::Failed, Some(NO_RULE))),
            (Some(Ok(number(1))), why(Unanswered::NoData), None, (Outcome::Failed, Some(NO_DATA))),
            (Some(Ok(number(1))), why(Unanswered::Failed), None, (Outcome::Failed, Some(READ_FAILED))),
            (refusal(404, "no APIService serves a"), None, None, (Outcome::Failed, Some(NOT_REGISTERED))),
            (refusal(404, "not found"), None, Some(false), (Outcome::Failed, Some(NO_RULE))),
            (refusal(404, "not found"), None, Some(true), (Outcome::Failed, Some(NO_DATA))),
            (refusal(200, "no values"), Some(Ok(number(1))), None, (Outcome::Failed, Some(NO_DATA))),
            (refusal(403, "forbidden"), Some(Ok(number(1))), None, (Outcome::Skipped, Some(FORBIDDEN))),
            (
                refusal(503, "the server is currently unable to handle the request"),
                None,
                None,
                (Outcome::Failed, Some(UNAVAILABLE)),
            ),
            (refusal(503, "service unavailable"), None, None, (Outcome::Failed, Some(UNAVAILABLE))),
            (
                refusal(
                    503,
                    "error trying to reach service: dial tcp 10.0.0.1:443: connect: connection refused",
                ),
                None,
                None,
                (Outcome::Failed, Some(UNAVAILABLE)),
            ),
            (refusal(503, "prometheus"), None, None, (Outcome::Failed, Some(READ_FAILED))),
            (refusal(500, "prometheus"), None, None, (Outcome::Failed, Some(READ_FAILED))),
        ] {
            let reads = Reads { now, configured, is_listed };
            assert_eq!(outcome(&reads, &State::default()), expected, "{reads:?}");
        }
    }

    #[test]
    fn what_the_user_may_not_read_fails_if_the_hpa_could_not_read_it_either() {
        let forbidden = Refusal { code: 403, message: "no".to_owned() };
        let reads = Reads { now: Some(Err(forbidden)), ..Reads::default() };
        let inactive = HorizontalPodAutoscalerCondition {
            status: "False".to_owned(),
            ..HorizontalPodAutoscalerCondition::default()
        };
        let state = State { active: Some(&inactive), ..State::default() };
        assert_eq!(outcome(&reads, &state), (Outcome::Failed, Some(FORBIDDEN)));
    }
}
