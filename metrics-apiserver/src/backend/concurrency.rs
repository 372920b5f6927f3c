//! Whose turn it is at a server: so many queries at once, and of those that wait the last to come is the next to go.
//!
//! While a server keeps up, nobody waits and the order does not matter. When it does not, first come first served would
//! serve nobody: all wait until their time is nearly over, and are sent when it no longer suffices. The last to come has
//! all its time before it, and a reader who still waits. The first to come gives up unsent, which costs the server nothing.
//!
//! One slow rule in ten namespaces would keep all turns for ten seconds, and every other rule waiting. So slow queries get
//! half of the turns at most while there are others, and all of them when there are none: what is kept free for nobody
//! would only make a server that is slow at everything do half of what it can.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

/// How long turns are kept free after a quick query came: four beats of an HPA, for memory may answer some of its reads.
const QUICK_EXPECTED: Duration = Duration::from_secs(60);

/// How long a query is expected to keep its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// Not long, or nobody knows.
    Quick,
    /// Long enough for others to miss their time.
    Slow,
}

/// The turns of one server.
#[derive(Debug)]
pub(super) struct ConcurrencyLimiter(Mutex<State>);

#[derive(Debug)]
struct State {
    at_once: usize,
    free: usize,
    /// ConcurrencyLimiter that slow queries have.
    slow: usize,
    quick_came_at: Option<Instant>,
    waiting_quick: Waiting,
    waiting_slow: Waiting,
    came: u64,
}

/// Those who wait, by when they came. They are only here as long as they wait.
type Waiting = BTreeMap<u64, oneshot::Sender<Permit>>;

/// A turn; over when dropped.
#[derive(Debug)]
pub(super) struct Permit {
    concurrency: Arc<ConcurrencyLimiter>,
    pace: Lane,
}

/// One who waits. Dropped, it waits no more.
struct Waiter<'a> {
    turns: &'a ConcurrencyLimiter,
    pace: Lane,
    came: u64,
}

impl ConcurrencyLimiter {
    pub(super) fn new(at_once: usize) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            at_once,
            free: at_once,
            slow: 0,
            quick_came_at: None,
            waiting_quick: Waiting::new(),
            waiting_slow: Waiting::new(),
            came: 0,
        })))
    }

    /// Waits for a turn.
    pub(super) async fn take(self: &Arc<Self>, pace: Lane) -> Permit {
        loop {
            let (waiter, given) = match self.wait(pace) {
                Ok(turn) => return turn,
                Err(waits) => waits,
            };
            let given = given.await;
            drop(waiter);
            // An error would mean that the turn was lost on its way, which it never is: then wait for another.
            if let Ok(turn) = given {
                return turn;
            }
        }
    }

    fn wait(self: &Arc<Self>, pace: Lane) -> Result<Permit, (Waiter<'_>, oneshot::Receiver<Permit>)> {
        let mut state = self.state();
        if pace == Lane::Quick {
            state.quick_came_at = Some(Instant::now());
        }
        if state.may_go(pace) {
            state.begin(pace);
            return Ok(self.turn(pace));
        }
        let (give, given) = oneshot::channel();
        let came = state.came;
        state.came += 1;
        state.waiting(pace).insert(came, give);
        Err((Waiter { turns: self, pace, came }, given))
    }

    fn turn(self: &Arc<Self>, pace: Lane) -> Permit {
        Permit { concurrency: Arc::clone(self), pace }
    }

    /// Who goes next, if one may. The lock is free again when this returns: should the next one be gone, its turn comes
    /// back and is dropped.
    fn next(&self) -> Option<(Lane, oneshot::Sender<Permit>)> {
        self.state().next()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that is done under the lock panics half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn may_go(&self, pace: Lane) -> bool {
        self.free > 0 && (pace == Lane::Quick || self.slow < self.slow_max())
    }

    fn slow_max(&self) -> usize {
        let has_others = self.quick_came_at.is_some_and(|came| came.elapsed() < QUICK_EXPECTED);
        if has_others { self.at_once.div_ceil(2) } else { self.at_once }
    }

    fn begin(&mut self, pace: Lane) {
        self.free -= 1;
        self.slow += usize::from(pace == Lane::Slow);
    }

    fn end(&mut self, pace: Lane) {
        self.free += 1;
        self.slow -= usize::from(pace == Lane::Slow);
    }

    fn waiting(&mut self, pace: Lane) -> &mut Waiting {
        match pace {
            Lane::Quick => &mut self.waiting_quick,
            Lane::Slow => &mut self.waiting_slow,
        }
    }

    fn next(&mut self) -> Option<(Lane, oneshot::Sender<Permit>)> {
        let last = |waiting: &Waiting| waiting.last_key_value().map(|(came, _)| *came);
        let quick = last(&self.waiting_quick).filter(|_| self.may_go(Lane::Quick));
        let slow = last(&self.waiting_slow).filter(|_| self.may_go(Lane::Slow));
        let pace = if slow > quick { Lane::Slow } else { Lane::Quick };
        let came = quick.max(slow)?;
        let give = self.waiting(pace).remove(&came)?;
        self.begin(pace);
        Some((pace, give))
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.turns.state().waiting(self.pace).remove(&self.came);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.concurrency.state().end(self.pace);
        while let Some((pace, give)) = self.concurrency.next() {
            let _ = give.send(self.concurrency.turn(pace));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::Poll;
    use std::time::Duration;

    use futures_util::poll;
    use tokio::time::{sleep, timeout};

    use super::super::slow::SlowQueries;
    use super::*;

    #[tokio::test]
    async fn as_many_have_a_turn_as_may_and_the_last_to_come_is_the_next() {
        let turns = ConcurrencyLimiter::new(2);
        let (first, second) = (turns.take(Lane::Quick).await, turns.take(Lane::Quick).await);
        let (mut third, mut fourth) = (pin!(turns.take(Lane::Quick)), pin!(turns.take(Lane::Quick)));
        assert!(poll!(&mut third).is_pending() && poll!(&mut fourth).is_pending());
        drop(first);
        assert!(poll!(&mut third).is_pending());
        let Poll::Ready(_fourth) = poll!(&mut fourth) else { panic!("the fourth came last") };
        drop(second);
        assert!(poll!(&mut third).is_ready());
    }

    #[tokio::test]
    async fn who_gives_up_leaves_nothing_behind_and_loses_no_turn() {
        let turns = ConcurrencyLimiter::new(1);
        let turn = turns.take(Lane::Quick).await;
        let mut patient = pin!(turns.take(Lane::Quick));
        assert!(poll!(&mut patient).is_pending());
        {
            let mut hasty = pin!(turns.take(Lane::Quick));
            assert!(poll!(&mut hasty).is_pending());
        }
        assert_eq!(turns.state().waiting_quick.len(), 1);
        // One that is given the turn and gives up before it looks.
        let mut late = Box::pin(turns.take(Lane::Quick));
        assert!(poll!(&mut late).is_pending());
        drop(turn);
        drop(late);
        let Poll::Ready(turn) = poll!(&mut patient) else { panic!("the turn was lost") };
        drop(turn);
        let state = turns.state();
        assert_eq!((state.free, state.waiting_quick.len()), (1, 0));
    }

    #[tokio::test]
    async fn slow_ones_leave_half_of_the_turns_to_others() {
        let turns = ConcurrencyLimiter::new(4);
        drop(turns.take(Lane::Quick).await);
        let (first, _second) = (turns.take(Lane::Slow).await, turns.take(Lane::Slow).await);
        let mut third = pin!(turns.take(Lane::Slow));
        assert!(poll!(&mut third).is_pending());
        let (_quick, other) = (turns.take(Lane::Quick).await, turns.take(Lane::Quick).await);
        drop(other);
        assert!(poll!(&mut third).is_pending(), "a turn of the others");
        drop(first);
        assert!(poll!(&mut third).is_ready());
    }

    #[tokio::test(start_paused = true)]
    async fn slow_ones_have_all_turns_when_no_others_come_any_more() {
        let turns = ConcurrencyLimiter::new(2);
        drop(turns.take(Lane::Quick).await);
        let first = turns.take(Lane::Slow).await;
        let (mut second, mut third) = (pin!(turns.take(Lane::Slow)), pin!(turns.take(Lane::Slow)));
        assert!(poll!(&mut second).is_pending() && poll!(&mut third).is_pending());
        tokio::time::advance(QUICK_EXPECTED).await;
        assert!(poll!(&mut second).is_pending() && poll!(&mut third).is_pending());
        drop(first);
        assert!(poll!(&mut second).is_ready() && poll!(&mut third).is_ready());
    }

    /// What came of a query that keeps its turn for so long, and gives up after ten seconds.
    async fn ask(
        turns: Arc<ConcurrencyLimiter>,
        slow: Arc<SlowQueries>,
        promql: String,
        service: Duration,
    ) -> bool {
        const TIMEOUT: Duration = Duration::from_secs(10);
        let answered = async {
            let _turn = turns.take(slow.pace(&promql)).await;
            let under_way = slow.sent(&promql, TIMEOUT);
            sleep(service).await;
            under_way.answered();
        };
        timeout(TIMEOUT, answered).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_rule_in_many_namespaces_keeps_no_fast_one_waiting() {
        let (turns, slow) = (ConcurrencyLimiter::new(10), Arc::new(SlowQueries::default()));
        let mut queries = tokio::task::JoinSet::new();
        for beat in 0..20 {
            for namespace in 0..12 {
                let promql = format!("slow{{namespace=\"{namespace}\"}}");
                queries.spawn(ask(Arc::clone(&turns), Arc::clone(&slow), promql, Duration::from_secs(10)));
            }
            sleep(Duration::from_secs(1)).await;
            let fast =
                ask(Arc::clone(&turns), Arc::clone(&slow), "fast".to_owned(), Duration::from_millis(50));
            let in_time = timeout(Duration::from_secs(1), fast).await;
            // Nobody knows on the first beat that the others are slow.
            assert!(beat == 0 || in_time == Ok(true), "beat {beat}");
            sleep(Duration::from_secs(13)).await;
        }
    }

    /// How many of so many arrivals are answered by a server asked twice as much as it can do: a hundred queries on a
    /// beat of 15 s, each of which takes it 3 s.
    async fn answered_of(arrivals: usize, turns: &Arc<ConcurrencyLimiter>, slow: &Arc<SlowQueries>) -> usize {
        let service = Duration::from_secs(3);
        let mut queries = tokio::task::JoinSet::new();
        for arrival in 0..arrivals {
            let promql = format!("query {}", arrival % 100);
            queries.spawn(ask(Arc::clone(turns), Arc::clone(slow), promql, service));
            sleep(service / 20).await;
        }
        queries.join_all().await.into_iter().filter(|answered| *answered).count()
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_is_asked_twice_as_much_as_it_can_do_does_what_it_can() {
        const ARRIVALS: usize = 800;
        let (turns, slow) = (ConcurrencyLimiter::new(10), Arc::default());
        // At first none of them is known to be slow; then half of the turns are kept for a minute, should others come.
        let answered = answered_of(ARRIVALS, &turns, &slow).await;
        assert!(answered >= ARRIVALS / 3, "only {answered} of {ARRIVALS} were answered at first");
        let answered = answered_of(ARRIVALS, &turns, &slow).await;
        assert!(answered >= ARRIVALS / 2, "only {answered} of {ARRIVALS} were answered");
    }

    #[tokio::test]
    async fn more_come_at_once_than_there_are_turns_and_all_are_served() {
        let (turns, most) = (ConcurrencyLimiter::new(3), Arc::new(Mutex::new((0, 0))));
        let mut served = tokio::task::JoinSet::new();
        for _ in 0..200 {
            let (turns, most) = (Arc::clone(&turns), Arc::clone(&most));
            served.spawn(async move {
                let _turn = turns.take(Lane::Quick).await;
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
        assert_eq!(turns.state().free, 3);
    }
}
