//! A Kubernetes API on loopback, and its clients.

use std::net::TcpListener;

use kube::{Client, Config};
use serde_json::json;

use super::{Ca, Play, Server};

impl Server {
    /// A client for which this server is the Kubernetes API.
    pub(crate) fn client(&self) -> Client {
        client(&self.url)
    }
}

/// A client of an address that refuses connections.
pub(crate) fn client_of_nobody() -> Client {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    client(&format!("http://{}", listener.local_addr().unwrap()))
}

fn client(url: &str) -> Client {
    let mut config = Config::new(url.parse().unwrap());
    // Without a root the client loads those of the system, which may have none.
    config.root_cert = Some(vec![Ca::new("unused").der().to_vec()]);
    config.default_retry = false;
    Client::try_from(config).unwrap()
}

/// A `Status` that reports a failure.
pub(crate) fn failure(code: u16, reason: &str) -> Play {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "no", "reason": reason, "code": code,
    });
    Play::json(code, status)
}
