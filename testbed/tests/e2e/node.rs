//! The node: a Deployment scales real processes that answer HTTP on addresses of their own.

use crate::shared::with_cluster;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use std::{path::Path, time::Duration};
use testbed::{Cluster, Node, eventually, http, node, workspace};

/// Controllers answer within a second; a machine that compiles meanwhile gets more.
const SOON: Duration = Duration::from_secs(60);

#[test]
fn a_deployment_scales_real_processes() {
    with_cluster(|cluster| async move {
        let bed = Bed::new(&cluster, "node-scale", "node-scale:1").await;
        bed.deploy(2).await;
        let pods = bed.ready(2).await;
        let client = http::client(None).unwrap();
        let ips: Vec<_> = pods.iter().map(ip).collect();
        assert_ne!(ips[0], ips[1]);
        for ip in &ips {
            let answer = client.get(format!("http://{ip}:8080/")).send().await.unwrap();
            let answer: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
            assert!(answer["ran_seconds"].as_f64().unwrap() >= 0.01, "{answer}");
            assert!(ip.starts_with("127.") && *ip != bed.node.address().to_string());
        }

        bed.scale(1).await;
        let gone = eventually("the second pod to go", SOON, || async {
            Ok((bed.pods().await?.len() == 1).then_some(()))
        });
        gone.await.unwrap();
        let left = ip(&bed.ready(1).await[0]);
        let ended = pods.iter().find(|pod| ip(pod) != left).unwrap();
        let log = std::fs::read_to_string(log(bed.node.logs(), ended)).unwrap();
        assert!(log.contains("all requests answered"), "it must end gracefully: {log}");
        let ended = format!("http://{}:8080/healthz", ip(ended));
        assert!(client.get(ended).send().await.is_err(), "the process must be gone");
        assert!(http::answers(&client, &format!("http://{left}:8080/healthz")).await.unwrap());
        bed.end().await;
        assert!(client.get(format!("http://{left}:8080/healthz")).send().await.is_err());
    });
}

#[test]
fn a_container_that_ends_is_started_again_and_a_pod_that_cannot_run_says_why() {
    with_cluster(|cluster| async move {
        let bed = Bed::new(&cluster, "node-restart", "node-restart:1").await;
        let pods = Api::<Pod>::namespaced(cluster.client().await.unwrap(), bed.namespace);
        let pod = |name: &str, container: Value| -> Pod {
            let pod = json!({"metadata": {"name": name}, "spec": {"containers": [container]}});
            serde_json::from_value(pod).unwrap()
        };
        let image = bed.image;
        let crashing = json!({"name": "c", "image": image, "args": ["--slots=0"]});
        pods.create(&PostParams::default(), &pod("crashing", crashing)).await.unwrap();
        let cpu = json!({"name": "S", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}});
        let refused = json!({"name": "c", "image": image, "env": [cpu]});
        pods.create(&PostParams::default(), &pod("refused", refused)).await.unwrap();

        let restarted = eventually("a restart", SOON, || async {
            let status = pods.get("crashing").await?.status.unwrap_or_default();
            let container = status.container_statuses.unwrap_or_default().pop();
            Ok(container.filter(|it| it.restart_count > 0))
        });
        let last = restarted.await.unwrap().last_state.unwrap().terminated.unwrap();
        assert_eq!(last.exit_code, 64);
        let failed = eventually("the refusal", SOON, || async {
            let status = pods.get("refused").await?.status.unwrap_or_default();
            assert_eq!(status.phase.as_deref(), Some("Pending"), "its ReplicaSet must not replace it");
            Ok(status.message)
        });
        let message = failed.await.unwrap();
        assert!(message.contains("variable `S`"), "{message}");

        for name in ["crashing", "refused"] {
            pods.delete(name, &DeleteParams::default()).await.unwrap();
        }
        let gone = eventually("both pods to go", SOON, || async {
            Ok(pods.list(&ListParams::default()).await?.items.is_empty().then_some(()))
        });
        gone.await.unwrap();
        bed.end().await;
    });
}

#[test]
fn a_pod_waits_for_its_config_map_and_its_containers_share_an_empty_dir() {
    with_cluster(|cluster| async move {
        let bed = Bed::new(&cluster, "node-volumes", "node-volumes:1").await;
        let pods = Api::<Pod>::namespaced(bed.client.clone(), bed.namespace);
        let shell = |name: &str, script: &str| {
            json!({
                "name": name, "image": "node-volumes:shell", "command": ["/bin/sh", "-c", script],
                "volumeMounts": [{"name": "late", "mountPath": "/late"}, {"name": "shared", "mountPath": "/shared"}],
            })
        };
        let pod = json!({"metadata": {"name": "waiting"}, "spec": {
            "restartPolicy": "Never",
            "volumes": [{"name": "late", "configMap": {"name": "late"}}, {"name": "shared", "emptyDir": {}}],
            "initContainers": [shell("first", "read -r word < /late/word; echo $word > /shared/word")],
            "containers": [shell("second", "read word < /shared/word; echo \"seen $word\"")],
        }});
        pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
        let waits = eventually("the pod to wait", SOON, || async {
            let status = pods.get("waiting").await?.status.unwrap_or_default();
            let state = status.container_statuses.unwrap_or_default().pop().and_then(|it| it.state);
            Ok(state.and_then(|state| state.waiting?.message))
        });
        assert_eq!(waits.await.unwrap(), "volume `late`: waiting for ConfigMap `late`");

        let create = ["create", "configmap", "late", "--from-literal=word=hello", "-n", bed.namespace];
        cluster.kubectl().run(&create).await.unwrap().success().unwrap();
        let succeeded = eventually("the pod to succeed", SOON, || async {
            let phase = pods.get("waiting").await?.status.unwrap_or_default().phase;
            assert_ne!(phase.as_deref(), Some("Failed"));
            Ok((phase.as_deref() == Some("Succeeded")).then_some(()))
        });
        succeeded.await.unwrap();
        let log = std::fs::read_to_string(bed.node.logs().join("node-volumes_waiting_second.log")).unwrap();
        assert_eq!(log, "seen hello\n");
        bed.end().await;
    });
}

/// A namespace and a node that runs two images, which nobody else asks for: the workload and a shell.
struct Bed<'a> {
    cluster: &'a Cluster,
    client: kube::Client,
    namespace: &'a str,
    image: &'a str,
    node: Node,
}

impl<'a> Bed<'a> {
    async fn new(cluster: &'a Cluster, namespace: &'a str, image: &'a str) -> Self {
        // Without its ServiceAccount no pod can be made, and the controller that makes it takes its time.
        let objects = format!(
            "{{apiVersion: v1, kind: Namespace, metadata: {{name: {namespace}}}}}\n---\n\
             {{apiVersion: v1, kind: ServiceAccount, metadata: {{name: default, namespace: {namespace}}}}}"
        );
        let apply = ["apply", "--server-side", "-f", "-"];
        cluster.kubectl().run_with_input(&apply, &objects).await.unwrap().success().unwrap();
        let client = cluster.client().await.unwrap();
        let program = workspace::binary("inference-svc").await.unwrap();
        let options = node::Options {
            name: namespace.to_owned(),
            images: node::Images::from([
                (image.to_owned(), program.into()),
                (format!("{namespace}:shell"), node::Image::new("/bin/sh")),
            ]),
            logs: cluster.dir().logs().to_owned(),
        };
        let node = Node::start(cluster, options).await.unwrap();
        Self { cluster, client, namespace, image, node }
    }

    async fn deploy(&self, replicas: i32) {
        let deployment = json!({
            "metadata": {"name": "web"},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": {"app": "web"}},
                "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{
                    "name": "web",
                    "image": self.image,
                    "args": ["--bind-address=$(POD_IP)", "--inference-time=20ms", "--startup-delay=500ms"],
                    "env": [{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
                    "ports": [{"name": "http", "containerPort": 8080}, {"name": "metrics", "containerPort": 8081}],
                    "readinessProbe": {"httpGet": {"path": "/readyz", "port": "metrics"}, "periodSeconds": 1},
                }]}},
            },
        });
        let deployment = serde_json::from_value(deployment).unwrap();
        self.deployments().create(&PostParams::default(), &deployment).await.unwrap();
    }

    async fn scale(&self, replicas: i32) {
        let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        self.deployments().patch_scale("web", &PatchParams::default(), &patch).await.unwrap();
    }

    /// Waits until the Deployment counts so many pods as available; gives them.
    async fn ready(&self, replicas: i32) -> Vec<Pod> {
        let available = eventually("the Deployment to be available", SOON, || async {
            let status = self.deployments().get("web").await?.status.unwrap_or_default();
            let pods = self.pods().await?;
            let all = status.available_replicas == Some(replicas) && i32::try_from(pods.len())? == replicas;
            Ok(all.then_some(pods))
        });
        available.await.unwrap()
    }

    async fn pods(&self) -> kube::Result<Vec<Pod>> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), self.namespace);
        Ok(pods.list(&ListParams::default()).await?.items)
    }

    fn deployments(&self) -> Api<Deployment> {
        Api::namespaced(self.client.clone(), self.namespace)
    }

    async fn end(self) {
        self.node.shutdown().await.unwrap();
        let delete = ["delete", "namespace", self.namespace, "--wait=false"];
        self.cluster.kubectl().run(&delete).await.unwrap().success().unwrap();
        let nodes: Api<k8s_openapi::api::core::v1::Node> = Api::all(self.client);
        assert!(nodes.get_opt(self.namespace).await.unwrap().is_none());
    }
}

fn ip(pod: &Pod) -> String {
    pod.status.as_ref().unwrap().pod_ip.clone().unwrap()
}

fn log(logs: &Path, pod: &Pod) -> std::path::PathBuf {
    logs.join(format!("{}_{}_web.log", pod.namespace().unwrap(), pod.name_any()))
}
