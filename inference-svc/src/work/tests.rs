//! Slots and queue on a paused clock, which advances only when all tasks wait.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use clap::Parser as _;

use super::*;
use crate::config::Config;

/// Two slots, inferences of 10 s, and a queue of two.
fn work() -> (Work, Metrics) {
    let config = Config::parse_from(["inference-svc", "--jitter=0", "--slots=2", "--queue-limit=2"]);
    let metrics = Metrics::new(config.slots.get());
    (Work::new(&config, metrics.clone()), metrics)
}

fn queued(metrics: &Metrics, n: u32) -> bool {
    metrics.encode().unwrap().contains(&format!("\npython_requests_queued {n}\n"))
}

type Inference = Pin<Box<dyn Future<Output = Times>>>;

/// Admits one request and polls it until it waits.
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
async fn the_queue_is_first_in_first_out() {
    let (work, _) = work();
    let (_a, b) = (start(&work).await, start(&work).await);
    let (mut c, mut d) = (start(&work).await, start(&work).await);
    drop(b);
    tokio::select! {
        biased;
        _ = &mut d => panic!("the later request overtook the earlier one"),
        _ = &mut c => {}
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_given_up_frees_its_place_in_the_queue_or_its_slot() {
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
