//! Free ports for programs that must be told theirs.
//!
//! Taken below the range from which the kernel gives ports to outgoing connections, so that a port stays free until it
//! is bound, and while its server is restarted.

use anyhow::{Context, Result};
use std::{
    net::{Ipv4Addr, TcpListener},
    sync::atomic::{AtomicU16, Ordering},
};

const FIRST: u16 = 18_000;
/// Up to 31999: Linux gives outgoing connections 32768 and above.
const COUNT: u16 = 14_000;
/// Ports between the starting points of two processes: two test programs side by side must not race for one port.
const STRIDE: u32 = 97;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port of 127.0.0.1 that nobody listens on and that this process has not given out lately.
pub fn free() -> Result<u16> {
    let start = std::process::id().wrapping_mul(STRIDE);
    (0..COUNT)
        .map(|_| {
            let offset = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed).into()) % u32::from(COUNT);
            FIRST + u16::try_from(offset).unwrap_or(0)
        })
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .context("no port from 18000 to 31999 is free on 127.0.0.1")
}
