//! What should be changed for a backend with a certain engine.
//!
//! `VictoriaMetrics` evaluates an instant query 30 s in the past (`-search.latencyOffset`) and reports the samples as
//! of now, so that the age of a reading is understated by as much. The parameters `latency_offset` and `nocache` change
//! that (its `app/vmselect/prometheus/prometheus.go`, `queryHandler`).

use super::decode::Engine;
use super::options::Options;

/// Either of them makes `VictoriaMetrics` evaluate queries at another time than 30 s ago.
const CURES: [&str; 2] = ["latency_offset", "nocache"];

/// What should be changed for a backend with this engine.
pub(super) fn advice(engine: &Engine, options: &Options) -> Option<&'static str> {
    let has_cure = || options.parameters.iter().any(|(name, _)| CURES.contains(&name.as_str()));
    (engine.is_victoria_metrics() && !has_cure()).then_some(
        "VictoriaMetrics evaluates queries 30 s in the past (-search.latencyOffset): values are that much older than \
         maxAge allows; set `queryParameters: {latency_offset: 1s}` for this backend",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::NamespacedText;

    #[test]
    fn victoria_metrics_without_the_parameter_is_warned_about_and_nothing_else() {
        let with = |name: &str| Options {
            parameters: vec![(name.to_owned(), NamespacedText::literal("1s"))],
            ..Options::new(Vec::new())
        };
        let engine = |name: &str| Engine { name: name.to_owned(), version: "2.24.0".to_owned() };
        let advice = |name: &str, parameter: &str| advice(&engine(name), &with(parameter));
        assert!(advice("VictoriaMetrics", "dedup").is_some_and(|it| it.contains("latency_offset: 1s")));
        assert_eq!(advice("VictoriaMetrics", "latency_offset"), None);
        assert_eq!(advice("VictoriaMetrics", "nocache"), None);
        assert_eq!(advice("Prometheus", "dedup"), None);
    }
}
