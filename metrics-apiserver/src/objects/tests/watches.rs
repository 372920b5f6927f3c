//! Objects that are watched.

use std::sync::Mutex;
use std::sync::mpsc::{self, Sender};

use serde_json::{Value, json};

use super::super::key::Key;
use super::super::watched::Watched;
use super::super::wire::WatchEvent;
use super::*;
use crate::testkit::{metadata, metadata_list, scrape};

fn event(kind: &str, object: &Value) -> Value {
    json!({"type": kind, "object": object})
}

/// A cluster with these pods, whose first watches get the events that the senders send. Further ones are silent, and
/// lists in a namespace fail, so what is read comes from a watch.
fn watching(listed: &'static [(&str, &str)], watches: usize) -> (Fixture, Vec<Sender<Value>>) {
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..watches).map(|_| mpsc::channel()).unzip();
    let plays: Vec<Play> = receivers.into_iter().map(Play::events).rev().collect();
    let plays = Mutex::new(plays);
    let fixture = Fixture::new(move |target| {
        let objects = || -> Vec<Value> {
            listed.iter().map(|(namespace, name)| metadata(namespace, name, "web", 1)).collect()
        };
        match target.split_once('?')? {
            ("/api/v1/pods", query) if query.contains("watch=true") => {
                Some(plays.lock().unwrap().pop().unwrap_or(Play::Hang))
            }
            ("/api/v1/pods", _) => Some(metadata_list(&objects(), "")),
            _ => Some(failure(500, "InternalError")),
        }
    });
    (fixture, senders)
}

#[tokio::test]
async fn events_of_the_watch_are_seen_without_another_list() {
    let (fixture, senders) = watching(&[("shop", "b"), ("shop", "a"), ("other", "z")], 1);
    fixture.until_pods("shop", "", &["a", "b"]).await;
    fixture.until_pods("", "", &["z", "a", "b"]).await;
    let send = |kind, object: &Value| senders[0].send(event(kind, object)).unwrap();
    send("ADDED", &metadata("shop", "c", "db", 11));
    fixture.until_pods("shop", "", &["a", "b", "c"]).await;
    send("MODIFIED", &metadata("shop", "a", "db", 12));
    fixture.until_pods("shop", "app=db", &["a", "c"]).await;
    send("BOOKMARK", &json!({"metadata": {"resourceVersion": "13"}}));
    send("DELETED", &metadata("shop", "b", "web", 14));
    fixture.until_pods("shop", "", &["a", "c"]).await;
    let lists = fixture.requests("/api/v1/pods?limit=500");
    assert_eq!(lists, ["/api/v1/pods?limit=500&resourceVersion=0"]);
    let stored = r#"objects_stored{resource="pods",field_selector=""} 3"#;
    assert!(scrape(&fixture.registry).contains(stored), "{}", scrape(&fixture.registry));
}

#[tokio::test]
async fn a_watch_that_breaks_goes_on_from_the_last_version() {
    let (fixture, mut senders) = watching(&[("shop", "a")], 2);
    fixture.until_pods("shop", "", &["a"]).await;
    senders[0].send(event("ADDED", &metadata("shop", "b", "web", 21))).unwrap();
    fixture.until_pods("shop", "", &["a", "b"]).await;
    drop(senders.remove(0));
    senders[0].send(event("DELETED", &metadata("shop", "a", "web", 22))).unwrap();
    fixture.until_pods("shop", "", &["b"]).await;
    let watches = fixture.requests("/api/v1/pods?watch=true");
    assert!(watches[0].contains("resourceVersion=10") && watches[1].contains("resourceVersion=21"));
    assert_eq!(fixture.requests("/api/v1/pods?limit").len(), 1);
}

#[tokio::test]
async fn a_version_that_is_too_old_has_all_objects_listed_again() {
    let (fixture, senders) = watching(&[("shop", "a")], 2);
    fixture.until_pods("shop", "", &["a"]).await;
    senders[0].send(event("ADDED", &metadata("shop", "b", "web", 21))).unwrap();
    fixture.until_pods("shop", "", &["a", "b"]).await;
    senders[0].send(event("ERROR", &json!({"kind": "Status", "code": 410}))).unwrap();
    fixture.until_pods("shop", "", &["a"]).await;
    let lists = fixture.requests("/api/v1/pods?limit");
    assert_eq!(lists, ["/api/v1/pods?limit=500&resourceVersion=0", "/api/v1/pods?limit=500"]);
    assert!(scrape(&fixture.registry).contains(r#"watch_restarts_total{reason="expired"} 1"#));
}

#[tokio::test]
async fn objects_that_do_not_fit_into_memory_are_listed_by_each_read() {
    let listed: Vec<Value> = ["a", "b", "c"].iter().map(|name| metadata("shop", name, "web", 1)).collect();
    let script = move |target: &str| match target.split_once('?')? {
        (_, query) if query.contains("watch=true") => Some(Play::Hang),
        ("/api/v1/pods", _) => Some(metadata_list(&listed, "")),
        _ => Some(metadata_list(&listed[..1], "")),
    };
    for budget in [Budget::new(2, usize::MAX), Budget::new(100, 300)] {
        let fixture = Fixture::with(script.clone(), Options::default(), budget, 100);
        assert_eq!(fixture.pods("shop", "app=web").await.unwrap(), ["a"]);
        assert_eq!(fixture.requests("/api/v1/namespaces/shop/pods").len(), 1);
        let metrics = scrape(&fixture.registry);
        assert!(metrics.contains(r#"watch_restarts_total{reason="memory"} 1"#), "{metrics}");
        assert!(metrics.contains("objects_stored_bytes 0"), "{metrics}");
    }
}

#[tokio::test]
async fn running_pods_have_a_watch_of_their_own() {
    let (fixture, _senders) = watching(&[("shop", "a")], 2);
    fixture.until_pods("shop", "", &["a"]).await;
    let selection = Selection::running_pods(Namespace::parse("shop").ok(), "".parse().unwrap());
    let selected = async || fixture.objects.select(&selection, Instant::now() + LONG).await;
    eventually(async || selected().await.is_ok_and(|objects| objects.len() == 1)).await;
    let targets = fixture.requests("/api/v1/pods?");
    let filtered = targets.iter().filter(|target| target.ends_with("&fieldSelector=status.phase%3DRunning"));
    assert_eq!((targets.len(), filtered.count()), (4, 2), "{targets:?}");
}

fn watched() -> Watched {
    let watched = Watched::new(Key::of(&pods("shop", "")), Arc::default());
    let added = event("ADDED", &metadata("shop", "a", "web", 1));
    watched.apply(serde_json::from_value::<WatchEvent>(added).unwrap()).unwrap();
    watched
}

#[tokio::test(start_paused = true)]
async fn objects_are_served_for_a_minute_without_contact() {
    let watched = watched();
    watched.lose(true);
    tokio::time::advance(Duration::from_secs(60)).await;
    let served = || watched.select(&pods("shop", ""), 9).map(|selected| selected.unwrap().len());
    assert_eq!(served(), Some(1));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(served(), None);
    watched.contact();
    assert_eq!(served(), Some(1));
    watched.lose(false);
    assert_eq!(served(), None);
}

#[tokio::test(start_paused = true)]
async fn a_watch_ends_a_quarter_of_an_hour_after_its_last_read() {
    let watched = watched();
    let began = Instant::now();
    let reading = async {
        tokio::time::sleep(Duration::from_secs(600)).await;
        watched.touch();
    };
    tokio::join!(watched.unused(), reading);
    assert_eq!(began.elapsed(), Duration::from_secs(600 + 900));
}
