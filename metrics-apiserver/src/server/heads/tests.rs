//! A client's bytes, and what passes of them.

use std::pin::pin;

use super::*;
use futures_util::FutureExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

const FIRST: &[u8] = b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\n";
const SECOND: &[u8] = b"GET /2 HTTP/1.1\r\n\r\n";

fn connection() -> (DuplexStream, Heads<DuplexStream>) {
    let (client, server) = duplex(1 << 20);
    (client, Heads::new(server))
}

/// What passes now, in one read.
fn passes(heads: &mut Heads<DuplexStream>) -> Option<Vec<u8>> {
    let mut bytes = vec![0; 1 << 17];
    let length = pin!(heads.read(&mut bytes)).now_or_never()?.unwrap();
    bytes.truncate(length);
    Some(bytes)
}

async fn answer(heads: &mut Heads<DuplexStream>) {
    heads.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    heads.flush().await.unwrap();
}

#[tokio::test]
async fn a_second_head_passes_when_the_first_is_answered_and_a_thousand_one_by_one() {
    let (mut client, mut heads) = connection();
    client.write_all(&[FIRST, SECOND].concat()).await.unwrap();
    for _ in 0..1_000 {
        client.write_all(SECOND).await.unwrap();
    }
    assert_eq!(passes(&mut heads).unwrap(), FIRST);
    for _ in 0..1_001 {
        assert_eq!(passes(&mut heads), None, "nothing is answered yet");
        answer(&mut heads).await;
        assert_eq!(passes(&mut heads).unwrap(), SECOND);
    }
    answer(&mut heads).await;
    assert_eq!(passes(&mut heads), None);
}

#[tokio::test]
async fn who_waits_for_the_next_head_is_woken_by_the_answer() {
    let (mut client, heads) = connection();
    client.write_all(&[FIRST, SECOND].concat()).await.unwrap();
    let (mut reading, mut writing) = tokio::io::split(heads);
    let mut bytes = [0; 100];
    assert_eq!(reading.read(&mut bytes).await.unwrap(), FIRST.len());
    let tasks = tokio::task::LocalSet::new();
    let next = tasks.spawn_local(async move { reading.read(&mut bytes).await.unwrap() });
    let next = tasks.run_until(async move {
        tokio::task::yield_now().await;
        writing.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        writing.flush().await.unwrap();
        next.await.unwrap()
    });
    assert_eq!(next.await, SECOND.len());
}

#[tokio::test]
async fn a_second_head_does_not_pass_before_the_whole_answer_is_on_its_way() {
    let (mut client, mut heads) = connection();
    client.write_all(&[FIRST, SECOND].concat()).await.unwrap();
    assert_eq!(passes(&mut heads).unwrap(), FIRST);
    heads.flush().await.unwrap();
    assert_eq!(passes(&mut heads), None, "nothing is answered yet");
    heads.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n").await.unwrap();
    assert_eq!(passes(&mut heads), None, "the body is still to come");
    heads.write_all(b"it is not").await.unwrap();
    assert_eq!(passes(&mut heads), None, "it may not have left");
    heads.flush().await.unwrap();
    assert_eq!(passes(&mut heads).unwrap(), SECOND);
}

#[tokio::test]
async fn a_second_head_does_not_pass_while_more_of_the_answer_is_to_come() {
    let (mut client, mut heads) = connection();
    client.write_all(&[FIRST, SECOND].concat()).await.unwrap();
    assert_eq!(passes(&mut heads).unwrap(), FIRST);
    heads.line().set_more(true);
    answer(&mut heads).await;
    assert_eq!(passes(&mut heads), None, "a piece has left");
    heads.line().set_more(false);
    answer(&mut heads).await;
    assert_eq!(passes(&mut heads).unwrap(), SECOND);
}

#[tokio::test]
async fn to_be_told_to_continue_is_no_answer() {
    let (mut client, mut heads) = connection();
    client.write_all(&[FIRST, SECOND].concat()).await.unwrap();
    assert_eq!(passes(&mut heads).unwrap(), FIRST);
    heads.write_all(CONTINUE).await.unwrap();
    heads.flush().await.unwrap();
    assert_eq!(passes(&mut heads), None);
    heads.write_all(&[CONTINUE, b"HTTP/1.1 200 OK\r\n\r\n"].concat()).await.unwrap();
    heads.flush().await.unwrap();
    assert_eq!(passes(&mut heads).unwrap(), SECOND);
}

#[tokio::test]
async fn an_end_is_found_wherever_the_bytes_are_cut_and_however_lines_end() {
    for head in [
        &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
        b"GET / HTTP/1.1\nHost: x\n\n",
        b"GET / HTTP/1.1\r\nHost: x\n\r\n",
        b"\r\n\nGET / HTTP/1.1\r\n\r\n",
    ] {
        for cut in 1..=head.len() {
            let (mut client, mut heads) = connection();
            client.write_all(&head[..cut]).await.unwrap();
            assert_eq!(passes(&mut heads).unwrap(), head[..cut], "{cut}");
            client.write_all(&[&head[cut..], SECOND].concat()).await.unwrap();
            if cut < head.len() {
                assert_eq!(passes(&mut heads).unwrap(), head[cut..], "{cut}");
            }
            assert_eq!(passes(&mut heads), None, "{cut}: the head has ended");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_without_end_is_too_late_the_first_from_the_beginning_and_a_later_one_from_its_first_byte() {
    for (before, told) in [(&b"G"[..], false), (&b"G"[..], true)] {
        let (mut client, mut heads) = connection();
        if told {
            client.write_all(FIRST).await.unwrap();
            passes(&mut heads).unwrap();
            answer(&mut heads).await;
            // As long as it likes: the next request need not come.
            let idle = tokio::time::timeout(HEAD_TIMEOUT * 10, heads.read(&mut [0; 100])).await;
            assert!(idle.is_err(), "{idle:?}");
        }
        let began = Instant::now();
        client.write_all(before).await.unwrap();
        assert_eq!(passes(&mut heads).unwrap_or_default(), before);
        let ended = heads.read(&mut [0; 100]).await;
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!((HEAD_TIMEOUT..HEAD_TIMEOUT * 2).contains(&began.elapsed()), "{:?}", began.elapsed());
        drop(heads);
        let mut text = String::new();
        client.read_to_string(&mut text).await.unwrap();
        assert!(text.contains("HTTP/1.1 408 "), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_on_which_nothing_comes_ends_without_a_word() {
    let (mut client, mut heads) = connection();
    let began = Instant::now();
    assert_eq!(heads.read(&mut [0; 100]).await.unwrap(), 0);
    assert!((HEAD_TIMEOUT..HEAD_TIMEOUT * 2).contains(&began.elapsed()), "{:?}", began.elapsed());
    drop(heads);
    let mut text = String::new();
    client.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "", "it could be taken for the answer to what is sent at this moment");
}

#[tokio::test(start_paused = true)]
async fn a_byte_now_and_then_does_not_prolong_a_head() {
    let (mut client, mut heads) = connection();
    let began = Instant::now();
    let dripping = async {
        loop {
            if client.write_all(b"x").await.is_err() {
                return;
            }
            sleep(Duration::from_millis(500)).await;
        }
    };
    let reading = async {
        let mut bytes = [0; 100];
        while heads.read(&mut bytes).await.is_ok() {}
    };
    tokio::select! {
        () = dripping => {}
        () = reading => {}
    }
    assert!(began.elapsed() < HEAD_TIMEOUT * 2, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused_and_one_just_below_is_not() {
    let head = |length: usize| {
        let (start, end) = (&b"GET / HTTP/1.1\r\nX: "[..], b"\r\n\r\n");
        [start, &vec![b'a'; length - start.len() - end.len()], end].concat()
    };
    let (mut client, mut heads) = connection();
    client.write_all(&head(HEAD_MAX)).await.unwrap();
    assert_eq!(passes(&mut heads).unwrap().len(), HEAD_MAX);
    for too_long in [vec![b'a'; HEAD_MAX + 1], head(HEAD_MAX + 1)] {
        let (mut client, mut heads) = connection();
        client.write_all(&too_long).await.unwrap();
        assert!(heads.read(&mut vec![0; 1 << 17]).await.is_err());
        drop(heads);
        let mut text = String::new();
        client.read_to_string(&mut text).await.unwrap();
        assert!(text.starts_with("HTTP/1.1 431 "), "{text}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_is_noticed_while_it_is_answered() {
    let (mut client, mut heads) = connection();
    client.write_all(FIRST).await.unwrap();
    passes(&mut heads).unwrap();
    assert_eq!(passes(&mut heads), None);
    drop(client);
    assert_eq!(passes(&mut heads).unwrap(), b"");
}

#[tokio::test]
async fn after_a_hangup_nothing_passes_and_the_end_is_noticed() {
    let (mut client, mut heads) = connection();
    client.write_all(&[FIRST, SECOND].concat()).await.unwrap();
    passes(&mut heads).unwrap();
    heads.line().hang_up();
    answer(&mut heads).await;
    client.write_all(SECOND).await.unwrap();
    assert_eq!(passes(&mut heads), None);
    drop(client);
    assert_eq!(passes(&mut heads).unwrap(), b"");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_of_its_answer_is_gone() {
    let (mut client, server) = duplex(1_000);
    let mut heads = Heads::new(server);
    client.write_all(FIRST).await.unwrap();
    passes(&mut heads).unwrap();
    let began = Instant::now();
    let written = heads.write_all(&[b'a'; 2_000]).await;
    assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut);
    assert!((STALL_MAX..STALL_MAX * 2).contains(&began.elapsed()), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_its_answer_in_sips_has_so_much_time_for_all_of_it() {
    let (mut client, server) = duplex(1_000);
    let mut heads = Heads::new(server);
    client.write_all(FIRST).await.unwrap();
    passes(&mut heads).unwrap();
    let began = Instant::now();
    let sipping = async {
        loop {
            sleep(STALL_MAX / 2).await;
            client.read_u8().await.unwrap();
        }
    };
    let written = tokio::select! {
        written = heads.write_all(&[b'a'; 2_000]) => written,
        () = sipping => unreachable!("it never ends"),
    };
    assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut);
    assert!((LEAVING_MAX..LEAVING_MAX + STALL_MAX).contains(&began.elapsed()), "{:?}", began.elapsed());
}
