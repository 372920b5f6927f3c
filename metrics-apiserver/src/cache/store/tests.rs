//! What is kept, what is forgotten and what is refused.

use jiff::Timestamp;

use super::super::entry::ENTRY_BYTES;
use super::*;
use crate::cache::QueryError;
use crate::metric::Sample;
use crate::rules::BackendName;

const SECOND: Duration = Duration::from_secs(1);

fn query(promql: &str) -> Query {
    Query { backend: BackendName("default".into()), promql: promql.into() }
}

fn reading() -> Arc<Reading> {
    reading_of(Instant::now())
}

fn reading_of(asked: Instant) -> Arc<Reading> {
    Arc::new(Reading { samples: Vec::new(), partial: None, asked })
}

fn look(store: &Store, query: &Query, max_age: Duration, now: Instant) -> Lookup {
    store.look(query, max_age, &Subscriber::constant(), now)
}

struct Fixture {
    shard: Shard,
    slots: Arc<Semaphore>,
    start: Instant,
}

impl Fixture {
    fn new(capacity: usize, slots: usize) -> Self {
        Self { shard: Shard::new(capacity), slots: Arc::new(Semaphore::new(slots)), start: Instant::now() }
    }

    fn look(&mut self, promql: &str, second: u32) -> Lookup {
        let (query, now) = (query(promql), self.start + second * SECOND);
        let read = Read {
            query: &query,
            place: 0,
            max_age: 100 * SECOND,
            subscriber: &Subscriber::constant(),
            now,
            spread: Duration::ZERO,
        };
        self.shard.look(&read, &self.slots)
    }

    fn complete(&mut self, promql: &str, second: u32, outcome: &Outcome) {
        let now = self.start + second * SECOND;
        self.shard.entries.get_mut(&query(promql)).unwrap().complete(now, now, outcome);
    }

    fn fill(&mut self, promql: &str, second: u32) {
        let Lookup::Begun(leader, _) = self.look(promql, second) else { panic!("{promql} was kept already") };
        self.complete(promql, second, &Ok(reading_of(self.start + second * SECOND)));
        leader.complete(Ok(reading()));
    }
}

#[test]
fn a_full_shard_forgets_the_question_read_longest_ago() {
    let mut fixture = Fixture::new(2, 10);
    fixture.fill("a", 0);
    fixture.fill("b", 1);
    assert!(matches!(fixture.look("a", 2), Lookup::Reading(_)));
    fixture.fill("c", 3);
    assert_eq!(fixture.shard.entries.len(), 2);
    assert!(matches!(fixture.look("a", 4), Lookup::Reading(_)), "a was read after b");
    assert!(matches!(fixture.look("b", 5), Lookup::Begun(..)), "b had to go");
}

#[test]
fn a_question_in_flight_is_not_forgotten() {
    let mut fixture = Fixture::new(2, 10);
    let Lookup::Begun(_launch, _) = fixture.look("slow", 0) else { panic!("nothing was kept") };
    fixture.fill("b", 1);
    fixture.fill("c", 2);
    assert!(matches!(fixture.look("slow", 3), Lookup::Waiter(_)));
}

#[test]
fn a_shard_full_of_fetches_refuses_a_new_question() {
    let mut fixture = Fixture::new(1, 10);
    let Lookup::Begun(leader, _) = fixture.look("slow", 0) else { panic!("nothing was kept") };
    assert!(matches!(fixture.look("b", 1), Lookup::Busy));
    drop(leader);
    assert!(matches!(fixture.look("b", 2), Lookup::Begun(..)));
}

#[test]
fn a_fetch_needs_a_slot_and_gives_it_back() {
    let mut fixture = Fixture::new(10, 1);
    let Lookup::Begun(leader, _) = fixture.look("a", 0) else { panic!("nothing was kept") };
    assert!(matches!(fixture.look("b", 0), Lookup::Busy));
    leader.complete(Ok(reading()));
    assert!(matches!(fixture.look("b", 1), Lookup::Begun(..)));
}

#[test]
fn a_crashed_fetch_does_not_block_its_question() {
    let mut fixture = Fixture::new(10, 1);
    let Lookup::Begun(leader, _) = fixture.look("a", 0) else { panic!("nothing was kept") };
    drop(leader);
    assert!(matches!(fixture.look("a", 1), Lookup::Begun(..)));
}

#[test]
fn a_failure_leaves_the_reading_before_it() {
    let mut fixture = Fixture::new(10, 10);
    fixture.fill("a", 0);
    let failure = Err(QueryError::TimedOut(SECOND));
    fixture.complete("a", 1, &failure);
    let Lookup::Ageing(_, leader) = fixture.look("a", 100) else { panic!("exactly as old as allowed") };
    assert!(
        matches!(fixture.look("a", 100), Lookup::Reading(_)),
        "the fetch for the next reads is in flight"
    );
    drop(leader);
    assert!(matches!(fixture.look("a", 101), Lookup::Begun(..)), "older than allowed");
}

#[test]
fn the_whole_shelf_keeps_no_more_than_its_share() {
    let store = Store::new(Limits { queries: 160, fetches: 10, ..Limits::default() });
    let now = Instant::now();
    for number in 0..1_000 {
        let query = query(&number.to_string());
        let Lookup::Begun(leader, _) = look(&store, &query, SECOND, now) else { panic!("{number} is new") };
        store.complete(&query, now, now, &Ok(reading()));
        leader.complete(Ok(reading()));
    }
    let kept: usize = store.shards.iter().map(|shard| shard.lock().unwrap().entries.len()).sum();
    assert_eq!(kept, 160);
    assert_eq!(store.stats().evicted, 840);
}

/// A reading of some more than so many bytes.
fn large(bytes: usize, asked: Instant) -> Arc<Reading> {
    let labels = [("l", "v".repeat(bytes))].into_iter().collect();
    let sample = Sample { labels, value: 1.0, timestamp: Timestamp::UNIX_EPOCH };
    Arc::new(Reading { samples: vec![sample], partial: None, asked })
}

/// A store with room for ten small queries and a mebibyte besides.
struct Small {
    store: Store,
    start: Instant,
}

impl Small {
    const MEBIBYTE: usize = 1 << 20;

    fn new() -> Self {
        let bytes = 10 * (ENTRY_BYTES + 200) + Self::MEBIBYTE;
        Self { store: Store::new(Limits { bytes, ..Limits::default() }), start: Instant::now() }
    }

    fn look(&self, promql: &str, second: u32) -> Lookup {
        look(&self.store, &query(promql), 100 * SECOND, self.start + second * SECOND)
    }

    fn complete(&self, promql: &str, second: u32, outcome: &Outcome) {
        let now = self.start + second * SECOND;
        let Lookup::Begun(leader, _) = self.look(promql, second) else { panic!("{promql} was kept already") };
        self.store.complete(&query(promql), now, now, outcome);
        leader.complete(Ok(reading()));
    }

    fn keep(&self, promql: &str, bytes: usize, second: u32) {
        self.complete(promql, second, &Ok(large(bytes, self.start + second * SECOND)));
    }

    fn has(&self, promql: &str) -> bool {
        self.store.change(&query(promql), |_| ()).is_some()
    }
}

#[test]
fn a_large_reading_puts_out_what_takes_most_for_the_longest_time_and_nothing_small() {
    let small = Small::new();
    for name in ["a", "b", "c", "d"] {
        small.keep(name, 10, 0);
    }
    small.keep("large", Small::MEBIBYTE / 2, 1);
    small.keep("larger", Small::MEBIBYTE * 2 / 3, 2);
    assert_eq!(small.store.stats().evicted, 1, "at once, not with the next look at all");
    assert!(!small.has("large") && small.has("larger"));
    assert!(["a", "b", "c", "d"].iter().all(|name| small.has(name)));
    assert!(matches!(small.look("larger", 9), Lookup::Reading(_)));
    small.store.due(small.start + 10 * SECOND);
    assert_eq!(small.store.stats().evicted, 1, "what fits stays");
}

#[test]
fn a_good_reading_apart_and_the_text_of_questions_count_as_well() {
    let small = Small::new();
    small.keep("a", 1_000, 0);
    let before = small.store.stats().bytes;
    small.store.keep_last_good(&query("a"), &large(2_000, small.start));
    assert!((2_000..2_200).contains(&(small.store.stats().bytes - before)));
    for number in 0..4_u32 {
        let long = format!("up{{a=\"{}\"}}", number.to_string().repeat(Small::MEBIBYTE / 3));
        small.complete(&long, number + 1, &Err(QueryError::Refused { detail: "no".into() }));
    }
    small.store.due(small.start + 4 * SECOND);
    let stats = small.store.stats();
    assert_eq!((stats.queries, stats.evicted), (4, 1), "{stats:?}");
    assert!(small.has("a"));
}

#[test]
fn one_reading_larger_than_all_may_be_goes_when_it_is_not_in_flight() {
    let small = Small::new();
    let Lookup::Begun(leader, _) = small.look("a", 0) else { panic!("a is new") };
    let all = Ok(large(Small::MEBIBYTE * 2, small.start));
    small.store.complete(&query("a"), small.start, small.start, &all);
    assert_eq!(small.store.stats(), CacheStats { evicted: 1, ..CacheStats::default() });
    leader.complete(all);
}

#[test]
fn the_newest_good_reading_stands_in_as_long_as_it_is_wanted() {
    let store = Store::new(Limits::default());
    let (query, start) = (query("a"), Instant::now());
    let (old, new) = (reading_of(start), reading_of(start + SECOND));
    store.keep_last_good(&query, &new);
    assert_eq!(store.stale_candidates(&query, SECOND, start).count(), 0, "nobody has read the query");
    let Lookup::Begun(..) = look(&store, &query, SECOND, start) else { panic!("the query is new") };
    store.keep_last_good(&query, &new);
    store.keep_last_good(&query, &old);
    let stale_candidates = |second| -> Vec<_> {
        store
            .stale_candidates(&query, 5 * SECOND, start + second * SECOND)
            .map(|reading| reading.asked)
            .collect()
    };
    assert_eq!(stale_candidates(6), [new.asked]);
    assert_eq!(stale_candidates(7), []);
    let last = reading_of(start + 3 * SECOND);
    store.complete(&query, last.asked, last.asked, &Ok(Arc::clone(&last)));
    assert_eq!(
        stale_candidates(6),
        [last.asked, new.asked],
        "the last one may be good, though nobody has read it yet"
    );
}

#[test]
fn what_has_just_failed_is_not_asked_again_at_once() {
    let refusal = QueryError::Refused { detail: "many-to-many matching".into() };
    let mut fixture = Fixture::new(10, 10);
    let Lookup::Begun(leader, _) = fixture.look("a", 0) else { panic!("nothing was kept") };
    fixture.complete("a", 0, &Err(refusal.clone()));
    drop(leader);
    assert!(matches!(fixture.look("a", 4), Lookup::Failed(error) if error == refusal));
    let Lookup::Begun(leader, _) = fixture.look("a", 5) else { panic!("five seconds are over") };
    fixture.complete("a", 5, &Err(QueryError::TimedOut(SECOND)));
    drop(leader);
    assert!(matches!(fixture.look("a", 5), Lookup::Failed(QueryError::TimedOut(_))));
    assert!(matches!(fixture.look("a", 6), Lookup::Begun(..)), "another failure may be over already");
}

#[test]
fn a_forgotten_backend_leaves_no_reading_not_even_one_on_its_way() {
    let store = Store::new(Limits::default());
    let (query, start) = (query("a"), Instant::now());
    let Lookup::Begun(_before, _) = look(&store, &query, SECOND, start) else { panic!("the query is new") };
    store.forget(&BackendName("other".into()));
    assert!(matches!(look(&store, &query, SECOND, start), Lookup::Waiter(_)));
    store.forget(&query.backend);
    let Lookup::Begun(leader, _) = look(&store, &query, SECOND, start + SECOND) else { panic!("forgotten") };
    store.complete(&query, start, start + SECOND, &Ok(reading_of(start)));
    assert!(
        matches!(look(&store, &query, SECOND, start + SECOND), Lookup::Waiter(_)),
        "the old backend's reading"
    );
    store.complete(&query, start + SECOND, start + SECOND, &Ok(reading_of(start + SECOND)));
    leader.complete(Ok(reading_of(start + SECOND)));
    assert!(matches!(look(&store, &query, SECOND, start + SECOND), Lookup::Reading(_)));
}
