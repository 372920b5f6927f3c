//! The table of connections: who holds each, and which is closed when places are short.
//!
//! Accepting never stops. If all places are taken, connections whose clients have not said who they are make room: of
//! the address that has most of them, the oldest. Those that have sent nothing and those that have are counted apart,
//! so that a flood of either kind does not end a handshake of the other. If there are none, an idle connection of the
//! user that has most makes room, and then of the address that has most. One with a request in progress is never closed
//! for another, and neither is one of the front proxy.
//!
//! Users who come without the front proxy have at most half of the places together, so that the rest stays for the
//! front proxy, for probes, and for those who have not said yet who they are.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::authn::Chain;

/// Each kube-apiserver keeps a few; the rest is for probes, scrapers and bursts. Each costs some 25 KB, and
/// [`HEAD_BYTES_MAX`](super::connection::HEAD_BYTES_MAX) more while a large head comes in. Tests hold all of them.
pub(super) const CONNECTIONS_MAX: usize = if cfg!(test) { 128 } else { 1024 };

/// Places of users who come without the front proxy.
const DIRECT_MAX: usize = CONNECTIONS_MAX / 2;

/// A flood of connections takes the places of this fraction of them at once.
const BATCHES: usize = 32;

/// The holders of which there is one each; users have greater numbers.
const UNKNOWN: u64 = 0;
const FRONT_PROXY: u64 = 1;

/// All connections.
#[derive(Debug)]
pub(super) struct Connections {
    max: usize,
    direct_max: usize,
    started: Instant,
    hasher: RandomState,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    by_number: HashMap<u64, Arc<Connection>>,
    accepted: u64,
}

/// One connection.
#[derive(Debug)]
struct Connection {
    address: IpAddr,
    /// [`UNKNOWN`], [`FRONT_PROXY`], or a hash of the user's name.
    holder: AtomicU64,
    /// Whether its client has sent anything.
    has_spoken: AtomicBool,
    is_busy: AtomicBool,
    /// Milliseconds from the start of the table to the last answer, or to the beginning of the connection.
    idle_since: AtomicU64,
    closed: Notify,
}

/// The place of a connection; free again when dropped.
#[derive(Debug)]
pub(super) struct Place {
    table: Arc<Connections>,
    number: u64,
    connection: Arc<Connection>,
}

/// The client of a connection.
#[derive(Debug)]
pub(super) struct Peer {
    /// What it presented in the handshake; not verified.
    pub(super) chain: Option<Chain>,
    pub(super) address: SocketAddr,
    pub(super) place: Place,
}

/// A request in progress; its connection is not closed for another until this is dropped.
#[derive(Debug)]
pub(super) struct Busy<'a>(&'a Place);

impl Connections {
    pub(super) fn new() -> Arc<Self> {
        Self::with(CONNECTIONS_MAX, DIRECT_MAX)
    }

    fn with(max: usize, direct_max: usize) -> Arc<Self> {
        let (started, hasher) = (Instant::now(), RandomState::new());
        Arc::new(Self { max, direct_max, started, hasher, open: Mutex::default() })
    }

    /// A place for a new connection from this address; none if every other connection is busy.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let mut open = self.open();
        if open.by_number.len() >= self.max && !open.make_room(self.batch()) {
            return None;
        }
        let connection = Arc::new(Connection {
            address: address.to_canonical(),
            holder: AtomicU64::new(UNKNOWN),
            has_spoken: AtomicBool::new(false),
            is_busy: AtomicBool::new(false),
            idle_since: AtomicU64::new(self.now()),
            closed: Notify::new(),
        });
        let number = open.accepted;
        open.accepted += 1;
        open.by_number.insert(number, Arc::clone(&connection));
        Some(Place { table: Arc::clone(self), number, connection })
    }

    /// Closes one connection, for when the system has no room for more; whether there was one to close.
    pub(super) fn make_room(&self) -> bool {
        self.open().make_room(1)
    }

    /// How many connections without a known client are closed at once: finding them looks at all connections, which a
    /// flood must not cause for each of its own.
    fn batch(&self) -> usize {
        (self.max / BATCHES).max(1)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        // Nothing that is done under the lock panics half-way.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn make_room(&mut self, unknown_max: usize) -> bool {
        let mut closed = self.unknown(unknown_max);
        if closed.is_empty() {
            closed.extend(self.idle());
        }
        for number in &closed {
            self.close(*number);
        }
        !closed.is_empty()
    }

    fn close(&mut self, number: u64) {
        if let Some(connection) = self.by_number.remove(&number) {
            connection.closed.notify_one();
        }
    }

    /// The oldest connections without a known client, of the address that has most of the kind; so many at most.
    fn unknown(&self, max: usize) -> Vec<u64> {
        let mut by_kind = HashMap::<_, Vec<u64>>::new();
        for (number, connection) in self.by_number.iter().filter(|(_, connection)| connection.is_unknown()) {
            by_kind.entry(connection.kind()).or_default().push(*number);
        }
        let oldest = |numbers: &[u64]| Reverse(numbers.iter().min().copied());
        let most = by_kind.into_values().max_by_key(|numbers| (numbers.len(), oldest(numbers)));
        let mut numbers = most.unwrap_or_default();
        numbers.sort_unstable();
        numbers.truncate(max);
        numbers
    }

    /// The longest idle connection of the user that has most connections, and of those of the address that has most.
    fn idle(&self) -> Option<u64> {
        let of_user = self.count(Connection::is_direct, Connection::holder);
        let of_address = self.count(Connection::is_direct, |connection| connection.address);
        let idle =
            self.by_number.iter().filter(|(_, connection)| connection.is_direct() && !connection.is_busy());
        idle.max_by_key(|(number, connection)| {
            let idle_since = connection.idle_since.load(Ordering::Relaxed);
            (
                of_user[&connection.holder()],
                of_address[&connection.address],
                u64::MAX - idle_since,
                u64::MAX - *number,
            )
        })
        .map(|(number, _)| *number)
    }

    /// How many of these connections there are by key.
    fn count<K: Eq + Hash>(
        &self,
        filter: impl Fn(&Connection) -> bool,
        key: impl Fn(&Connection) -> K,
    ) -> HashMap<K, usize> {
        let mut counts = HashMap::new();
        for connection in self.by_number.values().filter(|connection| filter(connection)) {
            *counts.entry(key(connection)).or_default() += 1;
        }
        counts
    }
}

impl Connection {
    fn holder(&self) -> u64 {
        self.holder.load(Ordering::Relaxed)
    }

    fn is_busy(&self) -> bool {
        self.is_busy.load(Ordering::Relaxed)
    }

    fn is_direct(&self) -> bool {
        self.holder() > FRONT_PROXY
    }

    fn is_unknown(&self) -> bool {
        self.holder() == UNKNOWN && !self.is_busy()
    }

    fn kind(&self) -> (IpAddr, bool) {
        (self.address, self.has_spoken.load(Ordering::Relaxed))
    }
}

impl Place {
    /// Resolves when the connection is to be closed for another.
    pub(super) async fn closed(&self) {
        self.connection.closed.notified().await;
    }

    /// The client has sent something.
    pub(super) fn has_spoken(&self) {
        self.connection.has_spoken.store(true, Ordering::Relaxed);
    }

    /// Keeps the connection while a request is answered.
    pub(super) fn busy(&self) -> Busy<'_> {
        self.connection.is_busy.store(true, Ordering::Relaxed);
        Busy(self)
    }

    /// The connection is of the front proxy.
    pub(super) fn is_of_front_proxy(&self) {
        self.connection.holder.store(FRONT_PROXY, Ordering::Relaxed);
    }

    /// Whether the connection is of the front proxy.
    pub(super) fn has_front_proxy(&self) -> bool {
        self.connection.holder() == FRONT_PROXY
    }

    /// Whether the connection, which is of this user, may stay. It may not if too many are of users who come without
    /// the front proxy, and all of these are busy.
    pub(super) fn is_of_user(&self, name: &str) -> bool {
        if self.has_front_proxy() {
            return true;
        }
        let user = self.table.hasher.hash_one(name).max(FRONT_PROXY + 1);
        if self.connection.is_direct() {
            self.connection.holder.store(user, Ordering::Relaxed);
            return true;
        }
        let mut open = self.table.open();
        let direct = open.by_number.values().filter(|connection| connection.is_direct()).count();
        if direct >= self.table.direct_max {
            let Some(number) = open.idle() else { return false };
            open.close(number);
        }
        self.connection.holder.store(user, Ordering::Relaxed);
        true
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.table.open().by_number.remove(&self.number);
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        let Place { table, connection, .. } = self.0;
        connection.idle_since.store(table.now(), Ordering::Relaxed);
        connection.is_busy.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn is_closed(place: &Place) -> bool {
        place.closed().now_or_never().is_some()
    }

    fn from(table: &Arc<Connections>, last: u8) -> Place {
        table.admit([10, 0, 0, last].into()).unwrap()
    }

    #[tokio::test]
    async fn those_who_have_not_said_who_they_are_make_room_first_and_the_address_with_most_of_them() {
        let table = Connections::with(5, 4);
        let known = from(&table, 1);
        assert!(known.is_of_user("jane"));
        let other = from(&table, 2);
        let silent = [from(&table, 3), from(&table, 3), from(&table, 3)];
        let newcomer = from(&table, 4);
        assert!(is_closed(&silent[0]), "the oldest");
        assert!(!is_closed(&known) && !is_closed(&other) && !silent[1..].iter().any(is_closed));
        let busy = [silent[1].busy(), silent[2].busy()];
        drop(from(&table, 4));
        assert!(is_closed(&other), "the oldest of the others");
        let _last = [from(&table, 5), from(&table, 5)];
        assert!(is_closed(&newcomer) && !is_closed(&known));
        drop(busy);
    }

    #[tokio::test]
    async fn a_flood_of_silent_connections_ends_no_handshake_of_the_same_address_nor_the_reverse() {
        for flood_speaks in [false, true] {
            let table = Connections::with(10, 5);
            let probe = from(&table, 1);
            if !flood_speaks {
                probe.has_spoken();
            }
            let mut flood = Vec::new();
            for _ in 0..100 {
                let one = from(&table, 1);
                if flood_speaks {
                    one.has_spoken();
                }
                flood.push(one);
            }
            assert!(!is_closed(&probe), "{flood_speaks}");
            assert_eq!(flood.iter().filter(|place| is_closed(place)).count(), 91);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_of_the_user_with_most_makes_room_next() {
        let table = Connections::with(6, 6);
        let proxy = from(&table, 1);
        proxy.is_of_front_proxy();
        let jane = from(&table, 2);
        assert!(jane.is_of_user("jane"));
        let mallory: Vec<_> = (0..4).map(|_| from(&table, 3)).collect();
        assert!(mallory.iter().all(|place| place.is_of_user("mallory")));
        let first = mallory[0].busy();
        tokio::time::advance(std::time::Duration::from_secs(1)).await;
        drop(mallory[1].busy());
        let newcomer = from(&table, 4);
        assert!(newcomer.is_of_user("kim"));
        assert!(is_closed(&mallory[2]) && !is_closed(&mallory[0]), "idle for the longest time");
        let busy: Vec<_> = [&jane, &mallory[1], &mallory[3], &newcomer].map(Place::busy).into();
        assert!(table.admit([10, 0, 0, 5].into()).is_none(), "all are busy, or the front proxy's");
        drop((busy, first, proxy));
    }

    #[tokio::test]
    async fn users_who_come_directly_leave_places_to_others() {
        let table = Connections::with(10, 2);
        let (one, other, third) = (from(&table, 1), from(&table, 1), from(&table, 2));
        assert!(one.is_of_user("mallory") && other.is_of_user("mallory"));
        let busy = [one.busy(), other.busy()];
        assert!(!third.is_of_user("jane"), "it has to close after this request");
        drop(busy);
        assert!(third.is_of_user("jane"));
        assert!(is_closed(&one) != is_closed(&other));
        assert!(third.is_of_user("kim"), "a connection may change its user");
        let proxy = from(&table, 3);
        proxy.is_of_front_proxy();
        assert!(proxy.is_of_user("jane"));
    }
}
