//! Held values and partial answers, on a paused clock. A reading may be 10 s old, a held one a minute more.

use tokio::time::advance;

use super::*;
use crate::api::{Error, Status};
use crate::rules::{Combine, Partial};

const SECOND: Duration = Duration::from_secs(1);
const HOLD: Fallback = Fallback::Hold { longest: Duration::from_secs(60), then: None };

fn then(value: i64) -> Fallback {
    Fallback::Hold { longest: Duration::from_secs(60), then: Some(Quantity::from_milli(value * 1000)) }
}

/// The same fallback in every situation.
fn all(fallback: Fallback) -> Policies {
    Policies { fallbacks: [fallback; Situation::COUNT], ..Policies::default() }
}

impl Fixture {
    fn by(policies: Policies) -> Self {
        Self::with(Ok(vec![5.0]), Duration::ZERO, vec![named("m", policies)])
    }

    /// The answer in thousandths, or the error.
    async fn milli(&self, metric: &str) -> Result<Vec<i64>, String> {
        let answer = self.ask(metric, "").await.map_err(|error| error.to_string())?;
        Ok(answer.values.iter().map(|value| value.quantity.milli()).collect())
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_held_until_max_age_and_hold_are_over_and_no_longer() {
    let fixture = Fixture::by(all(HOLD));
    assert_eq!(fixture.milli("m").await, Ok(vec![5000]));
    fixture.says(Err(refused()));
    for _ in 0..7 {
        advance(10 * SECOND).await;
        let answer = fixture.ask("m", "").await.unwrap();
        assert_eq!(answer.values[0].quantity.milli(), 5000);
        assert_eq!(answer.values[0].timestamp, Timestamp::UNIX_EPOCH, "the reading's own time");
    }
    advance(Duration::from_millis(1)).await;
    let error = fixture.ask("m", "").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "metric `m`: prometheus refused the query; see the server log; \
         hold expired: no valid sample in the last 1m 10s"
    );
    let inner =
        AnswerError::Read { metric: MetricName::parse("m").unwrap(), source: ReadError::Query(refused()) };
    let code = |error: AnswerError| Status::from(&Error::Answer(error)).code();
    assert_eq!(code(error), code(inner), "the code is that of the current error");
}

#[tokio::test(start_paused = true)]
async fn every_situation_can_be_held_and_ends_with_the_first_good_reading() {
    let causes = [Ok(vec![]), Ok(vec![f64::NAN]), Ok(vec![f64::INFINITY]), Ok(vec![1e30]), Err(refused())];
    for failure in causes {
        let fixture = Fixture::by(all(HOLD));
        assert_eq!(fixture.milli("m").await, Ok(vec![5000]));
        advance(11 * SECOND).await;
        fixture.says(failure.clone());
        assert_eq!(fixture.milli("m").await, Ok(vec![5000]), "{failure:?}");
        advance(11 * SECOND).await;
        fixture.says(Ok(vec![6.0]));
        assert_eq!(fixture.milli("m").await, Ok(vec![6000]), "{failure:?}");
        advance(61 * SECOND).await;
        fixture.says(failure);
        assert_eq!(fixture.milli("m").await, Ok(vec![6000]), "the newest good reading is held");
    }
}

#[tokio::test(start_paused = true)]
async fn a_situation_that_the_rule_does_not_hold_is_an_error() {
    let fixture = Fixture::by(Policies::default().with(Situation::Nan, HOLD));
    assert_eq!(fixture.milli("m").await, Ok(vec![5000]));
    for failure in [Ok(vec![]), Ok(vec![f64::INFINITY]), Ok(vec![-1.0]), Ok(vec![1.0, 2.0]), Err(refused())] {
        advance(11 * SECOND).await;
        fixture.says(failure.clone());
        fixture.milli("m").await.expect_err(&format!("{failure:?}"));
    }
    advance(11 * SECOND).await;
    fixture.says(Ok(vec![f64::NAN]));
    assert_eq!(fixture.milli("m").await, Ok(vec![5000]));
}

#[tokio::test(start_paused = true)]
async fn once_the_hold_is_over_the_value_that_follows_is_served() {
    let fixture = Fixture::by(all(then(9)));
    fixture.says(Err(refused()));
    assert_eq!(fixture.milli("m").await, Ok(vec![9000]), "there is nothing to hold yet");
    advance(5 * SECOND).await;
    fixture.says(Ok(vec![5.0]));
    assert_eq!(fixture.milli("m").await, Ok(vec![5000]));
    for failure in [Ok(vec![f64::NAN]), Err(refused())] {
        fixture.says(failure);
        advance(11 * SECOND).await;
        assert_eq!(fixture.milli("m").await, Ok(vec![5000]));
    }
    advance(60 * SECOND).await;
    assert_eq!(fixture.milli("m").await, Ok(vec![9000]));
    fixture.says(Ok(vec![f64::NAN]));
    assert_eq!(fixture.milli("m").await, Ok(vec![9000]));
}

#[tokio::test(start_paused = true)]
async fn the_rule_s_own_values_are_never_held() {
    let zero = Fallback::Value(Quantity::default());
    let fixture = Fixture::by(all(HOLD).with(Situation::NoData, zero));
    fixture.says(Ok(vec![]));
    assert_eq!(fixture.milli("m").await, Ok(vec![0]));
    advance(11 * SECOND).await;
    fixture.says(Err(refused()));
    let error = fixture.milli("m").await.unwrap_err();
    assert!(error.contains("hold expired"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn items_are_held_as_a_whole_and_replaced_one_by_one() {
    let one = Fallback::Value(Quantity::from_milli(1000));
    let fixture = Fixture::by(Policies { result: Combine::Items, ..all(HOLD) }.with(Situation::Nan, one));
    fixture.says(Ok(vec![5.0, 6.0]));
    assert_eq!(fixture.milli("m").await, Ok(vec![5000, 6000]));
    advance(11 * SECOND).await;
    fixture.says(Ok(vec![7.0, f64::NAN]));
    assert_eq!(fixture.milli("m").await, Ok(vec![7000, 1000]));
    advance(11 * SECOND).await;
    fixture.says(Ok(vec![f64::NAN, f64::INFINITY]));
    assert_eq!(fixture.milli("m").await, Ok(vec![5000, 6000]), "the last that was measured whole");
}

#[tokio::test(start_paused = true)]
async fn what_is_good_for_one_rule_is_not_served_by_another_that_refuses_it() {
    let sum = Policies { result: Combine::Sum, ..all(HOLD) };
    let rules = vec![named("single", all(HOLD)), named("sum", sum)];
    let fixture = Fixture::with(Ok(vec![1.0, 2.0]), Duration::ZERO, rules);
    assert_eq!(fixture.milli("sum").await, Ok(vec![3000]));
    advance(11 * SECOND).await;
    fixture.says(Err(refused()));
    assert_eq!(fixture.milli("sum").await, Ok(vec![3000]));
    let error = fixture.milli("single").await.unwrap_err();
    assert!(error.contains("refused the query") && error.contains("hold expired"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_is_held_at_the_deadline() {
    let fixture = Fixture::with(Ok(vec![5.0]), 3 * SECOND, vec![named("m", all(HOLD))]);
    fixture.milli("m").await.unwrap_err();
    tokio::time::sleep(3 * SECOND).await;
    assert_eq!(fixture.milli("m").await, Ok(vec![5000]));
    advance(20 * SECOND).await;
    let began = Instant::now();
    assert_eq!(fixture.milli("m").await, Ok(vec![5000]));
    assert_eq!(began.elapsed().as_millis() / 10, 100);
}

#[tokio::test(start_paused = true)]
async fn a_rule_with_a_max_age_of_zero_can_hold_too() {
    let mut rule = named("m", all(HOLD));
    rule.max_age = Duration::ZERO;
    let fixture = Fixture::with(Ok(vec![5.0]), Duration::ZERO, vec![rule]);
    assert_eq!(fixture.milli("m").await, Ok(vec![5000]));
    fixture.says(Err(refused()));
    advance(60 * SECOND).await;
    assert_eq!(fixture.milli("m").await, Ok(vec![5000]));
    advance(SECOND).await;
    fixture.milli("m").await.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn a_partial_answer_counts_as_a_failure_unless_it_is_accepted() {
    let accepting = Policies { on_partial: Partial::Accept, ..Policies::default() };
    let rules = vec![
        named("strict", Policies::default()),
        named("accepting", accepting),
        named("value", Policies::default().with(Situation::Failure, Fallback::Value(Quantity::default()))),
    ];
    let fixture = Fixture::with(Ok(vec![]), Duration::ZERO, rules);
    fixture.says_partially(vec![5.0]);
    let error = fixture.ask("strict", "").await.unwrap_err();
    let message = error.to_string();
    assert!(message.contains("partial") && message.contains("set onPartial"), "{message}");
    assert!(!message.contains("thanos-7"), "the warning may name hosts: {message}");
    assert_eq!(Status::from(&Error::Answer(error)).code(), 503);
    assert_eq!(fixture.milli("accepting").await, Ok(vec![5000]));
    assert_eq!(fixture.milli("value").await, Ok(vec![0]));
}

#[tokio::test(start_paused = true)]
async fn a_partial_answer_without_series_is_a_failure_and_not_no_data() {
    let zero = Policies::default().with(Situation::NoData, Fallback::Value(Quantity::default()));
    let rules =
        vec![named("strict", zero), named("accepting", Policies { on_partial: Partial::Accept, ..zero })];
    let fixture = Fixture::with(Ok(vec![]), Duration::ZERO, rules);
    fixture.says_partially(vec![]);
    let error = fixture.milli("strict").await.unwrap_err();
    assert!(error.contains("partial"), "{error}");
    assert_eq!(fixture.milli("accepting").await, Ok(vec![0]));
}

#[tokio::test(start_paused = true)]
async fn a_whole_reading_is_held_in_place_of_a_partial_one() {
    let accepting = Policies { on_partial: Partial::Accept, ..all(HOLD) };
    let rules = vec![named("strict", all(HOLD)), named("accepting", accepting)];
    let fixture = Fixture::with(Ok(vec![5.0]), Duration::ZERO, rules);
    assert_eq!(fixture.milli("strict").await, Ok(vec![5000]));
    advance(11 * SECOND).await;
    fixture.says_partially(vec![3.0]);
    assert_eq!(fixture.milli("strict").await, Ok(vec![5000]));
    assert_eq!(fixture.milli("accepting").await, Ok(vec![3000]));
    let error = fixture.milli("strict").await.unwrap_err();
    assert!(error.contains("partial"), "what the other rule accepted is not held by this one: {error}");
}

#[tokio::test(start_paused = true)]
async fn a_prefetched_reading_is_held_even_if_another_replica_got_its_read() {
    let fixture = Fixture::by(all(HOLD));
    let _ahead = tokio::spawn(Arc::clone(&fixture.answers.cache).run_prefetch());
    for _ in 0..2 {
        assert_eq!(fixture.milli("m").await, Ok(vec![5000]));
        tokio::time::sleep(15 * SECOND).await;
    }
    fixture.says(Ok(vec![6.0]));
    tokio::time::sleep(60 * SECOND).await;
    fixture.says(Err(QueryError::TimedOut(SECOND)));
    tokio::time::sleep(15 * SECOND).await;
    assert_eq!(fixture.milli("m").await, Ok(vec![6000]), "the reading used last is ninety seconds old");
}
