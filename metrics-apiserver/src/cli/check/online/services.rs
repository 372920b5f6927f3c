//! What is behind a Service: pods, their images and accounts, and addresses.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use k8s_openapi::api::core::v1::{Pod, Service, ServicePort};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::ListParams;
use kube::{Api, Client};
use tokio::net::lookup_host;
use tokio::time::timeout;

use super::raw::{Refusal, TIMEOUT, within};

/// Pods that are looked at: those of one Deployment have the same image.
const PODS: u32 = 20;
/// Addresses whose certificate is looked at.
const ADDRESSES: usize = 3;

/// What is behind a Service.
#[derive(Debug, Clone, Default)]
pub(super) struct Backing {
    /// The images of the pods.
    pub(super) images: Vec<String>,
    /// The `ServiceAccount`s of the pods, as kube-apiserver names them.
    pub(super) accounts: Vec<String>,
    /// Where the pods listen.
    pub(super) addresses: Vec<SocketAddr>,
    /// Why less is known.
    pub(super) refusal: Option<Refusal>,
}

/// Looks behind the port of a Service.
pub(super) async fn behind(client: &Client, namespace: &str, name: &str, port: i32) -> Backing {
    let mut backing = Backing::default();
    if let Err(refusal) = look(client, namespace, name, port, &mut backing).await {
        backing.refusal = Some(refusal);
    }
    backing
}

async fn look(
    client: &Client,
    namespace: &str,
    name: &str,
    port: i32,
    backing: &mut Backing,
) -> Result<(), Refusal> {
    let services = Api::<Service>::namespaced(client.clone(), namespace);
    let spec = within(services.get(name)).await?.spec.unwrap_or_default();
    if let Some(host) = spec.external_name {
        let port = u16::try_from(port).map_err(Refusal::without_answer)?;
        let found = timeout(TIMEOUT, lookup_host((host.as_str(), port))).await;
        let found = found.map_err(Refusal::without_answer)?.map_err(Refusal::without_answer)?;
        backing.addresses = found.take(ADDRESSES).collect();
        return Ok(());
    }
    let selector: Vec<_> =
        spec.selector.iter().flatten().map(|(key, value)| format!("{key}={value}")).collect();
    if !selector.is_empty() {
        let pods = Api::<Pod>::namespaced(client.clone(), namespace);
        let wanted = ListParams::default().labels(&selector.join(",")).limit(PODS);
        let pods = within(pods.list(&wanted)).await?;
        note_pods(namespace, &pods.items, backing);
    }
    let slices = Api::<EndpointSlice>::namespaced(client.clone(), namespace);
    let wanted = ListParams::default().labels(&format!("kubernetes.io/service-name={name}")).limit(PODS);
    let slices = within(slices.list(&wanted)).await?;
    let wanted = spec.ports.iter().flatten().find(|known| known.port == port);
    backing.addresses = addresses(&slices.items, wanted);
    Ok(())
}

fn note_pods(namespace: &str, pods: &[Pod], backing: &mut Backing) {
    let specs = || pods.iter().filter_map(|pod| pod.spec.as_ref());
    // Sidecars are no provider of metrics.
    let first = |containers: &[k8s_openapi::api::core::v1::Container]| {
        containers.first().and_then(|container| container.image.clone())
    };
    let images: BTreeSet<_> = specs().filter_map(|spec| first(&spec.containers)).collect();
    let account = |name: &str| format!("system:serviceaccount:{namespace}:{name}");
    let accounts: BTreeSet<_> =
        specs().map(|spec| account(spec.service_account_name.as_deref().unwrap_or("default"))).collect();
    backing.images = images.into_iter().collect();
    backing.accounts = accounts.into_iter().collect();
}

/// The first addresses of a Service's port.
fn addresses(slices: &[EndpointSlice], wanted: Option<&ServicePort>) -> Vec<SocketAddr> {
    let name = wanted.and_then(|port| port.name.as_deref()).unwrap_or_default();
    let target = wanted.and_then(|port| match &port.target_port {
        Some(IntOrString::Int(number)) => Some(*number),
        _ => None,
    });
    let found = slices.iter().flat_map(|slice| {
        let ports = slice.ports.iter().flatten();
        let is_wanted = |port: &&k8s_openapi::api::discovery::v1::EndpointPort| {
            port.name.as_deref().unwrap_or_default() == name || port.port == target
        };
        let port = ports.filter(is_wanted).find_map(|port| u16::try_from(port.port?).ok());
        let addresses = slice.endpoints.iter().flat_map(|endpoint| &endpoint.addresses);
        let addresses = addresses.filter_map(|address| address.parse::<IpAddr>().ok());
        addresses.filter_map(move |address| Some(SocketAddr::new(address, port?)))
    });
    found.take(ADDRESSES).collect()
}
