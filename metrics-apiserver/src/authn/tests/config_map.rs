//! The `ConfigMap` of kube-apiserver: read at start, followed afterwards.

use std::collections::BTreeMap;
use std::sync::{Mutex, mpsc};
use std::time::Instant;

use serde_json::{Value, json};

use super::*;
use crate::authn::TrustError;
use crate::causes::causes;
use crate::testkit::{Play, Request, Server, client_of_nobody, failure};

const ADMIN: [Header<'static>; 1] = [("x-remote-user", b"admin")];
const PATIENCE: Duration = Duration::from_secs(20);

type Data = BTreeMap<&'static str, String>;

/// An API with one `ConfigMap`; it sends every change to its watchers.
struct ConfigMapApi {
    api: Server,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    object: Option<Value>,
    version: u64,
    watchers: Vec<mpsc::Sender<Value>>,
}

impl ConfigMapApi {
    fn start(data: Option<&Data>) -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        state.lock().unwrap().set(data);
        let shared = Arc::clone(&state);
        let api = Server::start(move |request| shared.lock().unwrap().answer(request));
        Self { api, state }
    }

    fn set(&self, data: Option<&Data>) {
        self.state.lock().unwrap().set(data);
    }
}

impl Drop for ConfigMapApi {
    fn drop(&mut self) {
        self.state.lock().unwrap().watchers.clear();
    }
}

impl State {
    fn set(&mut self, data: Option<&Data>) {
        self.version += 1;
        let before = self.object.take();
        self.object = data.map(|data| {
            json!({"apiVersion": "v1", "kind": "ConfigMap", "data": data, "metadata": {
                "namespace": "kube-system", "name": "extension-apiserver-authentication",
                "resourceVersion": self.version.to_string()}})
        });
        let event = match (&self.object, before) {
            (Some(object), _) => json!({"type": "MODIFIED", "object": object}),
            (None, Some(before)) => json!({"type": "DELETED", "object": before}),
            (None, None) => return,
        };
        self.watchers.retain(|watcher| watcher.send(event.clone()).is_ok());
    }

    fn answer(&mut self, request: &Request) -> Play {
        let list = request.line.contains("fieldSelector=metadata.name%3Dextension-apiserver-authentication");
        match (&self.object, request.line.contains("watch=true")) {
            (object, true) => {
                let (sender, events) = mpsc::channel();
                // A change between list and watch is sent at once.
                if let Some(object) = object {
                    let event = json!({"type": "MODIFIED", "object": object});
                    sender.send(event).unwrap();
                }
                self.watchers.push(sender);
                Play::events(events)
            }
            (object, false) if list => {
                let items: Vec<_> = object.iter().collect();
                Play::json(
                    200,
                    json!({"apiVersion": "v1", "kind": "ConfigMapList", "items": items,
                    "metadata": {"resourceVersion": self.version.to_string()}}),
                )
            }
            (Some(object), false) => Play::json(200, object),
            (None, false) => failure(404, "NotFound"),
        }
    }
}

/// As kube-apiserver writes it.
fn data(client_ca: &Ca, proxy_ca: &Ca) -> Data {
    [
        ("client-ca-file", client_ca.pem()),
        ("requestheader-client-ca-file", proxy_ca.pem()),
        ("requestheader-username-headers", r#"["X-Remote-User"]"#.to_owned()),
        ("requestheader-group-headers", r#"["X-Remote-Group"]"#.to_owned()),
        ("requestheader-extra-headers-prefix", r#"["X-Remote-Extra-"]"#.to_owned()),
        ("requestheader-allowed-names", r#"["aggregator"]"#.to_owned()),
    ]
    .into()
}

fn store() -> Arc<TrustStore> {
    Arc::new(TrustStore::new(Options::default()).unwrap())
}

/// A store that has read one version after the other.
async fn store_after(versions: &[&Data]) -> Arc<TrustStore> {
    let store = store();
    for version in versions {
        let api = ConfigMapApi::start(Some(version));
        store.look_up(&api.api.client()).await.unwrap();
    }
    store
}

async fn until_asked<F: Future<Output = bool>>(condition: impl Fn() -> F) {
    let deadline = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < deadline, "the condition was not met in time");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn both_ca_sets_and_the_header_names_are_taken_from_it() {
    let (client_ca, proxy_ca) = (Ca::new("cluster"), Ca::new("proxy"));
    let store = store();
    let api = ConfigMapApi::start(Some(&data(&client_ca, &proxy_ca)));
    store.look_up(&api.api.client()).await.unwrap();
    let authenticator = authenticator(&store);
    let proxy = proxy_ca.client("aggregator");
    assert_eq!(ask(&authenticator, &proxy, &ADMIN).await.unwrap().name, "admin");
    let jane = client_ca.client("jane");
    assert_eq!(ask(&authenticator, &jane, &ADMIN).await.unwrap().name, "jane");
    // Without a key for uid headers, none is read.
    let headers: &[Header<'_>] = &[("x-remote-user", b"admin"), ("x-remote-uid", b"u")];
    assert_eq!(ask(&authenticator, &proxy, headers).await.unwrap().uid, "");
}

#[tokio::test]
async fn a_change_counts_for_the_next_request_and_a_deletion_changes_nothing() {
    let (client_ca, proxy_ca) = (Ca::new("cluster"), Ca::new("proxy"));
    let new_ca = Ca::new("new cluster");
    let (jane, john) = (client_ca.client("jane"), new_ca.client("john"));
    let api = ConfigMapApi::start(None);
    let store = store();
    let watching = tokio::spawn(Arc::clone(&store).watch(api.api.client()));
    let authenticator = authenticator(&store);
    let known = async |peer: &[CertificateDer<'static>]| {
        ask(&authenticator, peer, &[]).await.is_ok_and(|user| user.name != "system:anonymous")
    };
    until_asked(|| async { !api.api.requests().is_empty() }).await;
    assert!(!known(&jane).await);

    api.set(Some(&data(&client_ca, &proxy_ca)));
    until_asked(|| known(&jane)).await;
    assert!(!known(&john).await);

    api.set(Some(&data(&new_ca, &proxy_ca)));
    until_asked(|| known(&john)).await;
    assert!(!known(&jane).await);

    api.set(None);
    let seen = api.api.requests().len();
    // The watch ends and is restarted; by then the deletion was sent.
    api.state.lock().unwrap().watchers.clear();
    until_asked(|| async { api.api.requests().len() > seen }).await;
    assert!(known(&john).await);
    watching.abort();
}

#[tokio::test]
async fn an_api_that_fails_is_watched_until_it_works() {
    let (client_ca, proxy_ca) = (Ca::new("cluster"), Ca::new("proxy"));
    let jane = client_ca.client("jane");
    let mut state = State::default();
    state.set(Some(&data(&client_ca, &proxy_ca)));
    let (state, tries) = (Mutex::new(state), std::sync::atomic::AtomicU32::new(0));
    let api = Server::start(move |request| match tries.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
        0 => failure(403, "Forbidden"),
        1 => Play::json(200, json!("nonsense")),
        _ => state.lock().unwrap().answer(request),
    });
    let store = store();
    let watching = tokio::spawn(Arc::clone(&store).watch(api.client()));
    let authenticator = authenticator(&store);
    until_asked(|| async { ask(&authenticator, &jane, &[]).await.is_ok_and(|user| user.name == "jane") })
        .await;
    watching.abort();
}

#[tokio::test]
async fn an_empty_or_broken_ca_keeps_the_last_good_one() {
    let (client_ca, proxy_ca) = (Ca::new("cluster"), Ca::new("proxy"));
    let good = data(&client_ca, &proxy_ca);
    for broken in ["", "nonsense", "-----BEGIN CERTIFICATE-----\nx"] {
        let mut bad = good.clone();
        bad.insert("client-ca-file", broken.to_owned());
        bad.insert("requestheader-client-ca-file", broken.to_owned());
        // Without its CA this list must not open the last good one to any name.
        bad.remove("requestheader-allowed-names");
        let authenticator = authenticator(&store_after(&[&good, &bad]).await);
        assert!(ask(&authenticator, &client_ca.client("jane"), &[]).await.is_ok());
        let proxy = proxy_ca.client("aggregator");
        assert_eq!(ask(&authenticator, &proxy, &ADMIN).await.unwrap().name, "admin");
        assert_untrusted(ask(&authenticator, &proxy_ca.client("other"), &ADMIN).await);
    }
}

#[tokio::test]
async fn an_invalid_list_stays_as_it_was_and_a_missing_one_is_empty() {
    let (client_ca, proxy_ca) = (Ca::new("cluster"), Ca::new("proxy"));
    let good = data(&client_ca, &proxy_ca);
    let (proxy, other) = (proxy_ca.client("aggregator"), proxy_ca.client("other"));
    let mut bad = good.clone();
    bad.insert("requestheader-allowed-names", "[".to_owned());

    let known = authenticator(&store_after(&[&good, &bad]).await);
    assert_eq!(ask(&known, &proxy, &ADMIN).await.unwrap().name, "admin");
    assert_untrusted(ask(&known, &other, &ADMIN).await);

    // Never known: no client is the front proxy.
    let unknown = authenticator(&store_after(&[&bad]).await);
    assert_untrusted(ask(&unknown, &proxy, &ADMIN).await);

    let mut open = good.clone();
    open.remove("requestheader-allowed-names");
    let any = authenticator(&store_after(&[&good, &open]).await);
    assert_eq!(ask(&any, &other, &ADMIN).await.unwrap().name, "admin");
}

#[tokio::test]
async fn flags_override_the_config_map() {
    let rig = Rig::new();
    let (client_ca, proxy_ca) = (Ca::new("cluster"), Ca::new("proxy"));
    let options = Options { client_ca_file: Some(rig.files.path().join("client.pem")), ..Options::default() };
    let store = Arc::new(TrustStore::new(options).unwrap());
    let api = ConfigMapApi::start(Some(&data(&client_ca, &proxy_ca)));
    store.look_up(&api.api.client()).await.unwrap();
    let authenticator = authenticator(&store);
    assert!(ask(&authenticator, &rig.client_ca.client("jane"), &[]).await.is_ok());
    assert_untrusted(ask(&authenticator, &client_ca.client("jane"), &[]).await);
    let proxy = proxy_ca.client("aggregator");
    assert_eq!(ask(&authenticator, &proxy, &ADMIN).await.unwrap().name, "admin");
}

#[tokio::test]
async fn a_failed_lookup_stops_the_start_unless_it_is_tolerated_or_skipped() {
    let api = Server::plain(failure(403, "Forbidden"));
    let error = store().look_up(&api.client()).await.unwrap_err();
    assert!(matches!(error, TrustError::Lookup { .. }));
    assert!(!causes(&error).to_string().contains("NetworkPolicy"), "{error}");

    let tolerant = TrustStore::new(Options { tolerate_lookup_failure: true, ..Options::default() });
    let tolerant = tolerant.unwrap();
    tolerant.look_up(&api.client()).await.unwrap();

    let asked = api.requests().len();
    let skipping = TrustStore::new(Options { skip_lookup: true, ..Options::default() });
    let skipping = Arc::new(skipping.unwrap());
    skipping.look_up(&api.client()).await.unwrap();
    // Returns at once, because there is nothing to follow.
    skipping.watch(api.client()).await;
    assert_eq!(api.requests().len(), asked);

    let absent = ConfigMapApi::start(None);
    let store = store();
    store.look_up(&absent.api.client()).await.unwrap();
}

#[tokio::test]
async fn a_start_that_cannot_reach_kube_apiserver_names_network_policies() {
    let error = store().look_up(&client_of_nobody()).await.unwrap_err();
    assert!(matches!(error, TrustError::Unreachable { source: Some(_) }), "{error:?}");
    let text = causes(&error).to_string();
    assert!(text.contains("NetworkPolicy may forbid egress"), "{text}");
    assert!(text.contains("refused"), "and the error of the connection: {text}");
}

/// Packets that a NetworkPolicy drops are answered by nobody.
#[tokio::test(start_paused = true)]
async fn a_start_that_kube_apiserver_does_not_answer_names_network_policies() {
    let api = Server::plain(Play::Hang);
    let error = store().look_up(&api.client()).await.unwrap_err();
    assert!(matches!(error, TrustError::Unreachable { source: None }), "{error:?}");
    assert!(error.to_string().contains("NetworkPolicy"), "{error}");
}
