//! Readers of every kind, and when the next fetch is due for them.

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const MAX_AGE: Duration = Duration::from_secs(10);
const LEAD: Duration = SECOND;

/// A rhythm after reads at these milliseconds; gives it with the times of its demands.
fn after(reads: impl IntoIterator<Item = u64>) -> (Rhythm, Instant, Vec<u64>) {
    let (mut rhythm, start) = (Rhythm::default(), Instant::now());
    let mut demands = Vec::new();
    for read in reads {
        if rhythm.read(start + Duration::from_millis(read), MAX_AGE, LEAD, false) != Role::Hit {
            demands.push(read);
        }
    }
    (rhythm, start, demands)
}

fn due(rhythm: &Rhythm, start: Instant) -> Option<u128> {
    rhythm.due(LEAD).map(|due| due.duration_since(start).as_millis())
}

#[test]
fn one_read_makes_no_beat() {
    let (rhythm, start, demands) = after([0]);
    assert_eq!((due(&rhythm, start), demands), (None, vec![0]));
}

#[test]
fn the_second_read_makes_the_beat_and_the_fetch_is_due_before_the_third() {
    let (rhythm, start, _) = after([0, 15_000]);
    assert_eq!(due(&rhythm, start), Some(29_000));
}

#[test]
fn a_late_reader_does_not_shift_the_beat() {
    let (rhythm, start, _) = after([0, 15_750, 30_760, 46_100]);
    assert_eq!(due(&rhythm, start), Some(46_100 + 15_010 - 1_000));
}

#[test]
fn fifty_readers_within_two_seconds_are_one_demand() {
    let reads = (0..4).flat_map(|beat| (0..50).map(move |reader| beat * 15_000 + reader * 40));
    let (rhythm, start, demands) = after(reads);
    assert_eq!(demands, [0, 15_000, 30_000, 45_000]);
    assert_eq!(due(&rhythm, start), Some(59_000));
}

#[test]
fn two_readers_half_a_beat_apart_are_one_demand() {
    let reads = (0..4).flat_map(|beat| [beat * 15_000, beat * 15_000 + 7_000]);
    assert_eq!(after(reads).2, [0, 15_000, 30_000, 45_000]);
}

#[test]
fn reads_all_the_time_make_a_demand_when_the_reading_becomes_too_old() {
    let (rhythm, start, demands) = after((0..400).map(|read| read * 100));
    assert_eq!(demands, [0, 9_100, 18_200, 27_300, 36_400]);
    assert_eq!(due(&rhythm, start), Some(36_400 + 9_100 - 1_000));
}

#[test]
fn a_replica_that_sees_only_some_reads_knows_the_beat() {
    let (rhythm, start, _) = after([0, 30_000, 75_000, 105_000, 120_000]);
    assert_eq!(due(&rhythm, start), Some(134_000));
    let (rhythm, start, _) = after([0, 30_000, 75_000]);
    assert_eq!(due(&rhythm, start), Some(89_000), "30 s and 45 s are multiples of 15 s");
}

#[test]
fn each_of_three_replicas_knows_an_hpa_that_reads_every_minute() {
    let (rhythm, start, _) = after([0, 180_500]);
    assert_eq!(due(&rhythm, start), Some(360_000));
}

#[test]
fn a_read_from_somebody_else_does_not_spoil_the_beat() {
    // kubectl at 42 s is a demand of its own, and the HPA's read at 45 s is answered by its reading.
    let (rhythm, start, _) = after([0, 15_000, 30_000, 42_000, 45_000, 60_000, 75_000]);
    assert_eq!(due(&rhythm, start), Some(89_000));
}

#[test]
fn a_changed_beat_is_learned() {
    let (rhythm, start, _) = after([0, 30_000, 60_000, 75_000]);
    assert_eq!(due(&rhythm, start), Some(89_000), "shorter: at once");
    let slower = (1..8).map(|read| 15_000 + read * 30_000);
    let (rhythm, start, _) = after([0, 15_000].into_iter().chain(slower));
    assert_eq!(
        due(&rhythm, start),
        Some(15_000 + 8 * 30_000 - 1_000),
        "longer: when the old one is forgotten"
    );
}

#[test]
fn a_beat_is_fetched_once_and_twelve_silent_ones_are_the_end() {
    let (mut rhythm, start, _) = after([0, 15_000]);
    for beat in 2..14 {
        assert_eq!(due(&rhythm, start), Some(beat * 15_000 - 1_000));
        rhythm.fetched();
    }
    assert_eq!(due(&rhythm, start), None);
    assert!(!rhythm.is_steady());
    assert_eq!(rhythm.silence_max(), 180 * SECOND);
}

#[test]
fn the_first_read_after_a_long_silence_begins_anew() {
    let (rhythm, start, _) = after([0, 15_000, 400_000]);
    assert_eq!(due(&rhythm, start), None);
    let (rhythm, start, _) = after([0, 300_000]);
    assert_eq!(due(&rhythm, start), None, "nobody scales by a beat of five minutes");
}

#[test]
fn the_margin_leaves_a_short_lived_reading_time_to_be_read() {
    let mut rhythm = Rhythm::default();
    let start = Instant::now();
    let max_age = Duration::from_millis(200);
    rhythm.read(start, max_age, Duration::ZERO, false);
    rhythm.read(start + SECOND, max_age, Duration::ZERO, false);
    assert_eq!(rhythm.margin(max_age), Duration::from_millis(50));
}

#[test]
fn a_demand_is_expected_if_something_was_fetched_for_it() {
    let (mut rhythm, start, _) = after([0, 15_000]);
    rhythm.fetched();
    assert_eq!(rhythm.read(start + 30 * SECOND, MAX_AGE, LEAD, false), Role::Predicted);
    assert_eq!(rhythm.read(start + 31 * SECOND, MAX_AGE, LEAD, false), Role::Hit);
    rhythm.skip();
    assert_eq!(rhythm.next(), Some(start + 60 * SECOND));
    assert_eq!(rhythm.read(start + 45 * SECOND, MAX_AGE, LEAD, false), Role::Unpredicted);
}

#[test]
fn readings_that_serve_for_minutes_have_a_beat_of_their_own() {
    let max_age = 120 * SECOND;
    let (mut rhythm, start) = (Rhythm::default(), Instant::now());
    for read in 0..40 {
        rhythm.read(start + read * 15 * SECOND, max_age, LEAD, false);
    }
    assert_eq!(rhythm.next(), Some(start + 600 * SECOND), "demands at 0 s, 120 s, ... 480 s");
}

#[test]
fn readers_at_distances_that_no_beat_explains_are_expected_a_period_later() {
    let reads = (0..5).flat_map(|period| [period * 30_000, period * 30_000 + 11_000]);
    let (rhythm, start, _) = after(reads.clone());
    assert_eq!(due(&rhythm, start), Some(149_000), "the first one");
    assert_eq!(rhythm.silence_max(), 360 * SECOND);
    let (mut rhythm, start, _) = after(reads.take(9));
    assert_eq!(due(&rhythm, start), Some(130_000), "the second one");
    rhythm.fetched();
    assert_eq!(due(&rhythm, start), Some(149_000), "and the first one after it");
}

#[test]
fn the_reading_for_a_demand_is_to_serve_those_that_follow_it() {
    let reads = (0..5).flat_map(|period| [0, 7_000, 10_000].map(|phase| period * 30_000 + phase));
    let (rhythm, start, _) = after(reads);
    assert_eq!(rhythm.next(), Some(start + 150 * SECOND));
    assert_eq!(rhythm.last(), Some(start + 157 * SECOND), "the third is a demand of its own");
}

#[test]
fn reads_that_do_not_come_again_have_no_period() {
    let reads = (0..8).flat_map(|beat| [beat * 15_000, beat * 15_000 + 1_000 + beat * beat * 90]);
    let (rhythm, start, _) = after(reads);
    assert_eq!(due(&rhythm, start), Some(8 * 15_000 - 1_000), "the beat holds");
}

#[test]
fn a_read_that_was_missed_is_a_demand_whatever_it_follows() {
    let (mut rhythm, start, _) = after([0, 15_000]);
    assert_eq!(rhythm.read(start + 22 * SECOND, MAX_AGE, LEAD, true), Role::Unpredicted);
    assert_eq!(rhythm.read(start + 30 * SECOND, MAX_AGE, LEAD, false), Role::Hit);
}
