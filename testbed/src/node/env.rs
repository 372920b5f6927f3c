//! A container's variables: pure, from its spec and the objects it refers to.

use super::{
    expand::expand,
    objects::{Kind, Objects},
    plan::Place,
    volume,
};
use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::{Container, EnvVarSource, Pod};
use std::collections::BTreeMap;

pub(super) type Variables = BTreeMap<String, String>;

/// The container's variables and no others; later ones may refer to earlier ones.
pub(super) fn environment(
    pod: &Pod,
    container: &Container,
    objects: &Objects,
    place: Place<'_>,
) -> Result<Variables> {
    let mut env = Variables::from([
        ("HOSTNAME".to_owned(), pod.metadata.name.clone().unwrap_or_default()),
        ("KUBERNETES_SERVICE_HOST".to_owned(), place.apiserver.ip().to_string()),
        ("KUBERNETES_SERVICE_PORT".to_owned(), place.apiserver.port().to_string()),
    ]);
    for source in container.env_from.iter().flatten() {
        let prefix = source.prefix.as_deref().unwrap_or_default();
        let data = match (&source.config_map_ref, &source.secret_ref) {
            (Some(it), _) => objects.data(Kind::ConfigMap, &it.name, it.optional.unwrap_or(false))?,
            (None, Some(it)) => objects.data(Kind::Secret, &it.name, it.optional.unwrap_or(false))?,
            (None, None) => bail!("envFrom: only configMapRef and secretRef are supported here"),
        };
        for (key, value) in data.into_iter().flatten() {
            env.insert(format!("{prefix}{key}"), text(value));
        }
    }
    for variable in container.env.iter().flatten() {
        let value = match (&variable.value, &variable.value_from) {
            (Some(value), _) => Some(expand(value, &env)),
            (None, None) => Some(String::new()),
            (None, Some(source)) => referred(pod, source, objects, place)
                .with_context(|| format!("variable `{}`", variable.name))?,
        };
        if let Some(value) = value {
            env.insert(variable.name.clone(), value);
        }
    }
    Ok(env)
}

/// The value that a source leads to; `None` if it is absent and may be.
fn referred(pod: &Pod, source: &EnvVarSource, objects: &Objects, place: Place<'_>) -> Result<Option<String>> {
    if let Some(it) = &source.field_ref {
        return Ok(Some(volume::field(pod, &it.field_path, place)?));
    }
    let value = if let Some(it) = &source.config_map_key_ref {
        objects.value(Kind::ConfigMap, &it.name, &it.key, it.optional.unwrap_or(false))?
    } else if let Some(it) = &source.secret_key_ref {
        objects.value(Kind::Secret, &it.name, &it.key, it.optional.unwrap_or(false))?
    } else {
        bail!("only value, fieldRef, configMapKeyRef and secretKeyRef are supported here");
    };
    Ok(value.map(text))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
