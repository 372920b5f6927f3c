use super::message::Answer;
use super::*;
use serde_json::Value;

const REAL: &str = concat!(
    r#"{"status":"success","data":{"resultType":"vector","#,
    r#""result":[{"metric":{"a":"b"},"value":[1700000000.5,"42"]}]}}"#
);
const LIMIT: Duration = Duration::from_secs(20);

/// A server that always gives [`REAL`], or the target and body of anything but a query, and the proxy before it.
async fn proxy() -> (FaultProxy, JoinSet<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let proxy = FaultProxy::start(&format!("http://{}", listener.local_addr().unwrap())).await.unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut stream = BufStream::new(stream);
            let request = Request::read(&mut stream).await.unwrap().unwrap();
            let other = format!("{request:?}");
            let body = if request.path() == QUERY { REAL } else { &other };
            Answer::new(200, "application/json", body).write(&mut stream).await.unwrap();
        }
    });
    (proxy, tasks)
}

fn client() -> reqwest::Client {
    crate::http::client(None).unwrap()
}

async fn ask(proxy: &FaultProxy) -> reqwest::Result<(u16, String)> {
    let answer = client().get(format!("{}{QUERY}?query=up", proxy.url())).send().await?;
    Ok((answer.status().as_u16(), answer.text().await?))
}

async fn spoiled(proxy: &FaultProxy, fault: Fault) -> Value {
    proxy.set(fault);
    let (code, body) = ask(proxy).await.unwrap();
    assert_eq!(code, 200);
    serde_json::from_str(&body).unwrap()
}

#[tokio::test]
async fn without_a_fault_the_real_answer_passes_and_queries_are_counted() {
    let (proxy, _upstream) = proxy().await;
    assert_eq!(ask(&proxy).await.unwrap(), (200, REAL.to_owned()));
    let post =
        client().post(format!("{}{QUERY}", proxy.url())).form(&[("query", "up")]).send().await.unwrap();
    assert_eq!(post.text().await.unwrap(), REAL);
    proxy.set(Fault::Garbage);
    let other = client().post(format!("{}/other?x=%20y", proxy.url())).body("sent").send().await.unwrap();
    let other = other.text().await.unwrap();
    assert!(other.contains("\"/other?x=%20y\"") && other.contains("[115, 101, 110, 116]"), "{other}");
    assert_eq!(proxy.queries(), 2);
}

#[tokio::test]
async fn values_and_series_are_changed_and_the_rest_stays() {
    let (proxy, _upstream) = proxy().await;
    let nan = spoiled(&proxy, Fault::Value("NaN")).await;
    assert_eq!(nan, serde_json::from_str::<Value>(&REAL.replace("42", "NaN")).unwrap());
    let empty = spoiled(&proxy, Fault::Empty).await;
    assert_eq!(
        (empty["status"].as_str(), &empty["data"]["result"]),
        (Some("success"), &serde_json::json!([]))
    );
    let two = spoiled(&proxy, Fault::TwoSeries).await;
    let series = two["data"]["result"].as_array().unwrap();
    assert!(series.len() == 2 && series[0]["metric"] != series[1]["metric"], "{two}");
    assert_eq!(series[0]["value"], series[1]["value"]);
    let partial = spoiled(&proxy, Fault::Partial).await;
    assert_eq!(partial["data"]["result"][0]["value"][1], "21");
    assert_eq!(partial["warnings"][0], fault_warning());
    assert_eq!(spoiled(&proxy, Fault::ErrorStatus).await["status"], "error");
    proxy.set(Fault::None);
    assert_eq!(ask(&proxy).await.unwrap().1, REAL);
}

fn fault_warning() -> &'static str {
    "No StoreAPIs matched for this query: receive series from a store: connection refused"
}

#[tokio::test]
async fn broken_answers_are_broken_in_their_own_ways() {
    let (proxy, _upstream) = proxy().await;
    proxy.set(Fault::InternalError);
    assert_eq!(ask(&proxy).await.unwrap().0, 500);
    for fault in [Fault::CutOff, Fault::Garbage] {
        proxy.set(fault);
        let (code, body) = ask(&proxy).await.unwrap();
        assert!(code == 200 && serde_json::from_str::<Value>(&body).is_err(), "{body}");
    }
    proxy.set(Fault::BrokenOff);
    let error = ask(&proxy).await.unwrap_err();
    assert!(error.is_body() || error.is_decode(), "the head must have come: {error:?}");
}

#[tokio::test]
async fn a_slow_answer_comes_late_and_silence_lasts_while_others_are_answered() {
    let (proxy, _upstream) = proxy().await;
    proxy.set(Fault::Slow(Duration::from_millis(200)));
    let started = std::time::Instant::now();
    assert_eq!(ask(&proxy).await.unwrap().1, REAL);
    assert!(started.elapsed() >= Duration::from_millis(200));
    proxy.set(Fault::Silence);
    let url = format!("{}{QUERY}", proxy.url());
    let silent = client().get(&url).timeout(Duration::from_millis(200)).send();
    assert!(silent.await.unwrap_err().is_timeout());
    proxy.set(Fault::None);
    assert_eq!(tokio::time::timeout(LIMIT, ask(&proxy)).await.unwrap().unwrap().1, REAL);
}

#[tokio::test]
async fn a_prometheus_that_is_down_is_no_answer() {
    let (proxy, upstream) = proxy().await;
    drop(upstream);
    let gone = crate::eventually("no answer", LIMIT, || async { Ok(ask(&proxy).await.err()) });
    assert!(gone.await.unwrap().is_request());
}

#[tokio::test]
async fn a_recording_proxy_keeps_the_decoded_parameters_of_url_and_body() {
    let proxy = FaultProxy::recording("http://127.0.0.1:1").await.unwrap();
    let url = format!("{}{QUERY}?query=up%7Ba%3D%22b%22%7D", proxy.url());
    // Nobody answers behind the proxy.
    client().get(&url).send().await.unwrap_err();
    let series = format!("{}/api/v1/series", proxy.url());
    client()
        .post(series)
        .header("X-Tenant", "shop")
        .form(&[("match[]", "{a!=\"\"}")])
        .send()
        .await
        .unwrap_err();
    let calls = proxy.calls(0);
    assert_eq!(calls[0].path, QUERY);
    assert_eq!(calls[0].parameter("query"), Some("up{a=\"b\"}"));
    assert_eq!(calls[1].parameter("match[]"), Some("{a!=\"\"}"));
    assert_eq!((calls[0].method.as_str(), calls[0].header("x-tenant")), ("GET", None));
    assert_eq!((calls[1].method.as_str(), calls[1].header("x-tenant")), ("POST", Some("shop")));
    assert_eq!(proxy.calls(1), calls[1..]);
    assert!(proxy.calls(3).is_empty());
}
