//! The response of `/api/v1/status/buildinfo`: which engine answers.

use serde::Deserialize;

use super::envelope::Envelope;
use super::error::DecodeError;
use crate::backend::annotations::Annotations;

/// The version that `VictoriaMetrics` reports, whatever its own is: Grafana goes by it.
const VICTORIA_METRICS_VERSION: &str = "2.24.0";

/// What evaluates the queries of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engine {
    /// The product, as far as the response tells.
    pub name: String,
    /// The version as it says it; may be empty.
    pub version: String,
}

const VICTORIA_METRICS: &str = "VictoriaMetrics";

impl Engine {
    /// Whether it is `VictoriaMetrics`, single node or vmselect.
    pub(crate) fn is_victoria_metrics(&self) -> bool {
        self.name == VICTORIA_METRICS
    }
}

#[derive(Default, Deserialize)]
struct BuildInfo {
    #[serde(default)]
    version: String,
    /// Prometheus, Thanos, Mimir and Cortex say with what they were built; `VictoriaMetrics` does not.
    #[serde(rename = "goVersion")]
    go_version: Option<String>,
    revision: Option<String>,
    application: Option<String>,
}

impl BuildInfo {
    /// Mimir names itself. Prometheus, Thanos and Cortex answer with the same fields: versions of Thanos begin with 0,
    /// those of Cortex with 1, and Prometheus answers from 2.14 on.
    fn name(&self) -> &str {
        let given = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
        match &self.application {
            Some(name) if !name.is_empty() => name,
            _ if !given(&self.go_version) && !given(&self.revision) => match &*self.version {
                VICTORIA_METRICS_VERSION => VICTORIA_METRICS,
                _ => "an engine that does not say what it is",
            },
            _ if self.version.starts_with("0.") => "Thanos",
            _ if self.version.starts_with("1.") => "Cortex",
            _ => "Prometheus",
        }
    }
}

/// The engine.
pub(crate) fn engine(body: &[u8]) -> Result<(Engine, Annotations), DecodeError> {
    let (data, annotations) = serde_json::from_slice::<Envelope<BuildInfo>>(body)?.open()?;
    let data: BuildInfo = data.unwrap_or_default();
    Ok((Engine { name: data.name().to_owned(), version: data.version }, annotations))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(data: &str) -> Option<String> {
        let body = format!(r#"{{"status":"success","data":{data}}}"#);
        engine(body.as_bytes()).ok().map(|(engine, _)| engine.name)
    }

    #[test]
    fn engines_are_told_apart_by_what_they_say() {
        for (data, expected) in [
            // v1.45 to v1.151.
            (r#"{"version":"2.24.0"}"#, VICTORIA_METRICS),
            (r#"{"version":"2.24.0","revision":"02e92236","goVersion":"go1.15.6"}"#, "Prometheus"),
            (
                r#"{"version":"3.9.1","revision":"a","branch":"HEAD","buildUser":"","goVersion":"go1.26"}"#,
                "Prometheus",
            ),
            (r#"{"version":"0.39.2","revision":"a","goVersion":"go1.24"}"#, "Thanos"),
            (
                r#"{"application":"Grafana Mimir","version":"2.17.0","features":{"a":"true"}}"#,
                "Grafana Mimir",
            ),
            (r#"{"version":""}"#, "an engine that does not say what it is"),
            ("{}", "an engine that does not say what it is"),
        ] {
            assert_eq!(of(data).as_deref(), Some(expected), "{data}");
        }
        assert_eq!(of("[]"), None);
    }
}
