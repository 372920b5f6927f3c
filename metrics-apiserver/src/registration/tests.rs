//! The registration against a fake Kubernetes API.

use serde_json::{Value, json};

use super::*;
use crate::catalog::Catalog;
use crate::readiness::Endpoint;
use crate::testkit::{Ca, Issued, Play, Request, Server, failure, rule, scrape};

const NAME: &str = "v1beta1.external.metrics.k8s.io";

/// The registration of a server with a certificate of `ca`.
struct Rig {
    registration: Registration,
    registry: Registry,
    _files: tempfile::TempDir,
}

fn rig(issued: &Issued) -> Rig {
    let files = tempfile::tempdir().unwrap();
    let [cert, key] = ["tls.crt", "tls.key"].map(|name| files.path().join(name));
    issued.write(&cert, &key);
    let tls = crate::tls::Options { cert_file: Some(cert), key_file: Some(key), ..Default::default() };
    let parts = Parts {
        catalog: Arc::new(ServedCatalog::new(Catalog::new(vec![rule("queue", "queue")]))),
        certificates: Arc::new(Certificates::load(&tls).unwrap()),
        readiness: Readiness::default(),
    };
    let options = Options { service: Some("metrics-apiserver/metrics-apiserver".parse().unwrap()) };
    let mut registry = Registry::default();
    let registration = Registration::new(&options, parts, &mut registry).unwrap();
    Rig { registration, registry, _files: files }
}

impl Rig {
    async fn look(&self, api: &Server) -> (Option<bool>, Vec<String>) {
        self.registration.look(&Api::all(api.client())).await;
        let text = scrape(&self.registry);
        let value =
            |value| text.contains(&format!("registered{{group=\"external.metrics.k8s.io\"}} {value}\n"));
        let registered = if value(1) { Some(true) } else { value(0).then_some(false) };
        (registered, self.registration.logged.lock().unwrap().iter().cloned().collect())
    }

    /// The line of `/readyz?verbose`.
    fn note(&self) -> String {
        let checks = self.registration.readiness.checks(Endpoint::Readyz);
        let check = checks.into_iter().find(|check| check.name == "registration").unwrap();
        assert_eq!(check.outcome, Ok(()), "it never fails");
        check.note.unwrap().to_string()
    }
}

fn object(service: &Value, bundle: Option<&Ca>) -> Play {
    use base64::Engine as _;
    let mut spec = json!({"group": "external.metrics.k8s.io", "version": "v1beta1", "service": service,
        "groupPriorityMinimum": 100, "versionPriority": 100});
    if let Some(ca) = bundle {
        spec["caBundle"] = base64::engine::general_purpose::STANDARD.encode(ca.pem()).into();
    }
    let metadata = json!({"name": NAME});
    let kind = json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": metadata,
        "spec": spec});
    Play::json(200, kind)
}

fn service(namespace: &str, name: &str) -> Value {
    json!({"namespace": namespace, "name": name, "port": 443})
}

fn ours() -> Value {
    service("metrics-apiserver", "metrics-apiserver")
}

#[tokio::test]
async fn an_api_service_that_another_provider_takes_is_reported_once_and_until_it_is_given_back() {
    let ca = Ca::new("ca");
    let rig = rig(&ca.serving());
    let api = Server::plain(object(&ours(), Some(&ca)));
    assert_eq!(rig.look(&api).await, (Some(true), vec![]));
    assert_eq!(rig.note(), "no problem known");
    let asked: Vec<String> = api.requests().into_iter().map(|Request { line, .. }| line).collect();
    assert_eq!(asked, [format!("GET /apis/apiregistration.k8s.io/v1/apiservices/{NAME} HTTP/1.1")]);

    api.play(object(&service("keda", "keda-operator-metrics-apiserver"), None));
    let (registered, logged) = rig.look(&api).await;
    assert_eq!(registered, Some(false));
    let expected = format!(
        "APIService {NAME} leads to keda/keda-operator-metrics-apiserver, not to metrics-apiserver/metrics-apiserver"
    );
    assert!(logged.len() == 1 && logged[0].starts_with(&expected), "{logged:?}");
    assert!(
        rig.note().starts_with("the registration of external.metrics.k8s.io does not lead to this server")
    );

    api.play(object(&ours(), Some(&ca)));
    assert_eq!(rig.look(&api).await, (Some(true), vec![]));
    assert_eq!(rig.note(), "no problem known");
}

#[tokio::test]
async fn a_ca_bundle_of_another_controller_is_reported() {
    let (ca, other) = (Ca::new("ca"), Ca::new("ca"));
    let rig = rig(&ca.serving());
    let api = Server::plain(object(&ours(), Some(&other)));
    let (registered, logged) = rig.look(&api).await;
    assert_eq!(registered, Some(false));
    assert!(logged[0].contains("caBundle that does not verify the serving certificate"), "{logged:?}");
    // Without a bundle kube-apiserver uses its own roots, which this server does not know.
    api.play(object(&ours(), None));
    assert_eq!(rig.look(&api).await.0, Some(true));
}

#[tokio::test]
async fn a_certificate_that_only_has_another_name_or_is_its_own_ca_counts_as_ours() {
    let ca = Ca::new("ca");
    // Its name is localhost, not the Service's.
    assert_eq!(rig(&ca.serving()).look(&Server::plain(object(&ours(), Some(&ca)))).await.0, Some(true));
    let chain = [ca.der()];
    let host = "metrics-apiserver/metrics-apiserver".parse().unwrap();
    let itself =
        serde_json::from_value(json!({"metadata": {}, "spec": {"service": ours(), "groupPriorityMinimum": 1,
        "versionPriority": 1}}));
    let mut itself: APIService = itself.unwrap();
    itself.spec.as_mut().unwrap().ca_bundle = Some(k8s_openapi::ByteString(ca.pem().into_bytes()));
    assert_eq!(Finding::of(Some(&itself), &host, &chain), Finding::Ours);
}

#[tokio::test]
async fn an_api_service_that_is_deleted_is_reported() {
    let rig = rig(&Ca::new("ca").serving());
    let (registered, logged) = rig.look(&Server::plain(failure(404, "NotFound"))).await;
    assert_eq!(registered, Some(false));
    assert!(logged[0].contains("does not exist"), "{logged:?}");
}

#[tokio::test]
async fn a_missing_right_is_one_line_and_no_state() {
    let rig = rig(&Ca::new("ca").serving());
    let api = Server::plain(failure(403, "Forbidden"));
    for _ in 0..2 {
        let (registered, logged) = rig.look(&api).await;
        assert_eq!(registered, None);
        assert!(
            logged.len() == 1 && logged[0].contains("ClusterRole metrics-apiserver-registration"),
            "{logged:?}"
        );
    }
    assert_eq!(rig.note(), "no problem known");
}

#[tokio::test]
async fn a_kube_apiserver_that_fails_changes_nothing_that_is_known() {
    let ca = Ca::new("ca");
    let rig = rig(&ca.serving());
    let api = Server::plain(object(&service("keda", "keda"), None));
    assert_eq!(rig.look(&api).await.0, Some(false));
    api.play(failure(500, "InternalError"));
    assert_eq!(rig.look(&api).await.0, Some(false));
}

#[test]
fn a_group_is_registered_if_a_version_is_ours_and_none_is_anybody_elses() {
    let foreign = || Finding::Foreign { owner: "a/b".to_owned() };
    for (findings, expected) in [
        (vec![Finding::Ours, Finding::Missing], Some(true)),
        (vec![Finding::Ours, foreign()], Some(false)),
        (vec![Finding::Missing, Finding::Missing], Some(false)),
        (vec![Finding::Unreadable(String::new()), Finding::Ours], None),
        (vec![Finding::Unreadable(String::new()), foreign()], Some(false)),
    ] {
        assert_eq!(is_registered(&findings.iter().collect::<Vec<_>>()), expected, "{findings:?}");
    }
}
