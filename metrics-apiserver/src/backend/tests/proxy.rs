//! Backends behind a proxy.

use super::*;
use crate::backend::ProxyUrl;
use crate::testkit::{Ca, Proxy};

fn through(proxy: &str, options: Options) -> Backends {
    backends(Options { proxy: Some(ProxyUrl::parse(proxy).unwrap()), ..options })
}

#[tokio::test]
async fn a_query_by_http_is_sent_to_the_proxy_with_its_credentials() {
    let (server, proxy) = (Server::plain(Play::json(200, ANSWER)), Proxy::start());
    let backends = through(&format!("http://us%40er:p%3Ass@{}", proxy.address), options(&server));
    assert_value(query(&backends, "up").await, 42.0);
    let [head] = &proxy.heads()[..] else { panic!("one request") };
    assert!(head.starts_with(&format!("GET {}/api/v1/query?query=up", server.url)), "{head}");
    assert!(head.to_ascii_lowercase().contains("proxy-authorization: basic "), "{head}");
    assert!(head.contains("dXNAZXI6cDpzcw=="), "us@er:p:ss {head}");
}

#[tokio::test]
async fn a_query_by_https_goes_through_a_tunnel_and_the_proxy_sees_neither_query_nor_token() {
    let (ca, proxy) = (Ca::new("backend"), Proxy::start());
    let server = Server::tls(Play::json(200, ANSWER), ca.server_config(None));
    let data = |text: String| crate::backend::FileOrData::Data(crate::backend::Secret(text.into_bytes()));
    let options = Options {
        ca: Some(data(ca.pem())),
        auth: Auth::Bearer(data("t0ken".to_owned())),
        ..options(&server)
    };
    let backends = through(&format!("http://{}", proxy.address), options);
    assert_value(query(&backends, "up").await, 42.0);
    let [head] = &proxy.heads()[..] else { panic!("one tunnel") };
    assert!(head.starts_with("CONNECT localhost:"), "{head}");
    assert!(!head.contains("t0ken") && !head.contains("query"), "{head}");
    assert_eq!(server.last().header("authorization"), Some("Bearer t0ken"));
}

#[tokio::test]
async fn a_query_goes_through_a_socks_proxy() {
    let (server, proxy) = (Server::plain(Play::json(200, ANSWER)), Proxy::start());
    for scheme in ["socks5", "socks5h"] {
        let backends = through(&format!("{scheme}://{}", proxy.address), options(&server));
        assert_value(query(&backends, "up").await, 42.0);
    }
    let target = format!("SOCKS5 {}", server.url.trim_start_matches("http://"));
    assert_eq!(proxy.heads(), [target.clone(), target]);
}

#[tokio::test]
async fn a_proxy_that_is_not_there_is_named_without_its_password() {
    let (server, gone) = (Server::plain(Play::json(200, ANSWER)), Server::plain(Play::Hang));
    let address = gone.url.trim_start_matches("http://").to_owned();
    drop(gone);
    let backends = through(&format!("http://user:hunter2@{address}"), options(&server));
    let error = query(&backends, "up").await.unwrap_err();
    assert!(matches!(error, QueryError::Unavailable { .. }), "{error:?}");
    assert!(!error.detail().contains("hunter2"), "{error:?}");
    assert!(server.requests().is_empty(), "no query is sent past the proxy");
}

#[tokio::test]
async fn a_proxy_that_repeats_its_credentials_does_not_bring_them_into_the_log() {
    let sent = "dXNlcjpodW50ZXIyQGhvbWU=";
    let proxy = Server::start(move |request| {
        let basic = request.header("proxy-authorization").unwrap();
        assert_eq!(basic, format!("Basic {sent}"));
        let told = format!("no access for user:hunter2@home or user:hunter2%40home ({basic})");
        Play::Raw(testkit::http::reply("407 No", told.as_bytes(), ""))
    });
    let address = proxy.url.trim_start_matches("http://");
    let backends =
        through(&format!("http://user:hunter2%40home@{address}"), Options::new(vec![url("http://p")]));
    let detail = query(&backends, "up").await.unwrap_err().detail().to_owned();
    assert!(
        detail.contains("no access for user:[redacted] or user:[redacted] (Basic [redacted])"),
        "{detail}"
    );
}

#[test]
fn another_proxy_may_know_another_server_by_the_same_name() {
    let plain = Options::new(vec![url("http://prometheus")]);
    let proxy = Some(ProxyUrl::parse("http://user:hunter2@proxy").unwrap());
    let proxied = Options { proxy, ..plain.clone() };
    assert!(!proxied.has_the_data_of(&plain));
    assert!(!format!("{proxied:?}").contains("hunter2"));
}
