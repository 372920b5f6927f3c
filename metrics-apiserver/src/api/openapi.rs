//! OpenAPI: what `kubectl explain` reads.

use std::collections::BTreeMap;

use serde::Serialize;

use super::group::Group;
use super::json::Empty;

/// `/openapi/v3`: where the document of each group and version is. `documents` are their paths, with the hashes that
/// let clients keep them.
pub(super) fn index<'a>(documents: impl Iterator<Item = (&'a str, &'a str)>) -> impl Serialize {
    let located = documents.map(|(path, hash)| {
        let name = path.trim_start_matches("/openapi/v3/").to_owned();
        (name, BTreeMap::from([("serverRelativeURL", format!("{path}?hash={hash}"))]))
    });
    BTreeMap::from([("paths", located.collect::<BTreeMap<_, _>>())])
}

/// `/openapi/v2`: valid and without paths. kube-apiserver has nothing to merge and reads v3.
pub(super) fn v2(groups: &[&Group]) -> impl Serialize + use<> {
    let titles: Vec<&str> = groups.iter().map(|group| group.name).collect();
    let preferred = groups.first().and_then(|group| group.versions.first());
    let version = preferred.map_or("", |version| version.name);
    WithoutPaths { swagger: "2.0", info: Info { title: titles.join(", "), version }, paths: Empty {} }
}

#[derive(Serialize)]
struct WithoutPaths {
    swagger: &'static str,
    info: Info,
    paths: Empty,
}

#[derive(Serialize)]
struct Info {
    title: String,
    version: &'static str,
}
