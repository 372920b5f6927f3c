//! How answers come about: steps, groups, and the table of situations.

use tokio::time::advance;

use super::*;
use crate::api::{Error, Status};
use crate::config::{self, Source};
use crate::metric::{GroupResource, ObjectRef, Resources};
use crate::rules::{Combine, Pick, ValueError};
use crate::testkit::scrape;

const SECOND: Duration = Duration::from_secs(1);
const HOLD: Fallback = Fallback::Hold { longest: Duration::from_secs(60), then: None };

fn seven() -> Fallback {
    Fallback::Value(Quantity::from_milli(7000))
}

impl Fixture {
    fn explained_by(result: Outcome, policies: Policies) -> Self {
        Self::with(result, Duration::ZERO, vec![named("m", policies)])
    }

    async fn explain(&self, metric: &str, selector: &str) -> Explanation {
        let deadline = Instant::now() + SECOND;
        let (namespace, metric) = (Namespace::parse("shop").unwrap(), MetricName::parse(metric).unwrap());
        self.answers.external(&namespace, &metric, &selector.parse().unwrap(), deadline).await
    }

    /// The answer about these pods, by the label `pod`.
    async fn explain_pods(&self, pods: &[&str]) -> Vec<GroupAnswer> {
        let resource = GroupResource { resource: "pods".into(), group: "".into() };
        let object =
            |name: &&str| ObjectRef { resource: resource.clone(), namespace: None, name: (*name).into() };
        let pick = Pick::ByLabel { label: "pod".into(), objects: pods.iter().map(object).collect() };
        let (namespace, name) = (Namespace::parse("shop").unwrap(), MetricName::parse("m").unwrap());
        let plan = |rule: &Rule| {
            Ok(Plan { pick, ..rule.external_plan(&namespace, &"".parse().unwrap(), &Resources::default())? })
        };
        let (id, deadline) = (MetricId::external(&name), Instant::now() + SECOND);
        self.answers.answer(&id, &name, &namespace, plan, deadline).await.groups.unwrap()
    }

    /// What the backend says of pods from now on.
    fn says_of_pods(&self, pods: &[(&str, f64)]) {
        let sample = |(pod, value): &(&str, f64)| Sample {
            labels: [("pod", *pod)].into_iter().collect(),
            value: *value,
            timestamp: Timestamp::UNIX_EPOCH,
        };
        let samples = pods.iter().map(sample).collect();
        *self.outcome.lock().unwrap() = Ok(Reading { samples, ..reading([]) });
    }

    fn counted(&self, outcome: &str) -> bool {
        scrape(&self.registry)
            .contains(&format!("metrics_apiserver_reads_total{{metric=\"m\",outcome=\"{outcome}\"}} 1\n"))
    }
}

fn steps(explanation: &Explanation) -> Vec<String> {
    let groups = explanation.groups.as_ref().unwrap();
    let text = |step: &Step| match step {
        Step::Held { age, cause, .. } => format!("held the reading of {age:?} ago: {cause}"),
        Step::HoldExpired => "hold expired".to_owned(),
        Step::Replaced(cause) => format!("replaced ({}): {cause}", cause.situation().unwrap().key()),
    };
    groups.iter().flat_map(|group| &group.steps).map(text).collect()
}

fn milli(group: &GroupAnswer) -> Result<Vec<i64>, String> {
    let values = group.values.as_ref().map_err(ToString::to_string)?;
    Ok(values.iter().map(|value| value.quantity.milli()).collect())
}

#[tokio::test(start_paused = true)]
async fn an_explanation_has_the_rule_its_queries_the_readings_and_the_steps() {
    let fixture =
        Fixture::explained_by(Ok(vec![1.0, 2.5]), Policies { result: Combine::Sum, ..Policies::default() });
    fixture.explain("m", "app=till").await;
    advance(3 * SECOND).await;
    let explanation = fixture.explain("M", "app=till").await;
    assert_eq!(explanation.metric.as_str(), "m");
    assert_eq!(explanation.rule.as_ref().unwrap().name.as_str(), "m");
    let plan = explanation.plan.as_ref().unwrap();
    assert!(plan.queries[0].promql.contains("app=\"till\""));
    let [used] = &explanation.readings[..] else { panic!("one reading: {explanation:?}") };
    assert_eq!((used.query, used.age, used.reading.samples.len()), (0, 3 * SECOND, 2));
    assert!(steps(&explanation).is_empty(), "measured");
    let answer = explanation.into_answer().unwrap();
    assert_eq!(answer.values[0].quantity.to_string(), "3500m");
}

#[tokio::test(start_paused = true)]
async fn an_error_is_explained_as_far_as_the_request_came() {
    let fixture = Fixture::explained_by(Ok(vec![f64::NAN]), Policies::default());
    let unknown = fixture.explain("Typo", "").await;
    assert_eq!(
        (unknown.metric.as_str(), unknown.rule.is_none(), unknown.plan.is_none()),
        ("Typo", true, true)
    );
    let refused = fixture.explain("m", "pod=a").await;
    assert!(refused.rule.is_some() && refused.plan.is_none() && refused.readings.is_empty());
    assert!(matches!(refused.into_answer(), Err(AnswerError::Plan { .. })));
    let unusable = fixture.explain("m", "").await;
    assert!(
        unusable.readings[0].reading.samples[0].value.is_nan(),
        "the samples that were refused are shown"
    );
    assert!(matches!(unusable.into_answer(), Err(AnswerError::Value { .. })));
}

#[tokio::test(start_paused = true)]
async fn the_steps_tell_what_was_held_and_what_was_replaced_and_why() {
    let then = Fallback::Hold { longest: 60 * SECOND, then: Some(Quantity::from_milli(9000)) };
    let policies = Policies { result: Combine::Items, ..Policies::default() };
    let policies = policies.with(Situation::Nan, seven()).with(Situation::Infinite, seven());
    let fixture = Fixture::explained_by(Ok(vec![5.0, 6.0]), policies.with(Situation::Failure, then));
    assert!(steps(&fixture.explain("m", "").await).is_empty(), "measured");
    advance(25 * SECOND).await;
    fixture.says(Err(refused()));
    let held = fixture.explain("m", "").await;
    assert_eq!(steps(&held), ["held the reading of 25s ago: prometheus refused the query"]);
    assert!(held.readings.is_empty(), "the cache returned none");
    advance(60 * SECOND).await;
    let expired = fixture.explain("m", "").await;
    assert_eq!(milli(&expired.groups.as_ref().unwrap()[0]), Ok(vec![9000]));
    assert_eq!(steps(&expired), ["hold expired", "replaced (onFailure): prometheus refused the query"]);
    advance(10 * SECOND).await;
    fixture.says(Ok(vec![8.0, f64::NAN, f64::INFINITY]));
    let replaced = fixture.explain("m", "").await;
    let (nan, infinite) = (ValueError::NotANumber, ValueError::Infinite("+Inf"));
    assert_eq!(
        steps(&replaced),
        [format!("replaced (onNaN): {nan}"), format!("replaced (onInfinite): {infinite}")]
    );
    let served = replaced.into_answer().unwrap().values;
    assert_eq!(served.iter().map(|value| value.quantity.milli()).collect::<Vec<_>>(), [8000, 7000, 7000]);
}

#[tokio::test(start_paused = true)]
async fn each_group_gets_its_own_outcome_from_the_policies() {
    let policies = Policies::default().with(Situation::Nan, seven());
    let fixture = Fixture::explained_by(Ok(vec![]), policies);
    fixture.says_of_pods(&[("a", 1.0), ("b", f64::NAN), ("d", 2.0), ("d", 3.0), ("other", 4.0)]);
    let groups = fixture.explain_pods(&["a", "b", "c", "d"]).await;
    let names: Vec<_> = groups.iter().map(|group| &*group.object.as_ref().unwrap().name).collect();
    assert_eq!(names, ["a", "b", "c", "d"]);
    assert_eq!((milli(&groups[0]), milli(&groups[1])), (Ok(vec![1000]), Ok(vec![7000])));
    let errors = [&groups[2], &groups[3]].map(|group| milli(group).unwrap_err());
    assert!(errors[0].contains("has no data") && errors[1].contains("2 series"), "{errors:?}");
    assert_eq!(fixture.backend.asked().len(), 1, "one query for all objects");
    assert!(fixture.counted("several_series"), "the worst outcome is counted, the last of several");
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_held_for_each_object_by_itself() {
    let fixture = Fixture::explained_by(Ok(vec![]), Policies::default().with(Situation::Failure, HOLD));
    fixture.says_of_pods(&[("a", 1.0), ("b", 2.0)]);
    assert!(fixture.explain_pods(&["a", "b"]).await.iter().all(|group| group.values.is_ok()));
    advance(20 * SECOND).await;
    fixture.says(Err(refused()));
    let groups = fixture.explain_pods(&["b", "c"]).await;
    assert_eq!(milli(&groups[0]), Ok(vec![2000]));
    assert!(matches!(groups[0].steps[..], [Step::Held { .. }]));
    assert!(milli(&groups[1]).unwrap_err().contains("hold expired"), "there is nothing to hold for c");
}

/// What causes the situation; the outcome and the status code of a read without a fallback.
fn of(situation: Situation) -> (Outcome, &'static str, u16) {
    match situation {
        Situation::NoData => (Ok(vec![]), "no_data", 404),
        Situation::Nan => (Ok(vec![f64::NAN]), "nan", 500),
        Situation::Infinite => (Ok(vec![f64::INFINITY]), "infinite", 500),
        Situation::Failure => (Err(refused()), "refused", 500),
    }
}

#[tokio::test(start_paused = true)]
async fn every_situation_has_a_key_an_outcome_and_a_status_code() {
    for situation in Situation::ALL {
        let (result, outcome, code) = of(situation);
        let strict = Fixture::explained_by(result.clone(), Policies::default());
        let error = strict.ask("m", "").await.unwrap_err();
        assert_eq!(Status::from(&Error::Answer(error)).code(), code, "{situation:?}");
        assert!(strict.counted(outcome), "{situation:?}");
        let text = format!(
            "backends: {{default: {{url: 'http://p'}}}}\nmetrics: [{{name: m, query: up, {}: {{value: 7}}}}]\n",
            situation.key()
        );
        let policies = config::check(Source::new("c", &text)).unwrap().config().rules[0].policies;
        assert_eq!(policies, Policies::default().with(situation, seven()));
        let replacing = Fixture::explained_by(result.clone(), policies);
        assert_eq!(replacing.ask("m", "").await.unwrap().values[0].quantity.milli(), 7000, "{situation:?}");
        assert!(replacing.counted("fallback"), "{situation:?}");
        let holding = Fixture::explained_by(Ok(vec![5.0]), Policies::default().with(situation, HOLD));
        holding.ask("m", "").await.unwrap();
        holding.says(result);
        advance(11 * SECOND).await;
        assert_eq!(holding.ask("m", "").await.unwrap().values[0].quantity.milli(), 5000, "{situation:?}");
        assert!(holding.counted("held"), "{situation:?}");
    }
}
