//! OpenAPI: what `kubectl explain` reads (contract §3.4).

use std::collections::BTreeMap;

use serde::Serialize;

/// The OpenAPI v3 document of the group-version, written by hand; a test compares it with the types.
pub(super) const GROUP_VERSION_DOCUMENT: &str = include_str!("openapi/v1beta1.json");

/// `/openapi/v3`: where each group-version's document is, with its hash so that clients may keep it.
pub(super) fn index(hash: &str) -> impl Serialize + use<> {
    let path = format!("apis/{}", super::GROUP_VERSION);
    let server_relative_url = format!("/openapi/v3/{path}?hash={hash}");
    Index { paths: BTreeMap::from([(path, Location { server_relative_url })]) }
}

/// `/openapi/v2`: valid and without paths, so kube-apiserver has nothing to merge; it reads v3.
pub(super) fn v2() -> impl Serialize {
    WithoutPaths {
        swagger: "2.0",
        info: Info { title: super::GROUP, version: super::VERSION },
        paths: BTreeMap::new(),
    }
}

#[derive(Serialize)]
struct Index {
    paths: BTreeMap<String, Location>,
}

#[derive(Serialize)]
struct Location {
    #[serde(rename = "serverRelativeURL")]
    server_relative_url: String,
}

#[derive(Serialize)]
struct WithoutPaths {
    swagger: &'static str,
    info: Info,
    paths: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct Info {
    title: &'static str,
    version: &'static str,
}
