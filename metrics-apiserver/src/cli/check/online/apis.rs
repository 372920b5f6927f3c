//! The APIs of metrics as the HPA controller finds them: their versions, and the metrics that they list.

use std::collections::{BTreeMap, BTreeSet};

use kube::Client;
use serde::Deserialize;

use super::raw::{Refusal, get};
use super::wanted::{CUSTOM, EXTERNAL, RESOURCE, Wanted};

/// How the message begins if an API has no version that the controller reads.
pub(super) const NO_API: &str = "no APIService serves";

/// What kube-apiserver says about an API group.
#[derive(Debug, Default)]
struct Api {
    versions: Vec<String>,
    /// The names that the version which is read lists; none if that cannot be read.
    names: Option<BTreeSet<String>>,
}

/// The groups that there are.
#[derive(Debug, Default)]
pub(super) struct Apis(BTreeMap<&'static str, Result<Api, Refusal>>);

#[derive(Debug, Deserialize)]
struct GroupDocument {
    versions: Vec<VersionName>,
}

#[derive(Debug, Deserialize)]
struct VersionName {
    version: String,
}

#[derive(Debug, Deserialize)]
struct ResourceList {
    resources: Vec<Name>,
}

#[derive(Debug, Deserialize)]
struct Name {
    name: String,
}

impl Apis {
    /// Reads the discovery documents of the groups.
    pub(super) async fn read(client: &Client) -> Self {
        let mut apis = Self::default();
        for group in [CUSTOM, EXTERNAL, RESOURCE] {
            apis.0.insert(group, api(client, group).await);
        }
        apis
    }

    /// The version in which the controller reads this metric.
    pub(super) fn version(&self, wanted: &Wanted) -> Result<&'static str, Refusal> {
        let missing = || Refusal { code: 404, message: format!("{NO_API} {}", wanted.group) };
        match self.0.get(wanted.group) {
            Some(Ok(api)) => {
                let known = |version: &&&str| api.versions.iter().any(|known| known == **version);
                wanted.versions.iter().find(known).copied().ok_or_else(missing)
            }
            Some(Err(refusal)) if refusal.code != 404 => Err(refusal.clone()),
            _ => Err(missing()),
        }
    }

    /// Whether discovery lists this metric; `None` if that is not known.
    pub(super) fn lists(&self, wanted: &Wanted) -> Option<bool> {
        let names = self.0.get(wanted.group)?.as_ref().ok()?.names.as_ref()?;
        let name = wanted.listed.as_ref()?;
        Some(names.iter().any(|known| known.eq_ignore_ascii_case(name)))
    }
}

async fn api(client: &Client, group: &str) -> Result<Api, Refusal> {
    let document: GroupDocument = parsed(&get(client, &format!("/apis/{group}")).await?)?;
    let versions: Vec<_> = document.versions.into_iter().map(|version| version.version).collect();
    let mut names = None;
    for version in &versions {
        let list = get(client, &format!("/apis/{group}/{version}")).await;
        if let Ok(list) = list.and_then(|body| parsed::<ResourceList>(&body)) {
            names = Some(list.resources.into_iter().map(|resource| resource.name).collect());
            break;
        }
    }
    Ok(Api { versions, names })
}

fn parsed<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| {
        Refusal::without_answer(format_args!("the discovery document is not valid: {error}"))
    })
}
