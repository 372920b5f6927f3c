//! The HTTP client below kube's: as kube makes it, but for who verifies kube-apiserver's certificate.

use std::sync::Arc;
use std::time::Duration;

use hyper_rustls::{FixedServerNameResolver, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::client::{Body, ConfigExt as _};
use kube::{Client, Config};
use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::time::timeout;
use tower::{BoxError, Service as _, ServiceBuilder, service_fn};

use super::error::KubernetesError;
use crate::x509::{ServerVerifier, Unsupported};

/// How long a connection may take, with its TLS handshake; what is sent on it has limits of its own.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A client by this configuration, and its namespace. It retries nothing: reviews are retried within the deadline of a
/// read, and retries of kube would come on top.
pub(super) fn client(config: Config) -> Result<(Client, String), KubernetesError> {
    let failed = |error: &dyn std::fmt::Display| KubernetesError::Client(error.to_string());
    let (auth, headers) = (config.auth_layer(), config.extra_headers_layer());
    let base = config.base_uri_layer();
    let namespace = config.default_namespace.clone();
    let name = config.tls_server_name.clone();
    let mut builder = HttpsConnectorBuilder::new().with_tls_config(tls(config)?).https_or_http();
    if let Some(name) = name {
        let name = ServerName::try_from(name).map_err(|error| failed(&error))?;
        builder = builder.with_server_name_resolver(FixedServerNameResolver::new(name));
    }
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    let connector = builder.enable_http1().wrap_connector(tcp);
    let connector = service_fn(move |address| {
        let connecting = timeout(CONNECT_TIMEOUT, connector.clone().call(address));
        Box::pin(async move { connecting.await.unwrap_or_else(|elapsed| Err(BoxError::from(elapsed))) })
    });
    let http = legacy::Client::builder(TokioExecutor::new()).build::<_, Body>(connector);
    let service = ServiceBuilder::new()
        .layer(base)
        .option_layer(auth.map_err(|error| failed(&error))?)
        .layer(headers.map_err(|error| failed(&error))?)
        .map_err(BoxError::from)
        .service(http);
    Ok((Client::new(service, namespace.clone()), namespace))
}

/// TLS with the CAs and the client certificate of this configuration.
fn tls(mut config: Config) -> Result<ClientConfig, KubernetesError> {
    let failed = |error: &dyn std::fmt::Display| KubernetesError::Client(error.to_string());
    // It is in `root_cert` as well, and kube would read it again after a minute, while we follow it.
    config.root_cert_file = None;
    let mut tls = config.rustls_client_config().map_err(|error| failed(&error))?;
    let bundle = config.root_cert.filter(|_| !config.accept_invalid_certs);
    if let Some(bundle) = bundle {
        let bundle: Vec<_> = bundle.into_iter().map(CertificateDer::from).collect();
        Unsupported::of(&bundle).warn("kube-apiserver");
        let verifier = ServerVerifier::new(bundle).map_err(|error| failed(&error))?;
        tls.dangerous().set_certificate_verifier(Arc::new(verifier));
    }
    Ok(tls)
}
