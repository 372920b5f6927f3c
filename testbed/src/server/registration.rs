//! The Kubernetes objects that `manifests/` would bring, in their smallest form.

use super::NAME;
use crate::Cluster;
use anyhow::Result;
use k8s_openapi::{ByteString, kube_aggregator::pkg::apis::apiregistration::v1 as aggregator};
use kube::{
    Api,
    api::{ObjectMeta, Patch, PatchParams},
};
use serde_json::{Value, json};

/// Field manager of what this module applies.
const MANAGER: &str = "testbed";

/// Applies a list of objects with kubectl, as an operator would.
pub(super) async fn apply(cluster: &Cluster, objects: &[Value]) -> Result<()> {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
    let args = ["apply", "--server-side", "--force-conflicts", "--field-manager", MANAGER, "-f", "-"];
    cluster.kubectl().run_with_input(&args, &list).await?.success()?;
    Ok(())
}

/// The namespace, the ServiceAccount, and the two bindings that every extension API server needs.
pub(super) fn account() -> [Value; 4] {
    let subjects = json!([{"kind": "ServiceAccount", "name": NAME, "namespace": NAME}]);
    let role =
        |kind: &str, name: &str| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name});
    [
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAME}}),
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": NAME, "namespace": NAME}}),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "metrics-apiserver:auth-delegator"},
            "roleRef": role("ClusterRole", "system:auth-delegator"),
            "subjects": subjects,
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "metrics-apiserver:auth-reader", "namespace": "kube-system"},
            "roleRef": role("Role", "extension-apiserver-authentication-reader"),
            "subjects": subjects,
        }),
    ]
}

/// The Service through which kube-apiserver reaches a process on this machine.
pub(super) fn service() -> [Value; 1] {
    [json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": NAME, "namespace": NAME},
        "spec": {"type": "ExternalName", "externalName": "localhost"},
    })]
}

/// Applies an `APIService`, with the port itself, since an `ExternalName` Service has none.
pub(super) async fn patch_api_service(
    cluster: &Cluster,
    port: u16,
    ca: &str,
    (group, version, priority): (&str, &str, i32),
) -> Result<()> {
    let name = &format!("{version}.{group}");
    let service = aggregator::ServiceReference {
        name: Some(NAME.into()),
        namespace: Some(NAME.into()),
        port: Some(port.into()),
    };
    let spec = aggregator::APIServiceSpec {
        ca_bundle: Some(ByteString(ca.as_bytes().to_vec())),
        group: Some(group.into()),
        group_priority_minimum: 100,
        service: Some(service),
        version: Some(version.into()),
        version_priority: priority,
        ..aggregator::APIServiceSpec::default()
    };
    let metadata = ObjectMeta { name: Some(name.into()), ..ObjectMeta::default() };
    let api_service = aggregator::APIService { metadata, spec: Some(spec), status: None };
    let services: Api<aggregator::APIService> = Api::all(cluster.client().await?);
    services.patch(name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(&api_service)).await?;
    Ok(())
}
