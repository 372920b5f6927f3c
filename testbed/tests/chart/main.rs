//! The Helm chart: what it makes of values as people publish them, what it refuses, and what a real kube-apiserver says
//! to its manifests.
//!
//! `values/NN-name.yaml` are values; `# release:` in the first line names the release. `rendered/NN-name.yaml` is what
//! `helm template` makes of them. After a change of the chart the test names a folder with the files as they are now.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "clippy spares only the test functions themselves"
)]

mod case;
mod certificate;
mod cluster;
mod installed;
mod kustomize;
mod mistakes;
mod rendering;
mod subchart;
mod swap;
mod takeover;
mod wait;
