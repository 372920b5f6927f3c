//! What is kept, what is forgotten and what is refused.

use jiff::Timestamp;

use super::super::entry::ENTRY_BYTES;
use super::*;
use crate::cache::QueryError;
use crate::metric::Sample;
use crate::testkit::query;

const SECOND: Duration = Duration::from_secs(1);

fn reading() -> Arc<Reading> {
    reading_of(Instant::now())
}

fn reading_of(asked: Instant) -> Arc<Reading> {
    Arc::new(Reading { samples: Vec::new(), partial: None, asked })
}

fn look(store: &Store, query: &Query, max_age: Duration, now: Instant) -> Lookup {
    store.look(query, max_age, &Subscriber::constant(), now)
}

/// A store of one shard.
struct Fixture {
    store: Store,
    start: Instant,
}

impl Fixture {
    fn new(queries: usize, in_flight: usize) -> Self {
        Self::with(Limits { queries, in_flight, ..Limits::default() })
    }

    fn with(limits: Limits) -> Self {
        Self { store: Store::with_shards(limits, 1), start: Instant::now() }
    }

    fn at(&self, second: u32) -> Instant {
        self.start + second * SECOND
    }

    fn look(&self, promql: &str, second: u32) -> Lookup {
        look(&self.store, &query(promql), 100 * SECOND, self.at(second))
    }

    fn complete(&self, promql: &str, second: u32, outcome: &Outcome) {
        self.store.complete(&query(promql), self.at(second), self.at(second), outcome);
    }

    fn run(&self, promql: &str, second: u32, outcome: &Outcome) {
        let Lookup::Missed(leader, _) = self.look(promql, second) else {
            panic!("{promql} was kept already")
        };
        self.complete(promql, second, outcome);
        leader.complete(outcome.clone());
    }

    fn fill(&self, promql: &str, second: u32) {
        self.run(promql, second, &Ok(reading_of(self.at(second))));
    }

    fn has(&self, promql: &str) -> bool {
        lock(&self.store.shards[0]).entries.contains_key(&query(promql))
    }

    /// When the store looks at its queries again.
    fn due(&self) -> Vec<Duration> {
        let shard = lock(&self.store.shards[0]);
        assert_eq!(shard.due.len(), shard.entries.len());
        shard.due.iter().map(|(at, _)| at.duration_since(self.start)).collect()
    }

    fn total(&self) -> Size {
        self.store.stats.total()
    }

    fn evicted(&self) -> u64 {
        self.store.stats.evictions.get()
    }
}

#[test]
fn a_full_shard_evicts_the_query_read_longest_ago() {
    let fixture = Fixture::new(2, 10);
    fixture.fill("a", 0);
    fixture.fill("b", 1);
    assert!(matches!(fixture.look("a", 2), Lookup::Hit(_)));
    fixture.fill("c", 3);
    assert_eq!(fixture.total().queries, 2);
    assert!(matches!(fixture.look("a", 4), Lookup::Hit(_)), "a was read after b");
    assert!(matches!(fixture.look("b", 5), Lookup::Missed(..)), "b had to go");
}

#[test]
fn a_query_in_flight_is_not_evicted() {
    let fixture = Fixture::new(2, 10);
    let Lookup::Missed(_leader, _) = fixture.look("slow", 0) else { panic!("nothing was kept") };
    fixture.fill("b", 1);
    fixture.fill("c", 2);
    assert!(matches!(fixture.look("slow", 3), Lookup::Joined(_)));
}

#[test]
fn a_shard_full_of_queries_in_flight_refuses_a_new_one() {
    let fixture = Fixture::new(1, 10);
    let Lookup::Missed(leader, _) = fixture.look("slow", 0) else { panic!("nothing was kept") };
    assert!(matches!(fixture.look("b", 1), Lookup::Refused));
    drop(leader);
    assert!(matches!(fixture.look("b", 2), Lookup::Missed(..)));
}

#[test]
fn a_query_needs_a_slot_and_gives_it_back() {
    let fixture = Fixture::new(10, 1);
    let Lookup::Missed(leader, _) = fixture.look("a", 0) else { panic!("nothing was kept") };
    assert!(matches!(fixture.look("b", 0), Lookup::Refused));
    leader.complete(Ok(reading()));
    assert!(matches!(fixture.look("b", 1), Lookup::Missed(..)));
}

#[test]
fn a_panicked_query_does_not_block_the_next() {
    let fixture = Fixture::new(10, 1);
    let Lookup::Missed(leader, _) = fixture.look("a", 0) else { panic!("nothing was kept") };
    drop(leader);
    assert!(matches!(fixture.look("a", 1), Lookup::Missed(..)));
}

#[test]
fn a_failure_leaves_the_reading_before_it() {
    let fixture = Fixture::new(10, 10);
    fixture.fill("a", 0);
    fixture.complete("a", 1, &Err(QueryError::TimedOut(SECOND)));
    assert!(matches!(fixture.look("a", 100), Lookup::Hit(_)), "exactly as old as allowed");
    assert!(matches!(fixture.look("a", 101), Lookup::Missed(..)), "older than allowed");
}

#[test]
fn a_reading_that_is_too_old_for_the_next_reads_is_replaced_at_once_though_it_answers_this_one() {
    let fixture = Fixture::new(10, 10);
    fixture.fill("a", 0);
    assert!(matches!(fixture.look("a", 50), Lookup::Hit(_)));
    assert_eq!(fixture.store.take_due(fixture.at(50)).0.len(), 0);
    assert!(matches!(fixture.look("a", 100), Lookup::Hit(_)));
    let (prefetches, _) = fixture.store.take_due(fixture.at(100));
    assert_eq!(prefetches.len(), 1);
    assert!(matches!(fixture.look("a", 100), Lookup::Hit(_)));
    assert!(matches!(fixture.look("a", 101), Lookup::Joined(_)), "the query in flight");
}

#[test]
fn a_query_is_looked_at_when_its_prefetch_is_due_and_when_it_is_forgotten() {
    let fixture = Fixture::new(10, 10);
    let read = |second| look(&fixture.store, &query("a"), 10 * SECOND, fixture.at(second));
    let Lookup::Missed(..) = read(0) else { panic!("nothing was kept") };
    fixture.complete("a", 0, &Ok(reading_of(fixture.at(0))));
    assert_eq!(fixture.due(), [45 * SECOND], "forgotten, if there are many");
    let Lookup::Missed(..) = read(15) else { panic!("the reading is too old") };
    fixture.complete("a", 15, &Ok(reading_of(fixture.at(15))));
    let due = fixture.due()[0];
    assert!(due.abs_diff(29 * SECOND) < SECOND / 100, "a prefetch one second ahead: {due:?}");
    let (prefetches, next) = fixture.store.take_due(fixture.at(29));
    assert_eq!(prefetches.len(), 1);
    assert_eq!(next.map(|next| next.duration_since(fixture.start)), Some((15 + 12 * 15) * SECOND));
    fixture.complete("a", 29, &Ok(reading_of(fixture.at(29))));
    assert!(fixture.due()[0] <= 44 * SECOND);
    assert_eq!(fixture.total(), Size { queries: 1, prefetched: 1, samples: 0, bytes: 1_501 });
    assert_eq!(fixture.store.take_due(fixture.at(15 + 12 * 15)).0.len(), 0);
    assert_eq!((fixture.due(), fixture.total()), (vec![], Size::default()));
}

#[test]
fn one_more_read_changes_nothing_and_one_of_a_stricter_subscriber_makes_the_prefetch_earlier() {
    let fixture = Fixture::new(10, 10);
    let read = |subscriber: &Subscriber, max_age: u32, second| {
        fixture.store.look(&query("a"), max_age * SECOND, subscriber, fixture.at(second))
    };
    let (one, stricter) = (Subscriber::constant(), Subscriber::constant());
    // At odd distances: the reading is replaced just before it is too old.
    for second in [0, 11, 24, 43, 57, 76] {
        assert!(matches!(read(&one, 10, second), Lookup::Missed(..)));
        fixture.complete("a", second, &Ok(reading_of(fixture.at(second))));
    }
    assert_eq!(fixture.store.take_due(fixture.at(76)).0.len(), 0);
    let before = fixture.due();
    assert!((84 * SECOND..86 * SECOND).contains(&before[0]), "{before:?}");
    assert!(matches!(read(&one, 10, 78), Lookup::Hit(_)));
    assert_eq!(fixture.due(), before);
    assert!(matches!(read(&stricter, 5, 79), Lookup::Hit(_)));
    assert!(fixture.due()[0] < 81 * SECOND, "{:?}", fixture.due());
}

#[test]
fn prefetches_leave_half_of_the_slots_to_reads_and_are_tried_again() {
    let fixture = Fixture::new(10, 2);
    for second in [0, 15] {
        look(&fixture.store, &query("a"), 10 * SECOND, fixture.at(second));
        fixture.complete("a", second, &Ok(reading_of(fixture.at(second))));
    }
    let Lookup::Missed(busy, _) = fixture.look("b", 20) else { panic!("nothing was kept") };
    let (prefetches, next) = fixture.store.take_due(fixture.at(29));
    assert_eq!((prefetches.len(), next), (0, Some(fixture.at(29) + RETRY)));
    drop(busy);
    assert_eq!(fixture.store.take_due(fixture.at(29) + RETRY).0.len(), 1);
}

#[test]
fn the_whole_store_keeps_no_more_than_its_limit() {
    let store = Store::new(Limits { queries: 160, in_flight: 10, ..Limits::default() });
    let now = Instant::now();
    for number in 0..1_000 {
        let query = query(&number.to_string());
        let Lookup::Missed(leader, _) = look(&store, &query, SECOND, now) else { panic!("{number} is new") };
        store.complete(&query, now, now, &Ok(reading()));
        leader.complete(Ok(reading()));
    }
    let kept = store.stats.total().queries;
    assert_eq!(kept, 160);
    assert_eq!(store.stats.evictions.get(), 840);
}

/// A reading of some more than so many bytes.
fn large(bytes: usize, asked: Instant) -> Arc<Reading> {
    let labels = [("l", "v".repeat(bytes))].into_iter().collect();
    let sample = Sample { labels, value: 1.0, timestamp: Timestamp::UNIX_EPOCH };
    Arc::new(Reading { samples: vec![sample], partial: None, asked })
}

const MEBIBYTE: usize = 1 << 20;

/// A store with room for ten small queries and a mebibyte besides.
fn small() -> Fixture {
    Fixture::with(Limits { bytes: 10 * (ENTRY_BYTES + 200) + MEBIBYTE, ..Limits::default() })
}

impl Fixture {
    fn keep(&self, promql: &str, bytes: usize, second: u32) {
        self.run(promql, second, &Ok(large(bytes, self.at(second))));
    }
}

#[test]
fn a_large_reading_evicts_what_uses_most_for_the_longest_time_and_nothing_small() {
    let small = small();
    for name in ["a", "b", "c", "d"] {
        small.keep(name, 10, 0);
    }
    small.keep("large", MEBIBYTE / 2, 1);
    small.keep("larger", MEBIBYTE * 2 / 3, 2);
    assert_eq!(small.evicted(), 1, "at once");
    assert!(!small.has("large") && small.has("larger"));
    assert!(["a", "b", "c", "d"].iter().all(|name| small.has(name)));
    assert!(matches!(small.look("larger", 9), Lookup::Hit(_)));
    small.store.take_due(small.at(10));
    assert_eq!(small.evicted(), 1, "what fits stays");
}

#[test]
fn a_good_reading_of_its_own_and_the_text_of_queries_count_as_well() {
    let small = small();
    small.keep("a", 1_000, 0);
    let before = small.total().bytes;
    small.store.keep_last_good(&query("a"), &large(2_000, small.start), small.start);
    assert!((2_000..2_200).contains(&(small.total().bytes - before)));
    for number in 0..4_u32 {
        let long = format!("up{{a=\"{}\"}}", number.to_string().repeat(MEBIBYTE / 3));
        small.run(&long, number + 1, &Err(QueryError::Refused { detail: "no".into() }));
    }
    assert_eq!((small.total().queries, small.evicted()), (4, 1), "{:?}", small.total());
    assert!(small.has("a"));
}

#[test]
fn queries_that_were_read_once_are_forgotten_soon_where_there_are_many_of_one_namespace() {
    let fixture = Fixture::new(10_000, 10_000);
    let in_namespace = |name: &str| Subscriber::constant().in_namespace(name);
    let (many, few) = (in_namespace("many"), in_namespace("few"));
    let read = |promql: &str, subscriber: &Subscriber, second| {
        fixture.store.look(&query(promql), 10 * SECOND, subscriber, fixture.at(second));
        fixture.complete(promql, second, &Ok(reading_of(fixture.at(second))));
    };
    for number in 0..1_000 {
        read(&format!("many_{number}"), &many, 0);
    }
    read("few_1", &few, 0);
    read("regular", &many, 0);
    read("regular", &many, 15);
    let (prefetches, _) = fixture.store.take_due(fixture.at(44));
    assert_eq!((prefetches.len(), fixture.total().queries), (1, 1_002));
    drop(prefetches);
    fixture.store.take_due(fixture.at(46));
    assert!(fixture.has("few_1") && fixture.has("regular"));
    let left = fixture.total().queries - 2;
    assert!((600..700).contains(&left), "{left} of a million bytes");
    fixture.store.take_due(fixture.at(600));
    assert_eq!((fixture.total(), fixture.due()), (Size::default(), vec![]));
    assert!(lock(&fixture.store.shards[0]).tentative.is_empty());
}

#[test]
fn one_reading_larger_than_the_limit_is_evicted_at_once() {
    let small = small();
    let Lookup::Missed(leader, _) = small.look("a", 0) else { panic!("a is new") };
    let all = Ok(large(MEBIBYTE * 2, small.start));
    small.store.complete(&query("a"), small.start, small.start, &all);
    assert_eq!((small.total(), small.evicted()), (Size::default(), 1));
    assert!(small.due().is_empty());
    leader.complete(all);
}

#[test]
fn the_newest_good_reading_is_a_candidate_as_long_as_it_is_wanted() {
    let store = Store::new(Limits::default());
    let (query, start) = (query("a"), Instant::now());
    let (old, new) = (reading_of(start), reading_of(start + SECOND));
    store.keep_last_good(&query, &new, start);
    assert_eq!(store.stale_candidates(&query, SECOND, start).count(), 0, "nobody has read the query");
    let Lookup::Missed(..) = look(&store, &query, SECOND, start) else { panic!("the query is new") };
    store.keep_last_good(&query, &new, start);
    store.keep_last_good(&query, &old, start);
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
fn what_has_just_failed_is_not_sent_again_at_once() {
    let refusal = QueryError::Refused { detail: "many-to-many matching".into() };
    let fixture = Fixture::new(10, 10);
    let Lookup::Missed(leader, _) = fixture.look("a", 0) else { panic!("nothing was kept") };
    fixture.complete("a", 0, &Err(refusal.clone()));
    drop(leader);
    assert!(matches!(fixture.look("a", 4), Lookup::Failed(error) if error == refusal));
    let Lookup::Missed(leader, _) = fixture.look("a", 5) else { panic!("five seconds are over") };
    fixture.complete("a", 5, &Err(QueryError::TimedOut(SECOND)));
    drop(leader);
    assert!(matches!(fixture.look("a", 5), Lookup::Failed(QueryError::TimedOut(_))));
    assert!(matches!(fixture.look("a", 6), Lookup::Missed(..)), "another failure may be over already");
}

#[test]
fn a_forgotten_backend_leaves_no_reading_not_even_one_on_its_way() {
    let store = Store::new(Limits::default());
    let (query, start) = (query("a"), Instant::now());
    let Lookup::Missed(_before, _) = look(&store, &query, SECOND, start) else { panic!("the query is new") };
    store.forget(&BackendName("other".into()));
    assert!(matches!(look(&store, &query, SECOND, start), Lookup::Joined(_)));
    store.forget(&query.backend);
    let Lookup::Missed(leader, _) = look(&store, &query, SECOND, start + SECOND) else { panic!("forgotten") };
    store.complete(&query, start, start + SECOND, &Ok(reading_of(start)));
    assert!(
        matches!(look(&store, &query, SECOND, start + SECOND), Lookup::Joined(_)),
        "the old backend's reading"
    );
    store.complete(&query, start + SECOND, start + SECOND, &Ok(reading_of(start + SECOND)));
    leader.complete(Ok(reading_of(start + SECOND)));
    assert!(matches!(look(&store, &query, SECOND, start + SECOND), Lookup::Hit(_)));
}

#[test]
fn statistics_and_due_times_are_exact_whatever_happens() {
    let fixture = Fixture::with(Limits { queries: 20, in_flight: 8, bytes: 20 * 1_700 });
    let (mut chance, mut leaders) = (7_u32, Vec::new());
    for second in 0..3_000 {
        chance = chance.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let (action, name) = ((chance >> 16) % 8, (chance >> 20) % 30);
        let promql = name.to_string();
        match action {
            0..4 => {
                if let Lookup::Missed(leader, _) = fixture.look(&promql, second) {
                    leaders.push((promql, second, leader));
                }
            }
            4 => fixture.store.keep_last_good(
                &query(&promql),
                &large(name as usize * 20, fixture.at(second)),
                fixture.at(second),
            ),
            5 => {
                let (prefetches, _) = fixture.store.take_due(fixture.at(second));
                leaders.extend(
                    prefetches.into_iter().map(|(query, leader)| (query.promql.to_string(), second, leader)),
                );
            }
            _ => {
                if let Some((promql, began, leader)) = leaders.pop() {
                    let outcome = Ok(large(name as usize * 10, fixture.at(began)));
                    fixture.complete(&promql, second, &outcome);
                    leader.complete(outcome);
                }
            }
        }
        let shard = lock(&fixture.store.shards[0]);
        let sum = |part: fn(&Entry) -> u32| shard.entries.values().map(|entry| part(entry)).sum::<u32>();
        let total = fixture.total();
        assert_eq!((total.queries as usize, total.bytes), (shard.entries.len(), sum(Entry::bytes)));
        assert_eq!(total.prefetched, sum(|entry| entry.counted.prefetched));
        assert!(shard.entries.iter().all(|(query, entry)| {
            entry.wake.is_some_and(|wake| shard.due.contains(&(wake, query.clone())))
        }));
        assert_eq!(shard.due.len(), shard.entries.len());
    }
    assert!(fixture.evicted() > 0);
}
