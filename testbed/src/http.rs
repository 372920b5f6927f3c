//! HTTP clients for looking at what the testbed started.

use anyhow::Result;
use std::{net::SocketAddr, time::Duration};

/// Looks are repeated, so that none may take long.
const LOOK_TIMEOUT: Duration = Duration::from_secs(5);

/// A client that trusts this authority (PEM) only; it goes through no proxy.
pub fn client(ca: Option<&str>) -> Result<reqwest::Client> {
    let roots = ca.map(|pem| reqwest::Certificate::from_pem_bundle(pem.as_bytes())).transpose()?;
    Ok(builder().tls_certs_only(roots.unwrap_or_default()).build()?)
}

/// A client for probes: as kubelet, it accepts any certificate.
pub(crate) fn probe_client() -> Result<reqwest::Client> {
    Ok(builder().tls_danger_accept_invalid_certs(true).build()?)
}

/// As [`client`], for a server whose certificate has a name that leads nowhere on this machine.
pub fn client_of(ca: &str, host: &str, address: SocketAddr) -> Result<reqwest::Client> {
    let roots = reqwest::Certificate::from_pem_bundle(ca.as_bytes())?;
    Ok(builder().tls_certs_only(roots).resolve(host, address).build()?)
}

fn builder() -> reqwest::ClientBuilder {
    crate::install_crypto();
    reqwest::Client::builder().no_proxy().timeout(LOOK_TIMEOUT)
}

/// Whether `url` answers with a success.
pub async fn answers(client: &reqwest::Client, url: &str) -> Result<bool> {
    Ok(client.get(url).send().await?.error_for_status().map(|_| true)?)
}
