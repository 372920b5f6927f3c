//! The backends: whether each URL answers, its certificate, and what it is.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;

use super::report::Report;
use crate::backend::{Backends, Diagnosis, HttpAnswer, Options, ServerCertificate};
use crate::config::Config;
use crate::rules::BackendName;

/// How rustls begins to say that a certificate is not trusted.
const NOT_TRUSTED: &str = "invalid peer certificate";
/// How the check of a SPIFFE ID ends.
const OTHER_ID: &str = "the certificate is not that of ";

/// Checks each URL of each backend; those with a URL that answers queries.
pub(super) async fn check(
    config: &Config,
    backends: &Backends,
    report: &mut Report,
) -> BTreeSet<BackendName> {
    let mut working = BTreeSet::new();
    for (name, options) in &config.backends {
        let path = format!("backends.{}", name.0);
        match backends.diagnose(name).await {
            Ok(diagnoses) => {
                let several = diagnoses.len() > 1;
                for (index, diagnosis) in diagnoses.iter().enumerate() {
                    let path = if several { format!("{path}.urls[{index}]") } else { path.clone() };
                    if of_url(&path, diagnosis, options, report) {
                        working.insert(name.clone());
                    }
                }
            }
            Err(error) => report.failed(&path, &error.to_string(), "report this as a bug"),
        }
    }
    working
}

/// Reports on one URL; whether it answers queries.
fn of_url(path: &str, diagnosis: &Diagnosis, options: &Options, report: &mut Report) -> bool {
    let Diagnosis { url, certificate, answer, engine, advice } = diagnosis;
    let reachable = format!("{path}.reachable");
    let is_working = match answer {
        Ok(HttpAnswer { status, content_type, is_prometheus: true, .. }) => {
            report.ok(&reachable, &format!("{url} answers a query with {status}, {}", kind(content_type)));
            true
        }
        Ok(answer) => {
            let HttpAnswer { status, content_type, words, .. } = answer;
            let detail =
                format!("{url} answers a query with {status}, {}, beginning \"{words}\"", kind(content_type));
            report.failed(&reachable, &detail, fix_of_answer(answer));
            false
        }
        Err(error) => {
            report.failed(&reachable, &format!("{url}: {error}"), fix_of_error(error));
            false
        }
    };
    if let Some(certificate) = certificate {
        let refused = answer.as_ref().err().filter(|error| is_distrust(error));
        of_certificate(&format!("{path}.certificate"), certificate.as_ref(), refused, options, report);
    }
    let name = format!("{path}.engine");
    match engine {
        // Its `version` is that of the Prometheus whose API it imitates.
        Ok(engine) if engine.is_victoria_metrics() => match advice {
            Some(advice) => report.failed(&name, &engine.name, advice),
            None => report.ok(&name, &engine.name),
        },
        // A build without its release's flags has no version.
        Ok(engine) if engine.version.is_empty() => report.ok(&name, &format!("{}, no version", engine.name)),
        Ok(engine) => report.ok(&name, &format!("{}, version {}", engine.name, engine.version)),
        Err(why) => report.skipped(&name, why),
    }
    is_working
}

fn kind(content_type: &str) -> &str {
    if content_type.is_empty() { "no content type" } else { content_type }
}

fn of_certificate(
    name: &str,
    certificate: Result<&ServerCertificate, &Arc<str>>,
    refused: Option<&Arc<str>>,
    options: &Options,
    report: &mut Report,
) {
    let certificate = match certificate {
        Ok(certificate) => certificate,
        Err(error) => {
            let fix = "make the server behind the URL present a certificate, or use http://";
            let fix = fix_of_alert(error).unwrap_or(fix);
            return report.failed(name, &format!("no certificate was received: {error}"), fix);
        }
    };
    let now = Timestamp::now();
    if options.skips_verification() {
        report.ok(name, &format!("not verified (insecureSkipTLSVerify): {certificate}"));
    } else if now < certificate.not_before || now > certificate.not_after {
        let detail = format!("not valid now: {certificate}, valid from {}", certificate.not_before);
        report.failed(name, &detail, "renew the server's certificate, or correct the clock");
    } else if let Some(error) = refused {
        report.failed(name, &format!("{certificate}; {error}"), fix_of_trust(error, certificate));
    } else {
        report.ok(name, &certificate.to_string());
    }
}

/// Whether the certificate is the reason.
fn is_distrust(error: &str) -> bool {
    error.contains(NOT_TRUSTED) || error.contains(OTHER_ID)
}

fn fix_of_trust(error: &str, certificate: &ServerCertificate) -> &'static str {
    if error.contains("UnsupportedCertVersion") {
        "issue a certificate of X.509 version 3, with the URL's host as subjectAltName"
    } else if error.contains("InvalidPurpose") || error.contains("extended key usage") {
        "issue a certificate for servers: its extended key usage lacks serverAuth"
    } else if error.contains("NotValidForName") || error.contains("not valid for name") {
        if certificate.names.is_empty() {
            "issue a certificate with the URL's host as subjectAltName: the common name does not count"
        } else {
            "use a URL with one of these names, or set serverName to one of them"
        }
    } else if error.contains(OTHER_ID) {
        "set serverName to the certificate's only URI, if this is the right server"
    } else if certificate.subject == certificate.issuer {
        "it is self-signed: set caFile to this certificate"
    } else {
        "set caFile to the CA that issued it"
    }
}

fn fix_of_answer(answer: &HttpAnswer) -> &'static str {
    if let Some(hint) = answer.hint
        && answer.status != 404
    {
        return hint;
    }
    match answer.status {
        200 => {
            "this is not the Prometheus HTTP API (an exporter, a login page?): set url to what precedes /api/v1/query"
        }
        300..400 => "redirects are not followed: set url to the final address",
        401 | 403 => "check the backend's credentials (bearerTokenFile, basicAuth, headers) and their rights",
        404 | 405 => "check the path of url: the server appends /api/v1/query",
        400 | 422 => "check the backend's headers and parameters, such as a tenant (X-Scope-OrgID)",
        _ => "look at the log of the backend, or of the gateway before it",
    }
}

/// What to do if the server breaks the handshake off, and says why.
fn fix_of_alert(error: &str) -> Option<&'static str> {
    let (_, alert) = error.split_once("received fatal alert: ")?;
    Some(if alert.starts_with("HandshakeFailure") {
        "issue the server's certificate with RSA, P-256, P-384, P-521 or Ed25519, and enable TLS 1.3 or the suites of \
         TLS 1.2 with ECDHE and AES-GCM or ChaCha20"
    } else if alert.starts_with("ProtocolVersion") {
        "enable TLS 1.2 or 1.3 in the server"
    } else {
        "the server refuses the handshake: if it requires a client certificate, set certFile and keyFile to one that \
         it trusts"
    })
}

fn fix_of_error(error: &str) -> &'static str {
    if is_distrust(error) {
        "see the check of the certificate"
    } else if error.contains("dns") || error.contains("lookup") {
        "check the host in url, and that DNS is allowed by NetworkPolicies (ports 53 and 5353)"
    } else if error.contains("refused") {
        "check the port in url, and that the backend runs"
    } else if error.contains("corrupt") || error.contains("InvalidContentType") {
        "the server does not speak TLS: use http://"
    } else if let Some(fix) = fix_of_alert(error) {
        fix
    } else {
        "check url, that the backend runs, and that NetworkPolicies and firewalls allow its port"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_to_refuse_a_certificate_has_its_own_fix() {
        let certificate = |issuer: &str, names: &[&str]| ServerCertificate {
            subject: "CN=prometheus".to_owned(),
            issuer: issuer.to_owned(),
            names: names.iter().map(|&name| name.to_owned()).collect(),
            not_before: Timestamp::UNIX_EPOCH,
            not_after: Timestamp::MAX,
        };
        let not_valid = "certificate not valid for name \"prometheus\"";
        for (error, issuer, names, fix) in [
            (not_valid, "CN=ca", &[][..], "issue a certificate with the URL's host as subjectAltName"),
            (not_valid, "CN=ca", &["other"], "use a URL with one of these names"),
            ("Other(OtherError(UnsupportedCertVersion))", "CN=ca", &[], "version 3"),
            ("UnknownIssuer", "CN=prometheus", &["prometheus"], "it is self-signed"),
            ("UnknownIssuer", "CN=ca", &["prometheus"], "set caFile to the CA that issued it"),
        ] {
            let found = fix_of_trust(error, &certificate(issuer, names));
            assert!(found.contains(fix), "{error}: {found}");
        }
    }

    #[test]
    fn a_handshake_that_the_server_breaks_off_is_told_from_a_network_that_does_not_let_through() {
        for (alert, fix) in [
            ("HandshakeFailure", "RSA, P-256"),
            ("ProtocolVersion", "enable TLS 1.2"),
            ("CertificateRequired", "certFile and keyFile"),
        ] {
            let found = fix_of_error(&format!("client error (Connect): received fatal alert: {alert}"));
            assert!(found.contains(fix), "{alert}: {found}");
        }
        assert!(fix_of_error("no answer within 10s").contains("NetworkPolicies"));
    }
}
