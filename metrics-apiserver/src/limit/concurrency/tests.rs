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
    let limiter = ConcurrencyLimiter::new(2, 2);
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
    let limiter = ConcurrencyLimiter::new(1, 1);
    let permit = limiter.acquire(()).await;
    let mut patient = pin!(limiter.acquire(()));
    assert!(poll!(&mut patient).is_pending());
    {
        let mut hasty = pin!(limiter.acquire(()));
        assert!(poll!(&mut hasty).is_pending());
    }
    assert_eq!(limiter.state().waiters.len(), 1);
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
async fn one_key_leaves_permits_to_others() {
    let limiter = ConcurrencyLimiter::new(4, 2);
    let (first, _second) = (limiter.acquire("slow").await, limiter.acquire("slow").await);
    assert!(limiter.try_acquire("slow").is_none());
    let mut third = pin!(limiter.acquire("slow"));
    assert!(poll!(&mut third).is_pending());
    let (_fast, other) = (limiter.acquire("fast").await, limiter.acquire("other").await);
    drop(other);
    assert!(poll!(&mut third).is_pending(), "two of its key are in use");
    drop(first);
    assert!(poll!(&mut third).is_ready());
}

#[tokio::test]
async fn a_waiter_whose_key_is_at_its_limit_is_passed_over() {
    let limiter = ConcurrencyLimiter::new(2, 1);
    let (slow, fast) = (limiter.acquire("slow").await, limiter.acquire("fast").await);
    let mut other = pin!(limiter.acquire("other"));
    let mut last = pin!(limiter.acquire("slow"));
    assert!(poll!(&mut other).is_pending() && poll!(&mut last).is_pending());
    drop(fast);
    assert!(poll!(&mut last).is_pending());
    assert!(poll!(&mut other).is_ready(), "it came before");
    drop(slow);
    assert!(poll!(&mut last).is_ready());
}

#[tokio::test]
async fn more_come_at_once_than_there_are_permits_and_all_are_served() {
    let (limiter, most) = (ConcurrencyLimiter::new(3, 2), Arc::new(Mutex::new((0, 0))));
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
    let limiter = ConcurrencyLimiter::new(10, 5);
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
    let (limiter, service) = (ConcurrencyLimiter::new(10, 5), Duration::from_secs(3));
    let mut requests = JoinSet::new();
    for arrival in 0..ARRIVALS {
        requests.spawn(is_served(Arc::clone(&limiter), arrival % 100, service));
        sleep(service / 20).await;
    }
    let served = requests.join_all().await.into_iter().filter(|served| *served).count();
    assert!(served >= ARRIVALS / 2, "only {served} of {ARRIVALS} were served");
}
