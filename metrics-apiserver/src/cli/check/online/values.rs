//! The number that the HPA controller makes of an answer.

use serde::Deserialize;
use std::collections::BTreeMap;

use super::wanted::Reduce;
use crate::metric::Quantity;

/// By how much two reads may differ: a metric moves between them, and within a tenth the HPA does nothing.
const TOLERANCE: f64 = 0.1;

/// A number, and of how many items it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Number {
    pub(super) value: Quantity,
    pub(super) items: usize,
}

/// The parts of `MetricValueList`, `ExternalMetricValueList` and `PodMetricsList` that count.
#[derive(Debug, Deserialize)]
struct List {
    items: Option<Vec<Item>>,
}

#[derive(Debug, Deserialize)]
struct Item {
    value: Option<String>,
    #[serde(default)]
    containers: Vec<Container>,
}

#[derive(Debug, Deserialize)]
struct Container {
    name: String,
    #[serde(default)]
    usage: BTreeMap<String, String>,
}

/// The number of an answer; `None` if it has no values.
pub(super) fn number(body: &[u8], reduce: &Reduce) -> Result<Option<Number>, String> {
    let list: List =
        serde_json::from_slice(body).map_err(|error| format!("the answer is no list of values: {error}"))?;
    let items = list.items.unwrap_or_default();
    let values = items.iter().filter_map(|item| value(item, reduce).transpose());
    let values: Vec<i64> = values.collect::<Result<_, String>>()?;
    let items = values.len();
    let Some(divisor) = i128::try_from(items).ok().filter(|items| *items > 0) else { return Ok(None) };
    if *reduce == Reduce::One && items > 1 {
        return Err(format!("the answer has {items} values, and the HPA controller takes exactly one"));
    }
    let sum: i128 = values.iter().copied().map(i128::from).sum();
    let milli = match reduce {
        Reduce::Mean | Reduce::Usage { .. } => sum / divisor,
        Reduce::One | Reduce::Sum => sum,
    };
    let milli = i64::try_from(milli).map_err(|_| "the sum of the values is out of range".to_owned())?;
    Ok(Some(Number { value: Quantity::from_milli(milli), items }))
}

/// The thousandths of an item; `None` if it has no value.
fn value(item: &Item, reduce: &Reduce) -> Result<Option<i64>, String> {
    let Reduce::Usage { resource, container } = reduce else {
        return item.value.as_deref().map(milli).transpose();
    };
    let is_wanted = |known: &&Container| container.as_ref().is_none_or(|wanted| *wanted == known.name);
    let usage = item.containers.iter().filter(is_wanted).filter_map(|known| known.usage.get(resource));
    let usage = usage.map(|text| milli(text)).collect::<Result<Vec<_>, _>>()?;
    Ok((!usage.is_empty()).then(|| usage.into_iter().fold(0, i64::saturating_add)))
}

fn milli(text: &str) -> Result<i64, String> {
    text.parse::<Quantity>().map(Quantity::milli).map_err(|error| error.to_string())
}

/// The second number divided by the first; `None` if there is no ratio.
#[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
pub(super) fn ratio(first: Quantity, second: Quantity) -> Option<f64> {
    match (first.milli(), second.milli()) {
        (0, 0) => Some(1.0),
        (0, _) => None,
        (first, second) => Some((second as f64 / first as f64 * 1000.0).round() / 1000.0),
    }
}

/// Whether two numbers are the same to an HPA.
#[expect(clippy::cast_precision_loss, reason = "a tolerance")]
pub(super) fn agree(first: Quantity, second: Quantity) -> bool {
    let (first, second) = (first.milli() as f64, second.milli() as f64);
    (first - second).abs() <= TOLERANCE * first.abs().max(second.abs())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn found(items: &Value, reduce: &Reduce) -> Option<(String, usize)> {
        let list = json!({"kind": "List", "items": items}).to_string();
        let number = number(list.as_bytes(), reduce).unwrap()?;
        Some((number.value.to_string(), number.items))
    }

    #[test]
    fn a_list_is_one_number_as_for_the_controller() {
        let items = json!([{"value": "1500m"}, {"value": "2"}]);
        assert_eq!(found(&items, &Reduce::Mean), Some(("1750m".to_owned(), 2)));
        assert_eq!(found(&items, &Reduce::Sum), Some(("3500m".to_owned(), 2)));
        assert_eq!(found(&json!([{"value": "7"}]), &Reduce::One), Some(("7".to_owned(), 1)));
        for nothing in [json!([]), Value::Null] {
            assert_eq!(found(&nothing, &Reduce::Sum), None);
        }
    }

    #[test]
    fn usage_is_added_up_in_a_pod_and_averaged_over_pods() {
        let pod = |first: &str, second: &str| {
            json!({"containers": [{"name": "web", "usage": {"cpu": first, "memory": "64Mi"}},
                {"name": "proxy", "usage": {"cpu": second}}]})
        };
        let pods = json!([pod("100m", "50m"), pod("300m", "150m")]);
        let usage = |resource: &str, container: Option<&str>| Reduce::Usage {
            resource: resource.to_owned(),
            container: container.map(str::to_owned),
        };
        assert_eq!(found(&pods, &usage("cpu", None)), Some(("300m".to_owned(), 2)));
        assert_eq!(found(&pods, &usage("cpu", Some("web"))), Some(("200m".to_owned(), 2)));
        assert_eq!(found(&pods, &usage("cpu", Some("none"))), None);
        assert_eq!(found(&pods, &usage("memory", None)), Some(("67108864".to_owned(), 2)));
    }

    #[test]
    fn an_answer_that_is_no_list_or_has_no_numbers_is_an_error() {
        for body in ["", "[]", "{\"items\": [{\"value\": \"much\"}]}", "{\"items\": [{\"value\": 7}]}"] {
            assert!(number(body.as_bytes(), &Reduce::Sum).is_err(), "{body}");
        }
    }

    #[test]
    fn the_answer_for_one_object_has_one_item() {
        let two = json!({"items": [{"value": "1"}, {"value": "5"}]}).to_string();
        let error = number(two.as_bytes(), &Reduce::One).unwrap_err();
        assert_eq!(error, "the answer has 2 values, and the HPA controller takes exactly one");
    }

    #[test]
    fn numbers_agree_within_a_tenth() {
        let of = Quantity::from_milli;
        for (first, second, expected, quotient) in [
            (0, 0, true, Some(1.0)),
            (1000, 1000, true, Some(1.0)),
            (1000, 1100, true, Some(1.1)),
            (1000, 1200, false, Some(1.2)),
            (1000, 0, false, Some(0.0)),
            (0, 1000, false, None),
            (-1000, 1000, false, Some(-1.0)),
        ] {
            assert_eq!((agree(of(first), of(second)), ratio(of(first), of(second))), (expected, quotient));
        }
    }
}
