use super::*;

impl Policies {
    /// The same policies with another fallback for one situation.
    #[must_use]
    pub(crate) fn with(mut self, situation: Situation, fallback: Fallback) -> Self {
        self.fallbacks[situation as usize] = fallback;
        self
    }
}

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn samples(values: &[f64]) -> Vec<Sample> {
    let at = Timestamp::from_second(1_700_000_000).unwrap();
    let labels = |index: usize| {
        let pod = format!("p{index}");
        [("pod", &pod)].into_iter().collect()
    };
    let sample =
        |(index, value): (usize, &f64)| Sample { labels: labels(index), value: *value, timestamp: at };
    values.iter().enumerate().map(sample).collect()
}

/// The values, and why the rule's own are among them.
fn settle(policies: &Policies, values: &[f64]) -> Result<(Vec<Value>, Vec<ValueError>), ValueError> {
    let mut replaced = Vec::new();
    let values = policies.settle(&samples(values), NOW, &mut replaced)?;
    Ok((values, replaced))
}

fn milli(policies: &Policies, values: &[f64]) -> Result<Vec<i64>, ValueError> {
    let (values, _) = settle(policies, values)?;
    Ok(values.iter().map(|value| value.quantity.milli()).collect())
}

fn seven() -> Fallback {
    Fallback::Value(Quantity::from_milli(7000))
}

#[test]
fn every_unusable_result_is_an_error_by_default() {
    let policies = Policies::default();
    for (values, error) in [
        (&[][..], ValueError::NoData),
        (&[1.0, 2.0], ValueError::SeveralSeries { count: 2 }),
        (&[f64::NAN], ValueError::NotANumber),
        (&[f64::INFINITY], ValueError::Infinite("+Inf")),
        (&[f64::NEG_INFINITY], ValueError::Infinite("-Inf")),
        (&[1e30], ValueError::TooLarge),
        (&[-1.5], ValueError::Negative(Quantity::from_milli(-1500))),
    ] {
        assert_eq!(milli(&policies, values), Err(error), "{values:?}");
    }
    assert_eq!(milli(&policies, &[2.5]), Ok(vec![2500]));
}

#[test]
fn an_error_names_the_key_to_set() {
    for (error, hint) in [
        (ValueError::NoData, "onNoData"),
        (ValueError::SeveralSeries { count: 2 }, "set result"),
        (ValueError::NotANumber, "onNaN"),
        (ValueError::Infinite("+Inf"), "onInfinite"),
        (ValueError::TooLarge, "onInfinite"),
        (ValueError::Negative(Quantity::from_milli(-1)), "allowNegative"),
    ] {
        assert!(error.to_string().contains(hint), "{error}");
    }
}

#[test]
fn a_fallback_applies_in_its_own_situation_only() {
    let on_no_data = Policies::default().with(Situation::NoData, seven());
    assert_eq!(milli(&on_no_data, &[]), Ok(vec![7000]));
    assert_eq!(milli(&on_no_data, &[f64::NAN]), Err(ValueError::NotANumber));
    let on_nan = Policies::default().with(Situation::Nan, seven());
    assert_eq!(milli(&on_nan, &[f64::NAN]), Ok(vec![7000]));
    assert_eq!(milli(&on_nan, &[f64::INFINITY]), Err(ValueError::Infinite("+Inf")));
    let on_infinite = Policies::default().with(Situation::Infinite, seven());
    assert_eq!(milli(&on_infinite, &[f64::NEG_INFINITY]), Ok(vec![7000]));
    assert_eq!(milli(&on_infinite, &[1e16]), Ok(vec![7000]));
    assert_eq!(milli(&on_infinite, &[]), Err(ValueError::NoData));
    let on_failure = Policies::default().with(Situation::Failure, seven());
    assert_eq!(milli(&on_failure, &[]), Err(ValueError::NoData));
}

#[test]
fn a_value_without_a_sample_has_no_labels_and_the_time_of_the_read() {
    let policies = Policies::default().with(Situation::NoData, seven());
    let expected = Value { quantity: Quantity::from_milli(7000), labels: Labels::new(), timestamp: NOW };
    assert_eq!(settle(&policies, &[]), Ok((vec![expected], vec![ValueError::NoData])));
}

#[test]
fn series_are_combined_as_the_rule_says() {
    let combined =
        |result, values| milli(&Policies { result, allow_negative: true, ..Policies::default() }, values);
    assert_eq!(combined(Combine::Items, &[1.0, 2.0]), Ok(vec![1000, 2000]));
    assert_eq!(combined(Combine::Sum, &[1.0, 2.5]), Ok(vec![3500]));
    assert_eq!(combined(Combine::Avg, &[1.0, 2.0]), Ok(vec![1500]));
    assert_eq!(combined(Combine::Min, &[3.0, -2.0]), Ok(vec![-2000]));
    assert_eq!(combined(Combine::Max, &[3.0, -2.0]), Ok(vec![3000]));
    assert_eq!(combined(Combine::Sum, &[0.0004, 0.0006]), Ok(vec![1]), "added before anything is cut off");
    assert_eq!(combined(Combine::Sum, &[]), Err(ValueError::NoData));
    for result in [Combine::Items, Combine::Sum, Combine::Avg, Combine::Min, Combine::Max] {
        assert_eq!(combined(result, &[1.0, f64::NAN, 2.0]), Err(ValueError::NotANumber), "{result:?}");
    }
    assert_eq!(combined(Combine::Sum, &[f64::INFINITY, f64::NEG_INFINITY]), Err(ValueError::NotANumber));
}

#[test]
fn a_sum_that_overflows_is_too_large_and_not_infinite() {
    for result in [Combine::Sum, Combine::Avg] {
        let policies = Policies { result, ..Policies::default() };
        for large in [1e308, -1e308] {
            assert_eq!(milli(&policies, &[large, large]), Err(ValueError::TooLarge), "{result:?}");
        }
        assert_eq!(milli(&policies, &[f64::INFINITY, 1e308]), Err(ValueError::Infinite("+Inf")));
        let policies = policies.with(Situation::Infinite, seven());
        assert_eq!(milli(&policies, &[1e308, 1e308]), Ok(vec![7000]), "{result:?}");
    }
}

#[test]
fn items_keep_their_labels() {
    let policies = Policies { result: Combine::Items, ..Policies::default() }.with(Situation::Nan, seven());
    let (values, replaced) = settle(&policies, &[1.0, f64::NAN, f64::NAN]).unwrap();
    assert_eq!(values[1].labels, [("pod", "p1")].into_iter().collect());
    assert_eq!(values[1].quantity.milli(), 7000, "only the bad item is replaced");
    assert_eq!(values[1].timestamp.as_second(), 1_700_000_000);
    assert_eq!(replaced, [ValueError::NotANumber], "one cause for each situation");
}

#[test]
fn items_whose_sum_overflows_in_the_hpa_are_too_large() {
    let policies = Policies { result: Combine::Items, ..Policies::default() };
    assert_eq!(milli(&policies, &[9e15, 9e15]), Err(ValueError::TooLarge));
    let policies = policies.with(Situation::Infinite, seven());
    assert_eq!(milli(&policies, &[9e15, 9e15]), Ok(vec![7000]));
}

#[test]
fn no_partial_sum_of_items_is_below_zero_unless_the_total_is() {
    let policies = Policies { result: Combine::Items, allow_negative: true, ..Policies::default() };
    assert_eq!(milli(&policies, &[-5.0, 10.0]), Ok(vec![10_000, -5000]));
    assert_eq!(milli(&policies, &[-1.0, 3.0, -9.0, 4.0]), Ok(vec![4000, 3000, -1000, -9000]));
    assert_eq!(milli(&policies, &[1.0, 3.0, 2.0]), Ok(vec![1000, 3000, 2000]), "as Prometheus has them");
    assert_eq!(
        milli(&policies, &[9e15, -9e15, 9e15]),
        Err(ValueError::TooLarge),
        "a partial sum overflows in the HPA"
    );
    let (values, _) = settle(&policies, &[-5.0, 10.0]).unwrap();
    assert_eq!(values[0].labels, [("pod", "p1")].into_iter().collect());
}

#[test]
fn a_negative_value_is_served_only_if_the_rule_allows_it() {
    let policies = Policies { allow_negative: true, ..Policies::default() };
    assert_eq!(milli(&policies, &[-1.5]), Ok(vec![-1500]));
    let below = Fallback::Value(Quantity::from_milli(-1));
    let policies = Policies::default().with(Situation::NoData, below);
    assert!(matches!(milli(&policies, &[]), Err(ValueError::Negative(_))));
    assert_eq!(milli(&Policies::default(), &[-1e-17]), Ok(vec![0]), "noise of a subtraction is zero");
}

/// A group of samples in each situation; none where the cause is not in the samples.
fn cause_of(situation: Situation) -> Option<(Vec<f64>, ValueError)> {
    match situation {
        Situation::NoData => Some((vec![], ValueError::NoData)),
        Situation::Nan => Some((vec![f64::NAN], ValueError::NotANumber)),
        Situation::Infinite => Some((vec![f64::INFINITY], ValueError::Infinite("+Inf"))),
        Situation::Failure => None,
    }
}

#[test]
fn no_situation_is_missing_from_a_table_of_fallbacks() {
    let hold = Fallback::Hold { longest: Duration::from_secs(60), then: Some(Quantity::from_milli(7000)) };
    for (index, situation) in Situation::ALL.into_iter().enumerate() {
        assert_eq!(situation as usize, index);
        let holding = Policies::default().with(situation, hold);
        assert!(holding.hold(), "{situation:?}");
        assert_eq!(holding.after_hold(), Policies::default().with(situation, seven()), "{situation:?}");
        if let Some((values, error)) = cause_of(situation) {
            assert_eq!(error.situation(), Some(situation));
            assert_eq!(milli(&holding, &values), Err(error.clone()), "a hold is not a value");
            assert_eq!(milli(&holding.after_hold(), &values), Ok(vec![7000]), "{situation:?}");
            assert_eq!(holding.after_hold().measured(&samples(&values)), Err(error), "{situation:?}");
        }
    }
    assert!(!Policies::default().hold());
}

#[test]
fn an_adapter_rule_serves_the_last_series_and_negative_values_but_no_number_that_is_none() {
    let policies = Policies::adapter();
    assert_eq!(milli(&policies, &[1.0, f64::NAN, -2.5]), Ok(vec![-2500]));
    assert_eq!(milli(&policies, &[1.0, f64::NAN]), Err(ValueError::NotANumber));
    assert_eq!(milli(&policies, &[]), Err(ValueError::NoData));
    let external = Policies::adapter_external();
    assert_eq!(milli(&external, &[1.0, -2.5]), Ok(vec![1000, -2500]));
    for policies in [policies, external] {
        assert_eq!(milli(&policies, &[f64::NAN]), Err(ValueError::NotANumber));
        assert_eq!(milli(&policies, &[f64::NEG_INFINITY]), Err(ValueError::Infinite("-Inf")));
        assert_eq!(milli(&policies, &[1e16]), Err(ValueError::TooLarge));
    }
}

#[test]
fn an_external_adapter_rule_without_data_has_no_items_and_they_count_as_measured() {
    let external = Policies::adapter_external();
    assert_eq!(settle(&external, &[]), Ok((vec![], vec![])));
    assert_eq!(external.measured(&[]), Ok(vec![]));
    assert!(!external.hold());
    assert_eq!(external.after_hold(), external);
}

#[test]
fn only_no_data_can_be_empty() {
    for situation in Situation::ALL {
        let policies = Policies::default().with(situation, Fallback::Empty);
        if let Some((values, error)) = cause_of(situation) {
            let expected = if situation == Situation::NoData { Ok(vec![]) } else { Err(error) };
            assert_eq!(milli(&policies, &values), expected, "{situation:?}");
            assert_eq!(policies.measured(&samples(&values)).map(|values| values.len()), expected.map(|_| 0));
        }
    }
}
