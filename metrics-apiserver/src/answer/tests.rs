//! From a request to values and messages, with a fake backend.

mod counts;
mod explained;
mod hold;
mod usage;

use std::sync::Mutex;
use std::time::Duration;

use jiff::Timestamp;
use tokio::runtime::Handle;

use super::*;
use crate::cache::{Limits, QueryError, ReadError, Reading};
use crate::catalog::Catalog;
use crate::metric::{MetricName, Quantity, Sample};
use crate::rules::{BackendName, Fallback, Policies, SelectorMode, Situation};
use crate::testkit::{self, FakeSource, reading};

type Outcome = Result<Vec<f64>, QueryError>;

struct Fixture {
    answers: Answers,
    /// What the backend says.
    outcome: Arc<Mutex<Result<Reading, QueryError>>>,
    backend: Arc<FakeSource>,
    catalog: Arc<ServedCatalog>,
    registry: Registry,
}

impl Fixture {
    fn new(outcome: Outcome, on_failure: Fallback) -> Self {
        Self::slow(outcome, on_failure, Duration::ZERO)
    }

    fn slow(outcome: Outcome, on_failure: Fallback, after: Duration) -> Self {
        Self::with(outcome, after, vec![rule(on_failure)])
    }

    fn with(outcome: Outcome, after: Duration, rules: Vec<Rule>) -> Self {
        let outcome = Arc::new(Mutex::new(outcome.map(reading)));
        let said = Arc::clone(&outcome);
        let backend = FakeSource::new(move |_, _| {
            let (outcome, asked) = (said.lock().unwrap().clone(), Instant::now());
            async move {
                tokio::time::sleep(after).await;
                outcome.map(|reading| Reading { asked, ..reading })
            }
        });
        let cache = Arc::new(Cache::new(Arc::clone(&backend) as _, Limits::default(), Handle::current()));
        let catalog = Arc::new(ServedCatalog::new(Catalog::new(rules)));
        let mut registry = Registry::default();
        let answers = Answers::new(Arc::clone(&catalog), cache, Arc::default(), &mut registry);
        Self { answers, outcome, backend, catalog, registry }
    }

    /// What the backend says from now on.
    fn says(&self, outcome: Outcome) {
        *self.outcome.lock().unwrap() = outcome.map(reading);
    }

    /// The same with the warning that it is not all.
    fn says_partially(&self, values: Vec<f64>) {
        let partial = Some("store thanos-7:10901 did not answer".into());
        *self.outcome.lock().unwrap() = Ok(Reading { partial, ..reading(values) });
    }

    async fn ask(&self, metric: &str, selector: &str) -> Result<Answer, AnswerError> {
        let deadline = Instant::now() + Duration::from_secs(1);
        let (namespace, metric) = (Namespace::parse("shop").unwrap(), MetricName::parse(metric).unwrap());
        self.answers.external(&namespace, &metric, &selector.parse().unwrap(), deadline).await.into_answer()
    }
}

fn rule(on_failure: Fallback) -> Rule {
    named("Queue_Length", Policies::default().with(Situation::Failure, on_failure))
}

fn named(name: &str, policies: Policies) -> Rule {
    let mut rule = testkit::rule_with(name, "sum(queue)", SelectorMode::Allow(["app".to_owned()].into()));
    rule.backend = BackendName("main".into());
    rule.policies = policies;
    rule
}

fn refused() -> QueryError {
    QueryError::Refused { detail: "400 Bad Request: bad_data: sum(queue) at http://prometheus".into() }
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_the_value_of_the_rule_s_query() {
    let fixture = Fixture::new(Ok(vec![12.5]), Fallback::Error);
    let answer = fixture.ask("queue_length", "app=till").await.unwrap();
    assert_eq!(answer.metric.as_str(), "Queue_Length");
    let quantities: Vec<String> = answer.values.iter().map(|value| value.quantity.to_string()).collect();
    assert_eq!(quantities, ["12500m"]);
    assert_eq!(answer.values[0].timestamp, Timestamp::UNIX_EPOCH, "Prometheus' time, not ours");
    let asked = fixture.backend.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(&*asked[0].backend.0, "main");
    assert!(asked[0].promql.contains("namespace=\"shop\"") && asked[0].promql.contains("app=\"till\""));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_metric_is_named() {
    let fixture = Fixture::new(Ok(vec![1.0]), Fallback::Error);
    let error = fixture.ask("Typo", "").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "no rule serves the metric `Typo`; check the name, or add a rule to the server's configuration"
    );
    assert!(fixture.backend.asked().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_selector_that_the_rule_does_not_allow_is_the_client_s_error() {
    let fixture = Fixture::new(Ok(vec![1.0]), Fallback::Value(Quantity::default()));
    let error = fixture.ask("queue_length", "pod=a").await.unwrap_err();
    assert!(matches!(error, AnswerError::Plan { .. }), "{error:?}");
    assert!(error.to_string().starts_with("metric `Queue_Length`: "), "{error}");
    assert!(fixture.backend.asked().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_result_that_the_policies_refuse_is_an_error() {
    for values in [vec![], vec![f64::NAN], vec![f64::INFINITY], vec![-1.0], vec![1.0, 2.0]] {
        let error = Fixture::new(Ok(values), Fallback::Error).ask("queue_length", "").await.unwrap_err();
        assert!(matches!(error, AnswerError::Value { .. }), "{error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_reported_without_the_backend_s_words() {
    let error = Fixture::new(Err(refused()), Fallback::Error).ask("queue_length", "").await.unwrap_err();
    assert_eq!(error.to_string(), "metric `Queue_Length`: prometheus refused the query; see the server log");
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_is_an_error_at_the_deadline() {
    let fixture = Fixture::slow(Ok(vec![1.0]), Fallback::Error, Duration::from_secs(3));
    let began = Instant::now();
    let error = fixture.ask("queue_length", "").await.unwrap_err();
    assert!(matches!(error, AnswerError::Read { source: ReadError::DeadlinePassed, .. }), "{error:?}");
    assert_eq!(began.elapsed().as_millis() / 10, 100);
}

#[tokio::test(start_paused = true)]
async fn on_failure_gives_its_value_for_a_failure_and_for_lateness() {
    let ten = Fallback::Value(Quantity::from_f64(10.0).unwrap());
    let failing = Fixture::new(Err(refused()), ten);
    let late = Fixture::slow(Ok(vec![1.0]), ten, Duration::from_secs(3));
    for fixture in [failing, late] {
        let answer = fixture.ask("queue_length", "").await.unwrap();
        assert_eq!(answer.values.len(), 1);
        assert_eq!(answer.values[0].quantity.to_string(), "10");
        assert!(answer.values[0].labels.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn the_queries_of_a_plan_run_at_once() {
    let fixture = Fixture::slow(Ok(vec![1.0]), Fallback::Error, Duration::from_millis(600));
    let (namespace, name) = (Namespace::parse("shop").unwrap(), MetricName::parse("queue_length").unwrap());
    let plan = |rule: &Rule| {
        let plans = ["", "app=till"].map(|selector| {
            rule.external_plan(&namespace, &selector.parse().unwrap(), &crate::metric::Resources::default())
        });
        let [one, other] = plans.map(Result::unwrap);
        Ok(Plan { queries: [one.queries, other.queries].concat(), pick: one.pick })
    };
    let began = Instant::now();
    let (id, deadline) = (MetricId::external(&name), began + Duration::from_secs(1));
    let explanation = fixture.answers.answer(&id, &name, &namespace, plan, deadline).await;
    assert_eq!(began.elapsed().as_millis() / 10, 60);
    let read: Vec<_> = explanation.readings.iter().map(|used| used.query).collect();
    assert_eq!((read, fixture.backend.asked().len()), (vec![0, 1], 2));
    assert_eq!(explanation.into_answer().unwrap().values.len(), 2);
}
