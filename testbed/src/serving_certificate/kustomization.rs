//! The kustomization that adds the Secret and the CA bundle to an overlay.

use std::fmt::Write as _;
use std::iter::repeat_n;
use std::path::{Component, Path, PathBuf};

use k8s_openapi::ByteString;

use super::{Error, Overlay, at};

/// The Secret that the Deployment mounts.
const SECRET: &str = "metrics-apiserver-serving-cert";

/// The text of `kustomization.yaml` in `out_dir`.
pub(super) fn render(
    out_dir: &Path,
    overlay: &Overlay<'_>,
    namespace: &str,
    bundle: &[u8],
) -> Result<String, Error> {
    let resource = relative(&canonical(out_dir)?, &canonical(overlay.directory)?);
    let mut text = format!(
        "\
# Written by `cargo xtask certs`: the overlay, the serving certificate and the CA that signed it. Holds no secret.
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources:
- {resource}
secretGenerator:
- name: {SECRET}
  namespace: {namespace}
  type: kubernetes.io/tls
  files: [tls.crt, tls.key]
  options:
    disableNameSuffixHash: true
patches:
- target:
    group: apiregistration.k8s.io
    kind: APIService
  patch: |-
    - op: add
      path: /spec/caBundle
      value: {bundle}
",
        resource = json(&resource.to_string_lossy()),
        bundle = json(&ByteString(bundle.to_owned())),
    );
    if let Some(port) = overlay.api_service_port {
        // Writing to a String cannot fail.
        let _ = write!(text, "    - op: add\n      path: /spec/service/port\n      value: {port}\n");
    }
    Ok(text)
}

/// JSON strings are YAML strings, whatever is in them; bytes become base64.
fn json(value: &impl serde::Serialize) -> String {
    serde_json::json!(value).to_string()
}

fn canonical(path: &Path) -> Result<PathBuf, Error> {
    path.canonicalize().map_err(at(path))
}

/// The way from one absolute directory to another: kustomize takes no absolute paths.
fn relative(from: &Path, to: &Path) -> PathBuf {
    let common = from.components().zip(to.components()).take_while(|(a, b)| a == b).count();
    let up = repeat_n(Component::ParentDir, from.components().count() - common);
    up.chain(to.components().skip(common)).collect()
}
