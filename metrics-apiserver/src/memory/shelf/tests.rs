//! What is kept, what is forgotten and what is refused.

use super::*;
use crate::memory::QueryError;
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
        let read = Read { question: &question, place: 0, max_age: 100 * SECOND, now, spread: Duration::ZERO };
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
    let shelf = Shelf::new(Limits { questions: 160, fetches: 10 });
    let now = Instant::now();
    for number in 0..1_000 {
        let question = question(&number.to_string());
        let Found::Begun(launch, _) = shelf.look(&question, SECOND, now) else { panic!("{number} is new") };
        shelf.land(&question, now, now, &Ok(reading()));
        launch.land(Ok(reading()));
    }
    let kept: usize = shelf.shards.iter().map(|shard| shard.lock().unwrap().entries.len()).sum();
    assert_eq!(kept, 160);
}

#[test]
fn the_newest_good_reading_is_kept_as_long_as_it_is_wanted() {
    let shelf = Shelf::new(Limits::default());
    let (question, start) = (question("a"), Instant::now());
    let (old, new) = (reading_of(start), reading_of(start + SECOND));
    shelf.keep_good(&question, &new);
    assert!(shelf.last_good(&question, SECOND, start).is_none(), "nobody has read the question");
    let Found::Begun(..) = shelf.look(&question, SECOND, start) else { panic!("the question is new") };
    shelf.keep_good(&question, &new);
    shelf.keep_good(&question, &old);
    let good = |second| shelf.last_good(&question, 5 * SECOND, start + second * SECOND);
    assert!(good(6).is_some_and(|good| Arc::ptr_eq(&good, &new)));
    assert!(good(7).is_none());
    shelf.land(&question, start + 3 * SECOND, start + 3 * SECOND, &Ok(reading_of(start + 3 * SECOND)));
    assert!(good(6).is_some_and(|good| Arc::ptr_eq(&good, &new)), "a reading nobody called good is none");
}

#[test]
fn a_forgotten_backend_leaves_no_reading_not_even_one_on_its_way() {
    let shelf = Shelf::new(Limits::default());
    let (question, start) = (question("a"), Instant::now());
    let Found::Begun(_before, _) = shelf.look(&question, SECOND, start) else {
        panic!("the question is new")
    };
    shelf.forget(&BackendName("other".into()));
    assert!(matches!(shelf.look(&question, SECOND, start), Found::Flight(_)));
    shelf.forget(&question.backend);
    let Found::Begun(launch, _) = shelf.look(&question, SECOND, start + SECOND) else { panic!("forgotten") };
    shelf.land(&question, start, start + SECOND, &Ok(reading_of(start)));
    assert!(
        matches!(shelf.look(&question, SECOND, start + SECOND), Found::Flight(_)),
        "the old backend's reading"
    );
    shelf.land(&question, start + SECOND, start + SECOND, &Ok(reading_of(start + SECOND)));
    launch.land(Ok(reading_of(start + SECOND)));
    assert!(matches!(shelf.look(&question, SECOND, start + SECOND), Found::Reading(_)));
}
