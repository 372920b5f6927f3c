//! Several subscribers of one query, prefetched on a paused clock.

use super::prefetch::{INTERVAL, prefetching};
use super::*;

/// An HPA, which reads at an interval.
#[derive(Clone)]
struct Hpa {
    /// When it reads first.
    phase: Duration,
    max_age: Duration,
    subscriber: Subscriber,
}

impl Hpa {
    fn new(phase: u64, max_age: Duration) -> Self {
        Self { phase: Duration::from_millis(phase), max_age, subscriber: Subscriber::constant() }
    }
}

/// Which reads of each were not answered from the cache.
async fn waited(fixture: &Fixture, interval: Duration, hpas: &[Hpa], reads: u32) -> Vec<Vec<u32>> {
    let start = Instant::now();
    let course = async |hpa: &Hpa| {
        let mut waited = Vec::new();
        for number in 0..reads {
            tokio::time::sleep_until(start + hpa.phase + interval * number).await;
            let began = Instant::now();
            let query = query("up");
            let read = fixture.cache.reading(&query, hpa.max_age, &hpa.subscriber, began + SECOND).await;
            if read.is_err() || began.elapsed() > Duration::ZERO {
                waited.push(number);
            }
        }
        waited
    };
    join_all(hpas.iter().map(course)).await
}

#[tokio::test(start_paused = true)]
async fn of_two_rules_with_one_query_the_stricter_is_prefetched_as_well() {
    for query in [SECOND / 50, 3 * SECOND] {
        for phases in [[0, 2_000], [2_000, 0]] {
            let (fixture, _tasks) = prefetching(&[Play::Answer(query)]);
            let hpas = [Hpa::new(phases[0], MAX_AGE), Hpa::new(phases[1], 6 * MAX_AGE)];
            let waited = waited(&fixture, INTERVAL, &hpas, 40).await;
            assert!(waited.iter().flatten().all(|read| *read < 3), "{query:?} {phases:?}: {waited:?}");
            assert!(fixture.asked() <= 42, "{query:?} {phases:?}: {} queries", fixture.asked());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stricter_rule_that_reads_no_more_no_longer_counts() {
    let (fixture, _tasks) = prefetching(&[Play::Answer(SECOND / 50)]);
    waited(&fixture, INTERVAL, &[Hpa::new(0, MAX_AGE), Hpa::new(2_000, 6 * MAX_AGE)], 10).await;
    waited(&fixture, INTERVAL, &[Hpa::new(0, 6 * MAX_AGE)], 30).await;
    let before = fixture.asked();
    waited(&fixture, INTERVAL, &[Hpa::new(0, 6 * MAX_AGE)], 40).await;
    assert!(fixture.asked() - before <= 15, "{} queries in ten minutes", fixture.asked() - before);
}

#[tokio::test(start_paused = true)]
async fn a_rule_that_is_gone_takes_no_prefetches_from_another_with_the_same_query() {
    let (fixture, _tasks) = prefetching(&[Play::Answer(3 * SECOND)]);
    let owner = Arc::default();
    let stays = Hpa::new(0, MAX_AGE);
    let goes = Hpa { subscriber: Subscriber::new(&owner, Arc::default()), ..Hpa::new(2_000, MAX_AGE) };
    waited(&fixture, INTERVAL, &[stays.clone(), goes], 10).await;
    drop(owner);
    let waited = waited(&fixture, INTERVAL, &[Hpa { phase: 13 * SECOND, ..stays }], 10).await;
    assert!(waited.iter().all(Vec::is_empty), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn hpas_at_any_distance_are_answered_from_the_cache() {
    let cases: [(u64, &[u64]); 7] = [
        (30_010, &[0, 11_000]),
        (30_010, &[0, 14_000]),
        (15_010, &[0, 6_000, 12_500]),
        (15_010, &[0, 5_000, 12_500]),
        (15_010, &[0, 8_000, 10_500]),
        (15_010, &[0, 6_000, 8_500]),
        // Of the two last, which come together, the reading for the first answers one.
        (15_000, &[0, 4_226, 8_682, 9_073]),
    ];
    for (interval, phases) in cases {
        for query in [SECOND / 50, 3 * SECOND] {
            let (fixture, _tasks) = prefetching(&[Play::Answer(query)]);
            let hpas: Vec<_> = phases.iter().map(|phase| Hpa::new(*phase, MAX_AGE)).collect();
            let waited = waited(&fixture, Duration::from_millis(interval), &hpas, 40).await;
            assert!(waited.iter().flatten().all(|read| *read < 4), "{phases:?}, {query:?}: {waited:?}");
            // A reading prefetched a second or four seconds ahead serves 9 s or 6 s: at most 2.5 queries in 15 s.
            let allowed = 40 * interval / 6_000 + 5;
            assert!(fixture.asked() as u64 <= allowed, "{phases:?}, {query:?}: {} queries", fixture.asked());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_hpa_that_joins_another_is_answered_from_its_fifth_read_on_and_takes_no_hits_from_the_other() {
    let (interval, phase) = (30_010, 11_000);
    let (fixture, _tasks) = prefetching(&[Play::Answer(3 * SECOND)]);
    let hpas = [Hpa::new(0, MAX_AGE), Hpa::new(20 * interval + phase, MAX_AGE)];
    let waited = waited(&fixture, Duration::from_millis(interval), &hpas, 40).await;
    let late = |hpa: usize, read| waited[hpa].iter().filter(|waited| **waited > read).count();
    assert_eq!((late(0, 24), late(1, 4)), (0, 0), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn after_an_outage_nobody_is_left_without_prefetches() {
    for (query, phase) in [(SECOND / 50, 7_000), (SECOND / 50, 8_500), (3 * SECOND, 6_000)] {
        for failures in 8..13 {
            let fine = Play::Answer(query);
            let mut plays = vec![fine; 15];
            plays.extend(vec![Play::Fail; failures]);
            plays.push(fine);
            let (fixture, _tasks) = prefetching(&plays);
            let hpas = [Hpa::new(0, MAX_AGE), Hpa::new(phase, MAX_AGE)];
            let waited = waited(&fixture, Duration::from_millis(15_010), &hpas, 60).await;
            let late = waited.iter().flatten().filter(|read| **read > 18);
            assert_eq!(late.count(), 0, "{phase} ms, {query:?}, {failures} failures: {waited:?}");
        }
    }
}
