//! What the decoders make of any bytes.

use serde_json::Value;

use super::decode::{self, DecodeError, SAMPLES_MAX, SeriesSummary};
use crate::metric::Sample;
use crate::rules::{Combine, Policies};

/// A response: what it decodes to is bounded by its own size, is what a plain JSON tree of it says, and becomes no
/// negative number.
pub fn response(data: &[u8]) {
    series(data);
    let failure = decode::failure(data);
    match decode::vector(data) {
        Ok((samples, _)) => {
            assert_eq!(failure, None);
            is_bounded(&samples, data.len());
            agrees(&samples, data);
            becomes_values(&samples);
        }
        Err(DecodeError::Failure(found)) => assert_eq!(Some(found), failure),
        Err(_) => {}
    }
}

/// The same body as one of series.
fn series(data: &[u8]) {
    if let Ok((SeriesSummary { metrics, .. }, _)) = decode::series(data) {
        let sets = metrics.values().flatten();
        let bytes: usize = sets.flat_map(|names| names.iter()).map(|name| name.len()).sum();
        assert!(bytes <= data.len(), "{bytes} bytes of label names from {}", data.len());
    }
}

fn is_bounded(samples: &[Sample], length: usize) {
    assert!(samples.len() <= SAMPLES_MAX);
    let labels = samples.iter().flat_map(|sample| sample.labels.iter());
    let bytes: usize = labels.map(|(name, value)| name.len() + value.len()).sum();
    assert!(bytes <= length, "{bytes} bytes of labels from {length}");
}

/// Compares with a second decoder. Series written as lists, which our decoder reads as well, are skipped.
fn agrees(samples: &[Sample], data: &[u8]) {
    let Ok(tree) = serde_json::from_slice::<Value>(data) else { return };
    assert_eq!(tree.get("status").and_then(Value::as_str), Some("success"));
    let number = |point: &Value| point.get(1)?.as_str()?.parse::<f64>().ok().map(f64::to_bits);
    let Some(inner) = tree.get("data").filter(|data| data.is_object()) else { return };
    let (Some(kind), Some(Value::Array(result))) = (inner.get("resultType"), inner.get("result")) else {
        return;
    };
    if kind == "scalar" {
        let values: Vec<_> = samples.iter().map(|sample| Some(sample.value.to_bits())).collect();
        assert_eq!(values, [inner.get("result").and_then(number)]);
        return;
    }
    assert_eq!(samples.len(), result.len());
    for (sample, series) in samples.iter().zip(result) {
        let Some(Value::Object(labels)) = series.get("metric").cloned() else { continue };
        assert_eq!(series.get("value").and_then(number), Some(sample.value.to_bits()));
        assert_eq!(labels.len(), sample.labels.iter().len());
        for (name, value) in &labels {
            assert_eq!(value.as_str(), sample.labels.get(name), "{name:?}");
        }
    }
}

fn becomes_values(samples: &[Sample]) {
    for result in [
        Combine::Single,
        Combine::Items,
        Combine::Last,
        Combine::Sum,
        Combine::Avg,
        Combine::Min,
        Combine::Max,
    ] {
        let policies = Policies { result, ..Policies::default() };
        if let Ok(values) = policies.measured(samples) {
            assert!((1..=samples.len()).contains(&values.len()), "{result:?}");
            assert!(values.iter().all(|value| !value.quantity.is_negative()), "{result:?}");
        }
    }
}
