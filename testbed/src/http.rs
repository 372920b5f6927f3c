//! HTTP clients for looking at what the testbed started.

use anyhow::Result;
use std::time::Duration;

/// Looks are repeated, so that none may take long.
const LOOK_TIMEOUT: Duration = Duration::from_secs(5);

/// A client that trusts this authority (PEM) only; it goes through no proxy.
pub fn client(ca: Option<&str>) -> Result<reqwest::Client> {
    crate::install_crypto();
    let builder = reqwest::Client::builder().no_proxy().timeout(LOOK_TIMEOUT);
    let roots = ca.map(|pem| reqwest::Certificate::from_pem_bundle(pem.as_bytes())).transpose()?;
    Ok(builder.tls_certs_only(roots.unwrap_or_default()).build()?)
}

/// Whether `url` answers with a success.
pub async fn answers(client: &reqwest::Client, url: &str) -> Result<bool> {
    Ok(client.get(url).send().await?.error_for_status().map(|_| true)?)
}
