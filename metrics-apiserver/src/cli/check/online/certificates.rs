//! The serving certificates behind the `APIService`s, and the CA bundles that verify them.

use std::net::SocketAddr;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;

use super::api_services::{RENEW, Registered, SAME_CA, WITH_NAME};
use super::report::Report;
use crate::backend::{CertificateChain, ServerCertificate, presented_chain};
use crate::registration::{Finding, ServiceName};

/// From connecting to the end of the handshake. Pods are often not reachable from where the check runs.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Checks the certificates of each object that leads to a Service.
pub(super) async fn check(registered: &[Registered], report: &mut Report) {
    for found in registered {
        let name = format!("certificates.{}", found.name);
        of_bundle(&name, &found.object, report);
        of_server(&name, found, report).await;
    }
}

fn is_unverified(object: &APIService) -> bool {
    object.spec.as_ref().and_then(|spec| spec.insecure_skip_tls_verify).unwrap_or_default()
}

/// The CA certificates that kube-apiserver trusts for this API.
fn of_bundle(name: &str, object: &APIService, report: &mut Report) {
    let name = format!("{name}.caBundle");
    if is_unverified(object) {
        return report.ok(&name, "none: kube-apiserver does not verify the server (insecureSkipTLSVerify)");
    }
    let bundle = Finding::ca_bundle(object);
    let mut certificates: Vec<_> = bundle.iter().filter_map(ServerCertificate::of).collect();
    certificates.sort_by_key(|certificate| certificate.not_after);
    let now = Timestamp::now();
    match (certificates.first(), certificates.last()) {
        (_, Some(last)) if last.not_after <= now => {
            report.failed(&name, &format!("expired: {last}"), RENEW);
        }
        // In a rotation the old one may have expired.
        (_, Some(last)) => report.ok(&name, &format!("{}, {last}", count(certificates.len()))),
        _ => report.failed(
            &name,
            "there is none, and kube-apiserver trusts its system's CAs",
            "set caBundle to the CA of the serving certificate",
        ),
    }
}

fn count(certificates: usize) -> String {
    format!("{certificates} CA certificate{}", if certificates == 1 { "" } else { "s" })
}

/// The certificate that each server presents.
async fn of_server(name: &str, found: &Registered, report: &mut Report) {
    let name = format!("{name}.serving");
    let Ok(service) = format!("{}/{}", found.namespace, found.service).parse::<ServiceName>() else {
        return report.skipped(&name, "the name of the Service is not valid");
    };
    let chain = match first_chain(&service, &found.backing.addresses).await {
        Some(Ok(chain)) => chain,
        Some(Err(error)) => {
            let detail = format!("not reached from here: {error}; run the check in the cluster");
            return report.skipped(&name, &detail);
        }
        None => {
            let why = found.backing.refusal.as_ref();
            let why = why.map_or_else(|| "it has no endpoints".to_owned(), ToString::to_string);
            return report.skipped(&name, &format!("no address of the Service {service} is known: {why}"));
        }
    };
    let Some(certificate) = chain.first().and_then(ServerCertificate::of) else {
        return report.failed(&name, "the certificate cannot be parsed", RENEW);
    };
    let now = Timestamp::now();
    let is_valid = certificate.not_before <= now && now < certificate.not_after;
    if is_unverified(&found.object) {
        let expired = if is_valid { "" } else { "expired, and " };
        return report.ok(&name, &format!("{expired}not verified: {certificate}"));
    }
    if !is_valid {
        let detail = format!("not valid now: {certificate}, valid from {}", certificate.not_before);
        return report.failed(&name, &detail, RENEW);
    }
    if !certificate.names.iter().any(|name| is_name_of(name, &service.host())) {
        let detail = format!("not for {}, which kube-apiserver verifies: {certificate}", service.host());
        return report.failed(&name, &detail, WITH_NAME);
    }
    match Finding::of(Some(&found.object), &service, &chain) {
        Finding::ForeignCa => {
            report.failed(&name, &format!("not verified by the caBundle: {certificate}"), SAME_CA);
        }
        _ => report.ok(&name, &format!("verified by the caBundle: {certificate}")),
    }
}

/// The certificates of the first address that answers, or why the last one does not; `None` without addresses.
async fn first_chain(
    service: &ServiceName,
    addresses: &[SocketAddr],
) -> Option<Result<CertificateChain, String>> {
    let mut found = None;
    for address in addresses {
        match presented_chain(&service.host(), *address, TIMEOUT).await {
            Ok(chain) => return Some(Ok(chain)),
            Err(error) => found = Some(Err(format!("{address}: {error}"))),
        }
    }
    found
}

/// Whether a name of a certificate is this host, or has it as its wildcard.
fn is_name_of(name: &str, host: &str) -> bool {
    let wildcard = name.strip_prefix("*.").zip(host.split_once('.').map(|(_, rest)| rest));
    name.eq_ignore_ascii_case(host) || wildcard.is_some_and(|(name, rest)| name.eq_ignore_ascii_case(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_stands_for_one_label() {
        let host = "metrics.monitoring.svc";
        for (name, expected) in [
            ("metrics.monitoring.svc", true),
            ("Metrics.Monitoring.svc", true),
            ("*.monitoring.svc", true),
            ("*.svc", false),
            ("metrics.monitoring", false),
        ] {
            assert_eq!(is_name_of(name, host), expected, "{name}");
        }
    }
}
