//! Prefetches, on a paused clock.

use super::*;

pub(super) const INTERVAL: Duration = Duration::from_secs(15);

/// A cache that prefetches.
pub(super) fn prefetching(plays: &[Play]) -> (Fixture, JoinSet<()>) {
    let fixture = Fixture::new(plays);
    let mut tasks = JoinSet::new();
    tasks.spawn(Arc::clone(&fixture.cache).run_prefetch());
    (fixture, tasks)
}

impl Fixture {
    fn hits(&self) -> u64 {
        self.cache.metrics.hits.get()
    }
}

/// What an HPA does: its reads are late by up to a twentieth of the interval, never early.
fn late(read: u32) -> Duration {
    Duration::from_millis(u64::from(read * 7919 % 340))
}

#[tokio::test(start_paused = true)]
async fn an_hpa_is_answered_from_the_cache_from_its_third_read_on_with_one_query_per_interval() {
    const READS: u32 = 60;
    let (fixture, _tasks) = prefetching(&[Play::Answer(SECOND / 50)]);
    for read in 0..READS {
        fixture.read(MAX_AGE).await.unwrap();
        tokio::time::sleep(INTERVAL + late(read)).await;
    }
    assert_eq!(fixture.hits(), u64::from(READS) - 2);
    assert!(fixture.asked() <= READS as usize + 2, "{} queries", fixture.asked());
}

#[tokio::test(start_paused = true)]
async fn an_hpa_of_any_interval_may_be_late_and_in_time_again() {
    const READS: u32 = 100;
    for interval in [5, 10, 15] {
        let (fixture, _tasks) = prefetching(&[Play::Answer(SECOND / 50)]);
        let start = Instant::now();
        for read in 0..READS {
            let late = if read % 7 == 3 { Duration::from_millis(750) } else { late(read) / 20 };
            tokio::time::sleep_until(start + interval * SECOND * read + late).await;
            fixture.read(MAX_AGE).await.unwrap();
        }
        assert!(fixture.hits() >= u64::from(READS) - 3, "{interval} s: {} from the cache", fixture.hits());
        assert!(fixture.asked() <= READS as usize + 2, "{interval} s: {} queries", fixture.asked());
    }
}

#[tokio::test(start_paused = true)]
async fn intervals_of_a_second_to_a_minute_cost_one_query_each() {
    const READS: u32 = 60;
    for (interval, max_age) in [(1_000, 700), (2_000, 1_400), (30_000, 10_000), (60_000, 10_000)] {
        let (fixture, _tasks) = prefetching(&[Play::Answer(SECOND / 50)]);
        for read in 0..READS {
            fixture.read(Duration::from_millis(max_age)).await.unwrap();
            tokio::time::sleep(Duration::from_millis(interval) + late(read) / 20).await;
        }
        assert!(fixture.hits() >= u64::from(READS) - 3, "{interval} ms: {} hits", fixture.hits());
        assert!(fixture.asked() <= READS as usize + 2, "{interval} ms: {} queries", fixture.asked());
    }
}

#[tokio::test(start_paused = true)]
async fn reads_off_the_interval_take_no_hits_from_an_hpa() {
    for interval in [15, 30, 60].map(|seconds| seconds * SECOND) {
        for stray in [interval * 5 / 7, interval * 5 / 13, interval * 2 / 11] {
            let (fixture, _tasks) = prefetching(&[Play::Answer(SECOND / 50)]);
            for read in 0..40 {
                let began = Instant::now();
                fixture.read(MAX_AGE).await.unwrap();
                assert!(read < 2 || began.elapsed().is_zero(), "{interval:?}, {stray:?}: read {read}");
                if read % 8 == 7 {
                    tokio::time::sleep_until(began + stray).await;
                    fixture.read(MAX_AGE).await.unwrap();
                }
                tokio::time::sleep_until(began + interval).await;
            }
            // Each costs a query of its own and at most three for reads that may be expected after it.
            assert!(fixture.asked() <= 40 + 2 + 5 * 4, "{interval:?}, {stray:?}: {}", fixture.asked());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn fifty_hpas_on_one_query_cost_no_more_queries_than_one() {
    pub(super) const INTERVALS: u32 = 12;
    let mut asked = Vec::new();
    for hpas in [1, 50] {
        let (fixture, _tasks) = prefetching(&[Play::Answer(SECOND / 50)]);
        let subscribers = (0..hpas).map(|hpa| {
            let fixture = &fixture;
            async move {
                tokio::time::sleep(SECOND * 2 * hpa / 50).await;
                for read in 0..INTERVALS {
                    fixture.read(MAX_AGE).await.unwrap();
                    tokio::time::sleep(INTERVAL + late(read + hpa) / 20).await;
                }
            }
        });
        join_all(subscribers).await;
        asked.push(fixture.asked());
    }
    assert!(asked[1].abs_diff(asked[0]) <= 1, "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn a_query_slower_than_the_read_deadline_answers_from_the_third_read_on() {
    for interval in [INTERVAL, SECOND] {
        let (fixture, _tasks) = prefetching(&[Play::Answer(3 * SECOND)]);
        let mut failed = Vec::new();
        for read in 0..40 {
            let began = Instant::now();
            if fixture.read(MAX_AGE).await.is_err() {
                failed.push(read);
            }
            tokio::time::sleep(interval.saturating_sub(began.elapsed()) + late(read) / 20).await;
        }
        assert!(failed.iter().all(|read| *read < 3), "interval {interval:?}: reads {failed:?} failed");
    }
}

#[tokio::test(start_paused = true)]
async fn each_of_three_replicas_answers_from_the_cache_with_at_most_one_query_per_interval() {
    pub(super) const INTERVALS: u32 = 150;
    const WARM_UP: u32 = 30;
    let replicas: Vec<_> = (0..3).map(|_| prefetching(&[Play::Answer(SECOND / 50)])).collect();
    let hits = || replicas.iter().map(|(fixture, _)| fixture.hits()).sum::<u64>();
    let (mut chance, mut before) = (42_u32, 0);
    for read in 0..WARM_UP + INTERVALS {
        if read == WARM_UP {
            before = hits();
        }
        chance = chance.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let (fixture, _) = &replicas[(chance >> 16) as usize % 3];
        fixture.read(MAX_AGE).await.unwrap();
        tokio::time::sleep(INTERVAL + late(read) / 10).await;
    }
    let hits = hits() - before;
    assert!(hits * 100 >= u64::from(INTERVALS) * 95, "{hits} of {INTERVALS} reads from the cache");
    for (fixture, _) in &replicas {
        assert!(fixture.asked() <= (WARM_UP + INTERVALS) as usize + 10, "{} queries", fixture.asked());
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_prefetched_for_a_rule_that_is_gone_until_another_has_the_same_query() {
    let (fixture, _tasks) = prefetching(&[Play::Answer(SECOND / 50)]);
    let owner = Arc::default();
    let subscriber = Subscriber::new(&owner, Arc::default());
    let read = async |subscriber: &Subscriber| {
        fixture.cache.reading(&query("up"), MAX_AGE, subscriber, Instant::now() + SECOND).await.unwrap();
        tokio::time::sleep(INTERVAL).await;
    };
    for _ in 0..3 {
        read(&subscriber).await;
    }
    assert_eq!(
        (fixture.asked(), fixture.cache.store.stats.total().prefetched),
        (4, 1),
        "the last of them a prefetch"
    );
    drop(owner);
    tokio::time::sleep(INTERVAL * 3).await;
    assert_eq!((fixture.asked(), fixture.cache.store.stats.total().prefetched), (4, 0));
    read(&Subscriber::constant()).await;
    assert_eq!(
        (fixture.asked(), fixture.cache.store.stats.total().prefetched),
        (6, 1),
        "for it, and a prefetch"
    );
}

#[tokio::test(start_paused = true)]
async fn what_nobody_reads_is_no_longer_prefetched_and_forgotten() {
    let (fixture, _tasks) = prefetching(&[Play::Answer(SECOND / 50)]);
    for _ in 0..3 {
        fixture.read(MAX_AGE).await.unwrap();
        tokio::time::sleep(INTERVAL).await;
    }
    let asked = fixture.asked();
    tokio::time::sleep(INTERVAL * 20).await;
    assert!(fixture.asked() <= asked + 12, "{} queries after the last read", fixture.asked() - asked);
    assert_eq!(fixture.cache.store.stats.total().queries, 0);
}

#[tokio::test(start_paused = true)]
async fn a_failed_prefetch_is_tried_again_by_the_read_and_the_interval_goes_on() {
    let fine = Play::Answer(SECOND / 50);
    let (fixture, _tasks) = prefetching(&[fine, fine, Play::Fail, fine]);
    for read in 0..4 {
        assert!(fixture.read(MAX_AGE).await.is_ok(), "read {read}");
        tokio::time::sleep(INTERVAL).await;
    }
    assert_eq!(fixture.hits(), 1, "the fourth read");
    assert_eq!(fixture.asked(), 6, "two live, the failed one, its repetition, and two prefetches");
}

#[tokio::test(start_paused = true)]
async fn a_max_age_of_zero_is_never_prefetched() {
    let (fixture, _tasks) = prefetching(&[Play::Answer(SECOND / 50)]);
    for _ in 0..5 {
        fixture.read(Duration::ZERO).await.unwrap();
        tokio::time::sleep(INTERVAL).await;
    }
    assert_eq!(fixture.asked(), 5);
}

#[tokio::test(start_paused = true)]
async fn prefetches_for_queries_read_together_are_spread() {
    const QUERIES: usize = 500;
    let (fixture, _tasks) = prefetching(&[Play::Answer(SECOND / 50)]);
    let names: Vec<_> = (0..QUERIES).map(|number| number.to_string()).collect();
    for _ in 0..3 {
        join_all(names.iter().map(|name| read(Arc::clone(&fixture.cache), name, MAX_AGE))).await;
        tokio::time::sleep(11 * SECOND).await;
        let before = fixture.asked();
        let mut most = 0;
        for _ in 0..40 {
            let begun = fixture.asked();
            tokio::time::sleep(SECOND / 10).await;
            most = most.max(fixture.asked() - begun);
        }
        if fixture.asked() - before == QUERIES {
            assert!(most <= QUERIES / 8, "{most} of {QUERIES} queries within 100 ms");
            return;
        }
    }
    panic!("the queries were never prefetched");
}

/// What forty reads of an HPA cost and get.
#[derive(Debug, PartialEq, Eq)]
struct Course {
    /// The reads that failed.
    failed: Vec<u32>,
    /// Queries for the second half of the reads.
    queries: usize,
}

/// Forty reads of one HPA, `interval` apart, of a query that takes `query`.
async fn course(interval: Duration, query: Duration, max_age: Duration) -> Course {
    const READS: u32 = 40;
    let (fixture, _tasks) = prefetching(&[Play::Answer(query)]);
    let (mut failed, mut half) = (Vec::new(), 0);
    for number in 0..READS {
        if number == READS / 2 {
            half = fixture.asked();
        }
        let began = Instant::now();
        if fixture.read(max_age).await.is_err() {
            failed.push(number);
        }
        tokio::time::sleep(interval.saturating_sub(began.elapsed()) + late(number) / 20).await;
    }
    Course { failed, queries: fixture.asked() - half }
}

#[tokio::test(start_paused = true)]
async fn a_read_that_was_prefetched_costs_no_second_query() {
    let ms = Duration::from_millis;
    for (query, max_age) in [(ms(4_500), 10), (ms(3_000), 5), (ms(3_000), 6), (ms(250), 1)] {
        let course = course(INTERVAL, query, max_age * SECOND).await;
        assert!(course.failed.iter().all(|read| *read < 3), "{query:?}, {max_age} s: {course:?}");
        assert!((19..=21).contains(&course.queries), "{query:?}, {max_age} s: {course:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_query_that_takes_more_than_half_an_interval_is_answered_as_well() {
    for (interval, query) in [(15, 8), (10, 5)] {
        let course = course(interval * SECOND, query * SECOND, MAX_AGE).await;
        assert!(course.failed.iter().all(|read| *read < 4), "{query} s of {interval} s: {course:?}");
        assert!((19..=21).contains(&course.queries), "{query} s of {interval} s: {course:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_query_that_takes_nearly_max_age_is_answered_as_well() {
    for (query, max_age) in [(3_800, 4), (4_500, 5), (9_500, 10)] {
        let course = course(INTERVAL, Duration::from_millis(query), max_age * SECOND).await;
        assert!(course.failed.iter().all(|read| *read < 4), "{query} ms of {max_age} s: {course:?}");
        assert!((19..=21).contains(&course.queries), "{query} ms of {max_age} s: {course:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_query_whose_reading_serves_for_minutes_is_renewed_before_it_is_too_old() {
    for minutes in [2, 3, 60] {
        let (fixture, _tasks) = prefetching(&[Play::Answer(3 * SECOND)]);
        let (mut failed, reads) = (Vec::new(), minutes * 40);
        for number in 0..reads {
            if fixture.read(minutes * 60 * SECOND).await.is_err() {
                failed.push(number);
            }
            tokio::time::sleep(INTERVAL + late(number) / 20).await;
        }
        assert!(failed.iter().all(|read| *read <= reads / 5 + 1), "{minutes} min: reads {failed:?} failed");
        assert!(fixture.asked() <= 14, "{minutes} min: {} queries", fixture.asked());
    }
}

#[tokio::test(start_paused = true)]
async fn a_read_from_somebody_else_costs_at_most_one_more_query_per_interval() {
    // kubectl reads ten seconds after the HPA: 5 s would explain every gap.
    let (fixture, _tasks) = prefetching(&[Play::Answer(SECOND / 50)]);
    for number in 0..20 {
        fixture.read(MAX_AGE).await.unwrap();
        if number == 5 {
            tokio::time::sleep(10 * SECOND).await;
            fixture.read(MAX_AGE).await.unwrap();
            tokio::time::sleep(5 * SECOND).await;
        } else {
            tokio::time::sleep(INTERVAL).await;
        }
    }
    assert!(fixture.asked() <= 20 + 1 + 7, "{} queries", fixture.asked());
    let before = fixture.asked();
    for _ in 0..10 {
        fixture.read(MAX_AGE).await.unwrap();
        tokio::time::sleep(INTERVAL).await;
    }
    assert!(fixture.asked() - before <= 11, "{} queries in ten intervals", fixture.asked() - before);
}

#[tokio::test(start_paused = true)]
async fn an_interval_that_changes_to_one_with_a_common_fraction_costs_no_more_queries_than_readings_age() {
    let (fixture, _tasks) = prefetching(&[Play::Answer(SECOND / 50)]);
    for _ in 0..6 {
        fixture.read(MAX_AGE).await.unwrap();
        tokio::time::sleep(20 * SECOND).await;
    }
    let (before, hits) = (fixture.asked(), fixture.hits());
    for _ in 0..12 {
        fixture.read(MAX_AGE).await.unwrap();
        tokio::time::sleep(INTERVAL).await;
    }
    assert!(fixture.hits() - hits >= 11, "{} of 12 reads from the cache", fixture.hits() - hits);
    assert!(
        fixture.asked() - before <= 12 * 15 / 9,
        "{} queries in twelve intervals",
        fixture.asked() - before
    );
}

#[tokio::test(start_paused = true)]
async fn what_would_be_too_old_on_arrival_is_not_prefetched() {
    pub(super) const INTERVALS: u32 = 10;
    let (fixture, _tasks) = prefetching(&[Play::Answer(SECOND * 6 / 5)]);
    for _ in 0..INTERVALS {
        for _ in 0..50 {
            // Each read is a task of its own: its second does not hold up the next one.
            tokio::spawn(read(Arc::clone(&fixture.cache), "up", SECOND));
            tokio::time::sleep(SECOND / 25).await;
        }
        tokio::time::sleep(13 * SECOND).await;
    }
    assert!(
        fixture.asked() <= 2 * INTERVALS as usize,
        "{} queries in {INTERVALS} intervals",
        fixture.asked()
    );
}

#[tokio::test(start_paused = true)]
async fn one_query_that_takes_too_long_does_not_end_prefetching() {
    for outlier in [9, 12, 30] {
        let slow = Play::Answer(3 * SECOND);
        let mut plays = vec![slow; 15];
        plays.extend([Play::Answer(outlier * SECOND), slow]);
        let (fixture, _tasks) = prefetching(&plays);
        let start = Instant::now();
        let mut failed = Vec::new();
        for number in 0..60 {
            tokio::time::sleep_until(start + INTERVAL * number).await;
            if fixture.read(MAX_AGE).await.is_err() {
                failed.push(number);
            }
        }
        let later = failed.iter().filter(|read| **read > 2).count();
        assert!(later <= 4, "one of {outlier} s: reads {failed:?} failed");
    }
}
