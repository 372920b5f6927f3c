//! Reads of every kind, and when the next prefetch is due for them.

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const MAX_AGE: Duration = Duration::from_secs(10);
const LEAD: Duration = SECOND;

/// A schedule after reads at these milliseconds, with the times of its misses.
struct Fixture {
    schedule: Schedule,
    start: Instant,
    misses: Vec<u64>,
}

impl Fixture {
    fn read(&mut self, at: u64) {
        let role = self.schedule.read(self.start + Duration::from_millis(at), MAX_AGE, LEAD, false);
        if role != Role::Hit {
            self.misses.push(at);
        }
    }

    /// The next expected miss that a reading sent with the last miss does not answer.
    fn next(&self) -> Option<u128> {
        self.next_after(*self.misses.last()?)
    }

    /// The same of a reading sent at this time.
    fn next_after(&self, sent: u64) -> Option<u128> {
        let now = self.start + Duration::from_millis(sent);
        self.schedule
            .next_miss(now, now + MAX_AGE, LEAD)
            .map(|next| next.duration_since(self.start).as_millis())
    }
}

fn after(reads: impl IntoIterator<Item = u64>) -> Fixture {
    let schedule = Schedule::default();
    let mut fixture = Fixture { schedule, start: Instant::now(), misses: Vec::new() };
    reads.into_iter().for_each(|read| fixture.read(read));
    fixture
}

#[test]
fn one_read_makes_no_interval() {
    let fixture = after([0]);
    assert_eq!((fixture.next(), fixture.misses), (None, vec![0]));
}

#[test]
fn the_second_read_makes_the_interval_and_the_third_is_expected() {
    assert_eq!(after([0, 15_000]).next(), Some(30_000));
}

#[test]
fn a_late_read_does_not_shift_the_interval() {
    assert_eq!(after([0, 15_750, 30_760, 46_100]).next(), Some(46_100 + 15_010));
}

#[test]
fn fifty_readers_within_two_seconds_are_one_miss() {
    let fixture =
        after((0..4).flat_map(|interval| (0..50).map(move |reader| interval * 15_000 + reader * 40)));
    assert_eq!(fixture.next(), Some(60_000));
    assert_eq!(fixture.misses, [0, 15_000, 30_000, 45_000]);
}

#[test]
fn two_readers_half_an_interval_apart_are_one_miss() {
    let reads = (0..4).flat_map(|interval| [interval * 15_000, interval * 15_000 + 7_000]);
    assert_eq!(after(reads).misses, [0, 15_000, 30_000, 45_000]);
}

#[test]
fn continuous_reads_make_a_miss_when_the_reading_becomes_too_old() {
    let fixture = after((0..400).map(|read| read * 100));
    assert_eq!(fixture.next(), Some(36_400 + 9_100));
    assert_eq!(fixture.misses, [0, 9_100, 18_200, 27_300, 36_400]);
}

#[test]
fn a_replica_that_sees_only_some_reads_knows_the_interval() {
    assert_eq!(after([0, 30_000, 75_000, 105_000, 120_000]).next(), Some(135_000));
    assert_eq!(after([0, 30_000, 75_000]).next(), Some(90_000), "30 s and 45 s are multiples of 15 s");
}

#[test]
fn each_of_three_replicas_knows_an_hpa_that_reads_every_minute() {
    assert_eq!(after([0, 180_500]).next(), Some(361_000));
}

#[test]
fn a_read_off_the_interval_changes_nothing_that_was_learned() {
    // kubectl at 42 s is a miss of its own, and the HPA's read at 45 s is answered by its reading.
    let fixture = after([0, 15_000, 30_000, 42_000, 45_000, 60_000, 75_000]);
    assert_eq!(fixture.next(), Some(90_000));
    for stray in [11, 13, 16, 23, 25, 27, 35, 47, 50] {
        let stray = 300_000 + stray * 1_000;
        let fixture = after((0..6).map(|read| read * 60_000).chain([stray]));
        let expected = [360_000, stray + (stray - 300_000)].map(u128::from);
        let expected = expected.into_iter().filter(|at| *at > u128::from(stray) + 8_000).min();
        assert_eq!(fixture.next_after(stray - 1_000), expected, "{stray}");
    }
}

#[test]
fn a_read_off_the_interval_may_be_the_first_of_another_reader() {
    let fixture = after((0..6).map(|read| read * 60_000).chain([325_000]));
    assert_eq!(fixture.next_after(359_000), Some(375_000), "25 s later once more");
    assert_eq!(fixture.next_after(374_000), Some(385_000), "a minute after the stray");
}

#[test]
fn a_changed_interval_is_learned() {
    assert_eq!(after([0, 30_000, 60_000, 75_000]).next(), Some(90_000), "shorter: at once");
    let slower = (1..8).map(|read| 15_000 + read * 30_000);
    let fixture = after([0, 15_000].into_iter().chain(slower));
    assert_eq!(fixture.next(), Some(15_000 + 8 * 30_000), "longer: when the old one is forgotten");
}

#[test]
fn predictions_end_after_twelve_unread_intervals() {
    let fixture = after([0, 15_000]);
    for interval in 2..14 {
        let sent = interval * 15_000 - 15_000 - 1_000;
        assert_eq!(fixture.next_after(sent), Some(u128::from(interval) * 15_000));
    }
    assert_eq!(fixture.next_after(13 * 15_000 - 1_000), None);
    assert_eq!(fixture.schedule.unread_max(), 180 * SECOND);
}

#[test]
fn the_first_read_after_a_long_silence_begins_anew() {
    assert_eq!(after([0, 15_000, 400_000]).next(), None);
    assert_eq!(after([0, 300_000]).next(), None, "nobody scales at an interval of five minutes");
}

#[test]
fn the_margin_leaves_a_short_lived_reading_time_to_be_read() {
    let mut schedule = Schedule::default();
    let start = Instant::now();
    let max_age = Duration::from_millis(200);
    schedule.read(start, max_age, Duration::ZERO, false);
    schedule.read(start + SECOND, max_age, Duration::ZERO, false);
    assert_eq!(schedule.margin(max_age), Duration::from_millis(50));
}

#[test]
fn a_miss_that_the_last_reading_answers_is_not_expected() {
    let fixture = after([0, 15_000]);
    assert_eq!(fixture.next_after(20_999), Some(30_000));
    assert_eq!(fixture.next_after(21_000), Some(45_000), "answered with a second to spare");
}

#[test]
fn a_miss_is_prefetched_once_whatever_comes_of_it() {
    let mut fixture = after([0, 15_000]);
    fixture.schedule.prefetched(fixture.start + 30 * SECOND);
    assert_eq!(fixture.next(), Some(45_000));
    let reads = (0..5).flat_map(|period| [period * 30_000, period * 30_000 + 11_000]);
    let mut fixture = after(reads);
    fixture.schedule.prefetched(fixture.start + 141 * SECOND);
    assert_eq!(fixture.next_after(131_000), Some(141_000 + 11_000), "irregular, and failed");
    assert_eq!(fixture.next_after(140_000), Some(150_000), "irregular, and answered");
}

#[test]
fn a_new_interval_is_expected_at_once_besides_the_old_one() {
    let fixture = after((0..6).map(|read| read * 20_000).chain([115_000]));
    assert_eq!(fixture.next_after(115_000), Some(130_000));
}

#[test]
fn readings_that_serve_for_minutes_have_an_interval_of_their_own() {
    let max_age = 120 * SECOND;
    let (mut schedule, start) = (Schedule::default(), Instant::now());
    for read in 0..40 {
        schedule.read(start + read * 15 * SECOND, max_age, LEAD, false);
    }
    let next = schedule.next_miss(start + 480 * SECOND, start + 599 * SECOND, LEAD);
    assert_eq!(next, Some(start + 600 * SECOND), "misses at 0 s, 120 s, ... 480 s");
}

#[test]
fn readers_at_distances_that_no_interval_explains_are_expected_at_any_time() {
    let fixture = after((0..5).flat_map(|period| [period * 30_000, period * 30_000 + 11_000]));
    assert_eq!(fixture.next_after(131_000), Some(141_000), "when the reading becomes too old");
    assert_eq!(fixture.next_after(140_000), Some(150_000), "and the one after it");
    assert_eq!(fixture.schedule.unread_max(), 12 * 11 * SECOND);
}

#[test]
fn reads_that_an_earlier_reading_answers_do_not_disturb_the_interval() {
    let reads = (0..8).flat_map(|at| [at * 15_000, at * 15_000 + 1_000 + at * at * 90]);
    assert_eq!(after(reads).next(), Some(8 * 15_000));
}

#[test]
fn an_unanswered_read_is_a_miss_whatever_it_follows() {
    let mut fixture = after([0, 15_000]);
    let mut read = |second, is_unanswered| {
        fixture.schedule.read(fixture.start + second * SECOND, MAX_AGE, LEAD, is_unanswered)
    };
    assert_eq!(read(22, true), Role::Unpredicted);
    assert_eq!(read(30, false), Role::Hit);
}

#[test]
fn a_miss_is_predicted_if_something_was_prefetched_for_it() {
    let Fixture { mut schedule, start, .. } = after([0, 15_000]);
    schedule.prefetched(start + 30 * SECOND);
    assert_eq!(schedule.read(start + 30 * SECOND + LEAD, MAX_AGE, LEAD, false), Role::Predicted);
    assert_eq!(schedule.read(start + 32 * SECOND, MAX_AGE, LEAD, false), Role::Hit);
    assert_eq!(schedule.read(start + 45 * SECOND, MAX_AGE, LEAD, false), Role::Unpredicted);
}
