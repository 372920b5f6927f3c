//! The authorities of clients and of the front proxy, replaced while the server runs: it follows the `ConfigMap` in
//! which kube-apiserver names them.

use crate::{
    direct::{BASE, Caller, front_proxy},
    fixture::{EVERYWHERE, Fixture, STEADY_NAMESPACE, with_fixture},
};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::json;
use std::time::Duration;
use testbed::{eventually, pki::Authority, pki::Identity};

const NAME: &str = "extension-apiserver-authentication";
/// The server watches the `ConfigMap`; the rest is room for a busy machine.
const FOLLOWED: Duration = Duration::from_secs(30);

/// One of the bundles in the `ConfigMap`, and who is to be believed because of it.
async fn is_followed(fixture: &Fixture, key: &str, new: &Authority, caller: Caller) {
    let maps: Api<ConfigMap> = Api::namespaced(fixture.cluster.client().await.unwrap(), "kube-system");
    let put = async |bundle: &str| {
        let patch = Patch::Merge(json!({"data": {key: bundle}}));
        maps.patch(NAME, &PatchParams::default(), &patch).await.unwrap();
    };
    let path = format!("{BASE}/namespaces/{STEADY_NAMESPACE}/{EVERYWHERE}");
    let until = async |code: u16| {
        let what = format!("{code} by {key}");
        let answered = eventually(&what, FOLLOWED, || async {
            Ok((caller.try_get(&path).await?.code == code).then_some(()))
        });
        answered.await.unwrap();
    };
    let front_proxy =
        Caller::new(&fixture.server.url(), fixture.server.ca(), Some(&front_proxy(&fixture.cluster)), false)
            .for_admin();

    assert_eq!(caller.get(&path).await.code, 401, "{key}");
    let before = maps.get(NAME).await.unwrap().data.unwrap()[key].clone();
    put(&format!("{before}{}", new.pem())).await;
    until(200).await;
    assert_eq!(front_proxy.get(&path).await.code, 200, "the authorities there were before count too");
    put(&before).await;
    until(401).await;
    assert_eq!(front_proxy.get(&path).await.code, 200);
}

fn showing(fixture: &Fixture, identity: &Identity) -> Caller {
    Caller::new(&fixture.server.url(), fixture.server.ca(), Some(identity), true)
}

#[test]
fn a_new_authority_of_the_front_proxy_is_believed_while_the_config_map_names_it() {
    with_fixture(|fixture| async move {
        let next = Authority::new("testbed-next-request-header-ca").unwrap();
        let caller = showing(&fixture, &next.client("front-proxy-client", None).unwrap()).for_admin();
        is_followed(&fixture, "requestheader-client-ca-file", &next, caller).await;
    });
}

#[test]
fn a_new_authority_of_clients_is_believed_while_the_config_map_names_it() {
    with_fixture(|fixture| async move {
        let next = Authority::new("testbed-next-cluster-ca").unwrap();
        let admin = next.client("admin", Some("system:masters")).unwrap();
        let caller = showing(&fixture, &admin);
        is_followed(&fixture, "client-ca-file", &next, caller).await;
    });
}
