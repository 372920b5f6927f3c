//! `/healthz`, `/livez`, `/readyz`: the texts are those of every Kubernetes component.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use hyper::StatusCode;

use super::reply::{self, Response};
use super::routes::Request;
use crate::api::{Error, RequestError};
use crate::readiness::{Check, Endpoint, Readiness};

/// All checks of an endpoint but those excluded.
pub(super) fn all(readiness: &Readiness, endpoint: Endpoint, request: &Request<'_>) -> Response {
    let query = request.raw.uri.query().unwrap_or_default();
    let (code, text) = report(&readiness.checks(endpoint), endpoint.as_str(), query);
    reply::text(code, text)
}

/// One check alone.
pub(super) fn one(readiness: &Readiness, endpoint: Endpoint, name: &str) -> Result<Response, Error> {
    let checks = readiness.checks(endpoint);
    let check = checks.iter().find(|check| check.name == name).ok_or(RequestError::UnknownPath)?;
    Ok(match check.outcome {
        Ok(()) => reply::text(StatusCode::OK, "ok"),
        Err(message) => {
            reply::text(StatusCode::INTERNAL_SERVER_ERROR, format!("internal server error: {message}\n"))
        }
    })
}

fn report(checks: &[Check], endpoint: &str, query: &str) -> (StatusCode, String) {
    let mut excluded = BTreeSet::new();
    let mut is_verbose = false;
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "verbose" => is_verbose = true,
            "exclude" => _ = excluded.insert(value),
            _ => {}
        }
    }
    let mut lines = String::new();
    let mut failed = false;
    for check in checks {
        // Writing to a String cannot fail.
        let _ = match check.outcome {
            _ if excluded.remove(check.name) => writeln!(lines, "[+]{} excluded: ok", check.name),
            Ok(()) => match &check.note {
                Some(note) => writeln!(lines, "[+]{} ok: {note}", check.name),
                None => writeln!(lines, "[+]{} ok", check.name),
            },
            Err(_) => {
                failed = true;
                writeln!(lines, "[-]{} failed: reason withheld", check.name)
            }
        };
    }
    if !excluded.is_empty() {
        let names: Vec<String> = excluded.iter().map(|name| format!("{name:?}")).collect();
        let _ = writeln!(
            lines,
            "warn: some health checks cannot be excluded: no matches for {}",
            names.join(",")
        );
    }
    match (failed, is_verbose) {
        (true, _) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{lines}{endpoint} check failed\n")),
        (false, true) => (StatusCode::OK, format!("{lines}{endpoint} check passed\n")),
        (false, false) => (StatusCode::OK, "ok".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Check, StatusCode, report};

    const GOOD: Check = Check::new("ping", Ok(()));
    const BAD: Check = Check::new("shutdown", Err("process is shutting down"));

    #[test]
    fn the_texts_are_those_of_kubernetes() {
        for (checks, query, code, text) in [
            (&[GOOD][..], "", 200, "ok"),
            (&[GOOD], "verbose", 200, "[+]ping ok\nreadyz check passed\n"),
            (&[GOOD, BAD], "", 500, "[+]ping ok\n[-]shutdown failed: reason withheld\nreadyz check failed\n"),
            (
                &[GOOD, BAD],
                "exclude=shutdown&verbose=1",
                200,
                "[+]ping ok\n[+]shutdown excluded: ok\nreadyz check passed\n",
            ),
            (
                &[GOOD],
                "exclude=y&exclude=x&verbose",
                200,
                "[+]ping ok\nwarn: some health checks cannot be excluded: no matches for \"x\",\"y\"\n\
                 readyz check passed\n",
            ),
        ] {
            assert_eq!(
                report(checks, "readyz", query),
                (StatusCode::from_u16(code).unwrap(), text.to_owned())
            );
        }
    }

    #[test]
    fn a_note_is_written_beside_a_passed_check_and_fails_nothing() {
        let noted = Check { note: Some("generation 2".into()), ..Check::new("configuration", Ok(())) };
        let text = "[+]configuration ok: generation 2\nreadyz check passed\n".to_owned();
        assert_eq!(report(std::slice::from_ref(&noted), "readyz", "verbose"), (StatusCode::OK, text));
        assert_eq!(report(&[noted], "readyz", ""), (StatusCode::OK, "ok".to_owned()));
    }
}
