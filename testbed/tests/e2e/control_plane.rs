//! The control plane itself: what everything else stands on.

use crate::shared::{runtime, with_cluster};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::{Api, api::ListParams};
use std::time::Duration;
use testbed::{Cluster, Options, Server, User, cluster::Component, eventually};

/// Controllers answer within a second; a machine that compiles meanwhile gets more.
const SOON: Duration = Duration::from_secs(30);

#[test]
fn kubectl_reaches_the_pinned_version() {
    with_cluster(|cluster| async move {
        let version = cluster.kubectl().run(&["version"]).await.unwrap().success().unwrap();
        assert!(version.contains("Client Version: v1.37.2"), "{version}");
        assert!(version.contains("Server Version: v1.37.2"), "{version}");
    });
}

#[test]
fn a_deployment_makes_pods_that_wait_for_a_node() {
    with_cluster(|cluster| async move {
        let kubectl = cluster.kubectl();
        let run = async |args: &[&str]| kubectl.run(args).await.unwrap().success().unwrap();
        run(&["create", "namespace", "pods"]).await;
        run(&["create", "deployment", "web", "-n", "pods", "--image=web:1", "--replicas=3"]).await;
        let pods: Api<Pod> = Api::namespaced(cluster.client().await.unwrap(), "pods");
        let params = ListParams::default().labels("app=web");
        let made = eventually("three pods", SOON, || async {
            let pods = pods.list(&params).await?.items;
            Ok((pods.len() == 3).then_some(pods))
        });
        for pod in made.await.unwrap() {
            assert_eq!(pod.status.unwrap().phase.as_deref(), Some("Pending"));
        }
        run(&["delete", "namespace", "pods", "--wait=false"]).await;
        let namespaces: Api<Namespace> = Api::all(cluster.client().await.unwrap());
        let gone = eventually("the namespace to go", SOON, || async {
            Ok(namespaces.get_opt("pods").await?.is_none().then_some(()))
        });
        gone.await.unwrap();
    });
}

#[test]
fn a_developer_may_do_nothing_until_a_role_binding_says_so() {
    with_cluster(|cluster| async move {
        let admin = cluster.kubectl();
        let developer = cluster.kubectl_as(cluster.kubeconfig(User::Developer));
        let run = async |args: &[&str]| admin.run(args).await.unwrap().success().unwrap();
        run(&["create", "namespace", "rights"]).await;
        let list = ["get", "pods", "-n", "rights"];
        let refused = developer.run(&list).await.unwrap();
        assert!(!refused.status.success());
        assert!(refused.stderr.contains("Forbidden"), "{}", refused.stderr);
        run(&["create", "rolebinding", "see", "-n", "rights", "--clusterrole=view", "--user=developer"])
            .await;
        let allowed = eventually("the binding to count", SOON, || async {
            Ok(developer.run(&list).await?.success().ok())
        });
        allowed.await.unwrap();
    });
}

#[test]
fn a_service_account_is_known_by_its_token_alone() {
    with_cluster(|cluster| async move {
        let run = async |args: &[&str]| cluster.kubectl().run(args).await.unwrap().success().unwrap();
        run(&["create", "namespace", "tokens"]).await;
        run(&["create", "serviceaccount", "robot", "-n", "tokens"]).await;
        let kubeconfig = cluster.service_account_kubeconfig("tokens", "robot").await.unwrap();
        let who = cluster.kubectl_as(&kubeconfig).run(&["auth", "whoami"]).await.unwrap().success().unwrap();
        assert!(who.contains("system:serviceaccount:tokens:robot"), "{who}");
    });
}

#[test]
fn a_cluster_that_is_dropped_leaves_nothing_behind_but_its_logs() {
    runtime().block_on(async {
        let options = Options { name: "e2e-drop".into(), ..Options::default() };
        let cluster = Cluster::start(options).await.unwrap();
        let pids = [Component::Etcd, Component::ApiServer].map(|component| cluster.process(component).pid());
        let (state, logs) = (cluster.dir().state().to_owned(), cluster.dir().logs().to_owned());
        assert!(state.exists());
        drop(cluster);
        for pid in pids {
            assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists(), "process {pid} still runs");
        }
        assert!(!state.exists());
        assert!(logs.join("kube-apiserver.log").exists());
    });
}

#[test]
fn the_servers_account_may_do_what_an_extension_server_must_and_no_more() {
    with_cluster(|cluster| async move {
        let kubeconfig = Server::account(&cluster).await.unwrap();
        let kubectl = cluster.kubectl_as(&kubeconfig);
        let may = async |args: &[&str]| {
            let args = [&["auth", "can-i"], args].concat();
            kubectl.run(&args).await.unwrap().stdout.trim() == "yes"
        };
        let config = ["get", "configmaps/extension-apiserver-authentication", "-n", "kube-system"];
        let allowed =
            eventually("the bindings to count", SOON, || async { Ok(may(&config).await.then_some(())) });
        allowed.await.unwrap();
        assert!(may(&["create", "tokenreviews.authentication.k8s.io"]).await);
        assert!(may(&["create", "subjectaccessreviews.authorization.k8s.io"]).await);
        assert!(!may(&["list", "pods", "-n", "default"]).await);
        let config = kubectl.run(&[
            "get",
            "configmap",
            "extension-apiserver-authentication",
            "-n",
            "kube-system",
            "-o",
            "yaml",
        ]);
        let config = config.await.unwrap().success().unwrap();
        assert!(config.contains("requestheader-allowed-names: '[\"front-proxy-client\"]'"), "{config}");
    });
}
