//! Authorization with a fake Kubernetes API.

use serde_json::{Value, json};

use super::*;
use crate::testkit::{Play, Request, Server, client_of_nobody, failure};

fn jane() -> UserInfo {
    UserInfo {
        name: "jane".to_owned(),
        uid: "u-1".to_owned(),
        groups: vec!["dev".to_owned()],
        extra: [("scopes".to_owned(), vec!["a".to_owned()])].into(),
    }
}

fn metric(name: &str) -> Attributes {
    let path = format!("/apis/external.metrics.k8s.io/v1beta1/namespaces/default/{name}");
    attributes_of("GET", &path, "")
}

fn page(path: &str) -> Attributes {
    attributes_of("GET", path, "")
}

fn decision(status: &Value) -> Play {
    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
        "metadata": {}, "spec": {}, "status": status});
    Play::json(201, review).after(Duration::from_millis(20))
}

/// Allows the metric `open`, and the page `/metrics`.
fn answer(request: &Request) -> Play {
    let spec = &request.json()["spec"];
    if spec["resourceAttributes"]["resource"] == "open" || spec["nonResourceAttributes"]["path"] == "/metrics"
    {
        decision(&json!({"allowed": true}))
    } else {
        decision(&json!({"allowed": false, "reason": "no RBAC policy matched"}))
    }
}

fn failing(code: u16) -> Server {
    Server::plain(failure(code, "None"))
}

fn authorizer(api: &Server) -> Authorizer {
    Authorizer::new(api.client(), &Options::default(), &Reviews::default()).unwrap()
}

fn assert_denied(outcome: &Result<(), AuthzError>) {
    assert!(matches!(outcome, Err(AuthzError::Denied { .. })), "{outcome:?}");
}

#[tokio::test]
async fn the_review_carries_the_whole_user_and_all_attributes() {
    let api = Server::start(answer);
    authorizer(&api).authorize(&jane(), &metric("open")).await.unwrap();
    let request = &api.requests()[0];
    assert!(request.line.starts_with("POST /apis/authorization.k8s.io/v1/subjectaccessreviews"));
    assert_eq!(
        request.json()["spec"],
        json!({"user": "jane", "uid": "u-1", "groups": ["dev"], "extra": {"scopes": ["a"]},
            "resourceAttributes": {"verb": "list", "group": "external.metrics.k8s.io",
                "version": "v1beta1", "namespace": "default", "resource": "open"}})
    );
}

#[tokio::test]
async fn a_non_resource_path_is_reviewed_by_its_path() {
    let api = Server::start(answer);
    authorizer(&api).authorize(&jane(), &page("/metrics")).await.unwrap();
    let wanted = json!({"verb": "get", "path": "/metrics"});
    assert_eq!(api.requests()[0].json()["spec"]["nonResourceAttributes"], wanted);
}

#[tokio::test]
async fn a_denial_has_its_reason_and_is_cached() {
    let api = Server::start(answer);
    let authorizer = authorizer(&api);
    for _ in 0..3 {
        match authorizer.authorize(&jane(), &metric("secret")).await {
            Err(AuthzError::Denied { reason }) => assert_eq!(reason, "no RBAC policy matched"),
            other => panic!("not denied: {other:?}"),
        }
    }
    assert_eq!(api.requests().len(), 1);
}

#[tokio::test]
async fn fifty_equal_requests_cause_one_review_and_different_ones_their_own() {
    let api = Server::start(answer);
    let authorizer = authorizer(&api);
    let (user, wanted) = (jane(), metric("open"));
    let asked = (0..50).map(|_| authorizer.authorize(&user, &wanted));
    for outcome in futures_util::future::join_all(asked).await {
        outcome.unwrap();
    }
    assert_eq!(api.requests().len(), 1);
    assert_denied(&authorizer.authorize(&user, &metric("other")).await);
    let mut other = user.clone();
    other.groups.push("ops".to_owned());
    authorizer.authorize(&other, &wanted).await.unwrap();
    assert_eq!(api.requests().len(), 3);
}

#[tokio::test]
async fn an_allowed_decision_expires_after_its_own_ttl() {
    let api = Server::start(answer);
    let options = Options { allowed_ttl: Duration::from_millis(1), ..Options::default() };
    let authorizer = Authorizer::new(api.client(), &options, &Reviews::default()).unwrap();
    assert_denied(&authorizer.authorize(&jane(), &metric("secret")).await);
    let deadline = Instant::now() + Duration::from_secs(10);
    while api.requests().len() < 3 {
        assert!(Instant::now() < deadline, "not reviewed again");
        authorizer.authorize(&jane(), &metric("open")).await.unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_denied(&authorizer.authorize(&jane(), &metric("secret")).await);
    let denials = api
        .requests()
        .iter()
        .filter(|request| request.json()["spec"]["resourceAttributes"]["resource"] == "secret")
        .count();
    assert_eq!(denials, 1);
}

#[tokio::test]
async fn a_failed_review_denies_access_and_is_not_cached() {
    let api = failing(403);
    let authorizer = authorizer(&api);
    for _ in 0..2 {
        let outcome = authorizer.authorize(&jane(), &metric("open")).await;
        assert!(matches!(outcome, Err(AuthzError::ReviewFailed { .. })));
    }
    assert_eq!(api.requests().len(), 2);

    let nobody = Authorizer::new(client_of_nobody(), &Options::default(), &Reviews::default()).unwrap();
    let outcome = nobody.authorize(&jane(), &metric("open")).await;
    assert!(matches!(outcome, Err(AuthzError::ReviewFailed { .. })));
}

#[tokio::test]
async fn a_temporary_failure_is_tried_five_times() {
    let api = failing(429);
    let outcome = authorizer(&api).authorize(&jane(), &metric("open")).await;
    assert!(matches!(outcome, Err(AuthzError::ReviewFailed { .. })));
    assert_eq!(api.requests().len(), 5);
}

#[tokio::test]
async fn an_answer_that_allows_and_denies_is_a_denial() {
    let api = Server::start(|_| decision(&json!({"allowed": true, "denied": true})));
    assert_denied(&authorizer(&api).authorize(&jane(), &metric("open")).await);
}

#[tokio::test]
async fn system_masters_and_open_paths_need_no_review() {
    let api = failing(500);
    let authorizer = authorizer(&api);
    authorizer.authorize(&jane(), &page("/readyz")).await.unwrap();
    let mut admin = jane();
    admin.groups.push("system:masters".to_owned());
    authorizer.authorize(&admin, &metric("secret")).await.unwrap();
    assert!(api.requests().is_empty());
}

#[tokio::test]
async fn an_open_path_opens_no_resource() {
    let api = Server::start(answer);
    let options = Options { always_allow_paths: vec!["/*".to_owned()], ..Options::default() };
    let authorizer = Authorizer::new(api.client(), &options, &Reviews::default()).unwrap();
    authorizer.authorize(&jane(), &page("/anything")).await.unwrap();
    assert_denied(&authorizer.authorize(&jane(), &metric("secret")).await);
}

#[tokio::test]
async fn a_request_too_long_to_cache_is_reviewed_each_time() {
    let api = Server::start(answer);
    let authorizer = authorizer(&api);
    for length in [MAX_CACHED_LEN, 9_000] {
        let wanted = metric(&"m".repeat(length));
        for _ in 0..2 {
            assert_denied(&authorizer.authorize(&jane(), &wanted).await);
        }
    }
    assert_eq!(api.requests().len(), 3);
}

fn anonymous() -> UserInfo {
    UserInfo {
        name: "system:anonymous".to_owned(),
        groups: vec!["system:unauthenticated".to_owned()],
        ..UserInfo::default()
    }
}

#[tokio::test]
async fn reviews_of_anonymous_users_are_limited_and_do_not_delay_others() {
    let api = Server::start(answer);
    let (authorizer, user) = (authorizer(&api), anonymous());
    let long = "m".repeat(MAX_CACHED_LEN);
    let pages: Vec<Attributes> =
        (0..150)
            .map(|number| {
                if number % 2 == 0 { page(&format!("/{number}")) } else { metric(&format!("{long}{number}")) }
            })
            .collect();
    let asked = pages.iter().map(|page| authorizer.authorize(&user, page));
    let (somebody, somewhere) = (jane(), metric("open"));
    let (outcomes, known) =
        tokio::join!(futures_util::future::join_all(asked), authorizer.authorize(&somebody, &somewhere));
    assert!(known.is_ok(), "{known:?}");
    let denied = outcomes.iter().filter(|one| matches!(one, Err(AuthzError::Denied { .. }))).count();
    assert_eq!((denied, api.requests().len()), (128, 128 + 1));
    let limited = outcomes.iter().filter(|one| matches!(one, Err(AuthzError::TooManyReviews))).count();
    assert_eq!(limited, 150 - 128);
    // The limit applies no longer, and the refusal is not cached.
    assert_denied(&authorizer.authorize(&user, &page("/148")).await);
}
