use super::*;
use serde_json::{Value, json};
use std::net::{Ipv4Addr, SocketAddrV4};

fn planned(spec: &Value, volume: &Value) -> Result<Volume> {
    let mut pod = json!({
        "metadata": {"name": "web-1", "namespace": "shop", "labels": {"app": "web", "tier": "a\"b"}},
        "spec": {"containers": [{"name": "c"}], "volumes": [volume.clone()]},
    });
    pod["spec"]["volumes"][0]["name"] = "v".into();
    for (key, value) in spec.as_object().unwrap() {
        pod["spec"][key] = value.clone();
    }
    let pod: Pod = serde_json::from_value(pod).unwrap();
    let objects = Objects::from([
        (Kind::ConfigMap, "rules", &[("a.yaml", "A"), ("b.yaml", "B")][..]),
        (Kind::Secret, "key", &[("tls.key", "K")]),
    ]);
    let node = Ipv4Addr::new(127, 9, 8, 1);
    let apiserver = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 18_001);
    let place = Place { node: "node", node_ip: node, pod_ip: Ipv4Addr::new(127, 9, 8, 7), apiserver };
    Ok(volumes(&pod, &objects, place)?.remove("v").unwrap())
}

fn files(volume: Volume) -> Vec<(String, String, u32)> {
    let Volume::Files(Files { files, .. }) = volume else { panic!("{volume:?}") };
    let text = |file: File| (String::from_utf8(file.bytes).unwrap(), file.mode);
    files
        .into_iter()
        .map(|(path, file)| (path, text(file)))
        .map(|(path, (text, mode))| (path, text, mode))
        .collect()
}

fn file(path: &str, text: &str, mode: u32) -> (String, String, u32) {
    (path.to_owned(), text.to_owned(), mode)
}

#[test]
fn a_config_map_gives_all_keys_or_its_items_with_their_modes() {
    let none = json!({});
    let all = planned(&none, &json!({"configMap": {"name": "rules"}})).unwrap();
    assert_eq!(files(all), [file("a.yaml", "A", 0o644), file("b.yaml", "B", 0o644)]);
    let items = json!([{"key": "b.yaml", "path": "x/y", "mode": 256}, {"key": "a.yaml", "path": "z"}]);
    let some = json!({"configMap": {"name": "rules", "items": items, "defaultMode": 288}});
    let some = planned(&none, &some).unwrap();
    assert_eq!(files(some), [file("x/y", "B", 0o400), file("z", "A", 0o440)]);
}

#[test]
fn the_group_of_the_pod_may_read_its_files() {
    let spec = json!({"securityContext": {"fsGroup": 1000}});
    let secret = planned(&spec, &json!({"secret": {"secretName": "key", "defaultMode": 256}})).unwrap();
    assert_eq!(files(secret), [file("tls.key", "K", 0o440)]);
}

#[test]
fn a_missing_object_is_waited_for_unless_it_is_optional() {
    for source in [
        json!({"configMap": {"name": "none"}}),
        json!({"secret": {"secretName": "none"}}),
        json!({"projected": {"sources": [{"secret": {"name": "none"}}]}}),
    ] {
        let error = planned(&json!({}), &source).unwrap_err();
        assert!(error.downcast_ref::<Missing>().is_some(), "{error:#}");
    }
    let optional = planned(&json!({}), &json!({"configMap": {"name": "none", "optional": true}})).unwrap();
    assert_eq!(files(optional), []);
}

#[test]
fn a_projected_volume_has_the_files_of_all_sources_and_a_plan_for_its_token() {
    let volume = json!({"projected": {"defaultMode": 292, "sources": [
        {"serviceAccountToken": {"path": "token", "audience": "vault", "expirationSeconds": 600}},
        {"configMap": {"name": "rules", "items": [{"key": "a.yaml", "path": "ca.crt"}]}},
        {"secret": {"name": "key"}},
        {"downwardAPI": {"items": [
            {"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}},
            {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
            {"path": "app", "fieldRef": {"fieldPath": "metadata.labels['app']"}},
        ]}},
    ]}});
    let Volume::Files(planned_files) = planned(&json!({}), &volume).unwrap() else { panic!() };
    let token = &planned_files.tokens[0];
    assert_eq!((token.audience.as_deref(), token.seconds, token.mode), (Some("vault"), 600, 0o644));
    assert_eq!(
        files(Volume::Files(planned_files)),
        [
            file("app", "web", 0o444),
            file("ca.crt", "A", 0o444),
            file("labels", "app=\"web\"\ntier=\"a\\\"b\"", 0o444),
            file("namespace", "shop", 0o444),
            file("tls.key", "K", 0o444),
        ]
    );
    // As kubelet: one user for all containers owns the token alone.
    let user = json!({"securityContext": {"runAsUser": 1000}});
    let Volume::Files(owned) = planned(&user, &volume).unwrap() else { panic!() };
    assert_eq!((owned.tokens[0].owner, owned.tokens[0].mode), (Some(1000), 0o600));
}

#[test]
fn other_volumes_are_refused_by_name() {
    assert_eq!(planned(&json!({}), &json!({"emptyDir": {}})).unwrap(), Volume::Empty);
    for (source, expected) in [
        (json!({"hostPath": {"path": "/etc"}}), "volume `v`: hostPath"),
        (json!({"nfs": {"server": "a", "path": "/"}}), "volume `v`: only configMap"),
        (
            json!({"configMap": {"name": "rules", "items": [{"key": "c", "path": "c"}]}}),
            "waiting for key `c` of ConfigMap `rules`",
        ),
        (json!({"configMap": {"name": "rules", "defaultMode": 1000}}), "mode 1000"),
    ] {
        let error = format!("{:#}", planned(&json!({}), &source).unwrap_err());
        assert!(error.contains(expected), "{error}");
    }
}
