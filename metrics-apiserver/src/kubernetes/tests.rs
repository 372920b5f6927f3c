//! Clients by kubeconfig, against a Kubernetes API over TLS.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use kube::client::Body;
use serde_json::json;
use tempfile::TempDir;
use tokio::time::sleep;

use super::*;
use crate::testkit::http::ok;
use crate::testkit::{Ca, Play, Server};

/// How soon changed files must count.
const SOON: Duration = Duration::from_secs(15);

/// A kubeconfig with a CA file and a token file.
struct Rig {
    server: Server,
    folder: TempDir,
}

impl Rig {
    fn new(server: Server, ca: &Ca) -> Self {
        let rig = Self { server, folder: tempfile::tempdir().unwrap() };
        rig.write("ca.crt", &ca.pem());
        rig.write("token", "first");
        let url = rig.server.url.clone();
        rig.write_kubeconfig(&json!({"server": url, "certificate-authority": "ca.crt"}));
        rig
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: &str) {
        std::fs::write(self.path(name), content).unwrap();
    }

    fn write_kubeconfig(&self, cluster: &serde_json::Value) {
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "test", "user": {"tokenFile": "token"}}],
        });
        self.write("kubeconfig", &kubeconfig.to_string());
    }

    async fn connect(&self) -> Result<(Client, Follower), KubernetesError> {
        connect(Source::of(Some(&self.path("kubeconfig")))).await
    }

    fn last_token(&self) -> String {
        self.server.last().header("authorization").unwrap_or_default().to_owned()
    }
}

/// Answers each request on a connection of its own, as a restarted kube-apiserver would.
fn answering(ca: &Ca) -> Server {
    Server::tls(Play::Cut(ok(b"{}", "Content-Type: application/json\r\n")), ca.server_config(None))
}

async fn ask(client: &Client) -> Result<u16, String> {
    let request = hyper::Request::get("/version").body(Body::empty()).unwrap();
    match client.send(request).await {
        Ok(response) => Ok(response.status().as_u16()),
        Err(error) => Err(causes(&error).to_string()),
    }
}

#[tokio::test]
async fn a_rotated_ca_is_followed_and_until_then_the_error_names_the_certificate() {
    let (old, new) = (Ca::new("kubernetes-1"), Ca::new("kubernetes-2"));
    let rig = Rig::new(answering(&old), &old);
    let (client, follower) = rig.connect().await.unwrap();
    let following = tokio::spawn(follower.run());
    assert_eq!(ask(&client).await, Ok(200));

    rig.server.present(new.server_config(None));
    let error = ask(&client).await.unwrap_err();
    assert!(error.contains("invalid peer certificate: UnknownIssuer"), "{error}");

    rig.write("ca.crt", &(old.pem() + &new.pem()));
    let began = Instant::now();
    while ask(&client).await != Ok(200) {
        assert!(began.elapsed() < SOON, "{:?}", ask(&client).await);
        sleep(Duration::from_millis(100)).await;
    }
    // A client that is older than the rotation is the same as one that is not.
    assert_eq!(ask(&client.clone()).await, Ok(200));
    following.abort();
}

#[tokio::test]
async fn a_new_token_is_sent_soon() {
    let ca = Ca::new("kubernetes");
    let rig = Rig::new(answering(&ca), &ca);
    let (client, follower) = rig.connect().await.unwrap();
    let following = tokio::spawn(follower.run());
    assert_eq!(ask(&client).await, Ok(200));
    assert_eq!(rig.last_token(), "Bearer first");
    // As `echo` writes it.
    rig.write("token", "second\r\n");
    let began = Instant::now();
    while rig.last_token() != "Bearer second" {
        assert!(began.elapsed() < SOON);
        sleep(Duration::from_millis(100)).await;
        assert_eq!(ask(&client).await, Ok(200));
    }
    following.abort();
}

#[tokio::test]
async fn a_token_is_sent_without_the_line_end_of_its_file() {
    let ca = Ca::new("kubernetes");
    let rig = Rig::new(answering(&ca), &ca);
    for content in ["plain", "plain\n", "  plain\r\n"] {
        rig.write("token", content);
        let (client, _follower) = rig.connect().await.unwrap();
        assert_eq!(ask(&client).await, Ok(200), "{content:?}");
        assert_eq!(rig.last_token(), "Bearer plain", "{content:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_used_leaves_the_last_good_client_in_place() {
    let ca = Ca::new("kubernetes");
    let rig = Rig::new(answering(&ca), &ca);
    let (client, mut follower) = rig.connect().await.unwrap();
    for broken in ["", "no certificate", &ca.pem()[..100]] {
        rig.write("ca.crt", broken);
        assert!(follower.replace().await.is_err(), "{broken:?}");
        assert_eq!(ask(&client).await, Ok(200));
    }
    rig.write("ca.crt", &ca.pem());
    rig.write("token", "\n");
    let error = follower.replace().await.unwrap_err().to_string();
    assert!(error.ends_with("token: no token in it"), "{error}");
    rig.write("token", "first");
    std::fs::remove_file(rig.path("kubeconfig")).unwrap();
    assert!(follower.replace().await.is_err());
    assert_eq!(ask(&client).await, Ok(200));
}

#[tokio::test]
async fn a_changed_kubeconfig_names_another_server_and_other_files() {
    let ca = Ca::new("kubernetes");
    let rig = Rig::new(answering(&Ca::new("stranger")), &ca);
    let (client, mut follower) = rig.connect().await.unwrap();
    assert!(ask(&client).await.is_err());
    let other = answering(&ca);
    rig.write("other.crt", &ca.pem());
    rig.write_kubeconfig(&json!({"server": other.url, "certificate-authority": "other.crt"}));
    follower.replace().await.unwrap();
    assert_eq!(ask(&client).await, Ok(200));
    assert_eq!(other.requests().len(), 1);
    let names = follower.source.files().unwrap();
    assert!(names.contains(&rig.path("other.crt")), "{names:?}");
}

#[tokio::test]
async fn a_file_that_a_changed_kubeconfig_names_may_come_later() {
    let ca = Ca::new("kubernetes");
    let rig = Rig::new(answering(&Ca::new("stranger")), &ca);
    let (client, mut follower) = rig.connect().await.unwrap();
    let other = answering(&ca);
    rig.write_kubeconfig(&json!({"server": other.url, "certificate-authority": "other.crt"}));
    // The changed kubeconfig was seen, as when following it.
    follower.files.read().unwrap();
    assert!(follower.replace().await.is_err());
    let following = tokio::spawn(follower.run());
    rig.write("other.crt", &ca.pem());
    let began = Instant::now();
    while ask(&client).await != Ok(200) {
        assert!(began.elapsed() < SOON, "{:?}", ask(&client).await);
        sleep(Duration::from_millis(100)).await;
    }
    following.abort();
}

#[tokio::test]
async fn a_self_signed_kube_apiserver_is_trusted_by_its_own_certificate() {
    let ours = Ca::for_localhost("kube-apiserver");
    let server = Server::tls(Play::json(200, "{}"), ours.own_server_config());
    let rig = Rig::new(server, &ours);
    assert_eq!(ask(&rig.connect().await.unwrap().0).await, Ok(200));
    rig.write("ca.crt", &Ca::for_localhost("kube-apiserver").pem());
    let error = ask(&rig.connect().await.unwrap().0).await.unwrap_err();
    assert!(error.contains("invalid peer certificate"), "{error}");
}

#[tokio::test]
async fn kube_apiserver_may_be_on_ipv6_and_have_another_name() {
    let ca = Ca::new("kubernetes");
    let tls = Some(ca.server_config(None));
    let Some(server) = Server::ipv6(Play::json(200, "{}"), tls) else { return };
    let rig = Rig::new(server, &ca);
    assert!(rig.server.url.starts_with("https://[::1]:"));
    assert_eq!(ask(&rig.connect().await.unwrap().0).await, Ok(200));
    for (name, expected) in [("localhost", true), ("elsewhere.example", false)] {
        let url = rig.server.url.clone();
        rig.write_kubeconfig(&json!({
            "server": url, "certificate-authority": "ca.crt", "tls-server-name": name,
        }));
        assert_eq!(ask(&rig.connect().await.unwrap().0).await.is_ok(), expected, "{name}");
    }
}

#[tokio::test]
async fn verification_is_off_only_if_the_kubeconfig_says_so() {
    let rig = Rig::new(answering(&Ca::new("kubernetes")), &Ca::new("another"));
    assert!(ask(&rig.connect().await.unwrap().0).await.is_err());
    let url = rig.server.url.clone();
    rig.write_kubeconfig(&json!({"server": url, "insecure-skip-tls-verify": true}));
    assert_eq!(ask(&rig.connect().await.unwrap().0).await, Ok(200));
}

#[tokio::test]
async fn a_proxy_in_the_kubeconfig_is_refused_with_what_to_do() {
    let ca = Ca::new("kubernetes");
    let rig = Rig::new(answering(&ca), &ca);
    let url = rig.server.url.clone();
    rig.write_kubeconfig(&json!({
        "server": url, "certificate-authority": "ca.crt", "proxy-url": "http://proxy.example:3128",
    }));
    let error = rig.connect().await.err().unwrap().to_string();
    assert!(error.ends_with("proxy-url is not supported; remove it"), "{error}");
}
