//! The pods' addresses: one each in the node's own network.

use crate::loopback::Network;
use anyhow::Result;
use std::{
    collections::VecDeque,
    net::Ipv4Addr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The last bytes of pods' addresses: .1 is the node, and .255 looks like a broadcast address.
const PODS: std::ops::RangeInclusive<u8> = 2..=254;

/// How many pods a node can run.
pub(super) const PODS_MAX: usize = 253;

/// The addresses of one node.
#[derive(Debug)]
pub(super) struct Addresses {
    network: Network,
    free: Arc<Mutex<VecDeque<u8>>>,
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
        Ok(Self { network: Network::reserve()?, free: Arc::new(Mutex::new(PODS.collect())) })
    }

    /// The node's own address.
    pub(super) fn node(&self) -> Ipv4Addr {
        self.network.first()
    }

    /// The address that has been free for longest, if any is.
    pub(super) fn take(&self) -> Option<PodAddress> {
        let last = lock(&self.free).pop_front()?;
        Some(PodAddress { ip: self.network.address(last), free: Arc::clone(&self.free) })
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
