//! The Prometheus metrics of reads.

use tokio::time::advance;

use super::*;
use crate::answer::metrics::OWN_SERIES_MAX;
use crate::answer::stats::EPISODE_GAP;
use crate::testkit::scrape;

const HOLD: Fallback = Fallback::Hold { longest: Duration::from_secs(3600), then: None };

impl Fixture {
    #[track_caller]
    fn shows(&self, series: &str) {
        let text = scrape(&self.registry);
        assert!(text.lines().any(|line| line == series), "{series}\nnot in\n{text}");
    }

    #[track_caller]
    fn hides(&self, part: &str) {
        let text = scrape(&self.registry);
        assert!(!text.contains(part), "{part}\nin\n{text}");
    }
}

fn counted(metric: &str, outcome: &str, count: u32) -> String {
    format!("metrics_apiserver_reads_total{{metric=\"{metric}\",outcome=\"{outcome}\"}} {count}")
}

#[tokio::test(start_paused = true)]
async fn every_read_is_counted_by_how_it_ended() {
    let unavailable = || QueryError::Unavailable { detail: "".into() };
    for (outcome, word) in [
        (Ok(vec![1.0]), "ok"),
        (Ok(vec![]), "no_data"),
        (Ok(vec![f64::NAN]), "nan"),
        (Ok(vec![f64::INFINITY]), "infinite"),
        (Ok(vec![1e30]), "infinite"),
        (Ok(vec![1.0, 2.0]), "several_series"),
        (Ok(vec![-1.0]), "negative"),
        (Err(unavailable()), "unavailable"),
        (Err(refused()), "refused"),
        (Err(QueryError::TimedOut(Duration::from_secs(1))), "timeout"),
        (Err(QueryError::Malformed { detail: "".into() }), "unreadable"),
        (Err(QueryError::TooMuch { limit: "32 MiB" }), "unreadable"),
        (Err(QueryError::BreakerOpen { cause: "".into() }), "breaker_open"),
    ] {
        let fixture = Fixture::new(outcome, Fallback::Error);
        let _ = fixture.ask("queue_length", "").await;
        fixture.shows(&counted("Queue_Length", word, 1));
        fixture.shows("metrics_apiserver_read_duration_seconds_count{metric=\"Queue_Length\"} 1");
    }
    let late = Fixture::slow(Ok(vec![1.0]), Fallback::Error, Duration::from_secs(3));
    late.ask("queue_length", "").await.unwrap_err();
    late.shows(&counted("Queue_Length", "timeout", 1));
    late.shows("metrics_apiserver_read_duration_seconds_bucket{le=\"0.5\",metric=\"Queue_Length\"} 0");
    late.hides("metrics_apiserver_reading_age_seconds_count");
    let fixture = Fixture::new(Err(unavailable()), Fallback::Value(Quantity::default()));
    fixture.ask("queue_length", "").await.unwrap();
    fixture.shows(&counted("Queue_Length", "fallback", 1));
    fixture.ask("queue_length", "pod=a").await.unwrap_err();
    fixture.shows(&counted("Queue_Length", "bad_request", 1));
    fixture.says_partially(vec![1.0]);
    let fixture = Fixture::new(Ok(vec![]), Fallback::Error);
    fixture.says_partially(vec![1.0]);
    fixture.ask("queue_length", "").await.unwrap_err();
    fixture.shows(&counted("Queue_Length", "partial", 1));
}

#[tokio::test(start_paused = true)]
async fn unknown_metrics_share_one_series() {
    let fixture = Fixture::new(Ok(vec![1.0]), Fallback::Error);
    for metric in ["a", "b", "_other"] {
        fixture.ask(metric, "").await.unwrap_err();
    }
    fixture.shows(&counted("_unknown", "unknown", 3));
}

#[tokio::test(start_paused = true)]
async fn the_age_is_that_of_the_reading_served() {
    let mut rule = rule(HOLD);
    rule.max_age = Duration::from_secs(8);
    let fixture = Fixture::with(Ok(vec![1.0]), Duration::ZERO, vec![rule]);
    fixture.ask("queue_length", "").await.unwrap();
    advance(Duration::from_secs(8)).await;
    fixture.ask("queue_length", "").await.unwrap();
    fixture.says(Err(refused()));
    advance(Duration::from_secs(92)).await;
    fixture.ask("queue_length", "").await.unwrap();
    fixture.shows("metrics_apiserver_reading_age_seconds_sum{metric=\"Queue_Length\"} 108.0");
    fixture.shows(&counted("Queue_Length", "held", 1));
}

#[tokio::test(start_paused = true)]
async fn the_gauge_of_a_hold_goes_down_by_itself() {
    let gauge = |value| format!("metrics_apiserver_hold_in_effect{{metric=\"Queue_Length\"}} {value}");
    let fixture = Fixture::new(Ok(vec![1.0]), HOLD);
    fixture.ask("queue_length", "").await.unwrap();
    fixture.shows(&gauge(0));
    fixture.says(Err(refused()));
    for _ in 0..4 {
        advance(Duration::from_secs(15)).await;
        fixture.ask("queue_length", "").await.unwrap();
        fixture.shows(&gauge(1));
    }
    advance(EPISODE_GAP).await;
    fixture.shows(&gauge(1));
    advance(Duration::from_millis(1)).await;
    fixture.shows(&gauge(0));
    Fixture::new(Ok(vec![1.0]), Fallback::Error).hides("metrics_apiserver_hold_in_effect{");
}

#[tokio::test(start_paused = true)]
async fn a_rule_that_a_reload_keeps_keeps_its_counts_and_one_that_goes_takes_them_with_it() {
    let rules = vec![named("stays", Policies::default()), named("goes", Policies::default())];
    let fixture = Fixture::with(Ok(vec![1.0]), Duration::ZERO, rules);
    for metric in ["stays", "goes"] {
        fixture.ask(metric, "").await.unwrap();
    }
    fixture.catalog.replace(Catalog::new(vec![
        named("stays", Policies::default().with(Situation::Failure, HOLD)),
        named("comes", Policies::default()),
    ]));
    fixture.hides("\"goes\"");
    for metric in ["stays", "comes"] {
        fixture.ask(metric, "").await.unwrap();
    }
    fixture.shows(&counted("stays", "ok", 2));
    fixture.shows(&counted("comes", "ok", 1));
}

#[tokio::test(start_paused = true)]
async fn only_so_many_rules_have_series_of_their_own() {
    let names = |prefix: &str| -> Vec<String> {
        (0..=OWN_SERIES_MAX).map(|number| format!("{prefix}{number:05}")).collect()
    };
    let rules = |names: &[String]| names.iter().map(|name| named(name, Policies::default())).collect();
    let first = names("m");
    let fixture = Fixture::with(Ok(vec![1.0]), Duration::ZERO, rules(&first));
    for name in &first {
        fixture.ask(name, "").await.unwrap();
    }
    fixture.shows(&counted("m00999", "ok", 1));
    fixture.shows(&counted("_other", "ok", 1));
    fixture.hides("m01000");
    // Those that come first by name do not take the place of those that had one.
    let more = [&names("a")[..], &first[..]].concat();
    fixture.catalog.replace(Catalog::new(rules(&more)));
    fixture.ask("a00000", "").await.unwrap();
    fixture.shows(&counted("m00999", "ok", 1));
    fixture.shows(&counted("_other", "ok", 2));
}

#[tokio::test(start_paused = true)]
async fn no_name_of_a_metric_breaks_the_page() {
    let rules = ["_other", "_unknown", "a\"b\\c\nd"].map(|name| named(name, Policies::default()));
    let fixture = Fixture::with(Ok(vec![1.0]), Duration::ZERO, rules.into());
    for metric in ["_other", "_unknown", "a\"b\\c\nd"] {
        fixture.ask(metric, "").await.unwrap();
    }
    fixture.shows(&counted("_other", "ok", 2));
    fixture.shows(&counted("a\\\"b\\\\c\\nd", "ok", 1));
    fixture.hides("_unknown");
}

#[tokio::test(start_paused = true)]
async fn the_queries_of_a_metric_are_counted_by_outcome() {
    let fixture = Fixture::with(Ok(vec![1.0]), Duration::ZERO, vec![named("m", Policies::default())]);
    fixture.hides("metrics_apiserver_queries_total{");
    for _ in 0..2 {
        fixture.ask("m", "").await.unwrap();
    }
    fixture.says(Err(QueryError::TimedOut(Duration::from_secs(10))));
    advance(Duration::from_secs(11)).await;
    fixture.ask("m", "").await.unwrap_err();
    fixture.shows("metrics_apiserver_queries_total{metric=\"m\",outcome=\"success\"} 1");
    fixture.shows("metrics_apiserver_queries_total{metric=\"m\",outcome=\"timeout\"} 1");
    fixture.shows("metrics_apiserver_query_duration_seconds_count{metric=\"m\"} 2");
}

#[tokio::test(start_paused = true)]
async fn a_discovered_metric_has_series_of_its_own_from_its_first_read_on() {
    let fixture = Fixture::with(Ok(vec![1.0]), Duration::ZERO, vec![named("native", Policies::default())]);
    let rule = testkit::adapter_rule("up");
    let entry = |number: usize| {
        let name = MetricName::parse(&format!("m{number:05}")).unwrap();
        (MetricId::external(&name), Arc::new(Rule::series(&rule, name, "up".into())))
    };
    fixture.catalog.replace_discovered((0..OWN_SERIES_MAX + 10).map(entry).collect());
    fixture.hides("m0");
    for number in (0..=OWN_SERIES_MAX).rev() {
        fixture.ask(&format!("m{number:05}"), "").await.unwrap();
    }
    fixture.shows(&counted("m01000", "ok", 1));
    fixture.shows(&counted("m00002", "ok", 1));
    fixture.hides("m00001");
    fixture.shows(&counted("_other", "ok", 2));
    fixture.catalog.replace_discovered((1_000..1_001).map(entry).collect());
    fixture.ask("m01000", "").await.unwrap();
    fixture.shows(&counted("m01000", "ok", 2));
    fixture.hides("m00002");
}
