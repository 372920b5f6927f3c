//! Age, singleflight, deadlines and failures on a paused clock.

use futures_util::future::join_all;

use super::*;
use crate::metric::Namespace;
use crate::testkit::{self, FakeSource, query};

mod prefetch;
mod together;

const SECOND: Duration = Duration::from_secs(1);
const MAX_AGE: Duration = Duration::from_secs(10);

/// What the fake backend does with the next queries, one after the other; the last one stays.
#[derive(Debug, Clone, Copy)]
enum Play {
    /// Answers with the number of the query as value, after so long.
    Answer(Duration),
    /// Answers after the query has waited so long for a permit.
    Queue(Duration),
    Fail,
    Crash,
}

impl Play {
    /// The result of the query with this number.
    async fn perform(self, number: usize) -> Result<Reading, QueryError> {
        match self {
            Self::Answer(after) => answer(number, Duration::ZERO, after).await,
            Self::Queue(wait) => answer(number, wait, Duration::ZERO).await,
            Self::Fail => Err(QueryError::Unavailable { detail: "connection refused".into() }),
            Self::Crash => panic!("a fault in the backend client"),
        }
    }
}

/// Sent after `wait`, and answered so long after that.
async fn answer(number: usize, wait: Duration, after: Duration) -> Result<Reading, QueryError> {
    tokio::time::sleep(wait).await;
    let asked = Instant::now();
    tokio::time::sleep(after).await;
    let value = f64::from(u32::try_from(number).unwrap());
    Ok(Reading { asked, ..testkit::reading([value]) })
}

struct Fixture {
    cache: Arc<Cache>,
    backend: Arc<FakeSource>,
}

impl Fixture {
    fn new(plays: &[Play]) -> Self {
        Self::with_limits(plays, Limits::default())
    }

    fn with_limits(plays: &[Play], limits: Limits) -> Self {
        let plays = plays.to_vec();
        let backend = FakeSource::new(move |number, _| plays[number.min(plays.len() - 1)].perform(number));
        let source = Arc::clone(&backend) as Arc<dyn QuerySource>;
        Self { cache: Arc::new(Cache::new(source, limits, Handle::current())), backend }
    }

    /// Reads with a deadline of one second; gives the number of the query that answered.
    async fn read(&self, max_age: Duration) -> Result<f64, ReadError> {
        read(Arc::clone(&self.cache), "up", max_age).await
    }

    fn asked(&self) -> usize {
        self.backend.asked().len()
    }
}

async fn read(cache: Arc<Cache>, promql: &str, max_age: Duration) -> Result<f64, ReadError> {
    let reading =
        cache.reading(&query(promql), max_age, &Subscriber::constant(), Instant::now() + SECOND).await?;
    Ok(reading.samples[0].value)
}

#[tokio::test(start_paused = true)]
async fn a_reading_answers_until_it_is_older_than_max_age() {
    let fixture = Fixture::new(&[Play::Answer(Duration::ZERO)]);
    assert_eq!(fixture.read(MAX_AGE).await, Ok(0.0));
    tokio::time::advance(MAX_AGE).await;
    assert_eq!(fixture.read(MAX_AGE).await, Ok(0.0));
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(fixture.read(MAX_AGE).await, Ok(1.0));
    assert_eq!(fixture.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn age_counts_from_when_the_query_was_sent() {
    let fixture = Fixture::new(&[Play::Answer(SECOND / 2)]);
    assert_eq!(fixture.read(SECOND).await, Ok(0.0));
    tokio::time::advance(SECOND * 6 / 10).await;
    assert_eq!(
        fixture.read(SECOND).await,
        Ok(1.0),
        "the first reading is 1.1 s old, though it came 0.6 s ago"
    );
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_a_permit_of_the_backend_is_no_age() {
    let fixture = Fixture::new(&[Play::Queue(SECOND / 2)]);
    assert_eq!(fixture.read(SECOND).await, Ok(0.0));
    tokio::time::advance(SECOND * 6 / 10).await;
    assert_eq!(fixture.read(SECOND).await, Ok(0.0), "the reading is 0.6 s old");
}

#[tokio::test(start_paused = true)]
async fn each_read_brings_its_own_max_age() {
    let fixture = Fixture::new(&[Play::Answer(Duration::ZERO)]);
    assert_eq!(fixture.read(MAX_AGE).await, Ok(0.0));
    tokio::time::advance(2 * SECOND).await;
    assert_eq!(fixture.read(MAX_AGE).await, Ok(0.0));
    assert_eq!(fixture.read(SECOND).await, Ok(1.0));
    assert_eq!(fixture.read(Duration::ZERO).await, Ok(2.0), "zero always asks");
}

#[tokio::test(start_paused = true)]
async fn concurrent_reads_share_one_query() {
    for max_age in [MAX_AGE, Duration::ZERO] {
        let fixture = Fixture::new(&[Play::Answer(SECOND / 2)]);
        let reads = join_all((0..50).map(|_| fixture.read(max_age))).await;
        assert!(reads.iter().all(|read| *read == Ok(0.0)), "{reads:?}");
        assert_eq!(fixture.asked(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn different_queries_are_sent_apart() {
    let fixture = Fixture::new(&[Play::Answer(SECOND / 2)]);
    let reads = ["a", "b"].map(|promql| read(Arc::clone(&fixture.cache), promql, MAX_AGE));
    assert!(join_all(reads).await.iter().all(Result::is_ok));
    assert_eq!(fixture.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_slow_query_fails_its_read_at_the_deadline_and_serves_the_next() {
    let fixture = Fixture::new(&[Play::Answer(3 * SECOND)]);
    let began = Instant::now();
    assert_eq!(fixture.read(MAX_AGE).await, Err(ReadError::DeadlinePassed));
    assert_eq!(began.elapsed().as_millis() / 10, 100, "the read ends at its deadline");
    tokio::time::sleep(3 * SECOND).await;
    assert_eq!(fixture.read(MAX_AGE).await, Ok(0.0));
    assert_eq!(fixture.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_read_joins_a_slow_query_half_way() {
    let fixture = Fixture::new(&[Play::Answer(SECOND * 3 / 2)]);
    assert_eq!(fixture.read(MAX_AGE).await, Err(ReadError::DeadlinePassed));
    assert_eq!(fixture.read(MAX_AGE).await, Ok(0.0));
    assert_eq!(fixture.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_read_takes_no_reading_from_a_slow_query_that_it_would_not_take_from_the_cache() {
    let fixture = Fixture::new(&[Play::Answer(3 * SECOND)]);
    assert_eq!(fixture.read(MAX_AGE).await, Err(ReadError::DeadlinePassed));
    tokio::time::sleep(SECOND * 3 / 2).await;
    let (strict, lax) = tokio::join!(fixture.read(2 * SECOND), fixture.read(MAX_AGE));
    assert_eq!(strict, Err(ReadError::TooOld(2 * SECOND)), "asked 2.5 s before it");
    assert_eq!((lax, fixture.asked()), (Ok(0.0), 1));
}

#[tokio::test(start_paused = true)]
async fn a_failure_reaches_all_who_wait_and_who_reads_within_a_second() {
    let fixture = Fixture::new(&[Play::Fail, Play::Answer(Duration::ZERO)]);
    let reads = join_all((0..50).map(|_| fixture.read(MAX_AGE))).await;
    assert!(reads.iter().all(|read| matches!(read, Err(ReadError::Query(_)))), "{reads:?}");
    tokio::time::advance(Duration::from_millis(999)).await;
    assert!(fixture.read(MAX_AGE).await.is_err());
    assert_eq!(fixture.asked(), 1);
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(fixture.read(MAX_AGE).await, Ok(1.0));
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_goes_away_costs_the_others_nothing() {
    let fixture = Fixture::new(&[Play::Answer(SECOND / 2)]);
    let cache = Arc::clone(&fixture.cache);
    let first = tokio::spawn(async move { read(cache, "up", MAX_AGE).await });
    while fixture.asked() == 0 {
        tokio::task::yield_now().await;
    }
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    assert_eq!(fixture.read(MAX_AGE).await, Ok(0.0));
    assert_eq!(fixture.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn failed_queries_of_a_metric_make_one_log_line_a_minute() {
    let fixture = Fixture::new(&[Play::Fail]);
    let (log, _guard) = testkit::Log::listen();
    let subscriber = Subscriber::new(&Arc::new(()), Arc::default());
    let fail = async |number: usize| {
        let query = query(&format!("up{{number=\"{number}\"}}"));
        let deadline = Instant::now() + SECOND;
        fixture.cache.reading(&query, MAX_AGE, &subscriber, deadline).await.unwrap_err();
    };
    for number in 0..50 {
        fail(number).await;
    }
    assert_eq!(log.lines().len(), 1, "{:?}", log.lines());
    tokio::time::advance(60 * SECOND).await;
    fail(50).await;
    let lines = log.lines();
    assert!(lines.len() == 2 && lines[1].contains("suppressed=49"), "{lines:?}");
}

#[tokio::test(start_paused = true)]
async fn a_panicked_query_is_an_error_and_the_next_read_asks_again() {
    let fixture = Fixture::new(&[Play::Crash, Play::Answer(Duration::ZERO)]);
    assert!(matches!(fixture.read(MAX_AGE).await, Err(ReadError::Query(QueryError::Unavailable { .. }))));
    assert_eq!(fixture.read(MAX_AGE).await, Ok(1.0));
}

#[tokio::test(start_paused = true)]
async fn queries_in_flight_are_bounded() {
    let limits = Limits { in_flight: 1, ..Limits::default() };
    let fixture = Fixture::with_limits(&[Play::Answer(SECOND / 2)], limits);
    let reads = ["a", "b", "a"].map(|promql| read(Arc::clone(&fixture.cache), promql, MAX_AGE));
    let reads = join_all(reads).await;
    assert_eq!(reads, [Ok(0.0), Err(ReadError::Busy), Ok(0.0)]);
}

#[tokio::test(start_paused = true)]
async fn a_metric_that_is_read_with_ever_new_selectors_in_one_namespace_leaves_slots_to_others() {
    let limits = Limits { in_flight: 4, ..Limits::default() };
    let fixture = Fixture::with_limits(&[Play::Answer(SECOND / 2)], limits);
    let (owner, counts) = (Arc::new(()), Arc::<QueryCounts>::default());
    let read = |namespace: &str, promql: &str| {
        let subscriber = Subscriber::new(&owner, Arc::clone(&counts)).in_namespace(namespace);
        let (cache, query) = (Arc::clone(&fixture.cache), query(promql));
        async move {
            let deadline = Instant::now() + SECOND;
            cache.reading(&query, MAX_AGE, &subscriber, deadline).await.map(drop)
        }
    };
    let reads = [read("a", "1"), read("a", "2"), read("a", "3"), read("b", "4")];
    assert_eq!(join_all(reads).await, [Ok(()), Ok(()), Err(ReadError::Busy), Ok(())]);
}

#[tokio::test(start_paused = true)]
async fn a_query_of_one_namespace_never_answers_another() {
    let fixture = Fixture::new(&[Play::Answer(Duration::ZERO)]);
    let read = async |namespace: Option<&str>| {
        let namespace = namespace.map(|name| Namespace::parse(name).unwrap());
        let query = Query { namespace, ..query("up") };
        let deadline = Instant::now() + SECOND;
        let reading =
            fixture.cache.reading(&query, MAX_AGE, &Subscriber::constant(), deadline).await.unwrap();
        reading.samples[0].value
    };
    let values = [read(Some("a")).await, read(Some("b")).await, read(None).await, read(Some("a")).await];
    assert_eq!(values.map(f64::to_bits), [0.0, 1.0, 2.0, 0.0].map(f64::to_bits));
}

#[tokio::test(start_paused = true)]
async fn shutdown_ends_the_queries_in_flight() {
    let fixture = Fixture::new(&[Play::Answer(3600 * SECOND)]);
    assert_eq!(fixture.read(MAX_AGE).await, Err(ReadError::DeadlinePassed));
    let began = Instant::now();
    fixture.cache.shutdown().await;
    assert!(began.elapsed() < SECOND, "it does not wait for the backend");
    assert_eq!(fixture.read(MAX_AGE).await, Err(ReadError::Busy), "nothing begins afterwards");
}

#[tokio::test]
async fn a_read_from_the_cache_takes_microseconds() {
    const READS: u32 = 20_000;
    let fixture = Fixture::new(&[Play::Answer(Duration::ZERO)]);
    let query = query(&"sum(rate(http_requests_total{namespace=\"default\"}[1m])) ".repeat(5));
    let far = Instant::now() + 3600 * SECOND;
    fixture.cache.reading(&query, 3600 * SECOND, &Subscriber::constant(), far).await.unwrap();
    let began = std::time::Instant::now();
    for _ in 0..READS {
        fixture.cache.reading(&query, 3600 * SECOND, &Subscriber::constant(), far).await.unwrap();
    }
    let each = began.elapsed() / READS;
    println!("a read from the cache takes {each:?}");
    assert_eq!(fixture.asked(), 1);
    // Ten times what an unoptimized build takes: catches I/O or a scan, not a busy machine.
    assert!(each < Duration::from_micros(500), "{each:?}");
}

#[tokio::test(start_paused = true)]
async fn a_good_reading_of_a_backend_that_is_forgotten_is_not_held() {
    let fixture = Fixture::new(&[Play::Answer(SECOND / 2), Play::Fail]);
    let up = query("up");
    let subscriber = Subscriber::constant();
    let reading = fixture.cache.reading(&up, MAX_AGE, &subscriber, Instant::now() + SECOND);
    let reload = async {
        tokio::time::sleep(SECOND / 4).await;
        fixture.cache.forget(&up.backend);
        assert!(fixture.read(MAX_AGE).await.is_err(), "the new backend fails");
    };
    let (reading, ()) = tokio::join!(reading, reload);
    fixture.cache.keep_last_good(&up, &reading.unwrap());
    assert_eq!(fixture.cache.stale_candidates(&up, 300 * SECOND).count(), 0);
}
