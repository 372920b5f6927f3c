//! Authorization with a fake Kubernetes API.

use serde_json::{Value, json};

use super::*;
use crate::testkit::http::reply;
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
    attributes_of("GET", &path, false, "")
}

fn page(path: &str) -> Attributes {
    attributes_of("GET", path, false, "")
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

/// A deadline that is not what the test is about.
fn soon() -> time::Instant {
    time::Instant::now() + Duration::from_secs(10)
}

/// The deadline of a read.
fn in_a_second() -> time::Instant {
    time::Instant::now() + Duration::from_secs(1)
}

fn assert_denied(outcome: &Result<(), AuthzError>) {
    assert!(matches!(outcome, Err(AuthzError::Denied { .. })), "{outcome:?}");
}

#[tokio::test]
async fn the_review_carries_the_whole_user_and_all_attributes() {
    let api = Server::start(answer);
    authorizer(&api).authorize(&jane(), &metric("open"), soon()).await.unwrap();
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
    authorizer(&api).authorize(&jane(), &page("/metrics"), soon()).await.unwrap();
    let wanted = json!({"verb": "get", "path": "/metrics"});
    assert_eq!(api.requests()[0].json()["spec"]["nonResourceAttributes"], wanted);
}

#[tokio::test]
async fn a_denial_has_its_reason_and_is_cached() {
    let api = Server::start(answer);
    let authorizer = authorizer(&api);
    for _ in 0..3 {
        match authorizer.authorize(&jane(), &metric("secret"), soon()).await {
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
    let asked = (0..50).map(|_| authorizer.authorize(&user, &wanted, soon()));
    for outcome in futures_util::future::join_all(asked).await {
        outcome.unwrap();
    }
    assert_eq!(api.requests().len(), 1);
    assert_denied(&authorizer.authorize(&user, &metric("other"), soon()).await);
    let mut other = user.clone();
    other.groups.push("ops".to_owned());
    authorizer.authorize(&other, &wanted, soon()).await.unwrap();
    assert_eq!(api.requests().len(), 3);
}

#[tokio::test]
async fn an_allowed_decision_expires_after_its_own_ttl() {
    let api = Server::start(answer);
    let options = Options { allowed_ttl: Duration::from_millis(1), ..Options::default() };
    let authorizer = Authorizer::new(api.client(), &options, &Reviews::default()).unwrap();
    assert_denied(&authorizer.authorize(&jane(), &metric("secret"), soon()).await);
    let deadline = Instant::now() + Duration::from_secs(10);
    while api.requests().len() < 3 {
        assert!(Instant::now() < deadline, "not reviewed again");
        authorizer.authorize(&jane(), &metric("open"), soon()).await.unwrap();
        time::sleep(Duration::from_millis(5)).await;
    }
    assert_denied(&authorizer.authorize(&jane(), &metric("secret"), soon()).await);
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
        let outcome = authorizer.authorize(&jane(), &metric("open"), soon()).await;
        assert!(matches!(outcome, Err(AuthzError::ReviewFailed { .. })));
    }
    assert_eq!(api.requests().len(), 2);

    let nobody = Authorizer::new(client_of_nobody(), &Options::default(), &Reviews::default()).unwrap();
    let outcome = nobody.authorize(&jane(), &metric("open"), soon()).await;
    assert!(matches!(outcome, Err(AuthzError::ReviewFailed { .. })));
}

#[tokio::test]
async fn a_temporary_failure_is_tried_four_times() {
    let api = failing(503);
    let outcome = authorizer(&api).authorize(&jane(), &metric("open"), soon()).await;
    let Err(AuthzError::ReviewFailed { source }) = outcome else { panic!("{outcome:?}") };
    assert!(matches!(*source, ReviewError::Failed(_)), "not the deadline, but what failed: {source:?}");
    assert_eq!(api.requests().len(), 4);
}

/// What kube-apiserver's API Priority and Fairness answers: no `Status`.
fn throttling() -> Play {
    let head = "Content-Type: text/plain\r\nRetry-After: 1\r\n";
    Play::Raw(reply("429 Too Many Requests", b"Too many requests, please try again later.\n", head))
}

/// An authorizer whose decisions expire at once, and its metrics.
fn forgetful(api: &Server, stale_ttl: Duration) -> (Authorizer, Reviews) {
    let (reviews, short) = (Reviews::default(), Duration::from_millis(1));
    let options = Options { allowed_ttl: short, denied_ttl: short, stale_ttl, ..Options::default() };
    (Authorizer::new(api.client(), &options, &reviews).unwrap(), reviews)
}

async fn expired() {
    time::sleep(Duration::from_millis(5)).await;
}

const MINUTES: Duration = Duration::from_secs(300);

#[tokio::test]
async fn a_throttled_review_ends_at_once_says_so_and_is_not_repeated_before_its_time() {
    let api = Server::plain(throttling());
    let (authorizer, began) = (authorizer(&api), Instant::now());
    let (user, wanted) = (jane(), metric("open"));
    for _ in 0..5 {
        let outcome =
            authorizer.authorize(&user, &wanted, time::Instant::now() + Duration::from_millis(100)).await;
        let Err(error @ AuthzError::Throttled { .. }) = outcome else { panic!("{outcome:?}") };
        assert!(causes(&error).to_string().contains("429"), "{error:?}");
    }
    assert_eq!(api.requests().len(), 1);
    // Who has the time waits as told, and is answered.
    api.script(answer);
    authorizer.authorize(&user, &wanted, time::Instant::now() + Duration::from_secs(5)).await.unwrap();
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(api.requests().len(), 2);
}

#[tokio::test]
async fn a_429_that_names_no_time_is_tried_again_with_pauses() {
    for headers in ["", "Retry-After: 0\r\n", "Retry-After: soon\r\n"] {
        let api = Server::plain(Play::Raw(reply("429 Too Many Requests", b"", headers)));
        let outcome = authorizer(&api).authorize(&jane(), &metric("open"), in_a_second()).await;
        assert!(outcome.is_err());
        assert!((1..=4).contains(&api.requests().len()), "{headers:?}: {}", api.requests().len());
    }
}

#[tokio::test]
async fn what_was_allowed_stands_in_while_the_api_cannot_answer_and_what_was_denied_does_not() {
    let api = Server::start(answer);
    let (authorizer, reviews) = forgetful(&api, MINUTES);
    let user = jane();
    for outage in [throttling(), failure(500, "InternalError"), Play::Cut(Vec::new()), Play::Hang] {
        api.script(answer);
        authorizer.authorize(&user, &metric("open"), soon()).await.unwrap();
        expired().await;
        assert!(authorizer.authorize(&user, &metric("secret"), soon()).await.is_err());
        api.play(outage);
        expired().await;
        let (before, began) = (reviews.stale.get(), Instant::now());
        authorizer.authorize(&user, &metric("open"), in_a_second()).await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(1), "time for a query is left");
        assert_eq!(reviews.stale.get(), before + 1);
        let outcome = authorizer.authorize(&user, &metric("secret"), in_a_second()).await;
        assert!(!matches!(outcome, Ok(()) | Err(AuthzError::Denied { .. })), "{outcome:?}");
        assert!(
            authorizer.authorize(&user, &metric("other"), in_a_second()).await.is_err(),
            "never reviewed"
        );
        // The next outage finds the API answering again.
        time::sleep(Duration::from_millis(1_100)).await;
        authorizer.queue.shutdown().await;
    }
}

#[tokio::test]
async fn a_right_that_was_revoked_stands_in_no_more() {
    let api = Server::start(answer);
    let (authorizer, reviews) = forgetful(&api, MINUTES);
    authorizer.authorize(&jane(), &metric("open"), soon()).await.unwrap();
    expired().await;
    api.script(|_| decision(&json!({"allowed": false})));
    assert_denied(&authorizer.authorize(&jane(), &metric("open"), soon()).await);
    expired().await;
    api.play(throttling());
    let outcome = authorizer.authorize(&jane(), &metric("open"), in_a_second()).await;
    assert!(matches!(outcome, Err(AuthzError::Throttled { .. })), "{outcome:?}");
    assert_eq!(reviews.stale.get(), 0);
}

/// Whoever has lost a right must not keep it by having so much else reviewed that this review is never sent.
#[tokio::test]
async fn nothing_stands_in_for_a_review_that_is_behind_others_of_the_same_user() {
    let api = Server::start(answer);
    let (authorizer, reviews) = forgetful(&api, MINUTES);
    let (user, wanted) = (jane(), metric("open"));
    authorizer.authorize(&user, &wanted, soon()).await.unwrap();
    api.script(|_| decision(&json!({"allowed": false})));
    // More than the queue takes of one user.
    let others: Vec<_> = (0..1_000).map(|number| metric(&format!("m{number}"))).collect();
    let (authorizer, user) = (&authorizer, &user);
    let flood = async {
        for round in others.chunks(250) {
            let asked = round.iter().map(|other| authorizer.authorize(user, other, in_a_second()));
            futures_util::future::join_all(asked).await;
        }
    };
    let kept = async {
        // The flood has begun, and the API answers it.
        let begun = Instant::now() + Duration::from_secs(10);
        while api.requests().len() < 20 {
            assert!(Instant::now() < begun, "the API is not asked");
            time::sleep(Duration::from_millis(1)).await;
        }
        for timeout in [1, 10, 100, 1_000] {
            let deadline = time::Instant::now() + Duration::from_millis(timeout);
            let outcome = authorizer.authorize(user, &wanted, deadline).await;
            assert!(outcome.is_err(), "within {timeout} ms: {outcome:?}");
        }
    };
    tokio::join!(flood, kept);
    assert_eq!(reviews.stale.get(), 0);
}

#[tokio::test]
async fn nothing_stands_in_if_that_is_off_or_if_the_api_refuses_to_review() {
    for (stale_ttl, refusal) in [(Duration::ZERO, throttling()), (MINUTES, failure(403, "Forbidden"))] {
        let api = Server::start(answer);
        let (authorizer, reviews) = forgetful(&api, stale_ttl);
        authorizer.authorize(&jane(), &metric("open"), soon()).await.unwrap();
        expired().await;
        api.play(refusal);
        assert!(authorizer.authorize(&jane(), &metric("open"), in_a_second()).await.is_err());
        assert_eq!(reviews.stale.get(), 0);
    }
}

#[tokio::test]
async fn a_stale_decision_is_bounded_in_time() {
    let api = Server::start(answer);
    let (authorizer, _) = forgetful(&api, Duration::from_millis(300));
    authorizer.authorize(&jane(), &metric("open"), soon()).await.unwrap();
    api.play(throttling());
    expired().await;
    authorizer.authorize(&jane(), &metric("open"), soon()).await.unwrap();
    time::sleep(Duration::from_millis(400)).await;
    assert!(authorizer.authorize(&jane(), &metric("open"), in_a_second()).await.is_err());
}

#[tokio::test]
async fn an_api_that_hangs_costs_a_read_its_deadline_and_no_more() {
    let api = Server::plain(Play::Hang);
    let (authorizer, began) = (authorizer(&api), Instant::now());
    let outcome = authorizer.authorize(&jane(), &metric("open"), in_a_second()).await;
    let Err(AuthzError::ReviewFailed { source }) = outcome else { panic!("{outcome:?}") };
    assert!(matches!(*source, ReviewError::TimedOut(_)), "{source:?}");
    assert!((1_000..3_000).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
}

#[tokio::test]
async fn an_answer_that_allows_and_denies_is_a_denial() {
    let api = Server::start(|_| decision(&json!({"allowed": true, "denied": true})));
    assert_denied(&authorizer(&api).authorize(&jane(), &metric("open"), soon()).await);
}

#[tokio::test]
async fn system_masters_and_open_paths_need_no_review() {
    let api = failing(500);
    let authorizer = authorizer(&api);
    authorizer.authorize(&jane(), &page("/readyz"), soon()).await.unwrap();
    let mut admin = jane();
    admin.groups.push("system:masters".to_owned());
    authorizer.authorize(&admin, &metric("secret"), soon()).await.unwrap();
    assert!(api.requests().is_empty());
}

#[tokio::test]
async fn an_open_path_opens_no_resource() {
    let api = Server::start(answer);
    let options = Options { always_allow_paths: vec!["/*".to_owned()], ..Options::default() };
    let authorizer = Authorizer::new(api.client(), &options, &Reviews::default()).unwrap();
    authorizer.authorize(&jane(), &page("/anything"), soon()).await.unwrap();
    assert_denied(&authorizer.authorize(&jane(), &metric("secret"), soon()).await);
}

#[tokio::test]
async fn a_request_too_long_to_cache_is_reviewed_each_time() {
    let api = Server::start(answer);
    let authorizer = authorizer(&api);
    for length in [MAX_CACHED_LEN, 9_000] {
        let wanted = metric(&"m".repeat(length));
        for _ in 0..2 {
            assert_denied(&authorizer.authorize(&jane(), &wanted, soon()).await);
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
    let asked = pages.iter().map(|page| authorizer.authorize(&user, page, soon()));
    let (somebody, somewhere) = (jane(), metric("open"));
    let (outcomes, known) = tokio::join!(
        futures_util::future::join_all(asked),
        authorizer.authorize(&somebody, &somewhere, soon())
    );
    assert!(known.is_ok(), "{known:?}");
    let denied = outcomes.iter().filter(|one| matches!(one, Err(AuthzError::Denied { .. }))).count();
    assert_eq!((denied, api.requests().len()), (128, 128 + 1));
    let limited = outcomes.iter().filter(|one| matches!(one, Err(AuthzError::TooManyReviews))).count();
    assert_eq!(limited, 150 - 128);
    // The limit applies no longer, and the refusal is not cached.
    assert_denied(&authorizer.authorize(&user, &page("/148"), soon()).await);
}
