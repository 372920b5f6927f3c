//! Callers that reach our server directly, not through kube-apiserver.

use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;
use std::{net::SocketAddr, time::Duration};
use testbed::{Cluster, http, pki::Identity};

/// The base of every read.
pub(crate) const BASE: &str = "/apis/external.metrics.k8s.io/v1beta1";
/// Longer than the server's own deadline, so that the server's answer is what a test sees.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A caller with or without a client certificate.
#[derive(Clone)]
pub(crate) struct Caller {
    client: Client,
    url: String,
    headers: Vec<(&'static str, String)>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) etag: Option<String>,
    /// Whether the server asked the caller to make a new connection for its next request.
    pub(crate) closes: bool,
    pub(crate) body: String,
    /// The serving certificate of the connection, DER.
    pub(crate) certificate: Vec<u8>,
}

impl Caller {
    /// A caller that trusts `roots` (PEM) and shows `identity`. One that does not keep connections makes one per
    /// request.
    pub(crate) fn new(url: &str, roots: &str, identity: Option<&Identity>, keeps: bool) -> Self {
        testbed::install_crypto();
        let roots = reqwest::Certificate::from_pem_bundle(roots.as_bytes()).unwrap();
        let mut builder = Client::builder().no_proxy().timeout(TIMEOUT).tls_certs_only(roots).tls_info(true);
        if !keeps {
            builder = builder.pool_max_idle_per_host(0);
        }
        if let Some(identity) = identity {
            let pem = format!("{}{}", identity.certificate, identity.key);
            builder = builder.identity(reqwest::Identity::from_pem(pem.as_bytes()).unwrap());
        }
        Self { client: builder.build().unwrap(), url: url.to_owned(), headers: Vec::new() }
    }

    /// A caller that reaches this address by another name, and shows no certificate.
    pub(crate) fn resolved(host: &str, address: SocketAddr, roots: &str) -> Self {
        let client = http::client_of(roots, host, address).unwrap();
        Self { client, url: format!("https://{host}:{}", address.port()), headers: Vec::new() }
    }

    /// The same with one header more on each request.
    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// The same for an administrator, as the front proxy passes such a user on.
    pub(crate) fn for_admin(self) -> Self {
        self.with("x-remote-user", "admin").with("x-remote-group", "system:masters")
    }

    /// The request, to be sent as it is.
    pub(crate) fn request(&self, path: &str) -> RequestBuilder {
        let request = self.client.request(Method::GET, format!("{}{path}", self.url));
        self.headers.iter().fold(request, |request, (name, value)| request.header(*name, value))
    }

    /// Reads one path; an error only if no whole answer came.
    pub(crate) async fn try_get(&self, path: &str) -> reqwest::Result<Answer> {
        let response = self.request(path).send().await?;
        let info = response.extensions().get::<reqwest::tls::TlsInfo>();
        let certificate = info.and_then(reqwest::tls::TlsInfo::peer_certificate).unwrap_or_default().to_vec();
        let etag = response.headers().get("etag").map(|etag| etag.to_str().unwrap().to_owned());
        let closes = response.headers().get("connection").is_some_and(|value| value == "close");
        Ok(Answer {
            code: response.status().as_u16(),
            etag,
            closes,
            certificate,
            body: response.text().await?,
        })
    }

    /// Reads one path, which must be answered.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.try_get(path).await.unwrap()
    }
}

impl Answer {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Checks that this is a `Status` with this code and reason; gives its message.
    #[track_caller]
    pub(crate) fn refused(&self, code: u16, reason: &str) -> String {
        assert_eq!(self.code, code, "{self:?}");
        let status = self.json();
        assert_eq!(status["kind"], "Status", "{self:?}");
        assert_eq!(status["reason"], reason, "{self:?}");
        assert_eq!(status["code"], code, "{self:?}");
        status["message"].as_str().unwrap().to_owned()
    }
}

/// What kube-apiserver shows of itself, anew.
pub(crate) fn front_proxy(cluster: &Cluster) -> Identity {
    cluster.credentials().request_header_ca.client("front-proxy-client", None).unwrap()
}
