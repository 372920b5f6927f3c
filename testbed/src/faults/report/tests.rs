use super::super::{round::named, watch::Hpa};
use super::*;

const MAX_AGE: Duration = Duration::from_secs(10);
const API_SERVICE: &str = "v1beta1.external.metrics.k8s.io";
const READ_WITHIN: Duration = Duration::from_secs(2);

/// A round of `seconds` in which two HPAs kept their size, and the queue's said `cause` after one second.
struct Played {
    round: Round,
    times: Times,
    record: Record,
    reads: Reads,
}

impl Played {
    fn new(name: &str, seconds: u64, cause: Option<&str>) -> Self {
        let begun = Instant::now();
        let ended = begun + Duration::from_secs(seconds);
        let mut record = Record::default();
        record.available.insert(API_SERVICE.to_owned(), vec![(begun, true)]);
        for name in ["queue", "latency"] {
            let hpa = Hpa { replicas: vec![(begun, REPLICAS)], failing: vec![(begun, None)] };
            record.hpas.insert(name.to_owned(), hpa);
        }
        let mut this = Self {
            round: named(name)[0],
            times: Times { begun, ended, well: ended },
            record,
            reads: Reads::default(),
        };
        if let Some(cause) = cause {
            this.says("queue", 1, Some(cause));
        }
        this
    }

    fn says(&mut self, hpa: &str, second: u64, cause: Option<&str>) {
        let at = self.times.begun + Duration::from_secs(second);
        self.record.hpas.get_mut(hpa).unwrap().failing.push((at, cause.map(str::to_owned)));
    }

    fn report(&self) -> RoundReport {
        let options = Options {
            rounds: vec![self.round],
            length: Duration::ZERO,
            max_age: MAX_AGE,
            read_within: READ_WITHIN,
        };
        RoundReport::new(&self.round, &options, self.times, &self.record, &self.reads, 7)
    }

    #[track_caller]
    fn has_problem(&self, expected: &str) -> RoundReport {
        let report = self.report();
        assert!(report.problems.iter().any(|it| it.contains(expected)), "{:?}", report.problems);
        report
    }

    #[track_caller]
    fn is_right(&self) {
        let report = Report::new(vec![self.report()]);
        assert!(report.is_right(), "{}", report.table());
    }
}

#[test]
fn a_size_that_changed_and_a_number_without_a_load_are_wrong_decisions() {
    let mut played = Played::new("nan", 4, Some("the query returned NaN"));
    played.is_right();
    let at = played.times.begun;
    // Seen, though it is as it was in the end.
    let hpa = played.record.hpas.get_mut("queue").unwrap();
    hpa.replicas.extend([(at + Duration::from_secs(1), 1), (at + Duration::from_secs(3), REPLICAS)]);
    played.reads.wrong.push("requests_in_flight 0".to_owned());
    let report = played.has_problem("queue was scaled");
    assert_eq!((report.wrong_decisions, report.hpas["queue"].min, report.hpas["queue"].max), (3, 1, 3));
    played.has_problem("1 wrong numbers, the first: requests_in_flight 0");
    assert!(!Report::new(vec![report]).is_right());
}

#[test]
fn each_hpa_must_say_the_cause_once_its_reading_is_too_old() {
    Played::new("nan", 4, Some("no data")).has_problem("queue did not say \"NaN\" but [\"no data\"]");
    let mut long = Played::new("nan", 20, Some("NaN"));
    long.has_problem("latency did not say \"NaN\"");
    long.says("latency", 11, Some("metric `x`: NaN"));
    long.is_right();
}

#[test]
fn hpas_of_custom_metrics_are_told_in_the_words_of_their_api() {
    let mut empty = Played::new("empty", 4, Some("prometheus has no data for this query"));
    for (name, cause) in [
        ("pods", "no metrics returned from custom metrics API"),
        ("service", "the server could not find the metric requests_of_service for services service"),
    ] {
        let hpa =
            Hpa { replicas: vec![(empty.times.begun, REPLICAS)], failing: vec![(empty.times.begun, None)] };
        empty.record.hpas.insert(name.to_owned(), hpa);
        empty.has_problem(&format!("{name} did not say"));
        empty.says(name, 2, Some(cause));
    }
    empty.is_right();
}

#[test]
fn a_slow_prometheus_must_be_bridged_where_max_age_is_long_enough() {
    let mut slow = Played::new("slow", 20, Some("did not answer in time"));
    slow.is_right();
    slow.says("latency", 10, Some("did not answer in time"));
    slow.has_problem("latency got nothing from the cache");
    slow.says("latency", 14, None);
    slow.is_right();
}

#[test]
fn a_prometheus_that_is_away_for_a_while_must_be_named_by_the_hpa_with_the_short_max_age() {
    Played::new("restarted", 10, None).has_problem("queue did not say \"not reachable\"");
    Played::new("restarted", 10, Some("prometheus is not reachable")).is_right();
}

#[test]
fn killed_servers_must_be_noticed_by_both_hpas_for_the_cache_is_killed_with_them() {
    let away = "the server is currently unable to handle the request";
    let mut killed = Played::new("killed", 10, Some(away));
    killed.has_problem("latency did not say \"unable to handle the request\"");
    killed.says("latency", 2, Some(away));
    killed.is_right();
}

#[test]
fn only_what_comes_back_empty_is_watched_after_all_is_well() {
    let watched: Vec<_> =
        super::super::ROUNDS.iter().filter(|it| !it.kind.watched_after(MAX_AGE).is_zero()).collect();
    assert_eq!(watched.iter().map(|it| it.letter).collect::<Vec<_>>(), ['j', 'k']);
}

#[test]
fn late_reads_lost_reads_and_an_api_that_is_away_are_problems_where_they_may_not_be() {
    let mut rolled = Played::new("rolled", 4, None);
    rolled.is_right();
    rolled.reads =
        Reads { failed: 1, failure: Some("503".into()), worst: READ_WITHIN * 2, ..Reads::default() };
    let away = rolled.times.begun + Duration::from_secs(1);
    rolled.record.available.get_mut(API_SERVICE).unwrap().push((away, false));
    rolled.has_problem("a read took 4000 ms");
    rolled.has_problem("1 reads failed, the first: 503");
    rolled.has_problem("an APIService was not Available");
    let mut killed = Played::new("killed", 4, Some("the server is currently unable to handle the request"));
    killed.record.available.get_mut(API_SERVICE).unwrap().push((away, false));
    killed.reads = Reads { failed: 1, failure: Some("503".into()), ..Reads::default() };
    killed.is_right();
}

#[test]
fn rounds_are_found_by_name_and_by_letter() {
    assert_eq!(named("hung").len(), 1);
    assert_eq!(named("f").len(), 4);
    assert!(named("no").is_empty() && named("").is_empty());
    let names: std::collections::BTreeSet<_> = super::super::ROUNDS.iter().map(|it| it.name).collect();
    assert_eq!(names.len(), super::super::ROUNDS.len());
}

#[test]
fn the_table_shows_the_cause_once_and_without_its_advice() {
    let mut played =
        Played::new("empty", 4, Some("metric `a`: prometheus has no data for this query; check it"));
    played.says("latency", 2, Some("metric `b`: prometheus has no data for this query; check it"));
    let table = Report::new(vec![played.report()]).table();
    assert_eq!(table.matches("prometheus has no data for this query").count(), 1, "{table}");
    assert!(!table.contains("check it") && table.contains("0 wrong decisions in 1 rounds"), "{table}");
}
