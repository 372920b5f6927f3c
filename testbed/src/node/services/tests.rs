use super::*;
use serde_json::{Value, json};

const APISERVER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 18_001);

fn service(namespace: &str, name: &str, spec: &Value) -> Arc<Service> {
    let service = json!({"metadata": {"namespace": namespace, "name": name, "uid": "s"}, "spec": spec});
    Arc::new(serde_json::from_value(service).unwrap())
}

fn pod(namespace: &str, name: &str, ip: &str, ready: bool) -> Arc<Pod> {
    let ready = if ready { "True" } else { "False" };
    let pod = json!({
        "metadata": {"namespace": namespace, "name": name, "uid": "p", "labels": {"app": "web", "pod": name}},
        "spec": {"nodeName": "node", "containers": [{"name": "c", "ports": [{"name": "https", "containerPort": 6443}]}]},
        "status": {"podIP": ip, "conditions": [{"type": "Ready", "status": ready}]},
    });
    Arc::new(serde_json::from_value(pod).unwrap())
}

fn socket(text: &str) -> SocketAddrV4 {
    text.parse().unwrap()
}

fn web(target: &Value) -> Value {
    json!({"clusterIP": "127.5.5.9", "selector": {"app": "web"}, "ports": [{"port": 443, "targetPort": target}]})
}

#[test]
fn a_service_leads_to_its_ready_pods_by_the_number_or_the_name_of_a_port() {
    let mut ending = pod("a", "ending", "127.9.8.5", true);
    Arc::get_mut(&mut ending).unwrap().metadata.deletion_timestamp =
        serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
    let pods = [
        pod("a", "one", "127.9.8.2", true),
        pod("a", "two", "127.9.8.3", true),
        pod("a", "unready", "127.9.8.4", false),
        ending,
        pod("b", "other", "127.9.8.6", true),
    ];
    for (target, port) in [(json!("https"), 6443), (json!(8443), 8443)] {
        let services = [service("a", "web", &web(&target))];
        let routes = State { services: &services, pods: &pods }.routes(APISERVER);
        let targets = ["127.9.8.2", "127.9.8.3"].map(|ip| socket(&format!("{ip}:{port}")));
        assert_eq!(routes, Routes::from([(socket("127.5.5.9:443"), targets.to_vec())]));
    }
    let services = [service("a", "web", &web(&json!("metrics")))];
    let routes = State { services: &services, pods: &pods }.routes(APISERVER);
    assert!(routes.is_empty(), "no pod has such a port, so that connections are refused: {routes:?}");
}

#[test]
fn the_service_of_kubernetes_leads_to_kube_apiserver_and_headless_services_nowhere() {
    let ports = json!([{"port": 443, "targetPort": 6443}]);
    let services = [
        service("default", "kubernetes", &json!({"clusterIP": "127.5.5.1", "ports": ports})),
        service("a", "kubernetes", &json!({"clusterIP": "127.5.5.2", "ports": ports})),
        service("a", "headless", &json!({"clusterIP": "None", "selector": {"app": "web"}, "ports": ports})),
    ];
    let pods = [pod("a", "one", "127.9.8.2", true)];
    let routes = State { services: &services, pods: &pods }.routes(APISERVER);
    assert_eq!(routes, Routes::from([(socket("127.5.5.1:443"), vec![APISERVER])]));
}

#[test]
fn a_pod_knows_services_by_the_names_that_dns_would_have() {
    let services = [
        service("a", "web", &web(&json!(1))),
        service("b", "prometheus", &json!({"clusterIP": "127.5.5.10", "ports": []})),
        service("b", "outside", &json!({"externalName": "localhost", "type": "ExternalName"})),
        service("b", "elsewhere", &json!({"externalName": "example.org", "type": "ExternalName"})),
        service("b", "headless", &json!({"clusterIP": "None", "selector": {"pod": "two"}})),
    ];
    let pods = [pod("a", "one", "127.9.8.2", true), pod("b", "two", "127.9.8.3", true)];
    let names = State { services: &services, pods: &pods }.names();
    let expected = "127.0.0.1 localhost\n127.9.8.2 one\n\
        127.5.5.9 web web.a web.a.svc web.a.svc.cluster.local\n\
        127.9.8.3 headless.b headless.b.svc headless.b.svc.cluster.local\n\
        127.0.0.1 outside.b outside.b.svc outside.b.svc.cluster.local\n\
        127.5.5.10 prometheus.b prometheus.b.svc prometheus.b.svc.cluster.local\n";
    assert_eq!(names.hosts(&pods[0], Ipv4Addr::new(127, 9, 8, 2)), expected);
}

#[test]
fn the_slice_of_a_service_has_a_stand_in_for_each_pod_and_says_which_are_ready() {
    let services = [
        service("a", "web", &web(&json!("https"))),
        service("a", "by-hand", &json!({"clusterIP": "127.5.5.3", "ports": [{"port": 1}]})),
    ];
    let pods = [pod("a", "one", "127.9.8.2", true), pod("a", "two", "127.9.8.3", false)];
    let slices = slices::of(&State { services: &services, pods: &pods });
    assert_eq!(slices.len(), 1, "whoever makes a Service without a selector makes its slices: {slices:?}");
    let slice = &slices[&("a".to_owned(), "web".to_owned())];
    assert_eq!(slice["ports"], json!([{"name": "", "port": 6443, "protocol": "TCP"}]));
    let endpoints: Vec<_> = slice["endpoints"].as_array().unwrap().iter().collect();
    let shown = |it: &Value| (it["addresses"][0].clone(), it["conditions"]["ready"].clone());
    assert_eq!(shown(endpoints[0]), (json!("240.9.8.2"), json!(true)));
    assert_eq!(shown(endpoints[1]), (json!("240.9.8.3"), json!(false)));
    assert_eq!(endpoints[0]["targetRef"]["name"], "one");
}
