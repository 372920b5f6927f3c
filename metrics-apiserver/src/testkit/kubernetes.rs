//! A Kubernetes API on loopback, and its clients.

use std::net::TcpListener;

use kube::{Client, Config};
use serde_json::{Value, json};

use super::http::ok;
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

/// A page of metadata of objects. `go_on` is the token of the next page; empty on the last one.
pub(crate) fn metadata_list(objects: &[Value], go_on: &str) -> Play {
    let metadata = json!({"resourceVersion": "10", "continue": go_on});
    Play::json(200, json!({"kind": "PartialObjectMetadataList", "metadata": metadata, "items": objects}))
}

/// The metadata of an object with the label `app`, and what is not wanted of it.
pub(crate) fn metadata(namespace: &str, name: &str, app: &str, version: u32) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": {
        "namespace": namespace, "name": name, "labels": {"app": app}, "resourceVersion": version.to_string(),
        "annotations": {"note": "}{\"]["}, "managedFields": [{"fieldsV1": {"f:metadata": {}}}],
    }})
}

/// An aggregated discovery document with these groups; its `ETag` is `etag`.
pub(crate) fn discovery(groups: &[Value], etag: &str) -> Play {
    let document =
        json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "items": groups});
    let headers = format!("Content-Type: application/json\r\nETag: \"{etag}\"\r\n");
    Play::Raw(ok(document.to_string().as_bytes(), &headers))
}

/// A version of a group in an aggregated document; the resources are namespaced.
pub(crate) fn version(name: &str, resources: &[(&str, &str)]) -> Value {
    let resource = |(plural, kind): &(&str, &str)| {
        json!({"resource": plural, "responseKind": {"group": "", "version": "", "kind": kind},
            "scope": "Namespaced", "singularResource": "", "verbs": ["get", "list"],
            "subresources": [{"subresource": "status"}]})
    };
    let resources: Vec<Value> = resources.iter().map(resource).collect();
    json!({"version": name, "freshness": "Current", "resources": resources})
}
