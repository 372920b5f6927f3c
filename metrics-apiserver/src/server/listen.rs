//! The listening socket.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

/// Connections that wait to be accepted. Linux allows no more than `net.core.somaxconn`, 4096 by default.
const BACKLOG: i32 = 2048;

/// What the kernel buffers of an answer that a client does not read; Linux doubles it. By default Linux grows the
/// buffer to megabytes per connection. It counts towards the container's memory, and hides a stall from the timers.
const SEND_BUFFER_BYTES: usize = 64 << 10;

/// Linux' "address family not supported", for which `io::ErrorKind` has no name.
const EAFNOSUPPORT: i32 = 97;

/// Listens on `address`. An unspecified one, `0.0.0.0` or `::`, means every address of both families, as for every
/// Kubernetes component; IPv4 alone if the kernel has no IPv6. Must be called within the runtime.
pub(super) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let port = address.port();
    if !address.ip().is_unspecified() {
        return bind(address);
    }
    match bind((Ipv6Addr::UNSPECIFIED, port).into()) {
        Err(error) if is_without_ipv6(&error) => bind((Ipv4Addr::UNSPECIFIED, port).into()),
        bound => bound,
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // The kernel's default depends on net.ipv6.bindv6only.
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    // Otherwise a restarted server cannot bind while connections of the previous one are in TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    // Accepted connections inherit it.
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Whether the kernel was built without IPv6, or has it disabled by sysctl.
fn is_without_ipv6(error: &io::Error) -> bool {
    error.raw_os_error() == Some(EAFNOSUPPORT) || error.kind() == io::ErrorKind::AddrNotAvailable
}

/// The peer's address for logs: a dual-stack socket reports IPv4 peers as `::ffff:192.0.2.1`.
pub(super) fn canonical(peer: SocketAddr) -> SocketAddr {
    SocketAddr::new(peer.ip().to_canonical(), peer.port())
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, TcpStream};

    use super::*;

    fn connects(ip: impl Into<IpAddr>, port: u16) -> bool {
        TcpStream::connect(SocketAddr::new(ip.into(), port)).is_ok()
    }

    #[tokio::test]
    async fn an_unspecified_address_of_either_family_means_both() {
        let has_ipv6 = std::net::TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
        for ip in [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)] {
            let listener = listen(SocketAddr::new(ip, 0)).unwrap();
            let port = listener.local_addr().unwrap().port();
            assert!(connects(Ipv4Addr::LOCALHOST, port), "{ip}");
            assert_eq!(connects(Ipv6Addr::LOCALHOST, port), has_ipv6, "{ip}");
        }
    }

    #[tokio::test]
    async fn a_specific_address_means_that_address_alone() {
        let listener = listen((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(listener.local_addr().unwrap().ip(), IpAddr::V4(Ipv4Addr::LOCALHOST));
        assert!(connects(Ipv4Addr::LOCALHOST, port));
        assert!(!connects(Ipv6Addr::LOCALHOST, port));
        assert!(!connects(Ipv4Addr::new(127, 0, 0, 2), port));
    }

    #[test]
    fn an_ipv4_peer_of_a_dual_stack_socket_is_logged_as_ipv4() {
        let peer = canonical("[::ffff:192.0.2.1]:80".parse().unwrap());
        assert_eq!(peer.to_string(), "192.0.2.1:80");
        assert_eq!(canonical("[2001:db8::1]:80".parse().unwrap()).to_string(), "[2001:db8::1]:80");
    }
}
