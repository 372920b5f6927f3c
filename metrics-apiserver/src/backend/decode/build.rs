//! The response of `/api/v1/status/buildinfo`: which engine answers.

use serde::Deserialize;

use super::envelope::Envelope;
use super::error::DecodeError;
use crate::backend::annotations::Annotations;

/// The version that `VictoriaMetrics` reports, whatever its own is: Grafana goes by it.
const VICTORIA_METRICS_VERSION: &str = "2.24.0";

/// What evaluates the queries of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    /// `VictoriaMetrics`, single node or vmselect.
    VictoriaMetrics,
    /// Prometheus, or one of those that use its engine.
    Other,
}

#[derive(Deserialize)]
struct BuildInfo {
    #[serde(default)]
    version: String,
    /// Prometheus, Thanos, Mimir and Cortex say with what they were built; `VictoriaMetrics` does not.
    #[serde(rename = "goVersion")]
    go_version: Option<String>,
    revision: Option<String>,
    application: Option<String>,
}

/// The engine.
pub(crate) fn engine(body: &[u8]) -> Result<(Engine, Annotations), DecodeError> {
    let (data, annotations) = serde_json::from_slice::<Envelope<BuildInfo>>(body)?.open()?;
    let is_victoria_metrics = data.is_some_and(|BuildInfo { version, go_version, revision, application }| {
        let says_more =
            [go_version, revision, application].into_iter().flatten().any(|text| !text.is_empty());
        version == VICTORIA_METRICS_VERSION && !says_more
    });
    Ok((if is_victoria_metrics { Engine::VictoriaMetrics } else { Engine::Other }, annotations))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(data: &str) -> Option<Engine> {
        engine(format!(r#"{{"status":"success","data":{data}}}"#).as_bytes()).ok().map(|(engine, _)| engine)
    }

    #[test]
    fn victoria_metrics_is_told_by_a_version_and_nothing_else() {
        assert_eq!(of(r#"{"version":"2.24.0"}"#), Some(Engine::VictoriaMetrics), "v1.45 to v1.151");
        for other in [
            r#"{"version":"2.24.0","revision":"02e92236a8bad3503ff5eec3e04ac205a3b8e4fe","goVersion":"go1.15.6"}"#,
            r#"{"version":"3.9.1","revision":"a","branch":"HEAD","buildUser":"","goVersion":"go1.26"}"#,
            r#"{"application":"Grafana Mimir","version":"2.17.0","features":{"ruler_config_api":"true"}}"#,
            r#"{"version":""}"#,
            "{}",
        ] {
            assert_eq!(of(other), Some(Engine::Other), "{other}");
        }
        assert_eq!(of("[]"), None);
    }
}
