//! The static documents, serialized once at start: discovery, OpenAPI, version, paths.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::group::Group;
use super::{discovery, json, openapi};

/// A body that never changes while the process runs.
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

/// Every static document.
#[derive(Debug, Clone)]
pub struct Documents(Vec<Document>);

const OPENAPI_V3: &str = "/openapi/v3";
/// What is served besides documents and reads.
const OTHER_PATHS: [&str; 5] = ["/apis/", "/healthz", "/livez", "/metrics", "/readyz"];

impl Documents {
    /// Writes the documents of these groups. They depend on nothing else but this program's version.
    pub fn new(groups: &[&Group]) -> Self {
        use DocumentKind::{Discovery, Openapi, Version};
        let mut apis = Document::new(Discovery, "/apis", &discovery::group_list(groups));
        let mut aggregated = Document::new(Discovery, "/apis", &discovery::aggregated(groups));
        aggregated.content_type = discovery::AGGREGATED_CONTENT_TYPE;
        apis.aggregated = Some(Box::new(aggregated));
        let mut all = vec![apis];
        for group in groups {
            all.push(Document::new(Discovery, format!("/apis/{}", group.name), &discovery::group(group)));
            for version in group.versions {
                let path = format!("apis/{}", group.api_version(version));
                let resources = discovery::resource_list(group, version);
                all.push(Document::new(Discovery, format!("/{path}"), &resources));
                let openapi = version.openapi.as_bytes();
                all.push(Document::written(Openapi, format!("{OPENAPI_V3}/{path}"), openapi));
            }
        }
        let described = all.iter().filter(|document| document.kind == Openapi);
        let described = described.map(|document| (document.path.as_str(), document.hash()));
        let index = Document::new(Openapi, OPENAPI_V3, &openapi::index(described));
        all.push(index);
        all.push(Document::new(Openapi, "/openapi/v2", &openapi::v2(groups)));
        all.push(Document::new(Version, "/version", &ThisProgram::built()));
        let mut paths: Vec<&str> = all.iter().map(|document| document.path.as_str()).collect();
        paths.extend(OTHER_PATHS);
        paths.sort_unstable();
        all.push(Document::new(Discovery, "/", &BTreeMap::from([("paths", paths)])));
        Self(all)
    }

    /// The document at a path, given as its segments.
    pub fn at(&self, segments: &[&str]) -> Option<&Document> {
        // kube-apiserver allows a slash behind the paths of discovery.
        let segments = match segments {
            ["apis", .., ""] => &segments[..segments.len() - 1],
            _ => segments,
        };
        self.0.iter().find(|document| document.path.split('/').skip(1).eq(segments.iter().copied()))
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
