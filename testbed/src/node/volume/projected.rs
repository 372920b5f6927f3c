//! Volumes of several sources: the token and CA that every pod gets are one.

use super::{File, Files, downward, mode, token::TokenPlan};
use crate::node::{
    objects::{Kind, Objects},
    plan::Place,
};
use anyhow::{Result, bail};
use k8s_openapi::api::core::v1::{
    Pod, ProjectedVolumeSource, ServiceAccountTokenProjection, VolumeProjection,
};
use std::collections::BTreeMap;

/// Kubernetes' default.
const TOKEN_SECONDS: i64 = 3600;

/// The files of all sources; a later source replaces the files of an earlier one.
pub(super) fn files(
    pod: &Pod,
    source: &ProjectedVolumeSource,
    objects: &Objects,
    place: Place<'_>,
) -> Result<Files> {
    let mode = mode(source.default_mode)?;
    let mut all = Files::default();
    for source in source.sources.iter().flatten() {
        if let Some(token) = &source.service_account_token {
            all.tokens.push(token_plan(pod, token));
        } else {
            all.files.extend(one(pod, source, objects, mode, place)?);
        }
    }
    Ok(all)
}

fn one(
    pod: &Pod,
    source: &VolumeProjection,
    objects: &Objects,
    mode: u32,
    place: Place<'_>,
) -> Result<BTreeMap<String, File>> {
    if let Some(source) = &source.config_map {
        let optional = source.optional.unwrap_or(false);
        let data = objects.data(Kind::ConfigMap, &source.name, optional)?;
        super::files(data, source.items.as_deref(), mode, optional, &format!("ConfigMap `{}`", source.name))
    } else if let Some(source) = &source.secret {
        let optional = source.optional.unwrap_or(false);
        let data = objects.data(Kind::Secret, &source.name, optional)?;
        super::files(data, source.items.as_deref(), mode, optional, &format!("Secret `{}`", source.name))
    } else if let Some(source) = &source.downward_api {
        downward::files(pod, source.items.iter().flatten(), mode, place)
    } else {
        bail!("only serviceAccountToken, configMap, secret and downwardAPI are supported as sources here");
    }
}

/// As kubelet: readable by the one user that all containers run as, else by all of the pod.
fn token_plan(pod: &Pod, token: &ServiceAccountTokenProjection) -> TokenPlan {
    let owner = TokenPlan::owner(pod);
    TokenPlan {
        path: token.path.clone(),
        audience: token.audience.clone().filter(|it| !it.is_empty()),
        seconds: token.expiration_seconds.unwrap_or(TOKEN_SECONDS),
        mode: if owner.is_some() || super::group(pod).is_some() { 0o600 } else { 0o644 },
        owner,
    }
}
