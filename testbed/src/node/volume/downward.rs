//! What a pod can read of itself.

use super::{File, mode};
use crate::node::plan::Place;
use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::{DownwardAPIVolumeFile, Pod};
use std::{collections::BTreeMap, fmt::Write as _};

/// The files of a downwardAPI volume or source.
pub(super) fn files<'a>(
    pod: &Pod,
    items: impl Iterator<Item = &'a DownwardAPIVolumeFile>,
    default_mode: u32,
    place: Place<'_>,
) -> Result<BTreeMap<String, File>> {
    items
        .map(|item| {
            let source = item.field_ref.as_ref().context("only fieldRef is supported here")?;
            let bytes = field(pod, &source.field_path, place)?.into_bytes();
            let mode = item.mode.map_or(Ok(default_mode), |it| mode(Some(it)))?;
            Ok((item.path.clone(), File { bytes, mode }))
        })
        .collect()
}

/// The text of a field of the pod.
pub(in crate::node) fn field(pod: &Pod, path: &str, place: Place<'_>) -> Result<String> {
    let meta = &pod.metadata;
    if let Some((map, key)) = subscript(path) {
        let map = match map {
            "metadata.labels" => &meta.labels,
            "metadata.annotations" => &meta.annotations,
            _ => bail!("fieldRef `{path}` is not supported here"),
        };
        return Ok(map
            .iter()
            .flatten()
            .find(|(name, _)| *name == key)
            .map(|(_, it)| it.clone())
            .unwrap_or_default());
    }
    Ok(match path {
        "metadata.name" => meta.name.clone().unwrap_or_default(),
        "metadata.namespace" => meta.namespace.clone().unwrap_or_default(),
        "metadata.uid" => meta.uid.clone().unwrap_or_default(),
        "metadata.labels" => lines(meta.labels.as_ref()),
        "metadata.annotations" => lines(meta.annotations.as_ref()),
        "spec.nodeName" => place.node.to_owned(),
        "spec.serviceAccountName" => {
            pod.spec.as_ref().and_then(|it| it.service_account_name.clone()).unwrap_or_default()
        }
        "status.hostIP" | "status.hostIPs" => place.node_ip.to_string(),
        "status.podIP" | "status.podIPs" => place.pod_ip.to_string(),
        _ => bail!("fieldRef `{path}` is not supported here"),
    })
}

/// `metadata.labels['app']` → `metadata.labels`, `app`.
fn subscript(path: &str) -> Option<(&str, &str)> {
    path.strip_suffix("']")?.split_once("['")
}

/// As kubelet writes a map: sorted lines of `key="value"`.
fn lines(map: Option<&BTreeMap<String, String>>) -> String {
    let mut out = String::new();
    for (key, value) in map.into_iter().flatten() {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{key}={value:?}");
    }
    out.truncate(out.trim_end().len());
    out
}
