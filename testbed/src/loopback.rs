//! Loopback networks: each node has a 127.x.y.0/24 for its pods, each cluster one for its Services.
//!
//! Nothing on a machine hands such networks out, so testbeds agree through a socket: whoever holds one fixed port of a
//! network's first address owns the network, until its process ends however it ends.

use anyhow::{Result, bail};
use std::{
    hash::{BuildHasher, RandomState},
    net::{Ipv4Addr, UdpSocket},
};

/// Held on a network's first address; outside the range the system takes ports from by itself.
const RESERVATION_PORT: u16 = 10_249;
/// With a few testbeds among 64,000 networks one attempt nearly always does.
const ATTEMPTS_MAX: u32 = 100;

/// A 127.x.y.0/24, owned until it is dropped.
#[derive(Debug)]
pub(crate) struct Network {
    first: Ipv4Addr,
    _reservation: UdpSocket,
}

impl Network {
    /// Takes a network that no other testbed has.
    pub(crate) fn reserve() -> Result<Self> {
        let random = RandomState::new();
        for attempt in 0..ATTEMPTS_MAX {
            let [x, y, ..] = random.hash_one(attempt).to_ne_bytes();
            // 127.0.0.0/16 holds localhost and what resolvers bind.
            let first = Ipv4Addr::new(127, x.max(1), y, 1);
            if let Ok(reservation) = UdpSocket::bind((first, RESERVATION_PORT)) {
                return Ok(Self { first, _reservation: reservation });
            }
        }
        bail!("no free 127.x.y.0/24 found: check that 127.0.0.0/8 is on the loopback interface")
    }

    /// The first address: 127.x.y.1.
    pub(crate) fn first(&self) -> Ipv4Addr {
        self.first
    }

    /// The address with this last byte.
    pub(crate) fn address(&self, last: u8) -> Ipv4Addr {
        let [a, b, c, _] = self.first.octets();
        Ipv4Addr::new(a, b, c, last)
    }

    /// As flags name it: 127.x.y.0/24.
    pub(crate) fn cidr(&self) -> String {
        format!("{}/24", self.address(0))
    }
}
