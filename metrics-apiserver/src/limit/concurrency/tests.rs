//! Who gets a permit, and in which order.

use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use futures_util::poll;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::*;

#[tokio::test]
async fn so_many_have_a_permit_at_once_and_the_last_waiter_is_served_first() {
    let limiter = ConcurrencyLimiter::new(2);
    let (first, second) = (limiter.acquire(()).await, limiter.acquire(()).await);
    assert!(limiter.try_acquire(()).is_none());
    let (mut third, mut fourth) = (pin!(limiter.acquire(())), pin!(limiter.acquire(())));
    assert!(poll!(&mut third).is_pending() && poll!(&mut fourth).is_pending());
    drop(first);
    assert!(poll!(&mut third).is_pending());
    let Poll::Ready(_fourth) = poll!(&mut fourth) else { panic!("the fourth came last") };
    drop(second);
    assert!(poll!(&mut third).is_ready());
    assert!(limiter.try_acquire(()).is_some());
}

#[tokio::test]
async fn a_waiter_that_gives_up_leaves_nothing_behind_and_loses_no_permit() {
    let limiter = ConcurrencyLimiter::new(1);
    let permit = limiter.acquire(()).await;
    let mut patient = pin!(limiter.acquire(()));
    assert!(poll!(&mut patient).is_pending());
    {
        let mut hasty = pin!(limiter.acquire(()));
        assert!(poll!(&mut hasty).is_pending());
    }
    assert_eq!(limiter.state().waiters[&()].len(), 1);
    // One that is granted the permit and gives up before it looks.
    let mut late = Box::pin(limiter.acquire(()));
    assert!(poll!(&mut late).is_pending());
    drop(permit);
    drop(late);
    let Poll::Ready(permit) = poll!(&mut patient) else { panic!("the permit was lost") };
    drop(permit);
    let state = limiter.state();
    assert_eq!((state.in_use, state.in_use_by_key.len(), state.waiters.len()), (0, 0, 0));
}

#[tokio::test]
async fn one_key_leaves_as_many_permits_to_others_as_it_has() {
    let limiter = ConcurrencyLimiter::fair(4);
    let (first, _second) = (limiter.acquire("slow").await, limiter.acquire("slow").await);
    assert!(limiter.try_acquire("slow").is_none());
    let mut third = pin!(limiter.acquire("slow"));
    assert!(poll!(&mut third).is_pending());
    let fast = limiter.acquire("fast").await;
    assert!(limiter.try_acquire("fast").is_none(), "the last one is for a key that has none");
    let other = limiter.acquire("other").await;
    drop(first);
    assert!(poll!(&mut third).is_pending(), "it has one, and one is free");
    drop((fast, other));
    assert!(poll!(&mut third).is_ready());
}

#[tokio::test]
async fn a_free_permit_goes_to_the_waiting_key_that_has_the_fewest() {
    let limiter = ConcurrencyLimiter::fair(3);
    let many = [limiter.acquire("many").await, limiter.acquire("many").await];
    let few = limiter.acquire("few").await;
    let mut none = pin!(limiter.acquire("none"));
    let mut last = pin!(limiter.acquire("many"));
    assert!(poll!(&mut none).is_pending() && poll!(&mut last).is_pending());
    drop(few);
    assert!(poll!(&mut last).is_pending());
    assert!(poll!(&mut none).is_ready(), "it came before");
    drop(many);
    assert!(poll!(&mut last).is_ready());
}

#[tokio::test(start_paused = true)]
async fn slow_keys_have_half_of_the_permits_together() {
    let limiter = ConcurrencyLimiter::fair_to_fast(10, Duration::from_secs(1));
    for key in 0..20 {
        let _permit = limiter.acquire(key).await;
        sleep(Duration::from_secs(2)).await;
    }
    let slow: Vec<_> = (0..20).filter_map(|key| limiter.try_acquire(key)).collect();
    assert_eq!(slow.len(), 5);
    let mut waits = pin!(limiter.acquire(19));
    assert!(poll!(&mut waits).is_pending());
    assert!(limiter.try_acquire(100).is_some(), "nothing is known of this one");
    drop(slow);
    drop(waits.await);
    assert!(!limiter.state().slow.contains(&19), "it was fast this time");
    let held: Vec<_> = (100..105).map(|key| limiter.try_acquire(key).unwrap()).collect();
    sleep(Duration::from_secs(2)).await;
    assert!(limiter.try_acquire(100).is_none(), "five are slow already, though none has ended");
    assert!(limiter.try_acquire(200).is_some());
    drop(held);
}

#[tokio::test]
async fn more_come_at_once_than_there_are_permits_and_all_are_served() {
    let (limiter, most) = (ConcurrencyLimiter::fair(3), Arc::new(Mutex::new((0, 0))));
    let mut served = JoinSet::new();
    for number in 0..200 {
        let (limiter, most) = (Arc::clone(&limiter), Arc::clone(&most));
        served.spawn(async move {
            let _permit = limiter.acquire(number % 5).await;
            {
                let mut most = most.lock().unwrap();
                most.0 += 1;
                most.1 = most.1.max(most.0);
            }
            tokio::task::yield_now().await;
            most.lock().unwrap().0 -= 1;
        });
    }
    served.join_all().await;
    assert_eq!(*most.lock().unwrap(), (0, 3));
    let state = limiter.state();
    assert_eq!((state.in_use, state.in_use_by_key.len()), (0, 0));
}

/// Whether a request that holds its permit for so long is served within ten seconds.
async fn is_served(limiter: Arc<ConcurrencyLimiter<usize>>, key: usize, service: Duration) -> bool {
    let served = async {
        let _permit = limiter.acquire(key).await;
        sleep(service).await;
    };
    timeout(Duration::from_secs(10), served).await.is_ok()
}

#[tokio::test(start_paused = true)]
async fn a_slow_key_keeps_no_fast_one_waiting() {
    let limiter = ConcurrencyLimiter::fair(10);
    let mut requests = JoinSet::new();
    for round in 0..20 {
        for _ in 0..12 {
            requests.spawn(is_served(Arc::clone(&limiter), 0, Duration::from_secs(10)));
        }
        sleep(Duration::from_secs(1)).await;
        let fast = is_served(Arc::clone(&limiter), 1, Duration::from_millis(50));
        assert_eq!(timeout(Duration::from_secs(1), fast).await, Ok(true), "round {round}");
        sleep(Duration::from_secs(13)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn under_twice_the_load_as_many_are_served_as_can_be() {
    const ARRIVALS: usize = 800;
    let (limiter, service) = (ConcurrencyLimiter::fair(10), Duration::from_secs(3));
    let mut requests = JoinSet::new();
    for arrival in 0..ARRIVALS {
        requests.spawn(is_served(Arc::clone(&limiter), arrival % 100, service));
        sleep(service / 20).await;
    }
    let served = requests.join_all().await.into_iter().filter(|served| *served).count();
    assert!(served >= ARRIVALS / 2, "only {served} of {ARRIVALS} were served");
}
