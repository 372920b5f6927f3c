use super::*;
use crate::node::objects::Kind;
use serde_json::{Value, json};

const POD: Ipv4Addr = Ipv4Addr::new(127, 9, 8, 7);

fn plans(spec: &Value) -> Result<Plans> {
    let pod = json!({"metadata": {"name": "web-1", "namespace": "shop", "uid": "u"}, "spec": spec});
    let pod = serde_json::from_value(pod).unwrap();
    let images = Images::from([("web:1".to_owned(), Image::api_server("/bin/web"))]);
    let objects = Objects::from([
        (Kind::ConfigMap, "settings", &[("LEVEL", "4"), ("COLOUR", "red")][..]),
        (Kind::Secret, "login", &[("password", "p")]),
    ]);
    let node_ip = Ipv4Addr::new(127, 9, 8, 1);
    let apiserver = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 18_001);
    plan(&pod, &images, &objects, Place { node: "node", node_ip, pod_ip: POD, apiserver })
}

fn planned(container: &Value) -> Result<ContainerPlan> {
    Ok(plans(&json!({"containers": [container]}))?.containers.remove(0))
}

#[test]
fn a_container_becomes_a_program_with_arguments_variables_and_a_probe() {
    let plan = planned(&json!({
        "name": "web", "image": "web:1",
        "command": ["/web", "serve"],
        "args": ["--bind-address=$(POD_IP)", "--name=$(FULL)"],
        "env": [
            {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "FULL", "value": "$(NAME)@$(POD_IP)"},
        ],
        "ports": [{"name": "metrics", "containerPort": 8081}],
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": "metrics"}, "periodSeconds": 2},
    }));
    let plan = plan.unwrap();
    assert_eq!(plan.program, PathBuf::from("/bin/web"));
    assert_eq!(plan.args, ["serve", "--bind-address=127.9.8.7", "--name=web-1@127.9.8.7"]);
    assert_eq!(plan.env["HOSTNAME"], "web-1");
    assert_eq!(plan.env["KUBERNETES_SERVICE_PORT"], "18001");
    let probe = plan.readiness.unwrap();
    assert_eq!(probe.action, Action::Get("http://127.9.8.7:8081/readyz".into()));
    assert_eq!((probe.period, probe.delay), (Duration::from_secs(2), Duration::ZERO));
    assert_eq!((probe.failures, probe.successes), (3, 1));
    assert_eq!(plan.view, None, "a pod without volumes runs as before");
}

#[test]
fn a_server_that_is_not_told_where_to_listen_listens_on_the_address_of_its_pod() {
    let plan = planned(&json!({"name": "web", "image": "web:1", "args": ["--v=1"]})).unwrap();
    assert_eq!(plan.args, ["--v=1", "--bind-address=127.9.8.7"]);
}

#[test]
fn variables_come_from_config_maps_and_secrets() {
    let key = |kind: &str, name: &str, key: &str, optional: bool| {
        let source = json!({"name": name, "key": key, "optional": optional});
        json!({"name": key, "valueFrom": {kind: source}})
    };
    let plan = planned(&json!({
        "name": "web", "image": "web:1",
        "envFrom": [{"prefix": "S_", "configMapRef": {"name": "settings"}}],
        "env": [
            key("secretKeyRef", "login", "password", false),
            key("configMapKeyRef", "settings", "LEVEL", false),
            key("configMapKeyRef", "none", "gone", true),
            {"name": "BOTH", "value": "$(S_COLOUR) $(password)"},
        ],
    }));
    let env = plan.unwrap().env;
    assert_eq!((&*env["S_LEVEL"], &*env["LEVEL"], &*env["BOTH"]), ("4", "4", "red p"));
    assert!(!env.contains_key("gone"));
    let absent =
        json!({"name": "web", "image": "web:1", "env": [key("secretKeyRef", "login", "user", false)]});
    let error = planned(&absent).unwrap_err();
    assert!(error.downcast_ref::<crate::node::objects::Missing>().is_some(), "{error:#}");
}

#[test]
fn probes_use_tls_or_only_connect() {
    let get = json!({"path": "/readyz", "port": 6443, "scheme": "HTTPS"});
    let container = json!({"name": "web", "image": "web:1",
        "readinessProbe": {"httpGet": get}, "livenessProbe": {"tcpSocket": {"port": 6443}}});
    let plan = planned(&container).unwrap();
    assert_eq!(plan.readiness.unwrap().action, Action::Get("https://127.9.8.7:6443/readyz".into()));
    assert_eq!(plan.liveness.unwrap().action, Action::Connect("127.9.8.7:6443".into()));
    assert!(plan.startup.is_none());
}

#[test]
fn a_container_of_a_pod_with_volumes_has_a_view_and_an_identity() {
    let spec = |pod: Value, own: Value| {
        json!({
            "securityContext": pod,
            "volumes": [{"name": "config", "configMap": {"name": "settings"}}],
            "containers": [{
                "name": "web", "image": "web:1", "command": ["/bin/web"], "securityContext": own,
                "volumeMounts": [
                    {"name": "config", "mountPath": "/etc/web/", "readOnly": true},
                    {"name": "config", "mountPath": "/one", "subPath": "LEVEL"},
                ],
            }],
        })
    };
    let view = |pod, own| plans(&spec(pod, own)).map(|mut it| it.containers.remove(0).view.unwrap());
    let plain = view(json!({}), json!({"readOnlyRootFilesystem": true})).unwrap();
    assert_eq!(plain.program, PathBuf::from("/bin/web"));
    let mount = |path: &str, sub_path: Option<&str>, read_only| Mount {
        volume: "config".into(),
        path: path.into(),
        sub_path: sub_path.map(str::to_owned),
        read_only,
    };
    assert_eq!(plain.mounts, [mount("/etc/web", None, true), mount("/one", Some("LEVEL"), false)]);
    assert_eq!(plain.identity, Identity { user: 65_532, group: 0, groups: Vec::new() });
    assert!(plain.read_only);

    let pod = json!({"runAsUser": 1000, "runAsGroup": 2000, "fsGroup": 3000, "supplementalGroups": [4000]});
    let chosen = view(pod, json!({"runAsUser": 1001})).unwrap();
    assert_eq!(chosen.identity, Identity { user: 1001, group: 2000, groups: vec![3000, 4000] });
    let root = view(json!({"runAsNonRoot": true}), json!({"runAsUser": 0})).unwrap_err();
    assert!(format!("{root:#}").contains("runAsNonRoot forbids user 0"), "{root:#}");
}

#[test]
fn what_cannot_be_done_is_refused_by_name() {
    for (container, expected) in [
        (json!({"name": "c", "image": "db:1"}), "image `db:1` is unknown, known are: web:1"),
        (
            json!({"name": "c", "image": "web:1", "env": [
                {"name": "S", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}}]}),
            "variable `S`",
        ),
        (json!({"name": "c", "image": "web:1", "envFrom": [{}]}), "envFrom"),
        (
            json!({"name": "c", "image": "web:1", "livenessProbe": {"exec": {"command": ["true"]}}}),
            "livenessProbe: only httpGet and tcpSocket",
        ),
        (
            json!({"name": "c", "image": "web:1", "readinessProbe": {"httpGet": {"port": "x"}}}),
            "no port is named `x`",
        ),
        (
            json!({"name": "c", "image": "web:1", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}),
            "no volume `v`",
        ),
        (json!({"name": "c", "image": "web:1", "lifecycle": {"preStop": {}}}), "lifecycle"),
        (
            json!({"name": "c", "image": "web:1", "lifecycle": {"postStart": {"sleep": {"seconds": 1}}}}),
            "lifecycle",
        ),
    ] {
        let error = format!("{:#}", planned(&container).unwrap_err());
        assert!(error.starts_with("container `c`") && error.contains(expected), "{error}");
    }
}

#[test]
fn the_deployment_of_the_manifests_can_be_run() {
    let file = crate::workspace::root().join("manifests/inference/deployment.yaml");
    let deployment: Value = serde_saphyr::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let mut spec = deployment["spec"]["template"]["spec"].clone();
    spec["containers"][0]["image"] = json!("web:1");
    let plan = plans(&spec).unwrap().containers.remove(0);
    assert_eq!(plan.pre_stop, Duration::from_secs(5));
    assert!(plan.readiness.is_some() && plan.liveness.is_some());
}
