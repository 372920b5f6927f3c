//! Services: which pods are behind them, where they are reached, and what they are called. Pure, but for the watch.

use super::{
    Shared,
    proxy::{self, Routes},
    slices::{self, Slices},
    stop_asked,
};
use anyhow::{Context, Result};
use futures_util::{StreamExt, pin_mut};
use k8s_openapi::{
    api::core::v1::{Pod, Service, ServicePort},
    apimachinery::pkg::util::intstr::IntOrString,
};
use kube::{
    Api, ResourceExt,
    runtime::{WatchStreamExt, reflector, watcher},
};
use std::{
    fmt::Write as _,
    net::{Ipv4Addr, SocketAddrV4},
    sync::Arc,
};
use tokio::sync::watch;

/// Watches Services and pods, and has them reached, until the node is to stop.
pub(super) async fn run(node: Arc<Shared>, stop: watch::Receiver<bool>) -> Result<()> {
    let (routes, routed) = watch::channel(Routes::new());
    let (slices, sliced) = watch::channel(Slices::new());
    tokio::try_join!(
        follow(&node, &routes, &slices, stop.clone()),
        proxy::run(routed, stop.clone()),
        slices::run(&node, sliced, stop),
    )?;
    Ok(())
}

async fn follow(
    node: &Shared,
    routes: &watch::Sender<Routes>,
    slices: &watch::Sender<Slices>,
    mut stop: watch::Receiver<bool>,
) -> Result<()> {
    let (services, writer) = reflector::store();
    let config = watcher::Config::default;
    let service_events =
        reflector(writer, watcher(Api::<Service>::all(node.client.clone()), config())).default_backoff();
    let (pods, writer) = reflector::store();
    let pod_events =
        reflector(writer, watcher(Api::<Pod>::all(node.client.clone()), config())).default_backoff();
    pin_mut!(service_events, pod_events);
    let mut listed = (false, false);
    loop {
        let event = tokio::select! {
            () = stop_asked(&mut stop) => return Ok(()),
            event = service_events.next() => {
                let event = event.context("the watch on Services ended")?;
                listed.0 |= matches!(event, Ok(watcher::Event::InitDone));
                event.map(drop)
            }
            event = pod_events.next() => {
                let event = event.context("the watch on pods ended")?;
                listed.1 |= matches!(event, Ok(watcher::Event::InitDone));
                event.map(drop)
            }
        };
        if let Err(error) = event {
            // The watcher goes on by itself.
            tracing::debug!(%error, "a watch on Services or pods was interrupted");
        } else if listed == (true, true) {
            let state = State { services: &services.state(), pods: &pods.state() };
            set(routes, state.routes(node.apiserver));
            set(slices, slices::of(&state));
            set(&node.names, state.names());
        }
    }
}

fn set<T: PartialEq>(sender: &watch::Sender<T>, value: T) {
    sender.send_if_modified(|old| {
        let is_new = *old != value;
        *old = value;
        is_new
    });
}

/// What the API has.
#[derive(Clone, Copy, Debug)]
pub(super) struct State<'a> {
    pub(super) services: &'a [Arc<Service>],
    pub(super) pods: &'a [Arc<Pod>],
}

impl State<'_> {
    /// The pods that a Service selects and that have an address.
    pub(super) fn selected<'a>(&'a self, service: &'a Service) -> impl Iterator<Item = (&'a Pod, Ipv4Addr)> {
        let selector = service.spec.as_ref().and_then(|spec| spec.selector.as_ref());
        let selector = selector.filter(|selector| !selector.is_empty());
        self.pods.iter().filter_map(move |pod| {
            let is_selected = pod.namespace() == service.namespace()
                && selector?.iter().all(|(key, value)| pod.labels().get(key) == Some(value));
            let address = pod.status.as_ref()?.pod_ip.as_ref()?.parse().ok()?;
            is_selected.then_some((&**pod, address))
        })
    }

    /// Where connections to each Service go.
    fn routes(&self, apiserver: SocketAddrV4) -> Routes {
        let mut routes = Routes::new();
        for service in self.services {
            let Some(address) = cluster_ip(service) else { continue };
            let is_apiserver =
                service.name_any() == "kubernetes" && service.namespace().as_deref() == Some("default");
            for port in ports(service) {
                let Ok(number) = u16::try_from(port.port) else { continue };
                let ready = self.selected(service).filter(|(pod, _)| is_served(service, pod));
                let mut targets: Vec<SocketAddrV4> =
                    ready.filter_map(|(pod, ip)| Some(SocketAddrV4::new(ip, target(port, pod)?))).collect();
                if is_apiserver {
                    targets.push(apiserver);
                }
                targets.sort_unstable();
                if !targets.is_empty() {
                    routes.insert(SocketAddrV4::new(address, number), targets);
                }
            }
        }
        routes
    }

    fn names(&self) -> Names {
        let name = |service: &Arc<Service>| {
            let spec = service.spec.as_ref()?;
            let address = match (cluster_ip(service), spec.external_name.as_deref()) {
                (Some(address), _) => address,
                (None, Some("localhost")) => Ipv4Addr::LOCALHOST,
                (None, Some(name)) => name.parse().ok()?,
                // Headless: the address of a pod.
                (None, None) => self.selected(service).find(|(pod, _)| is_served(service, pod))?.1,
            };
            Some(Name { namespace: service.namespace()?, service: service.name_any(), address })
        };
        let mut names: Vec<Name> = self.services.iter().filter_map(name).collect();
        names.sort_unstable();
        Names(names.into())
    }
}

/// The Service's own address, if it has one.
fn cluster_ip(service: &Service) -> Option<Ipv4Addr> {
    service.spec.as_ref()?.cluster_ip.as_ref()?.parse().ok()
}

/// The ports that connections are forwarded from.
pub(super) fn ports(service: &Service) -> impl Iterator<Item = &ServicePort> {
    let ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
    ports.filter(|port| port.protocol.as_deref().is_none_or(|it| it == "TCP"))
}

/// Whether the pod gets new connections: it is ready and not about to end.
pub(super) fn is_served(service: &Service, pod: &Pod) -> bool {
    let spec = service.spec.as_ref();
    if spec.and_then(|it| it.publish_not_ready_addresses).unwrap_or(false) {
        return true;
    }
    let conditions = pod.status.iter().flat_map(|it| it.conditions.iter().flatten());
    let is_ready = conditions.into_iter().any(|it| it.type_ == "Ready" && it.status == "True");
    is_ready && pod.metadata.deletion_timestamp.is_none()
}

/// The port of the pod that a Service's port leads to.
pub(super) fn target(port: &ServicePort, pod: &Pod) -> Option<u16> {
    let number = match &port.target_port {
        None | Some(IntOrString::Int(0)) => port.port,
        Some(IntOrString::Int(number)) => *number,
        Some(IntOrString::String(name)) => {
            let containers = &pod.spec.as_ref()?.containers;
            let mut ports = containers.iter().flat_map(|it| it.ports.iter().flatten());
            ports.find(|it| it.name.as_ref() == Some(name))?.container_port
        }
    };
    u16::try_from(number).ok()
}

/// A Service's name, and where it leads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Name {
    namespace: String,
    service: String,
    address: Ipv4Addr,
}

/// What Services are called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Names(Arc<[Name]>);

impl Names {
    /// `/etc/hosts` of a pod: it has the names that DNS would have.
    pub(super) fn hosts(&self, pod: &Pod, ip: Ipv4Addr) -> String {
        let mut out = "127.0.0.1 localhost\n".to_owned();
        let own = pod.namespace().unwrap_or_default();
        let aliases = pod.spec.iter().flat_map(|it| it.host_aliases.iter().flatten());
        let mut line = |ip: &str, names: &str| {
            // Writing to a String cannot fail.
            let _ = writeln!(out, "{ip} {names}");
        };
        line(&ip.to_string(), &pod.name_any());
        for alias in aliases {
            line(&alias.ip, &alias.hostnames.as_deref().unwrap_or_default().join(" "));
        }
        for Name { namespace, service, address } in &*self.0 {
            let long = format!("{service}.{namespace}");
            let short = if *namespace == own { format!("{service} ") } else { String::new() };
            line(&address.to_string(), &format!("{short}{long} {long}.svc {long}.svc.cluster.local"));
        }
        out
    }
}

/// By namespace and name.
pub(super) type Key = (String, String);

/// Where a Service is in the API.
pub(super) fn key(service: &Service) -> Key {
    (service.namespace().unwrap_or_default(), service.name_any())
}

#[cfg(test)]
mod tests;
