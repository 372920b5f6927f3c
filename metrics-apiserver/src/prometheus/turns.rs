//! Whose turn it is at a server: so many queries at once, and of those that wait the last to come is the next to go.
//!
//! While a server keeps up, nobody waits and the order does not matter. When it does not, first come first served would
//! serve nobody: all wait until their time is nearly over, and are sent when it no longer suffices. The last to come has
//! all its time before it, and a reader who still waits. The first to come gives up unsent, which costs the server nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// The turns of one server.
#[derive(Debug)]
pub(super) struct Turns(Mutex<State>);

#[derive(Debug)]
struct State {
    free: usize,
    /// Those who wait, by when they came. They are only here as long as they wait.
    waiting: BTreeMap<u64, oneshot::Sender<Turn>>,
    came: u64,
}

/// A turn; over when dropped.
#[derive(Debug)]
pub(super) struct Turn(Arc<Turns>);

/// One who waits. Dropped, it waits no more.
struct Waiter<'a> {
    turns: &'a Turns,
    came: u64,
}

impl Turns {
    pub(super) fn new(at_once: usize) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State { free: at_once, waiting: BTreeMap::new(), came: 0 })))
    }

    /// Waits for a turn.
    pub(super) async fn take(self: &Arc<Self>) -> Turn {
        loop {
            let (waiter, given) = match self.wait() {
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

    fn wait(self: &Arc<Self>) -> Result<Turn, (Waiter<'_>, oneshot::Receiver<Turn>)> {
        let mut state = self.state();
        if let Some(left) = state.free.checked_sub(1) {
            state.free = left;
            return Ok(Turn(Arc::clone(self)));
        }
        let (give, given) = oneshot::channel();
        let came = state.came;
        state.came += 1;
        state.waiting.insert(came, give);
        Err((Waiter { turns: self, came }, given))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic under the lock cannot leave the count and the map apart: each is changed by one statement.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.turns.state().waiting.remove(&self.came);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.0.state();
        let next = state.waiting.pop_last();
        if next.is_none() {
            state.free += 1;
        }
        // Before the turn is passed on: should the next one be gone, it comes back and is dropped again.
        drop(state);
        if let Some((_, give)) = next {
            let _ = give.send(Self(Arc::clone(&self.0)));
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

    use super::*;

    #[tokio::test]
    async fn as_many_have_a_turn_as_may_and_the_last_to_come_is_the_next() {
        let turns = Turns::new(2);
        let (first, second) = (turns.take().await, turns.take().await);
        let (mut third, mut fourth) = (pin!(turns.take()), pin!(turns.take()));
        assert!(poll!(&mut third).is_pending() && poll!(&mut fourth).is_pending());
        drop(first);
        assert!(poll!(&mut third).is_pending());
        let Poll::Ready(_fourth) = poll!(&mut fourth) else { panic!("the fourth came last") };
        drop(second);
        assert!(poll!(&mut third).is_ready());
    }

    #[tokio::test]
    async fn who_gives_up_leaves_nothing_behind_and_loses_no_turn() {
        let turns = Turns::new(1);
        let turn = turns.take().await;
        let mut patient = pin!(turns.take());
        assert!(poll!(&mut patient).is_pending());
        {
            let mut hasty = pin!(turns.take());
            assert!(poll!(&mut hasty).is_pending());
        }
        assert_eq!(turns.state().waiting.len(), 1);
        // One that is given the turn and gives up before it looks.
        let mut late = Box::pin(turns.take());
        assert!(poll!(&mut late).is_pending());
        drop(turn);
        drop(late);
        let Poll::Ready(turn) = poll!(&mut patient) else { panic!("the turn was lost") };
        drop(turn);
        let state = turns.state();
        assert_eq!((state.free, state.waiting.len()), (1, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_is_asked_twice_as_much_as_it_can_do_does_what_it_can() {
        const ARRIVALS: usize = 800;
        let (turns, patience, service) = (Turns::new(10), Duration::from_secs(10), Duration::from_secs(3));
        let mut queries = tokio::task::JoinSet::new();
        for _ in 0..ARRIVALS {
            let turns = Arc::clone(&turns);
            let query = async move {
                let _turn = turns.take().await;
                sleep(service).await;
            };
            queries.spawn(timeout(patience, query));
            sleep(service / 20).await;
        }
        let answered = queries.join_all().await.into_iter().flatten().count();
        assert!(answered >= ARRIVALS / 2, "only {answered} of {ARRIVALS} were answered");
    }

    #[tokio::test]
    async fn more_come_at_once_than_there_are_turns_and_all_are_served() {
        let (turns, most) = (Turns::new(3), Arc::new(Mutex::new((0, 0))));
        let mut served = tokio::task::JoinSet::new();
        for _ in 0..200 {
            let (turns, most) = (Arc::clone(&turns), Arc::clone(&most));
            served.spawn(async move {
                let _turn = turns.take().await;
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
