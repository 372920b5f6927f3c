//! The documents, serialized once for each catalog: discovery, OpenAPI, version, paths.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::group::{Group, ListedMetric};
use super::{discovery, json, openapi};
use crate::catalog::Catalog;

/// A body that does not depend on the request.
#[derive(Debug, Clone)]
pub struct Document {
    /// Where it is served.
    pub path: String,
    /// What it is.
    pub kind: DocumentKind,
    /// The JSON, ended by a newline.
    pub body: Arc<[u8]>,
    /// The whole `Content-Type`.
    pub content_type: &'static str,
    /// The strong entity tag of the content, with its quotes.
    pub etag: String,
    /// The same as aggregated discovery v2, where there is such a form.
    pub aggregated: Option<Box<Self>>,
}

/// What a document is, in the words of metrics, logs and traces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentKind {
    /// Groups, versions, resources and paths.
    Discovery,
    /// OpenAPI, which clients keep.
    Openapi,
    /// This program's version.
    Version,
}

impl DocumentKind {
    /// The name used in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Discovery => "discovery",
            Self::Openapi => "openapi",
            Self::Version => "version",
        }
    }
}

/// Every document.
#[derive(Debug, Clone)]
pub struct Documents {
    all: Vec<Document>,
    /// The groups that have documents.
    groups: Vec<&'static Group>,
    /// The catalog's generation.
    generation: u64,
}

/// A group with what its documents say.
struct Described {
    group: &'static Group,
    /// Whether the list of all groups has it.
    is_listed: bool,
    metrics: Vec<ListedMetric>,
    /// Whether these are all metrics.
    is_complete: bool,
}

impl Described {
    /// With at most `metrics_max` metrics. None if the catalog does not serve the group.
    fn new(group: &'static Group, catalog: &Catalog, metrics_max: usize) -> Option<Self> {
        let mut all = (group.metrics)(catalog)?;
        let metrics = all.by_ref().take(metrics_max).collect();
        Some(Self { group, is_listed: true, metrics, is_complete: all.next().is_none() })
    }

    fn without_metrics(group: &'static Group, is_listed: bool) -> Self {
        Self { group, is_listed, metrics: Vec::new(), is_complete: true }
    }
}

const OPENAPI_V3: &str = "/openapi/v3";
/// What is served besides documents and reads.
const OTHER_PATHS: [&str; 5] = ["/apis/", "/healthz", "/livez", "/metrics", "/readyz"];

impl Documents {
    /// Writes the documents of these groups, without metrics.
    #[cfg(any(test, fuzzing))]
    pub fn new(groups: &[&'static Group]) -> Self {
        let described = groups.iter().map(|group| Described::without_metrics(group, true));
        Self::write(&described.collect::<Vec<_>>(), 0)
    }

    /// Writes the documents of the groups that `catalog` serves; the list of a group has at most `metrics_max` metrics.
    ///
    /// A group that was served `before` keeps its own documents, though no list has it any more: an `APIService` that
    /// is still registered for it would become unavailable, and with it the deletion of namespaces.
    pub fn of(
        groups: &[&'static Group],
        catalog: &Catalog,
        metrics_max: usize,
        before: Option<&Self>,
    ) -> Self {
        let had = |group: &Group| {
            before.is_some_and(|before| before.groups.iter().any(|had| had.name == group.name))
        };
        let described = groups.iter().filter_map(|&group| {
            let described = Described::new(group, catalog, metrics_max);
            described.or_else(|| had(group).then(|| Described::without_metrics(group, false)))
        });
        Self::write(&described.collect::<Vec<_>>(), catalog.generation())
    }

    /// The generation of the catalog that they describe.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    fn write(described: &[Described], generation: u64) -> Self {
        use DocumentKind::{Discovery, Openapi};
        let listed: Vec<_> = described
            .iter()
            .filter(|described| described.is_listed)
            .map(|described| described.group)
            .collect();
        let mut apis = Document::new(Discovery, "/apis", &discovery::group_list(&listed));
        let mut aggregated = Document::new(Discovery, "/apis", &discovery::aggregated(&listed));
        aggregated.content_type = discovery::AGGREGATED_CONTENT_TYPE;
        apis.aggregated = Some(Box::new(aggregated));
        let mut all = vec![apis];
        for Described { group, metrics, is_complete, .. } in described {
            all.push(Document::new(Discovery, format!("/apis/{}", group.name), &discovery::group(group)));
            for version in group.versions {
                let path = format!("apis/{}", group.api_version(version));
                let resources = discovery::resource_list(group, version, metrics, *is_complete);
                all.push(Document::new(Discovery, format!("/{path}"), &resources));
                let openapi = version.openapi.as_bytes();
                all.push(Document::written(Openapi, format!("{OPENAPI_V3}/{path}"), openapi));
            }
        }
        Self::with_indexes(
            all,
            &listed,
            described.iter().map(|described| described.group).collect(),
            generation,
        )
    }

    /// Adds the documents that name the others.
    fn with_indexes(
        mut all: Vec<Document>,
        listed: &[&Group],
        groups: Vec<&'static Group>,
        generation: u64,
    ) -> Self {
        use DocumentKind::{Discovery, Openapi, Version};
        let described = all.iter().filter(|document| document.kind == Openapi);
        let described = described.map(|document| (document.path.as_str(), document.hash()));
        let index = Document::new(Openapi, OPENAPI_V3, &openapi::index(described));
        all.push(index);
        all.push(Document::new(Openapi, "/openapi/v2", &openapi::v2(listed)));
        all.push(Document::new(Version, "/version", &ThisProgram::built()));
        let mut paths: Vec<&str> = all.iter().map(|document| document.path.as_str()).collect();
        paths.extend(OTHER_PATHS);
        paths.sort_unstable();
        all.push(Document::new(Discovery, "/", &BTreeMap::from([("paths", paths)])));
        Self { all, groups, generation }
    }

    /// The document at a path, given as its segments.
    pub fn at(&self, segments: &[&str]) -> Option<&Document> {
        // kube-apiserver allows a slash behind the paths of discovery.
        let segments = match segments {
            ["apis", .., ""] => &segments[..segments.len() - 1],
            _ => segments,
        };
        self.all.iter().find(|document| document.path.split('/').skip(1).eq(segments.iter().copied()))
    }
}

impl Document {
    fn new(kind: DocumentKind, path: impl Into<String>, content: &impl Serialize) -> Self {
        let mut body = Vec::new();
        json::write(&mut body, content);
        Self::written(kind, path, &body)
    }

    fn written(kind: DocumentKind, path: impl Into<String>, body: &[u8]) -> Self {
        let hash =
            Sha256::digest(body).iter().fold(String::new(), |hash, byte| hash + &format!("{byte:02X}"));
        Self {
            path: path.into(),
            kind,
            body: body.into(),
            content_type: "application/json",
            etag: format!("\"{hash}\""),
            aggregated: None,
        }
    }

    /// The content's hash, which is its entity tag without the quotes.
    pub fn hash(&self) -> &str {
        self.etag.trim_matches('"')
    }
}

/// What `/version` says; `goVersion` is there because clients decode it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ThisProgram {
    major: &'static str,
    minor: &'static str,
    git_version: &'static str,
    git_commit: &'static str,
    git_tree_state: &'static str,
    build_date: &'static str,
    go_version: &'static str,
    compiler: &'static str,
    platform: String,
}

impl ThisProgram {
    fn built() -> Self {
        Self {
            major: env!("CARGO_PKG_VERSION_MAJOR"),
            minor: env!("CARGO_PKG_VERSION_MINOR"),
            git_version: concat!("v", env!("CARGO_PKG_VERSION")),
            git_commit: "",
            git_tree_state: "",
            build_date: "",
            go_version: "",
            compiler: "rustc",
            platform: format!("{}/{}", std::env::consts::OS, go_arch()),
        }
    }
}

/// Go's name of the architecture, which Kubernetes' tools know.
fn go_arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
