//! Probes a server whose breaker is open until it answers.
//!
//! The first probe is sent at once, the next ones after pauses that grow from one second to four, with ±25 % jitter
//! so that replicas do not probe in lockstep. A probe is cancelled after three seconds. So a server that is
//! back gets queries again within eight seconds, before an HPA's next read (15 s), whether anybody reads or not.
//!
//! Probes, and the queries after them, are sent on new connections: if the network has silently lost the old ones,
//! each of them would cost a timeout, and a probe would only show that one more is dead.
//!
//! A gateway that refuses the probe says nothing about the server behind it, and may refuse this query alone,
//! forever. So a refusal closes the breaker as well: queries find out, and one that is refused is sent to the next
//! server.

use std::hash::BuildHasher as _;
use std::hash::RandomState;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::call::InstantQuery;
use super::client::{Client, Fault};
use crate::limit::backoff;

/// Cheap, needs no data, and every server that speaks PromQL understands it. It is sent for no namespace: a gateway
/// that needs one refuses it, which shows that it works.
const QUERY: InstantQuery<'_> = InstantQuery { promql: "vector(1)", namespace: None };

/// Far above what [`QUERY`] takes, far below the interval of an HPA's reads.
const TIMEOUT: Duration = Duration::from_secs(3);

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(4);

/// Probes the server number `at` of a backend until its breaker is closed.
pub(super) async fn until_answered(client: Arc<Client>, at: usize) {
    let server = &client.servers[at];
    client.reconnect().await;
    let random = RandomState::new();
    let mut pauses = server.breaker.openings().saturating_sub(1);
    while server.breaker.cause().is_some() {
        sleep(pause(pauses, random.hash_one(pauses))).await;
        pauses = pauses.saturating_add(1);
        let allowed = TIMEOUT.min(client.timeout);
        let is_over = match timeout(allowed, client.send(server, &QUERY, allowed)).await {
            Ok(answered) => answered.err().is_none_or(|failed| failed.fault != Fault::Server),
            Err(_) => false,
        };
        if is_over && server.breaker.probed() {
            tracing::info!(
                backend = &*client.name.0,
                server = at,
                "circuit breaker closed: prometheus answers again"
            );
        }
    }
}

/// The pause before the probe that follows `before` failed ones.
fn pause(before: u32, random: u64) -> Duration {
    before
        .checked_sub(1)
        .map_or(Duration::ZERO, |doublings| backoff(FIRST_PAUSE, LONGEST_PAUSE, doublings, random))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_probe_is_sent_at_once_and_pauses_grow_within_bounds() {
        assert_eq!(pause(0, 7), Duration::ZERO);
        for (before, seconds) in [(1, 1.0), (2, 2.0), (3, 4.0), (4, 4.0), (u32::MAX, 4.0)] {
            for random in [0, 500, 1000, 12_345, u64::MAX] {
                let pause = pause(before, random).as_secs_f64();
                assert!((seconds * 0.75..=seconds * 1.25).contains(&pause), "{before} {random}: {pause}");
            }
        }
        assert_ne!(pause(3, 0), pause(3, 1000), "replicas do not probe in lockstep");
    }

    #[test]
    fn a_server_that_is_back_gets_queries_before_the_next_read_of_an_hpa() {
        assert!(TIMEOUT + LONGEST_PAUSE * 5 / 4 < Duration::from_secs(15) / 2 + Duration::from_secs(1));
    }
}
