//! Loopback addresses: each node has a 127.x.y.0/24 of its own, each pod one address in it.
//!
//! Nothing on a machine hands such networks out, so nodes of several testbeds agree through a socket: whoever holds one
//! fixed port of a network's first address owns the network, until its process ends however it ends.

use anyhow::{Result, bail};
use std::{
    collections::VecDeque,
    hash::{BuildHasher, RandomState},
    net::{Ipv4Addr, UdpSocket},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Held on a network's first address; outside the range the system takes ports from by itself.
const RESERVATION_PORT: u16 = 10_249;
/// With a few testbeds among 64,000 networks one attempt nearly always does.
const ATTEMPTS_MAX: u32 = 100;
/// The last bytes of pods' addresses: .1 is the node, and .255 looks like a broadcast address.
const PODS: std::ops::RangeInclusive<u8> = 2..=254;

/// How many pods a node can run.
pub(super) const PODS_MAX: usize = 253;

/// The addresses of one node.
#[derive(Debug)]
pub(super) struct Addresses {
    node: Ipv4Addr,
    free: Arc<Mutex<VecDeque<u8>>>,
    _reservation: UdpSocket,
}

/// A pod's address, given back when dropped.
#[derive(Debug)]
pub(super) struct PodAddress {
    pub(super) ip: Ipv4Addr,
    free: Arc<Mutex<VecDeque<u8>>>,
}

impl Addresses {
    /// Takes a network that nobody else has.
    pub(super) fn reserve() -> Result<Self> {
        let random = RandomState::new();
        for attempt in 0..ATTEMPTS_MAX {
            let [x, y, ..] = random.hash_one(attempt).to_ne_bytes();
            // 127.0.0.0/16 holds localhost and what resolvers bind.
            let node = Ipv4Addr::new(127, x.max(1), y, 1);
            if let Ok(reservation) = UdpSocket::bind((node, RESERVATION_PORT)) {
                let free = Arc::new(Mutex::new(PODS.collect()));
                return Ok(Self { node, free, _reservation: reservation });
            }
        }
        bail!("no free 127.x.y.0/24 found: check that 127.0.0.0/8 is on the loopback interface")
    }

    /// The node's own address.
    pub(super) fn node(&self) -> Ipv4Addr {
        self.node
    }

    /// The address that has been free for longest, if any is.
    pub(super) fn take(&self) -> Option<PodAddress> {
        let last = lock(&self.free).pop_front()?;
        let [a, b, c, _] = self.node.octets();
        Some(PodAddress { ip: Ipv4Addr::new(a, b, c, last), free: Arc::clone(&self.free) })
    }
}

impl Drop for PodAddress {
    fn drop(&mut self) {
        lock(&self.free).push_back(self.ip.octets()[3]);
    }
}

fn lock(free: &Mutex<VecDeque<u8>>) -> MutexGuard<'_, VecDeque<u8>> {
    free.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_nodes_never_share_a_network() {
        let nodes: Vec<_> = (0..20).map(|_| Addresses::reserve().unwrap()).collect();
        let networks: std::collections::BTreeSet<_> = nodes.iter().map(Addresses::node).collect();
        assert_eq!(networks.len(), nodes.len());
    }

    #[test]
    fn pods_get_different_addresses_that_can_be_listened_on_and_come_back() {
        let addresses = Addresses::reserve().unwrap();
        let pods: Vec<_> = std::iter::from_fn(|| addresses.take()).collect();
        assert_eq!(pods.len(), PODS_MAX);
        for pod in &pods {
            std::net::TcpListener::bind((pod.ip, 0)).unwrap();
        }
        let freed = pods[7].ip;
        drop(pods);
        let again: Vec<_> = std::iter::from_fn(|| addresses.take()).collect();
        assert!(again.len() == PODS_MAX && again.iter().any(|pod| pod.ip == freed));
    }
}
