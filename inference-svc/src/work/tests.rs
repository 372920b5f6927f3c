//! Slots and queue on a paused clock: time moves only when everybody waits.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use clap::Parser as _;

use super::*;
use crate::config::Config;

/// Two inferences at a time of 10 s each, and a queue of two.
fn work() -> (Work, Metrics) {
    let config = Config::parse_from(["inference-svc", "--jitter=0", "--slots=2", "--queue-limit=2"]);
    let metrics = Metrics::new(config.slots.get());
    (Work::new(&config, metrics.clone()), metrics)
}

fn queued(metrics: &Metrics, n: u32) -> bool {
    metrics.encode().unwrap().contains(&format!("\npython_requests_queued {n}\n"))
}

type Inference = Pin<Box<dyn Future<Output = Times>>>;

/// Admits one request and lets it run until it waits.
async fn start(work: &Work) -> Inference {
    let mut inference: Inference = Box::pin(work.admit().expect("a place").run());
    poll_fn(|context| {
        assert!(inference.as_mut().poll(context).is_pending(), "it must wait");
        Poll::Ready(())
    })
    .await;
    inference
}

#[tokio::test(start_paused = true)]
async fn slots_run_side_by_side_and_the_rest_queues_in_order() {
    let (work, metrics) = work();
    let begin = tokio::time::Instant::now();
    let (a, b) = (start(&work).await, start(&work).await);
    let (c, d) = (start(&work).await, start(&work).await);
    assert!(queued(&metrics, 2));
    assert!(matches!(work.admit(), Err(QueueFull)));
    tokio::join!(a, b);
    assert_eq!(begin.elapsed().as_secs(), 10);
    tokio::join!(c, d);
    assert_eq!(begin.elapsed().as_secs(), 20);
    assert!(queued(&metrics, 0));
}

#[tokio::test(start_paused = true)]
async fn first_come_is_first_served() {
    let (work, _) = work();
    let (_a, b) = (start(&work).await, start(&work).await);
    let (mut c, mut d) = (start(&work).await, start(&work).await);
    drop(b);
    tokio::select! {
        biased;
        _ = &mut d => panic!("the last one overtook"),
        _ = &mut c => {}
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_gives_up_frees_the_place_in_the_queue_and_the_slot() {
    let (work, metrics) = work();
    let (a, _b) = (start(&work).await, start(&work).await);
    let (c, d) = (start(&work).await, start(&work).await);
    drop(c);
    assert!(queued(&metrics, 1));
    drop(a);
    let begin = tokio::time::Instant::now();
    d.await;
    assert_eq!(begin.elapsed().as_secs(), 10, "it must take the slot given up at once");
    assert!(queued(&metrics, 0));
}
