//! What is kept, what is forgotten and what is refused.

use jiff::Timestamp;

use super::super::entry::ENTRY_BYTES;
use super::*;
use crate::memory::QueryError;
use crate::metric::Sample;
use crate::rules::BackendName;

const SECOND: Duration = Duration::from_secs(1);

fn question(promql: &str) -> Question {
    Question { backend: BackendName("default".into()), promql: promql.into() }
}

fn reading() -> Arc<Reading> {
    reading_of(Instant::now())
}

fn reading_of(asked: Instant) -> Arc<Reading> {
    Arc::new(Reading { samples: Vec::new(), partial: None, asked })
}

fn look(shelf: &Shelf, question: &Question, max_age: Duration, now: Instant) -> Found {
    shelf.look(question, max_age, &Reader::constant(), now)
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

    fn look(&mut self, promql: &str, second: u32) -> Found {
        let (question, now) = (question(promql), self.start + second * SECOND);
        let read = Read {
            question: &question,
            place: 0,
            max_age: 100 * SECOND,
            reader: &Reader::constant(),
            now,
            spread: Duration::ZERO,
        };
        self.shard.look(&read, &self.slots)
    }

    fn land(&mut self, promql: &str, second: u32, outcome: &Outcome) {
        let now = self.start + second * SECOND;
        self.shard.entries.get_mut(&question(promql)).unwrap().land(now, now, outcome);
    }

    fn fill(&mut self, promql: &str, second: u32) {
        let Found::Begun(launch, _) = self.look(promql, second) else { panic!("{promql} was kept already") };
        self.land(promql, second, &Ok(reading_of(self.start + second * SECOND)));
        launch.land(Ok(reading()));
    }
}

#[test]
fn a_full_shard_forgets_the_question_read_longest_ago() {
    let mut fixture = Fixture::new(2, 10);
    fixture.fill("a", 0);
    fixture.fill("b", 1);
    assert!(matches!(fixture.look("a", 2), Found::Reading(_)));
    fixture.fill("c", 3);
    assert_eq!(fixture.shard.entries.len(), 2);
    assert!(matches!(fixture.look("a", 4), Found::Reading(_)), "a was read after b");
    assert!(matches!(fixture.look("b", 5), Found::Begun(..)), "b had to go");
}

#[test]
fn a_question_in_flight_is_not_forgotten() {
    let mut fixture = Fixture::new(2, 10);
    let Found::Begun(_launch, _) = fixture.look("slow", 0) else { panic!("nothing was kept") };
    fixture.fill("b", 1);
    fixture.fill("c", 2);
    assert!(matches!(fixture.look("slow", 3), Found::Flight(_)));
}

#[test]
fn a_shard_full_of_fetches_refuses_a_new_question() {
    let mut fixture = Fixture::new(1, 10);
    let Found::Begun(launch, _) = fixture.look("slow", 0) else { panic!("nothing was kept") };
    assert!(matches!(fixture.look("b", 1), Found::Busy));
    drop(launch);
    assert!(matches!(fixture.look("b", 2), Found::Begun(..)));
}

#[test]
fn a_fetch_needs_a_slot_and_gives_it_back() {
    let mut fixture = Fixture::new(10, 1);
    let Found::Begun(launch, _) = fixture.look("a", 0) else { panic!("nothing was kept") };
    assert!(matches!(fixture.look("b", 0), Found::Busy));
    launch.land(Ok(reading()));
    assert!(matches!(fixture.look("b", 1), Found::Begun(..)));
}

#[test]
fn a_crashed_fetch_does_not_block_its_question() {
    let mut fixture = Fixture::new(10, 1);
    let Found::Begun(launch, _) = fixture.look("a", 0) else { panic!("nothing was kept") };
    drop(launch);
    assert!(matches!(fixture.look("a", 1), Found::Begun(..)));
}

#[test]
fn a_failure_leaves_the_reading_before_it() {
    let mut fixture = Fixture::new(10, 10);
    fixture.fill("a", 0);
    let failure = Err(QueryError::TimedOut(SECOND));
    fixture.land("a", 1, &failure);
    let Found::Ageing(_, launch) = fixture.look("a", 100) else { panic!("exactly as old as allowed") };
    assert!(matches!(fixture.look("a", 100), Found::Reading(_)), "the fetch for the next reads is in flight");
    drop(launch);
    assert!(matches!(fixture.look("a", 101), Found::Begun(..)), "older than allowed");
}

#[test]
fn the_whole_shelf_keeps_no_more_than_its_share() {
    let shelf = Shelf::new(Limits { questions: 160, fetches: 10, ..Limits::default() });
    let now = Instant::now();
    for number in 0..1_000 {
        let question = question(&number.to_string());
        let Found::Begun(launch, _) = look(&shelf, &question, SECOND, now) else { panic!("{number} is new") };
        shelf.land(&question, now, now, &Ok(reading()));
        launch.land(Ok(reading()));
    }
    let kept: usize = shelf.shards.iter().map(|shard| shard.lock().unwrap().entries.len()).sum();
    assert_eq!(kept, 160);
    assert_eq!(shelf.census().evicted, 840);
}

/// A reading of some more than so many bytes.
fn large(bytes: usize, asked: Instant) -> Arc<Reading> {
    let labels = [("l", "v".repeat(bytes))].into_iter().collect();
    let sample = Sample { labels, value: 1.0, timestamp: Timestamp::UNIX_EPOCH };
    Arc::new(Reading { samples: vec![sample], partial: None, asked })
}

/// A shelf with room for ten small questions and a mebibyte besides.
struct Small {
    shelf: Shelf,
    start: Instant,
}

impl Small {
    const MEBIBYTE: usize = 1 << 20;

    fn new() -> Self {
        let bytes = 10 * (ENTRY_BYTES + 200) + Self::MEBIBYTE;
        Self { shelf: Shelf::new(Limits { bytes, ..Limits::default() }), start: Instant::now() }
    }

    fn look(&self, promql: &str, second: u32) -> Found {
        look(&self.shelf, &question(promql), 100 * SECOND, self.start + second * SECOND)
    }

    fn land(&self, promql: &str, second: u32, outcome: &Outcome) {
        let now = self.start + second * SECOND;
        let Found::Begun(launch, _) = self.look(promql, second) else { panic!("{promql} was kept already") };
        self.shelf.land(&question(promql), now, now, outcome);
        launch.land(Ok(reading()));
    }

    fn keep(&self, promql: &str, bytes: usize, second: u32) {
        self.land(promql, second, &Ok(large(bytes, self.start + second * SECOND)));
    }

    fn has(&self, promql: &str) -> bool {
        self.shelf.change(&question(promql), |_| ()).is_some()
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
    assert_eq!(small.shelf.census().evicted, 1, "at once, not with the next look at all");
    assert!(!small.has("large") && small.has("larger"));
    assert!(["a", "b", "c", "d"].iter().all(|name| small.has(name)));
    assert!(matches!(small.look("larger", 9), Found::Reading(_)));
    small.shelf.due(small.start + 10 * SECOND);
    assert_eq!(small.shelf.census().evicted, 1, "what fits stays");
}

#[test]
fn a_good_reading_apart_and_the_text_of_questions_count_as_well() {
    let small = Small::new();
    small.keep("a", 1_000, 0);
    let before = small.shelf.census().bytes;
    small.shelf.keep_good(&question("a"), &large(2_000, small.start));
    assert!((2_000..2_200).contains(&(small.shelf.census().bytes - before)));
    for number in 0..4_u32 {
        let long = format!("up{{a=\"{}\"}}", number.to_string().repeat(Small::MEBIBYTE / 3));
        small.land(&long, number + 1, &Err(QueryError::Refused { detail: "no".into() }));
    }
    small.shelf.due(small.start + 4 * SECOND);
    let census = small.shelf.census();
    assert_eq!((census.questions, census.evicted), (4, 1), "{census:?}");
    assert!(small.has("a"));
}

#[test]
fn one_reading_larger_than_all_may_be_goes_when_it_is_not_in_flight() {
    let small = Small::new();
    let Found::Begun(launch, _) = small.look("a", 0) else { panic!("a is new") };
    let all = Ok(large(Small::MEBIBYTE * 2, small.start));
    small.shelf.land(&question("a"), small.start, small.start, &all);
    assert_eq!(small.shelf.census(), Census { evicted: 1, ..Census::default() });
    launch.land(all);
}

#[test]
fn the_newest_good_reading_stands_in_as_long_as_it_is_wanted() {
    let shelf = Shelf::new(Limits::default());
    let (question, start) = (question("a"), Instant::now());
    let (old, new) = (reading_of(start), reading_of(start + SECOND));
    shelf.keep_good(&question, &new);
    assert_eq!(shelf.stand_ins(&question, SECOND, start).count(), 0, "nobody has read the question");
    let Found::Begun(..) = look(&shelf, &question, SECOND, start) else { panic!("the question is new") };
    shelf.keep_good(&question, &new);
    shelf.keep_good(&question, &old);
    let stand_ins = |second| -> Vec<_> {
        shelf.stand_ins(&question, 5 * SECOND, start + second * SECOND).map(|reading| reading.asked).collect()
    };
    assert_eq!(stand_ins(6), [new.asked]);
    assert_eq!(stand_ins(7), []);
    let last = reading_of(start + 3 * SECOND);
    shelf.land(&question, last.asked, last.asked, &Ok(Arc::clone(&last)));
    assert_eq!(
        stand_ins(6),
        [last.asked, new.asked],
        "the last one may be good, though nobody has read it yet"
    );
}

#[test]
fn what_has_just_failed_is_not_asked_again_at_once() {
    let refusal = QueryError::Refused { detail: "many-to-many matching".into() };
    let mut fixture = Fixture::new(10, 10);
    let Found::Begun(launch, _) = fixture.look("a", 0) else { panic!("nothing was kept") };
    fixture.land("a", 0, &Err(refusal.clone()));
    drop(launch);
    assert!(matches!(fixture.look("a", 4), Found::Failed(error) if error == refusal));
    let Found::Begun(launch, _) = fixture.look("a", 5) else { panic!("five seconds are over") };
    fixture.land("a", 5, &Err(QueryError::TimedOut(SECOND)));
    drop(launch);
    assert!(matches!(fixture.look("a", 5), Found::Failed(QueryError::TimedOut(_))));
    assert!(matches!(fixture.look("a", 6), Found::Begun(..)), "another failure may be over already");
}

#[test]
fn a_forgotten_backend_leaves_no_reading_not_even_one_on_its_way() {
    let shelf = Shelf::new(Limits::default());
    let (question, start) = (question("a"), Instant::now());
    let Found::Begun(_before, _) = look(&shelf, &question, SECOND, start) else {
        panic!("the question is new")
    };
    shelf.forget(&BackendName("other".into()));
    assert!(matches!(look(&shelf, &question, SECOND, start), Found::Flight(_)));
    shelf.forget(&question.backend);
    let Found::Begun(launch, _) = look(&shelf, &question, SECOND, start + SECOND) else {
        panic!("forgotten")
    };
    shelf.land(&question, start, start + SECOND, &Ok(reading_of(start)));
    assert!(
        matches!(look(&shelf, &question, SECOND, start + SECOND), Found::Flight(_)),
        "the old backend's reading"
    );
    shelf.land(&question, start + SECOND, start + SECOND, &Ok(reading_of(start + SECOND)));
    launch.land(Ok(reading_of(start + SECOND)));
    assert!(matches!(look(&shelf, &question, SECOND, start + SECOND), Found::Reading(_)));
}
