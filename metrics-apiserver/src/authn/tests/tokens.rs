//! Bearer tokens, reviewed by a fake Kubernetes API.

use serde_json::{Value, json};

use super::*;
use crate::authn::Reviews;
use crate::testkit::{Play, Request, Server, failure};

const JANE: Header<'static> = ("authorization", b"Bearer janes-token");

fn rig(api: &Server, lifetime: Duration) -> Authenticator {
    let options = Options { skip_lookup: true, ..Options::default() };
    let trust = Arc::new(TrustStore::new(options).unwrap());
    let tokens = TokenReviewer::new(api.client(), lifetime, &Reviews::default()).unwrap();
    Authenticator::new(trust, tokens, refusals())
}

const TEN_SECONDS: Duration = Duration::from_secs(10);

fn review(status: &Value) -> Value {
    json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
        "metadata": {}, "spec": {}, "status": status})
}

/// Knows one token.
fn answer(request: &Request) -> Play {
    let status = if request.json()["spec"]["token"] == "janes-token" {
        json!({"authenticated": true, "user": {"username": "jane", "uid": "u-1",
            "groups": ["dev"], "extra": {"scopes": ["a", "b"]}}})
    } else {
        json!({"authenticated": false, "error": "token lookup failed"})
    };
    Play::json(201, review(&status)).after(Duration::from_millis(50))
}

#[tokio::test]
async fn a_valid_token_identifies_its_owner() {
    let api = Server::start(answer);
    let user = ask(&rig(&api, TEN_SECONDS), &[], &[JANE]).await.unwrap();
    assert_eq!(user.name, "jane");
    assert_eq!(user.uid, "u-1");
    assert_eq!(user.groups, ["dev", "system:authenticated"]);
    assert_eq!(user.extra["scopes"], ["a", "b"]);
    let request = &api.requests()[0];
    assert!(request.line.starts_with("POST /apis/authentication.k8s.io/v1/tokenreviews"));
}

#[tokio::test]
async fn fifty_requests_with_one_token_are_one_review() {
    let api = Server::start(answer);
    let authenticator = rig(&api, TEN_SECONDS);
    let asked = (0..50).map(|_| ask(&authenticator, &[], &[JANE]));
    for outcome in futures_util::future::join_all(asked).await {
        assert_eq!(outcome.unwrap().name, "jane");
    }
    assert!(ask(&authenticator, &[], &[JANE]).await.is_ok());
    assert_eq!(api.requests().len(), 1);
}

#[tokio::test]
async fn an_invalid_token_is_refused_and_the_result_is_cached() {
    let api = Server::start(answer);
    let authenticator = rig(&api, TEN_SECONDS);
    for _ in 0..3 {
        let outcome = ask(&authenticator, &[], &[("authorization", b"bearer other")]).await;
        assert!(matches!(outcome, Err(AuthnError::InvalidToken)));
    }
    assert_eq!(api.requests().len(), 1);
}

#[tokio::test]
async fn a_result_expires_after_its_ttl() {
    let api = Server::start(answer);
    let authenticator = rig(&api, Duration::from_millis(1));
    let deadline = tokio::time::Instant::now() + TEN_SECONDS;
    while api.requests().len() < 2 {
        assert!(tokio::time::Instant::now() < deadline, "not reviewed again");
        ask(&authenticator, &[], &[JANE]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_failed_review_refuses_the_token_and_is_not_cached() {
    let api = Server::plain(failure(403, "None"));
    let authenticator = rig(&api, TEN_SECONDS);
    for _ in 0..2 {
        let outcome = ask(&authenticator, &[], &[JANE]).await;
        assert!(matches!(outcome, Err(AuthnError::ReviewFailed { .. })));
    }
    // A 403 is not retried.
    assert_eq!(api.requests().len(), 2);
}

#[tokio::test]
async fn a_temporary_failure_is_tried_four_times() {
    let api = Server::plain(failure(500, "None"));
    let outcome = ask(&rig(&api, TEN_SECONDS), &[], &[JANE]).await;
    assert!(matches!(outcome, Err(AuthnError::ReviewFailed { .. })));
    assert_eq!(api.requests().len(), 4);
}

#[tokio::test]
async fn a_review_that_failed_at_first_succeeds() {
    let tries = std::sync::atomic::AtomicU32::new(0);
    let api = Server::start(move |request| match tries.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
        0 => failure(503, "None"),
        1 => failure(429, "None"),
        _ => answer(request),
    });
    let user = ask(&rig(&api, TEN_SECONDS), &[], &[JANE]).await.unwrap();
    assert_eq!(user.name, "jane");
}

#[tokio::test]
async fn an_unreachable_api_or_a_review_without_status_lets_nobody_in() {
    let empty = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
        "metadata": {}, "spec": {}});
    let api = Server::plain(Play::json(201, empty));
    let outcome = ask(&rig(&api, TEN_SECONDS), &[], &[JANE]).await;
    assert!(matches!(outcome, Err(AuthnError::ReviewFailed { .. })));

    let outcome = Rig::new().ask(&[], &[JANE]).await;
    assert!(matches!(outcome, Err(AuthnError::ReviewFailed { .. })));
}

#[tokio::test]
async fn a_valid_token_without_an_owner_lets_nobody_in() {
    let api = Server::start(|_| {
        Play::json(201, review(&json!({"authenticated": true, "user": {"groups": ["system:masters"]}})))
    });
    let outcome = ask(&rig(&api, TEN_SECONDS), &[], &[JANE]).await;
    assert!(matches!(outcome, Err(AuthnError::InvalidToken)));
}

#[tokio::test]
async fn other_authorization_headers_are_ignored() {
    let api = Server::start(answer);
    let authenticator = rig(&api, TEN_SECONDS);
    let values: [&[u8]; 5] = [b"", b"Bearer", b"Bearer ", b"Bearer  janes-token", b"Basic abc"];
    for value in values {
        let outcome = ask(&authenticator, &[], &[("authorization", value)]).await;
        assert_anonymous(&outcome.unwrap());
    }
    assert!(api.requests().is_empty());
    // Anything after the token is ignored.
    let header: Header<'_> = ("authorization", b"bEARER janes-token x");
    assert_eq!(ask(&authenticator, &[], &[header]).await.unwrap().name, "jane");
}

#[tokio::test]
async fn a_valid_token_is_accepted_with_an_untrusted_certificate() {
    let api = Server::start(answer);
    let rig = Rig::new();
    let tokens = TokenReviewer::new(api.client(), TEN_SECONDS, &Reviews::default()).unwrap();
    let authenticator = Authenticator::new(Arc::clone(&rig.trust), tokens, refusals());
    let peer = Ca::new("unknown").client("mallory");
    assert_eq!(ask(&authenticator, &peer, &[JANE]).await.unwrap().name, "jane");
    let bad: Header<'_> = ("authorization", b"Bearer other");
    let outcome = ask(&authenticator, &peer, &[bad]).await;
    assert!(matches!(outcome, Err(AuthnError::InvalidToken)));
}

/// Concurrent requests, each with another unknown token.
async fn unauthenticated(authenticator: &Authenticator, count: usize) -> Vec<Result<UserInfo, AuthnError>> {
    let tokens: Vec<String> = (0..count).map(|number| format!("Bearer invented-{number}")).collect();
    let headers: Vec<Header<'_>> = tokens.iter().map(|token| ("authorization", token.as_bytes())).collect();
    let asked = headers.iter().map(|header| ask(authenticator, &[], std::slice::from_ref(header)));
    futures_util::future::join_all(asked).await
}

#[tokio::test]
async fn unknown_tokens_above_the_limit_are_refused_with_too_many_reviews() {
    let api = Server::start(answer);
    let authenticator = rig(&api, TEN_SECONDS);
    let outcomes = unauthenticated(&authenticator, 150).await;
    let refused = outcomes.iter().filter(|one| matches!(one, Err(AuthnError::InvalidToken))).count();
    assert_eq!((refused, api.requests().len()), (128, 128));
    let limited = outcomes.iter().filter(|one| matches!(one, Err(AuthnError::TooManyReviews))).count();
    assert_eq!(limited, 150 - 128);
    // The limit applies no longer, and the refusal is not cached.
    let again = ask(&authenticator, &[], &[("authorization", b"Bearer invented-149")]).await;
    assert!(matches!(again, Err(AuthnError::InvalidToken)), "{again:?}");
}

#[tokio::test]
async fn a_known_token_is_reviewed_while_unknown_tokens_use_up_the_limit() {
    let api = Server::start(answer);
    let authenticator = rig(&api, Duration::from_millis(1));
    ask(&authenticator, &[], &[JANE]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(5)).await;
    let (outcomes, known) =
        tokio::join!(unauthenticated(&authenticator, 150), ask(&authenticator, &[], &[JANE]));
    assert!(outcomes.iter().any(|one| matches!(one, Err(AuthnError::TooManyReviews))));
    assert_eq!(known.unwrap().name, "jane");
    assert_eq!(api.requests().len(), 1 + 128 + 1);
}

#[tokio::test]
async fn a_token_that_is_no_longer_valid_is_no_longer_known() {
    let is_good = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let still = Arc::clone(&is_good);
    let api = Server::start(move |_| {
        let is_good = still.load(std::sync::atomic::Ordering::SeqCst);
        Play::json(201, review(&json!({"authenticated": is_good, "user": {"username": "jane"}})))
    });
    let trust = Arc::new(TrustStore::new(Options { skip_lookup: true, ..Options::default() }).unwrap());
    let tokens = TokenReviewer::new(api.client(), Duration::from_millis(1), &Reviews::default()).unwrap();
    assert!(!tokens.knows(b"janes-token"));
    let authenticator = Authenticator::new(trust, tokens, refusals());
    ask(&authenticator, &[], &[JANE]).await.unwrap();
    assert!(authenticator.tokens.knows(b"janes-token"));
    is_good.store(false, std::sync::atomic::Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert!(ask(&authenticator, &[], &[JANE]).await.is_err());
    assert!(!authenticator.tokens.knows(b"janes-token"));
}
