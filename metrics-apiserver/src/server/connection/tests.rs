//! A connection in memory: what is answered, how much is read, and when it ends.

use std::sync::Mutex;

use super::super::stream::HEAD_TIMEOUT;
use super::*;
use futures_util::FutureExt as _;
use tokio::io::{AsyncReadExt as _, DuplexStream, duplex};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;

const FIRST: &[u8] = b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\n";
const SECOND: &[u8] = b"GET /2 HTTP/1.1\r\n\r\n";
/// As long as an idle connection is kept.
const KEEP_ALIVE: Duration = Duration::from_secs(90);
/// A client that reads nothing for this long is considered gone.
const STALL: Duration = Duration::from_secs(10);
/// So is one that has not read the whole answer by then.
const ANSWER: Duration = Duration::from_secs(60);

/// A client, and the server's side of its connection.
struct Rig {
    client: DuplexStream,
    served: JoinHandle<Option<u16>>,
    requests: Arc<Mutex<Vec<String>>>,
    /// Lets one request be answered, where they wait.
    answer: Arc<Notify>,
    stop: watch::Sender<bool>,
}

impl Rig {
    /// Every request is answered at once with a body of so many bytes, over a connection that holds so many in each
    /// direction.
    fn new(body: usize, buffer: usize) -> Self {
        Self::with(body, buffer, false)
    }

    /// Requests wait for [`Rig::answer`].
    fn waiting() -> Self {
        Self::with(2, 1 << 20, true)
    }

    fn with(body: usize, buffer: usize, waits: bool) -> Self {
        Self::limited(body, buffer, waits, None)
    }

    /// With a limit on large heads.
    fn limited(
        body: usize,
        buffer: usize,
        waits: bool,
        large_heads: Option<Arc<ConcurrencyLimiter>>,
    ) -> Self {
        let (client, server) = duplex(buffer);
        let (stop, mut stopping) = watch::channel(false);
        let (requests, answer) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<Notify>::default());
        let (seen, permits) = (Arc::clone(&requests), Arc::clone(&answer));
        let served = tokio::spawn(async move {
            let answer = |request: Request<Incoming>| {
                seen.lock().unwrap().push(request.uri().path().to_owned());
                let (is_last, permits) = (request.uri().path() == "/last", Arc::clone(&permits));
                async move {
                    if waits {
                        permits.notified().await;
                    }
                    let mut response = reply::text(hyper::StatusCode::OK, vec![b'a'; body]);
                    if is_last {
                        reply::close(&mut response);
                    }
                    Ok(response)
                }
            };
            let (_, refusal) = serve_requests(&http(), server, large_heads, answer, &mut stopping).await;
            refusal.map(|status| status.code())
        });
        Self { client, served, requests, answer, stop }
    }

    fn requests(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.client.write_all(bytes).await.unwrap();
    }

    /// Sends a request and reads the answer, which has a body of two bytes.
    async fn exchange(&mut self, request: &[u8]) {
        self.send(request).await;
        let mut text = Vec::new();
        while !text.ends_with(b"\r\n\r\naa") {
            text.push(self.client.read_u8().await.unwrap());
        }
        assert!(text.starts_with(b"HTTP/1.1 200 OK\r\n"), "{}", String::from_utf8_lossy(&text));
    }

    /// What the client gets until the connection ends, why a last head was refused, and how long that took.
    async fn end(mut self) -> (String, Option<u16>, Duration) {
        let began = Instant::now();
        let mut text = String::new();
        self.client.read_to_string(&mut text).await.unwrap();
        (text, self.served.await.unwrap(), began.elapsed())
    }
}

/// Lets the server do what it can without time passing.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

fn about(limit: Duration, took: Duration) -> bool {
    (limit..limit + Duration::from_secs(1)).contains(&took)
}

#[tokio::test(start_paused = true)]
async fn pipelined_requests_are_answered_one_by_one() {
    let mut rig = Rig::waiting();
    rig.send(&[FIRST, &SECOND.repeat(1_000), b"GET /last HTTP/1.1\r\n\r\n", SECOND].concat()).await;
    for answered in 0..1_002 {
        settle().await;
        assert_eq!(rig.requests(), answered + 1, "the next waits for this one's answer");
        rig.answer.notify_one();
    }
    let requests = Arc::clone(&rig.requests);
    let (text, refusal, _) = rig.end().await;
    assert_eq!((text.matches("HTTP/1.1 200 ").count(), refusal), (1_002, None));
    assert_eq!(
        requests.lock().unwrap().len(),
        1_002,
        "none behind one that is answered by the connection's end"
    );
}

#[tokio::test(start_paused = true)]
async fn only_a_small_part_of_a_pipelined_megabyte_is_read() {
    let mut rig = Rig::with(2, 1_000, true);
    let requests = SECOND.repeat((1 << 20) / SECOND.len());
    let sent = timeout(Duration::from_secs(1), async {
        for (sent, byte) in requests.chunks(1_000).enumerate() {
            if rig.client.write_all(byte).now_or_never().is_none() {
                return sent * 1_000;
            }
            settle().await;
        }
        requests.len()
    });
    let sent = sent.await.unwrap();
    assert!(sent <= HEAD_BYTES_MAX + 2_000, "{sent}");
    assert_eq!(rig.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_second_request_waits_until_the_whole_answer_has_left() {
    let mut rig = Rig::new(100_000, 1_000);
    rig.send(&[FIRST, SECOND].concat()).await;
    let mut taken = vec![0; 99_000];
    rig.client.read_exact(&mut taken).await.unwrap();
    settle().await;
    assert_eq!(rig.requests(), 1);
    rig.client.read_exact(&mut taken).await.unwrap();
    settle().await;
    assert_eq!(rig.requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_head_ends_wherever_its_bytes_are_cut_and_however_its_lines_end() {
    for head in [
        &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
        b"GET / HTTP/1.1\nHost: x\n\n",
        b"GET / HTTP/1.1\r\nHost: x\n\r\n",
        b"\r\n\nGET / HTTP/1.1\r\n\r\n",
    ] {
        for cut in 1..head.len() {
            let mut rig = Rig::new(2, 1 << 20);
            rig.send(&head[..cut]).await;
            settle().await;
            assert_eq!(rig.requests(), 0, "{cut}");
            rig.exchange(&[&head[cut..], b"GET"].concat()).await;
            assert_eq!(rig.requests(), 1, "{cut}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_unfinished_head_times_out_the_first_from_the_start_and_later_ones_from_their_first_byte() {
    let mut rig = Rig::new(2, 1 << 20);
    rig.send(b"G").await;
    let (text, refusal, took) = rig.end().await;
    assert_eq!((&*text, refusal), ("", Some(408)));
    assert!(about(HEAD_TIMEOUT, took), "{took:?}");

    let mut rig = Rig::new(2, 1 << 20);
    rig.exchange(FIRST).await;
    sleep(HEAD_TIMEOUT * 10).await;
    rig.send(b"G").await;
    let (text, refusal, took) = rig.end().await;
    assert_eq!((&*text, refusal), ("", Some(408)));
    assert!(about(HEAD_TIMEOUT, took), "{took:?}");

    let mut rig = Rig::new(2, 1 << 20);
    rig.exchange(&[FIRST, b"G"].concat()).await;
    let (_, refusal, took) = rig.end().await;
    assert_eq!(refusal, Some(408));
    assert!(about(HEAD_TIMEOUT, took), "it came with the request before: {took:?}");

    let mut rig = Rig::waiting();
    rig.send(FIRST).await;
    settle().await;
    rig.send(b"G").await;
    settle().await;
    rig.answer.notify_one();
    let (_, refusal, took) = rig.end().await;
    assert_eq!(refusal, Some(408));
    assert!(about(HEAD_TIMEOUT, took), "it came while the request before was answered: {took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_any_request_is_closed_without_an_answer() {
    let (text, refusal, took) = Rig::new(2, 1 << 20).end().await;
    assert_eq!(
        (&*text, refusal),
        ("", None),
        "it could be taken for the answer to what is sent at this moment"
    );
    assert!(about(HEAD_TIMEOUT, took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_kept_and_then_closed_without_an_answer() {
    let mut rig = Rig::new(2, 1 << 20);
    for _ in 0..3 {
        rig.exchange(FIRST).await;
        sleep(KEEP_ALIVE.mul_f64(0.99)).await;
    }
    rig.exchange(FIRST).await;
    let (text, refusal, took) = rig.end().await;
    assert_eq!((&*text, refusal), ("", None));
    assert!(about(KEEP_ALIVE, took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn single_bytes_do_not_extend_the_time_for_a_head() {
    let mut rig = Rig::new(2, 1 << 20);
    let began = Instant::now();
    while rig.client.write_all(b"x").await.is_ok() {
        sleep(Duration::from_millis(500)).await;
    }
    assert!(began.elapsed() < HEAD_TIMEOUT + Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(rig.served.await.unwrap(), Some(408));
}

#[tokio::test(start_paused = true)]
async fn a_head_that_is_too_long_or_has_too_many_lines_is_refused_and_one_just_below_is_not() {
    let head = |length: usize| {
        let (start, end) = (&b"GET / HTTP/1.1\r\nX: "[..], b"\r\n\r\n");
        [start, &vec![b'a'; length - start.len() - end.len()], end].concat()
    };
    let lines = |lines: usize| [&b"GET / HTTP/1.1\r\n"[..], &b"X: y\r\n".repeat(lines), b"\r\n"].concat();
    for fits in [head(HEAD_BYTES_MAX), lines(HEADERS_MAX)] {
        Rig::new(2, 1 << 20).exchange(&fits).await;
    }
    let without_end = vec![b'a'; HEAD_BYTES_MAX + 1];
    for refused in [without_end, head(HEAD_BYTES_MAX + 1), head(1 << 19), lines(HEADERS_MAX + 1)] {
        let mut rig = Rig::new(2, 1 << 20);
        rig.send(&refused).await;
        let requests = Arc::clone(&rig.requests);
        let (text, refusal, _) = rig.end().await;
        assert_eq!((&*text, refusal), ("", Some(431)), "{}", refused.len());
        assert!(requests.lock().unwrap().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_http_1_1_is_refused() {
    for malformed in [
        &b"GET / HTTP/1.1\r\nno colon\r\n\r\n"[..],
        b"GET / HTTP/3.0\r\n\r\n",
        b"G@T / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let mut rig = Rig::new(2, 1 << 20);
        rig.exchange(FIRST).await;
        rig.send(malformed).await;
        let (text, refusal, _) = rig.end().await;
        assert_eq!((&*text, refusal), ("", Some(400)));
    }
}

#[tokio::test(start_paused = true)]
async fn only_so_many_large_heads_are_read_at_once() {
    let limiter = ConcurrencyLimiter::new(1);
    let rig = || Rig::limited(2, 1 << 20, false, Some(Arc::clone(&limiter)));
    let large = format!("GET /1 HTTP/1.1\r\nLarge: {}\r\n", "x".repeat(20_000));
    let (mut first, mut second) = (rig(), rig());
    first.send(large.as_bytes()).await;
    settle().await;
    second.send(large.as_bytes()).await;
    let (text, refusal, took) = second.end().await;
    assert_eq!((&*text, refusal, took), ("", Some(429), Duration::ZERO));
    rig().exchange(FIRST).await;
    first.exchange(b"\r\n").await;
    let mut third = rig();
    third.exchange(format!("{large}\r\n").as_bytes()).await;
    first.exchange(FIRST).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_closes_its_side_after_a_request_is_answered() {
    for waits in [true, false] {
        let mut rig = Rig::with(2, 1 << 20, waits);
        rig.send(FIRST).await;
        rig.client.shutdown().await.unwrap();
        settle().await;
        assert_eq!(rig.requests(), 1);
        rig.answer.notify_one();
        let (text, refusal, took) = rig.end().await;
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("\r\n\r\naa"), "{text}");
        assert_eq!((refusal, took), (None, Duration::ZERO), "the connection ends with the answer");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_is_noticed_when_it_is_answered() {
    let mut rig = Rig::waiting();
    rig.send(FIRST).await;
    settle().await;
    drop(rig.client);
    settle().await;
    rig.answer.notify_one();
    assert_eq!(rig.served.await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_of_its_answer_is_considered_gone() {
    let mut rig = Rig::new(10_000, 1_000);
    let began = Instant::now();
    rig.send(FIRST).await;
    assert_eq!((&mut rig.served).await.unwrap(), None);
    assert!(about(STALL, began.elapsed()), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_slowly_has_a_limited_time_for_the_whole_answer() {
    // 16 KiB/s are too little, 100 KiB/s are enough but take too long.
    for (kibibytes, limit) in [(16, STALL * 13 / 10), (100, ANSWER)] {
        let mut rig = Rig::new(10 << 20, 1_000);
        let began = Instant::now();
        rig.send(FIRST).await;
        let mut bytes = vec![0; kibibytes << 10];
        let reading = async {
            loop {
                sleep(Duration::from_secs(1)).await;
                if rig.client.read_exact(&mut bytes).await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        let ended = tokio::select! {
            ended = &mut rig.served => ended.unwrap(),
            () = reading => unreachable!("it never ends"),
        };
        assert_eq!(ended, None);
        assert!(about(limit, began.elapsed()), "{kibibytes}: {:?}", began.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn at_shutdown_an_idle_connection_ends_at_once_and_a_busy_one_with_its_answer() {
    let idle = Rig::new(2, 1 << 20);
    idle.stop.send_replace(true);
    let (text, refusal, took) = idle.end().await;
    assert_eq!((&*text, refusal, took), ("", None, Duration::ZERO));

    let mut kept = Rig::new(2, 1 << 20);
    kept.exchange(FIRST).await;
    kept.stop.send_replace(true);
    let (text, refusal, took) = kept.end().await;
    assert_eq!((&*text, refusal, took), ("", None, Duration::ZERO));

    let mut busy = Rig::waiting();
    busy.send(FIRST).await;
    settle().await;
    busy.stop.send_replace(true);
    settle().await;
    busy.answer.notify_one();
    let (text, ..) = busy.end().await;
    assert!(text.starts_with("HTTP/1.1 200 ") && text.contains("\r\nconnection: close\r\n"), "{text}");
}
