//! `EndpointSlices`, which say in the API which pods are behind a Service.
//!
//! kube-apiserver takes no loopback addresses in them, so that Kubernetes' own controller for them is off, and the
//! addresses here are stand-ins: 240.x.y.z for 127.x.y.z, where no network ever leads. Nothing dials them: the
//! aggregator only counts them, and connects to the Service's own address.

use super::{
    Shared,
    services::{Key, State, is_served, key, ports, target},
    stop_asked,
};
use anyhow::Result;
use k8s_openapi::api::{
    core::v1::{Pod, Service},
    discovery::v1::EndpointSlice,
};
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, net::Ipv4Addr, time::Duration};
use tokio::sync::watch;

/// Who owns the slices.
const MANAGER: &str = "testbed-node";
/// The first byte of stand-ins, which is reserved for ever.
const RESERVED: u8 = 240;
/// After an attempt that failed.
const RETRY: Duration = Duration::from_millis(500);

/// The slice of each Service.
pub(super) type Slices = BTreeMap<Key, Value>;

/// The slices of all Services that select pods.
pub(super) fn of(state: &State<'_>) -> Slices {
    let selects = |service: &Service| {
        service.spec.as_ref().and_then(|it| it.selector.as_ref()).is_some_and(|it| !it.is_empty())
    };
    let services = state.services.iter().filter(|it| selects(it));
    services.map(|service| (key(service), slice(state, service))).collect()
}

fn slice(state: &State<'_>, service: &Service) -> Value {
    let mut pods: Vec<(&Pod, Ipv4Addr)> = state.selected(service).collect();
    pods.sort_by_key(|(_, ip)| *ip);
    let endpoints: Vec<Value> = pods.iter().map(|(pod, ip)| endpoint(service, pod, *ip)).collect();
    // A port that no pod has is none; pods of one Service have the same numbers here.
    let ports = ports(service).filter_map(|port| {
        let number = pods.iter().find_map(|(pod, _)| target(port, pod))?;
        Some(json!({"name": port.name.as_deref().unwrap_or_default(), "port": number, "protocol": "TCP"}))
    });
    let name = service.name_any();
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": format!("{name}-{MANAGER}"),
            "namespace": service.namespace(),
            "labels": {
                "kubernetes.io/service-name": name,
                "endpointslice.kubernetes.io/managed-by": MANAGER,
            },
            "ownerReferences": [{"apiVersion": "v1", "kind": "Service", "name": name, "uid": service.uid()}],
        },
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": ports.collect::<Vec<_>>(),
    })
}

fn endpoint(service: &Service, pod: &Pod, ip: Ipv4Addr) -> Value {
    let [_, b, c, d] = ip.octets();
    let ready = is_served(service, pod);
    json!({
        "addresses": [Ipv4Addr::new(RESERVED, b, c, d)],
        "conditions": {"ready": ready, "serving": ready, "terminating": pod.metadata.deletion_timestamp.is_some()},
        "nodeName": pod.spec.as_ref().and_then(|it| it.node_name.clone()),
        "targetRef": {"kind": "Pod", "namespace": pod.namespace(), "name": pod.name_any(), "uid": pod.uid()},
    })
}

/// Writes the slices whenever they change, until the node is to stop. A Service's slice goes with it.
pub(super) async fn run(
    node: &Shared,
    mut slices: watch::Receiver<Slices>,
    mut stop: watch::Receiver<bool>,
) -> Result<()> {
    let mut written = Slices::new();
    loop {
        let wanted = slices.borrow_and_update().clone();
        written.retain(|key, _| wanted.contains_key(key));
        let mut is_complete = true;
        for (key, slice) in wanted {
            if written.get(&key) != Some(&slice) {
                match write(node, &key, &slice).await {
                    Ok(_) => drop(written.insert(key, slice)),
                    Err(error) => {
                        tracing::debug!(%error, "an EndpointSlice was not written");
                        is_complete = false;
                    }
                }
            }
        }
        tokio::select! {
            () = stop_asked(&mut stop) => return Ok(()),
            changed = slices.changed() => changed?,
            () = tokio::time::sleep(RETRY), if !is_complete => {}
        }
    }
}

async fn write(node: &Shared, (namespace, name): &Key, slice: &Value) -> kube::Result<EndpointSlice> {
    let slices: Api<EndpointSlice> = Api::namespaced(node.client.clone(), namespace);
    let params = PatchParams::apply(MANAGER).force();
    slices.patch(&format!("{name}-{MANAGER}"), &params, &Patch::Apply(slice)).await
}
