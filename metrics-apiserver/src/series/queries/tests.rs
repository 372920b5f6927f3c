use super::*;

const MINUTES: Duration = Duration::from_secs(600);

fn key(selector: &str) -> SeriesKey {
    SeriesKey { backend: BackendName("default".into()), selector: selector.into() }
}

fn summary(name: &str) -> SeriesSummary {
    let metrics = [(Arc::from(name), Box::default())].into();
    SeriesSummary { metrics, bytes: name.len(), partial: None }
}

fn partial(name: &str) -> SeriesSummary {
    SeriesSummary { partial: Some("a store is away".into()), ..summary(name) }
}

fn down() -> Result<SeriesSummary, QueryError> {
    Err(QueryError::Unavailable { detail: "http://prometheus refused".into() })
}

struct Scene {
    queries: Queries,
    now: Instant,
}

impl Scene {
    fn new(selectors: &[&str]) -> Self {
        let mut scene = Self { queries: Queries::default(), now: Instant::now() };
        scene.replace(selectors, &[]);
        scene
    }

    fn replace(&mut self, selectors: &[&str], changed: &[BackendName]) {
        self.queries.replace(selectors.iter().map(|selector| key(selector)), changed, self.now);
    }

    fn start(&mut self) -> Option<Call> {
        self.queries.start(self.now)
    }

    fn end(&mut self, call: &Call, result: Result<SeriesSummary, QueryError>) -> bool {
        let end = End { now: self.now, time: Timestamp::UNIX_EPOCH, interval: MINUTES, random: 500 };
        self.queries.end(call, result, end)
    }

    /// Calls for the list that is due next, whenever that is.
    fn round(&mut self, result: Result<SeriesSummary, QueryError>) -> bool {
        self.now = self.now.max(self.queries.next_due().unwrap());
        let call = self.start().unwrap();
        self.end(&call, result)
    }

    /// Until the next call.
    fn pause(&self) -> Duration {
        self.queries.next_due().unwrap() - self.now
    }

    fn names(&self) -> String {
        let found = self.queries.found();
        let names: Vec<_> =
            found.values().flat_map(|found| found.metrics.keys()).map(|name| &**name).collect();
        names.join(",")
    }
}

#[test]
fn equal_lists_are_called_for_once_and_again_an_interval_after_they_arrived() {
    let mut scene = Scene::new(&["a", "b", "a"]);
    let calls: Vec<_> = std::iter::from_fn(|| scene.start()).collect();
    assert_eq!(calls.iter().map(|call| &*call.key.selector).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(scene.queries.next_due(), None, "both are in flight");
    scene.now += Duration::from_secs(20);
    assert!(scene.end(&calls[0], Ok(summary("m"))));
    assert_eq!(scene.pause(), MINUTES);
    assert!(scene.start().is_none());
    scene.now += MINUTES;
    assert_eq!(scene.start().unwrap().key, key("a"));
}

#[test]
fn the_list_that_is_due_longest_is_called_for_first() {
    let mut scene = Scene::new(&["b"]);
    scene.now += Duration::from_secs(1);
    scene.replace(&["a", "b"], &[]);
    assert_eq!(scene.start().unwrap().key, key("b"));
    assert_eq!(scene.start().unwrap().key, key("a"));
}

#[test]
fn a_list_that_fails_keeps_what_it_found_and_is_retried_with_growing_pauses() {
    let mut scene = Scene::new(&["a"]);
    assert!(scene.round(Ok(summary("m"))));
    assert!(!scene.round(Ok(summary("m"))), "nothing new");
    let mut pauses = Vec::new();
    for _ in 0..12 {
        assert!(!scene.round(down()));
        pauses.push(scene.pause().as_secs());
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]);
    assert_eq!((scene.names().as_str(), scene.queries.totals().failing), ("m", 1));
    assert!(scene.round(Ok(summary("n"))));
    assert_eq!((scene.names().as_str(), scene.queries.totals().failing, scene.pause()), ("n", 0, MINUTES));
    assert!(!scene.round(down()));
    assert_eq!(scene.pause().as_secs(), 1, "a new episode");
    let refused = Err(QueryError::Refused { detail: "parse error".into() });
    assert!(!scene.round(refused));
    assert_eq!(scene.queries.totals().calls, [3, 0, 13, 0, 1, 0, 0, 0]);
}

#[test]
fn a_list_that_is_empty_removes_what_it_found() {
    let mut scene = Scene::new(&["a"]);
    scene.round(Ok(summary("m")));
    assert!(scene.round(Ok(SeriesSummary::default())));
    assert_eq!(scene.names(), "");
    assert_eq!(scene.queries.missing(&key("a")), None);
}

#[test]
fn a_partial_list_is_better_than_none_but_not_than_a_whole_one() {
    let mut scene = Scene::new(&["a"]);
    assert!(scene.round(Ok(partial("some"))));
    assert_eq!((scene.names().as_str(), scene.pause().as_secs()), ("some", 1));
    assert!(scene.round(Ok(summary("all"))));
    assert!(!scene.round(Ok(partial("some"))));
    assert_eq!(scene.names(), "all");
    assert_eq!(scene.queries.totals().calls, [1, 0, 0, 0, 0, 0, 0, 2]);
}

#[test]
fn a_list_that_never_arrived_says_why_without_the_details() {
    let mut scene = Scene::new(&["a"]);
    assert_eq!(scene.queries.missing(&key("a")).unwrap(), "prometheus has not answered yet");
    scene.round(down());
    assert_eq!(scene.queries.missing(&key("a")).unwrap(), "prometheus is not reachable");
    assert_eq!(scene.queries.missing(&key("unknown")), None);
}

#[test]
fn lists_that_are_still_asked_for_keep_what_they_found() {
    let mut scene = Scene::new(&["a", "b"]);
    scene.round(Ok(summary("of_a")));
    scene.round(Ok(summary("of_b")));
    scene.replace(&["b", "c"], &[]);
    assert_eq!(scene.names(), "of_b");
    assert_eq!(scene.start().unwrap().key, key("c"));
    assert!(scene.start().is_none(), "b is not due");
}

#[test]
fn the_lists_of_a_changed_backend_are_due_at_once_and_calls_to_the_old_one_do_not_count() {
    let mut scene = Scene::new(&["a"]);
    scene.round(Ok(summary("old")));
    scene.now += MINUTES;
    let old = scene.start().unwrap();
    scene.replace(&["a"], &[BackendName("default".into())]);
    let new = scene.start().unwrap();
    assert!(!scene.end(&old, Ok(summary("late"))));
    assert_eq!(scene.names(), "old");
    assert!(scene.end(&new, Ok(summary("new"))));
    assert_eq!(scene.names(), "new");
    scene.replace(&["b"], &[]);
    assert!(!scene.end(&new, Ok(summary("gone"))), "nobody asks for it any more");
}

#[test]
fn what_all_lists_keep_together_is_bounded() {
    let mut scene = Scene::new(&["a", "b"]);
    let large = |name: &str| Ok(SeriesSummary { bytes: KEPT_BYTES_MAX / 2 + 1, ..summary(name) });
    assert!(scene.round(large("m")));
    assert!(!scene.round(large("n")));
    assert_eq!(scene.names(), "m");
    assert!(scene.queries.missing(&key("b")).unwrap().contains("16 MiB"));
    assert_eq!(KEPT_BYTES_MAX, 16 << 20);
    scene.replace(&["a"], &[BackendName("default".into())]);
    assert!(scene.round(large("o")), "a list takes the place of its own one before");
}

#[test]
fn the_oldest_success_counts_and_none_while_a_list_never_succeeded() {
    let mut scene = Scene::new(&["a", "b"]);
    scene.round(Ok(summary("m")));
    assert_eq!(scene.queries.totals().oldest_success, None);
    scene.round(Ok(summary("n")));
    let totals = scene.queries.totals();
    assert_eq!((totals.lists, totals.names, totals.oldest_success), (2, 2, Some(Timestamp::UNIX_EPOCH)));
}
