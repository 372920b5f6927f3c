//! From a pod's volumes to what is written for them: pure, as far as this file goes.

mod downward;
mod projected;
pub(super) mod token;
pub(super) mod writer;

pub(super) use downward::field;

use super::{
    objects::{Data, Kind, Missing, Objects},
    plan::Place,
};
use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, KeyToPath, Pod, SecretVolumeSource, Volume as VolumeSpec,
};
use std::collections::BTreeMap;
use token::TokenPlan;

/// The mode of files unless the pod says otherwise, as in Kubernetes.
const MODE_DEFAULT: i32 = 0o644;
/// What the pod's own group may do with its files, as kubelet adds it.
const GROUP_READS: u32 = 0o440;

/// A volume of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Volume {
    /// An empty folder that the containers share.
    Empty,
    /// Files that are kept as the API has them.
    Files(Files),
}

/// The files of a volume.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Files {
    /// By their paths in the volume.
    pub(super) files: BTreeMap<String, File>,
    /// Tokens, which have to be requested before they are files.
    pub(super) tokens: Vec<TokenPlan>,
}

/// A file of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct File {
    pub(super) bytes: Vec<u8>,
    pub(super) mode: u32,
}

/// All volumes of a pod, by name.
pub(super) fn volumes(pod: &Pod, objects: &Objects, place: Place<'_>) -> Result<BTreeMap<String, Volume>> {
    let specs = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    let volumes = specs.map(|spec| {
        let volume = volume(pod, spec, objects, place);
        Ok((spec.name.clone(), volume.with_context(|| format!("volume `{}`", spec.name))?))
    });
    let mut volumes: BTreeMap<String, Volume> = volumes.collect::<Result<_>>()?;
    if group(pod).is_some() {
        for volume in volumes.values_mut() {
            volume.let_group_read();
        }
    }
    Ok(volumes)
}

/// The group that all files of the pod's volumes belong to, if it has one.
pub(super) fn group(pod: &Pod) -> Option<u32> {
    let context = pod.spec.as_ref()?.security_context.as_ref()?;
    u32::try_from(context.fs_group?).ok()
}

impl Volume {
    fn let_group_read(&mut self) {
        if let Self::Files(Files { files, tokens }) = self {
            let modes = files.values_mut().map(|file| &mut file.mode);
            for mode in modes.chain(tokens.iter_mut().map(|token| &mut token.mode)) {
                *mode |= GROUP_READS;
            }
        }
    }
}

fn volume(pod: &Pod, spec: &VolumeSpec, objects: &Objects, place: Place<'_>) -> Result<Volume> {
    let files = if spec.empty_dir.is_some() {
        return Ok(Volume::Empty);
    } else if let Some(source) = &spec.config_map {
        config_map(source, objects)?
    } else if let Some(source) = &spec.secret {
        secret(source, objects)?
    } else if let Some(source) = &spec.projected {
        return Ok(Volume::Files(projected::files(pod, source, objects, place)?));
    } else if let Some(source) = &spec.downward_api {
        downward::files(pod, source.items.iter().flatten(), mode(source.default_mode)?, place)?
    } else if spec.host_path.is_some() {
        bail!("hostPath would lead to this machine's own files: it is refused here");
    } else {
        bail!("only configMap, secret, projected, downwardAPI and emptyDir are supported here");
    };
    Ok(Volume::Files(Files { files, tokens: Vec::new() }))
}

fn config_map(source: &ConfigMapVolumeSource, objects: &Objects) -> Result<BTreeMap<String, File>> {
    let optional = source.optional.unwrap_or(false);
    let data = objects.data(Kind::ConfigMap, &source.name, optional)?;
    let what = format!("ConfigMap `{}`", source.name);
    files(data, source.items.as_deref(), mode(source.default_mode)?, optional, &what)
}

fn secret(source: &SecretVolumeSource, objects: &Objects) -> Result<BTreeMap<String, File>> {
    let optional = source.optional.unwrap_or(false);
    let name = source.secret_name.as_deref().context("secretName is missing")?;
    let data = objects.data(Kind::Secret, name, optional)?;
    files(data, source.items.as_deref(), mode(source.default_mode)?, optional, &format!("Secret `{name}`"))
}

/// The files of an object's values: all of them, or the items.
fn files(
    data: Option<&Data>,
    items: Option<&[KeyToPath]>,
    default_mode: u32,
    optional: bool,
    what: &str,
) -> Result<BTreeMap<String, File>> {
    let Some(data) = data else { return Ok(BTreeMap::new()) };
    let Some(items) = items.filter(|items| !items.is_empty()) else {
        let file = |bytes: &Vec<u8>| File { bytes: bytes.clone(), mode: default_mode };
        return Ok(data.iter().map(|(key, bytes)| (key.clone(), file(bytes))).collect());
    };
    let mut files = BTreeMap::new();
    for item in items {
        let Some(bytes) = data.get(&item.key) else {
            if optional {
                continue;
            }
            return Err(Missing(format!("waiting for key `{}` of {what}", item.key)).into());
        };
        let mode = item.mode.map_or(Ok(default_mode), |it| mode(Some(it)))?;
        files.insert(item.path.clone(), File { bytes: bytes.clone(), mode });
    }
    Ok(files)
}

fn mode(mode: Option<i32>) -> Result<u32> {
    let mode = mode.unwrap_or(MODE_DEFAULT);
    u32::try_from(mode).ok().filter(|mode| *mode <= 0o777).with_context(|| format!("mode {mode} is none"))
}

#[cfg(test)]
mod tests;
