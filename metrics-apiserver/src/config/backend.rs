//! The check of one backend.

use std::path::PathBuf;
use std::time::Duration;

use super::keys::{BACKEND_KEYS, BASIC_AUTH_KEYS};
use super::problem::{NamedFile, Problem};
use super::section::{Field, Section};
use super::values::{headers, parameters};
use crate::backend::{Auth, DEFAULT_TIMEOUT, FileOrData, Identity, Options, ProxyUrl, ServerName};
use crate::rules::BackendName;
use crate::syntax::{BaseUrl, ParseUrlError};

/// The path of Prometheus' HTTP API, below the base URL.
pub(super) const API_PATH: &str = "/api/v1";

/// Each server gets an equal share of the timeout: with more servers a share is too short. An HA group has two or
/// three.
const MAX_URLS: usize = 5;

/// Prometheus' own `--query.timeout` is 2 min; nothing that scales a workload waits longer.
const MAX_TIMEOUT: Duration = Duration::from_secs(300);

/// Checks one entry of `backends`, and lists the files it names; none if anything is wrong with it. `source` is the
/// text of the file.
pub(super) fn check_backend<'a>(
    name: &str,
    field: &Field<'a>,
    source: &'a str,
    files: &mut Vec<NamedFile>,
    problems: &mut Vec<Problem>,
) -> Option<(BackendName, Options)> {
    let before = problems.len();
    let name = backend_name(name, field, problems);
    let section = Section::open(field, BACKEND_KEYS, problems)?;
    let urls = urls(&section, problems);
    let timeout = section.get("timeout").and_then(|field| timeout(&field, problems));
    let headers = section.get("headers").map(|field| headers(&field, problems)).unwrap_or_default();
    let parameters = section.get("queryParameters").map(|field| parameters(&field, source, problems));
    let auth = auth(&section, files, problems);
    let ca = section.get("caFile").and_then(|field| file(&field, files, problems));
    let server_name = section.get("serverName").and_then(|field| field.parsed(problems, ServerName::parse));
    let insecure = section.get("insecureSkipTLSVerify").and_then(|field| field.boolean(problems));
    let identity = identity(&section, files, problems);
    let proxy = section.get("proxyUrl").and_then(|field| field.parsed(problems, ProxyUrl::parse));
    let options = Options {
        timeout: timeout.unwrap_or(DEFAULT_TIMEOUT),
        headers,
        parameters: parameters.unwrap_or_default(),
        auth,
        ca,
        server_name,
        insecure_skip_tls_verify: insecure.unwrap_or_default(),
        identity,
        proxy,
        ..Options::new(urls?)
    };
    check_together(&section, &options, problems);
    (problems.len() == before).then_some((name?, options))
}

/// Keys that have no effect, or contradict each other.
fn check_together(section: &Section<'_>, options: &Options, problems: &mut Vec<Problem>) {
    let insecure = section.get("insecureSkipTLSVerify").filter(|_| options.insecure_skip_tls_verify);
    let tls_key = ["caFile", "certFile", "serverName"].iter().find_map(|key| section.get(key));
    if let (false, Some(field)) = (options.is_https(), tls_key.or_else(|| insecure.clone())) {
        let problem = field.problem("has no effect: the URL begins with http://");
        problems.push(problem.help("use https:// or remove it"));
        return;
    }
    let verified = ["caFile", "serverName"].iter().find_map(|key| section.get(key));
    if let (Some(field), Some(insecure)) = (verified, insecure) {
        let message = "has no effect: `insecureSkipTLSVerify` accepts every server certificate";
        problems.push(field.excludes(&insecure, message));
        return;
    }
    if let (None, None, Some(field)) = (&options.ca, section.get("caFile"), section.get("serverName")) {
        let problem = field.key_problem("`caFile` is missing");
        problems.push(problem.help("add the CA of this server's certificate: a name is no proof without it"));
    }
    let https_proxy =
        section.get("proxyUrl").filter(|_| options.proxy.as_ref().is_some_and(ProxyUrl::is_https));
    if let (Some(_), Some(field)) = (&options.server_name, https_proxy) {
        let problem = field.problem("`serverName` is expected of every certificate, the proxy's included");
        problems.push(problem.help("use a proxy with http:// or socks5://, or remove `serverName`"));
    }
}

fn backend_name(name: &str, field: &Field<'_>, problems: &mut Vec<Problem>) -> Option<BackendName> {
    let valid = (1..=63).contains(&name.len())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if !valid {
        let problem = field.key_problem(format!("{name:?} is not a valid backend name"));
        problems.push(problem.help("use 1 to 63 letters, digits, `-`, `_` and `.`"));
    }
    valid.then(|| BackendName(name.into()))
}

/// `url` or `urls`: the base URLs of a backend.
fn urls(section: &Section<'_>, problems: &mut Vec<Problem>) -> Option<Vec<BaseUrl>> {
    match (section.get("url"), section.get("urls")) {
        (Some(one), Some(several)) => {
            problems.push(several.excludes(&one, "`url` and `urls` are mutually exclusive"));
            None
        }
        (None, Some(field)) => several_urls(&field, problems),
        (Some(field), None) => Some(vec![url(&field, problems)?]),
        (None, None) => {
            let problem = section.problem("`url` is missing");
            problems.push(problem.help("add `url: …`, or `urls: […]` for the servers of an HA pair"));
            None
        }
    }
}

fn url(field: &Field<'_>, problems: &mut Vec<Problem>) -> Option<BaseUrl> {
    let error = match BaseUrl::parse(field.text(problems)?, API_PATH) {
        Ok(url) => return Some(url),
        Err(error) => error,
    };
    let problem = field.problem(error.to_string());
    problems.push(match error {
        ParseUrlError::Credentials => problem.help("use `basicAuth` with a `passwordFile`"),
        _ => problem,
    });
    None
}

fn several_urls(field: &Field<'_>, problems: &mut Vec<Problem>) -> Option<Vec<BaseUrl>> {
    let before = problems.len();
    let items = field.items(problems)?;
    if items.is_empty() || items.len() > MAX_URLS {
        problems.push(field.problem(format!("`urls` must have 1 to {MAX_URLS} items")));
    }
    let mut found: Vec<(Field<'_>, BaseUrl)> = Vec::new();
    for item in items.into_iter().take(MAX_URLS) {
        let Some(url) = url(&item, problems) else { continue };
        if let Some((first, _)) = found.iter().find(|(_, other)| *other == url) {
            let problem = item.problem("duplicate URL");
            problems.push(problem.related(first.key_place, "first given here").help("keep one of them"));
        } else if let Some((first, _)) = found.iter().find(|(_, other)| other.is_https() != url.is_https()) {
            let problem =
                item.problem("http:// and https:// are mixed: queries to one server are not encrypted");
            let problem = problem.related(first.key_place, "the other scheme is here");
            problems.push(problem.help("use one scheme for all servers of a backend"));
        } else {
            found.push((item, url));
        }
    }
    (problems.len() == before).then(|| found.into_iter().map(|(_, url)| url).collect())
}

fn timeout(field: &Field<'_>, problems: &mut Vec<Problem>) -> Option<Duration> {
    let timeout = field.duration(problems)?;
    let ok = (Duration::from_millis(1)..=MAX_TIMEOUT).contains(&timeout);
    if !ok {
        problems.push(field.problem("the timeout must be from 1ms to 5m"));
    }
    ok.then_some(timeout)
}

fn auth(section: &Section<'_>, files: &mut Vec<NamedFile>, problems: &mut Vec<Problem>) -> Auth {
    let token = section.get("bearerTokenFile");
    let basic = section.get("basicAuth");
    if let (Some(token), Some(basic)) = (&token, &basic) {
        problems.push(basic.excludes(token, "`bearerTokenFile` and `basicAuth` are mutually exclusive"));
    }
    let token = token.and_then(|field| file(&field, files, problems)).map(Auth::Bearer);
    let basic = basic.and_then(|field| basic_auth(&field, files, problems));
    token.or(basic).unwrap_or_default()
}

fn basic_auth(field: &Field<'_>, files: &mut Vec<NamedFile>, problems: &mut Vec<Problem>) -> Option<Auth> {
    let section = Section::open(field, BASIC_AUTH_KEYS, problems)?;
    let username = section.required("username", problems).and_then(|field| {
        field.parsed(problems, |name| {
            let ok = !name.is_empty() && !name.contains(|c: char| c == ':' || c.is_control());
            if ok { Ok(name.to_owned()) } else { Err("the user name must not be empty or contain a colon") }
        })
    });
    let password = section.required("passwordFile", problems).and_then(|field| file(&field, files, problems));
    Some(Auth::Basic { username: username?, password: password? })
}

fn identity(
    section: &Section<'_>,
    files: &mut Vec<NamedFile>,
    problems: &mut Vec<Problem>,
) -> Option<Identity> {
    let (cert, key) = (section.get("certFile"), section.get("keyFile"));
    let alone = match (&cert, &key) {
        (Some(field), None) => Some((field, "keyFile")),
        (None, Some(field)) => Some((field, "certFile")),
        _ => None,
    };
    if let Some((field, missing)) = alone {
        let problem = field.key_problem(format!("`{missing}` is missing"));
        problems.push(problem.help("a client certificate needs both `certFile` and `keyFile`"));
    }
    let cert = cert.and_then(|field| file(&field, files, problems));
    let key = key.and_then(|field| file(&field, files, problems));
    Some(Identity { cert: cert?, key: key? })
}

/// The path of a file, which is listed for linking.
fn file(field: &Field<'_>, files: &mut Vec<NamedFile>, problems: &mut Vec<Problem>) -> Option<FileOrData> {
    let path = PathBuf::from(field.text(problems)?);
    files.push(NamedFile { path: path.clone(), key: field.path.clone(), place: field.node.place });
    Some(FileOrData::File(path))
}
