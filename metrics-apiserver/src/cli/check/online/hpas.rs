//! The HPAs of the cluster, and whether the metrics that they read are answered.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use k8s_openapi::api::autoscaling::v2::{HorizontalPodAutoscaler, HorizontalPodAutoscalerCondition};
use kube::api::ListParams;
use kube::{Api, Client};
use serde::Deserialize;
use tokio::time::Instant;

use super::apis::Apis;
use super::judge::{Judged, Reads, State, judge};
use super::local::{Local, Unanswered};
use super::raw::{Refusal, get, within};
use super::report::Report;
use super::values::{Number, number};
use super::wanted::{Context, Wanted, resource};
use crate::metric::Resources;

/// HPAs that are checked. A cluster with more has other means.
const HPAS_MAX: usize = 2000;
/// HPAs in one page of the list.
const PAGE: u32 = 250;
/// HPAs that are looked at together: a check must not be a load.
const AT_ONCE: usize = 4;
/// For the metrics of all HPAs. An API that does not answer takes the time limit of each read.
const TIME_MAX: Duration = Duration::from_secs(180);

/// What is needed to look at an HPA.
pub(super) struct Hpas<'a> {
    pub(super) client: &'a Client,
    pub(super) apis: &'a Apis,
    pub(super) resources: &'a Resources,
    /// What the configuration would answer, if there is one.
    pub(super) local: Option<&'a Local>,
    /// The groups whose metrics are read.
    pub(super) groups: &'a [&'static str],
    /// The groups that the configuration serves.
    pub(super) served: &'a [&'static str],
}

/// The scale of a workload.
#[derive(Debug, Deserialize)]
struct Scale {
    #[serde(default)]
    status: ScaleStatus,
}

#[derive(Debug, Default, Deserialize)]
struct ScaleStatus {
    #[serde(default)]
    selector: String,
}

/// What came of one metric.
struct Line {
    name: String,
    judged: Judged,
}

impl Hpas<'_> {
    /// Checks all HPAs.
    pub(super) async fn check(&self, report: &mut Report) {
        let hpas = match self.list().await {
            Ok(hpas) => hpas,
            Err(refusal) => {
                let detail = format!("the HPAs cannot be listed: {refusal}");
                let fix = "grant `list` on horizontalpodautoscalers.autoscaling in all namespaces";
                return report.failed("hpas", &detail, fix);
            }
        };
        let until = Instant::now() + TIME_MAX;
        let lines = stream::iter(&hpas).map(|hpa| self.of_hpa(hpa, until)).buffered(AT_ONCE);
        let lines: Vec<Line> = lines.flat_map(stream::iter).collect().await;
        let others =
            hpas.iter().flat_map(|hpa| hpa.spec.iter().flat_map(|spec| spec.metrics.iter().flatten()));
        let others = others.count().saturating_sub(lines.len());
        let others = if others > 0 { format!(", {others} of other APIs") } else { String::new() };
        let is_all = hpas.len() < HPAS_MAX;
        let rest = if is_all { String::new() } else { format!("; only {HPAS_MAX} HPAs are checked") };
        let detail = format!("{} HPAs, {} metrics that are checked{others}{rest}", hpas.len(), lines.len());
        report.ok("hpas", &detail);
        for Line { name, judged: Judged { outcome, detail, hint, hpa } } in lines {
            report.hpa(&name, outcome, &detail, hint, hpa);
        }
    }

    async fn list(&self) -> Result<Vec<HorizontalPodAutoscaler>, Refusal> {
        let api = Api::<HorizontalPodAutoscaler>::all(self.client.clone());
        let (mut hpas, mut wanted) = (Vec::new(), ListParams::default().limit(PAGE));
        loop {
            let page = within(api.list(&wanted)).await?;
            hpas.extend(page.items);
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) if hpas.len() < HPAS_MAX => wanted = wanted.continue_token(&token),
                _ => break,
            }
        }
        hpas.truncate(HPAS_MAX);
        Ok(hpas)
    }

    async fn of_hpa(&self, hpa: &HorizontalPodAutoscaler, until: Instant) -> Vec<Line> {
        let namespace = hpa.metadata.namespace.as_deref().unwrap_or_default();
        let name = hpa.metadata.name.as_deref().unwrap_or_default();
        let Some(spec) = &hpa.spec else { return Vec::new() };
        let metrics = spec.metrics.iter().flatten().enumerate();
        let metrics: Vec<_> =
            metrics.filter(|(_, metric)| self.groups.contains(&group_of(&metric.type_))).collect();
        let needs_pods = metrics
            .iter()
            .any(|(_, metric)| matches!(metric.type_.as_str(), "Pods" | "Resource" | "ContainerResource"));
        let pods = if needs_pods { self.pods(namespace, hpa).await } else { Ok(String::new()) };
        let context = Context { namespace, pods: &pods, resources: self.resources };
        let mut lines = Vec::new();
        let replicas = hpa.status.as_ref().and_then(|status| status.current_replicas);
        let state = State { replicas, active: condition(hpa) };
        for (index, metric) in metrics {
            let wanted = Wanted::of(metric, &context);
            let reads = match &wanted {
                Ok(wanted) if Instant::now() < until && !state.is_disabled() => self.reads(wanted).await,
                _ => Reads::default(),
            };
            let mut judged = judge(metric, wanted.as_ref(), &reads, &state);
            (judged.hpa.namespace, judged.hpa.hpa) = (namespace.to_owned(), name.to_owned());
            lines.push(Line { name: format!("hpas.{namespace}.{name}.metrics[{index}]"), judged });
        }
        lines
    }

    /// The selector of the pods that an HPA scales.
    async fn pods(&self, namespace: &str, hpa: &HorizontalPodAutoscaler) -> Result<String, Refusal> {
        let target = hpa.spec.as_ref().map(|spec| &spec.scale_target_ref);
        let target = target.ok_or_else(|| Refusal::without_answer("it has no target"))?;
        let full = resource(target, self.resources)?;
        let resource = full.split_once('.').map_or(full.as_str(), |(resource, _)| resource);
        let version = target.api_version.as_deref().unwrap_or("v1");
        let root = if version.contains('/') { "apis" } else { "api" };
        let path = format!("/{root}/{version}/namespaces/{namespace}/{resource}/{}/scale", target.name);
        let what = format!("the scale of {} {}", target.kind, target.name);
        let body = get(self.client, &path).await.map_err(|Refusal { code, message }| Refusal {
            code,
            message: format!("{what} cannot be read: {message}"),
        })?;
        let scale: Scale = serde_json::from_slice(&body)
            .map_err(|error| Refusal::without_answer(format_args!("{what} is not valid: {error}")))?;
        let selector = scale.status.selector;
        if selector.is_empty() {
            return Err(Refusal::without_answer(format_args!("{what} has no selector")));
        }
        Ok(selector)
    }

    /// Both numbers, read at the same time.
    async fn reads(&self, wanted: &Wanted) -> Reads {
        let local = self.local.filter(|_| self.served.contains(&wanted.group));
        let configured = async {
            let read = local?.read(wanted).await;
            let found = read.and_then(|body| {
                number(&body, &wanted.reduce)
                    .map_err(Unanswered::Failed)?
                    .ok_or_else(|| Unanswered::NoData("the rule finds no data".to_owned()))
            });
            Some(found)
        };
        let (now, configured) = tokio::join!(self.now(wanted), configured);
        Reads { now: Some(now), configured, is_listed: self.apis.lists(wanted) }
    }

    /// What the HPA controller would read.
    async fn now(&self, wanted: &Wanted) -> Result<Number, Refusal> {
        let path = wanted.path(self.apis.version(wanted)?);
        let body = get(self.client, &path).await?;
        let found = number(&body, &wanted.reduce).map_err(Refusal::without_answer)?;
        found.ok_or_else(|| Refusal { code: 200, message: "no values".to_owned() })
    }
}

/// The group that a type of metric is read from.
fn group_of(kind: &str) -> &'static str {
    use super::wanted::{CUSTOM, EXTERNAL, RESOURCE};
    match kind {
        "Pods" | "Object" => CUSTOM,
        "External" => EXTERNAL,
        _ => RESOURCE,
    }
}

/// What the controller says about its last sync.
fn condition(hpa: &HorizontalPodAutoscaler) -> Option<&HorizontalPodAutoscalerCondition> {
    let conditions = hpa.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == "ScalingActive")
}
