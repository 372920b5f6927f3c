//! Listens on the Services' addresses and forwards connections to pods, as kube-proxy does with rules of the kernel.
//!
//! A new connection goes to one of the pods that are ready now; a connection that is made stays, whatever becomes of
//! the pod. Without a ready pod nothing listens, so that connections are refused. If several nodes run on one cluster,
//! the one that listens first serves all; when it ends, another takes its place.

use super::stop_asked;
use anyhow::Result;
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    io::ErrorKind,
    net::{SocketAddrV4, TcpListener},
    time::Duration,
};
use tokio::{
    net::TcpStream,
    sync::{mpsc, watch},
    task::{AbortHandle, JoinSet},
};

/// Where connections to each address go.
pub(super) type Routes = BTreeMap<SocketAddrV4, Vec<SocketAddrV4>>;

/// After an address could not be had.
const RETRY: Duration = Duration::from_millis(200);
/// How long a pod may take to accept a connection: it is on the same machine.
const CONNECT: Duration = Duration::from_secs(5);
/// Connections that wait to be forwarded; more wait in the kernel.
const WAITING: usize = 64;

/// Forwards until the node is to stop.
pub(super) async fn run(mut routes: watch::Receiver<Routes>, mut stop: watch::Receiver<bool>) -> Result<()> {
    let (accepted, mut connections) = mpsc::channel(WAITING);
    let mut proxy =
        Proxy { accepted, listeners: HashMap::new(), tasks: JoinSet::new(), warned: HashSet::new() };
    let mut turn: usize = 0;
    loop {
        let is_complete = proxy.listen(&routes.borrow_and_update());
        tokio::select! {
            () = stop_asked(&mut stop) => return Ok(()),
            changed = routes.changed() => changed?,
            Some((address, stream)) = connections.recv() => {
                let mut targets = routes.borrow().get(&address).cloned().unwrap_or_default();
                if !targets.is_empty() {
                    turn = turn.wrapping_add(1);
                    let first = turn % targets.len();
                    targets.rotate_left(first);
                }
                proxy.tasks.spawn(forward(stream, targets));
            }
            Some(_) = proxy.tasks.join_next() => {}
            () = tokio::time::sleep(RETRY), if !is_complete => {}
        }
    }
}

struct Proxy {
    accepted: mpsc::Sender<(SocketAddrV4, TcpStream)>,
    listeners: HashMap<SocketAddrV4, AbortHandle>,
    /// Listeners and connections.
    tasks: JoinSet<()>,
    /// The addresses that could not be had, of which the log knows.
    warned: HashSet<SocketAddrV4>,
}

impl Proxy {
    /// Listens on the addresses of these routes and no others; `false` if one of them could not be had.
    fn listen(&mut self, routes: &Routes) -> bool {
        self.listeners.retain(|address, listener| {
            let is_wanted = routes.contains_key(address);
            if !is_wanted {
                listener.abort();
            }
            is_wanted
        });
        let mut is_complete = true;
        for address in routes.keys() {
            if !self.listeners.contains_key(address) && !self.open(*address) {
                is_complete = false;
            }
        }
        is_complete
    }

    fn open(&mut self, address: SocketAddrV4) -> bool {
        let listener = TcpListener::bind(address).and_then(|listener| {
            listener.set_nonblocking(true)?;
            tokio::net::TcpListener::from_std(listener)
        });
        match listener {
            Ok(listener) => {
                let task = self.tasks.spawn(accept(address, listener, self.accepted.clone()));
                self.listeners.insert(address, task);
                true
            }
            Err(error) => {
                // Another node of the cluster may have it.
                if error.kind() != ErrorKind::AddrInUse && self.warned.insert(address) {
                    let hint =
                        "for ports below 1024: run as root, or set net.ipv4.ip_unprivileged_port_start=0";
                    tracing::warn!(%address, %error, hint, "a Service's address could not be listened on");
                }
                false
            }
        }
    }
}

async fn accept(
    address: SocketAddrV4,
    listener: tokio::net::TcpListener,
    accepted: mpsc::Sender<(SocketAddrV4, TcpStream)>,
) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                if accepted.send((address, stream)).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::debug!(%address, %error, "a connection was not accepted");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

/// To the first of these that accepts.
async fn forward(mut stream: TcpStream, targets: Vec<SocketAddrV4>) {
    for target in targets {
        if let Ok(Ok(mut pod)) = tokio::time::timeout(CONNECT, TcpStream::connect(target)).await {
            let _ = (stream.set_nodelay(true), pod.set_nodelay(true));
            // How it ends is known at both of its ends.
            let _ = tokio::io::copy_bidirectional(&mut stream, &mut pod).await;
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// Writes its letter to each connection, then what it reads.
    async fn pod(letter: u8) -> SocketAddrV4 {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let std::net::SocketAddr::V4(address) = listener.local_addr().unwrap() else { panic!() };
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    stream.write_all(&[letter]).await.unwrap();
                    let (mut read, mut write) = stream.split();
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                });
            }
        });
        address
    }

    async fn connect(address: SocketAddrV4) -> (TcpStream, u8) {
        let connected = crate::eventually("a connection", Duration::from_secs(20), || async {
            let mut stream = TcpStream::connect(address).await?;
            let letter = stream.read_u8().await?;
            Ok(Some((stream, letter)))
        });
        connected.await.unwrap()
    }

    #[tokio::test]
    async fn new_connections_go_to_the_targets_of_now_and_old_ones_stay() {
        let network = crate::loopback::Network::reserve().unwrap();
        let address = SocketAddrV4::new(network.address(9), 8443);
        let (a, b) = (pod(b'a').await, pod(b'b').await);
        let (routes, routed) = watch::channel(Routes::from([(address, vec![a])]));
        let (_stop, stopped) = watch::channel(false);
        let proxy = tokio::spawn(run(routed, stopped));
        let (mut old, letter) = connect(address).await;
        assert_eq!(letter, b'a');

        routes.send_replace(Routes::from([(address, vec![b])]));
        let moved = crate::eventually("connections to go to b", Duration::from_secs(20), || async {
            Ok((connect(address).await.1 == b'b').then_some(()))
        });
        moved.await.unwrap();
        routes.send_replace(Routes::new());
        let refused = crate::eventually("connections to be refused", Duration::from_secs(20), || async {
            Ok(TcpStream::connect(address).await.is_err().then_some(()))
        });
        refused.await.unwrap();
        old.write_all(b"x").await.unwrap();
        assert_eq!(old.read_u8().await.unwrap(), b'x');

        routes.send_replace(Routes::from([(address, vec![a, b])]));
        let letters: HashSet<u8> = [connect(address).await.1, connect(address).await.1].into();
        assert_eq!(letters.len(), 2, "they take turns");
        proxy.abort();
    }

    #[tokio::test]
    async fn a_second_proxy_takes_over_when_the_first_ends() {
        let network = crate::loopback::Network::reserve().unwrap();
        let address = SocketAddrV4::new(network.address(9), 8443);
        let start = |target| {
            let (routes, routed) = watch::channel(Routes::from([(address, vec![target])]));
            let (stop, stopped) = watch::channel(false);
            (routes, stop, tokio::spawn(run(routed, stopped)))
        };
        let (_routes, stop, first) = start(pod(b'a').await);
        assert_eq!(connect(address).await.1, b'a');
        let _second = start(pod(b'b').await);
        assert_eq!(connect(address).await.1, b'a');
        stop.send_replace(true);
        first.await.unwrap().unwrap();
        assert_eq!(connect(address).await.1, b'b');
    }
}
