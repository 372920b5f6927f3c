//! Reads of objects that are not watched: their watch is refused, so each read lists.

use super::*;
use crate::testkit::{metadata, metadata_list, scrape};

const WATCHED: &str = "/api/v1/pods?";

/// Watching is forbidden; lists in a namespace are answered like this.
fn unwatched(list: impl Fn(&str) -> Play + Send + Sync + 'static) -> Fixture {
    Fixture::new(move |target| match target {
        target if target.starts_with(WATCHED) => Some(failure(403, "Forbidden")),
        target if target.starts_with("/api/v1/namespaces/shop/pods?") => Some(list(target)),
        _ => None,
    })
}

#[tokio::test]
async fn what_may_not_be_watched_is_listed_in_the_namespace_and_with_the_selector() {
    let two = [metadata("shop", "b", "web", 1), metadata("shop", "a", "web", 2)];
    let fixture = unwatched(move |_| metadata_list(&two, ""));
    assert_eq!(fixture.pods("shop", "app=web,tier in (x,y)").await.unwrap(), ["a", "b"]);
    let lists = fixture.requests("/api/v1/namespaces/shop/pods");
    let query = "limit=500&labelSelector=app%3Dweb%2Ctier+in+%28x%2Cy%29&resourceVersion=0";
    assert_eq!(lists, [format!("/api/v1/namespaces/shop/pods?{query}")]);
    let list = fixture.server.requests().into_iter().find(|request| target(request) == lists[0]).unwrap();
    assert!(list.header("accept").unwrap().starts_with("application/json;as=PartialObjectMetadataList;"));
    assert!(scrape(&fixture.registry).contains(r#"live_lists_total{outcome="success"} 1"#));
}

#[tokio::test]
async fn all_pages_of_a_list_are_read() {
    let fixture = unwatched(|target| match target.split_once("continue=") {
        None => metadata_list(&[metadata("shop", "a", "web", 1)], "to/ken="),
        Some((_, "to%2Fken%3D")) => metadata_list(&[metadata("shop", "b", "web", 1)], ""),
        Some(_) => failure(400, "BadRequest"),
    });
    assert_eq!(fixture.pods("shop", "").await.unwrap(), ["a", "b"]);
    assert!(!fixture.requests("/api/v1/namespaces/shop/pods")[1].contains("resourceVersion"));
}

#[tokio::test]
async fn a_forbidden_list_names_the_verb_and_the_resource() {
    let fixture = unwatched(|_| failure(403, "Forbidden"));
    let error = fixture.pods("shop", "").await.unwrap_err();
    let resource = pods("shop", "").resource.resource.clone();
    assert_eq!(error, ObjectsError::Forbidden { verb: "list", resource });
    assert!(error.to_string().contains("not allowed to list pods"), "{error}");
}

#[tokio::test]
async fn an_api_server_that_fails_is_unavailable_and_one_that_hangs_keeps_no_read_beyond_its_deadline() {
    let fixture = unwatched(|_| failure(500, "InternalError"));
    assert!(matches!(fixture.pods("shop", "").await, Err(ObjectsError::Unavailable { .. })));
    fixture.server.play(Play::Hang);
    let began = Instant::now();
    let read = fixture.pods_within("shop", "", Duration::from_millis(300)).await;
    assert!(matches!(read, Err(ObjectsError::Deadline { .. })), "{read:?}");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn reads_of_the_same_objects_share_a_list() {
    let fixture = unwatched(|_| {
        metadata_list(&[metadata("shop", "a", "web", 1)], "").after(Duration::from_millis(300))
    });
    // Until the watch is refused, reads wait for it.
    fixture.pods("shop", "first=read").await.unwrap();
    let reads = ["", "", "", "app=web", ""].map(|selector| fixture.pods("shop", selector));
    for read in futures_util::future::join_all(reads).await {
        assert_eq!(read.unwrap(), ["a"]);
    }
    assert_eq!(fixture.requests("/api/v1/namespaces/shop/pods").len(), 3);
}

#[tokio::test]
async fn a_list_of_too_many_objects_is_refused() {
    let many: Vec<_> = (0..101).map(|n| metadata("shop", &format!("pod-{n}"), "web", 1)).collect();
    let fixture = unwatched(move |_| metadata_list(&many, ""));
    let error = fixture.pods("shop", "").await.unwrap_err();
    assert!(matches!(error, ObjectsError::TooMany { limit: 100, .. }), "{error}");
}

#[tokio::test]
async fn lists_beyond_the_rate_fail_at_their_deadline_or_earlier() {
    let script = |target: &str| {
        let is_watched = target.starts_with(WATCHED);
        Some(if is_watched { failure(403, "Forbidden") } else { metadata_list(&[], "") })
    };
    let options = Options::new(0.1, 1, Duration::from_secs(3_600));
    let fixture = Fixture::with(script, options, Budget::default(), 100);
    fixture.pods("shop", "").await.unwrap();
    let second = fixture.pods_within("shop", "", Duration::from_secs(2)).await;
    assert!(matches!(second, Err(ObjectsError::Deadline { .. })), "{second:?}");
    assert_eq!(fixture.requests("/api/v1/namespaces/shop/pods").len(), 1);
}
