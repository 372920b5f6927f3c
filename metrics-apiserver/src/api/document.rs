//! The static documents, serialized once at start: discovery, OpenAPI, version, paths.

use std::fmt::Write as _;
use std::sync::Arc;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::{discovery, openapi};

/// A body that never changes while the process runs, with the tag that names its content.
#[derive(Debug, Clone)]
pub struct Document {
    /// The JSON, ended by a newline.
    pub body: Arc<[u8]>,
    /// The whole `Content-Type`.
    pub content_type: &'static str,
    /// The strong entity tag, with its quotes.
    pub etag: String,
}

/// Every static document.
#[derive(Debug, Clone)]
pub struct Documents {
    /// `/`: the paths there are.
    pub root: Document,
    /// `/version`.
    pub version: Document,
    /// `/apis` as a legacy group list.
    pub groups: Document,
    /// `/apis` as aggregated discovery v2.
    pub aggregated: Document,
    /// `/apis/G`.
    pub group: Document,
    /// `/apis/G/V`.
    pub resources: Document,
    /// `/openapi/v3`.
    pub openapi_index: Document,
    /// `/openapi/v3/apis/G/V`.
    pub openapi_group_version: Document,
    /// `/openapi/v2`.
    pub openapi_v2: Document,
}

impl Documents {
    /// Writes them all; they depend on nothing but this program's version.
    pub fn new() -> Self {
        let openapi_group_version =
            Document::tagged("application/json", openapi::GROUP_VERSION_DOCUMENT.as_bytes());
        let index = openapi::index(openapi_group_version.etag.trim_matches('"'));
        Self {
            root: Document::json(&Root { paths: PATHS }),
            version: Document::json(&ThisProgram::built()),
            groups: Document::json(&discovery::group_list()),
            aggregated: Document::with_type(discovery::AGGREGATED_CONTENT_TYPE, &discovery::aggregated()),
            group: Document::json(&discovery::group()),
            resources: Document::json(&discovery::resource_list()),
            openapi_index: Document::json(&index),
            openapi_group_version,
            openapi_v2: Document::json(&openapi::v2()),
        }
    }
}

impl Default for Documents {
    fn default() -> Self {
        Self::new()
    }
}

impl Document {
    fn json(content: &impl Serialize) -> Self {
        Self::with_type("application/json", content)
    }

    fn with_type(content_type: &'static str, content: &impl Serialize) -> Self {
        let mut body = Vec::new();
        write_json(&mut body, content);
        Self::tagged(content_type, &body)
    }

    fn tagged(content_type: &'static str, body: &[u8]) -> Self {
        let etag = format!("\"{}\"", upper_hex(&Sha256::digest(body)));
        Self { body: body.into(), content_type, etag }
    }
}

/// Appends the JSON of `content` and a newline.
///
/// Writing into memory cannot fail, and no type of ours has a key that is no string or a number that is no JSON; should
/// that ever change, the golden tests see the empty body.
pub(super) fn write_json(body: &mut Vec<u8>, content: &impl Serialize) {
    if serde_json::to_writer(&mut *body, content).is_err() {
        body.clear();
    }
    body.push(b'\n');
}

fn upper_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut hex, byte| {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02X}");
        hex
    })
}

#[derive(Serialize)]
struct Root {
    paths: &'static [&'static str],
}

const PATHS: &[&str] = &[
    "/apis",
    "/apis/",
    "/apis/external.metrics.k8s.io",
    "/apis/external.metrics.k8s.io/v1beta1",
    "/healthz",
    "/livez",
    "/metrics",
    "/openapi/v2",
    "/openapi/v3",
    "/openapi/v3/apis/external.metrics.k8s.io/v1beta1",
    "/readyz",
    "/version",
];

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

/// The architecture by Go's name, which Kubernetes' tools know.
const fn go_arch() -> &'static str {
    if cfg!(target_arch = "x86_64") {
        "amd64"
    } else if cfg!(target_arch = "aarch64") {
        "arm64"
    } else {
        std::env::consts::ARCH
    }
}
