//! A backend: one Prometheus-compatible server and how to talk to it.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::base_url::BaseUrl;
use super::check::Files;
use super::options::is_header_name;
use super::problem::Problem;
use super::section::{Field, Section};
use crate::rules::BackendName;

/// One Prometheus-compatible server, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backend {
    /// Its name in the configuration.
    pub name: BackendName,
    /// Its address; of an HA pair the addresses of its servers. At least one, all `http` or all `https`.
    pub urls: Vec<BaseUrl>,
    /// How long one query may take, trying other addresses included; from 1 ms to 5 min.
    pub timeout: Duration,
    /// Headers sent with every query, such as a tenant's.
    pub headers: Vec<Header>,
    /// How it learns who asks.
    pub credentials: Credentials,
    /// CAs of its certificate, PEM; none: the system's.
    pub ca_file: Option<PathBuf>,
    /// The client certificate shown to it.
    pub client_certificate: Option<ClientCertificate>,
}

/// A header; its value may be a secret, so it is not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Header {
    /// A valid name in lower case, none that the client sets itself.
    pub name: String,
    /// A valid value: visible ASCII and spaces.
    pub value: String,
}

/// How a backend learns who asks. The files are read again when they change.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Credentials {
    /// It doesn't.
    #[default]
    None,
    /// By `Authorization: Bearer` with this file's content.
    BearerToken(PathBuf),
    /// By `Authorization: Basic`.
    Basic {
        /// The user's name, without a colon.
        username: String,
        /// The file with the password.
        password_file: PathBuf,
    },
}

/// A client certificate with its key. The files are read again when they change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The chain, PEM.
    pub cert_file: PathBuf,
    /// The private key, PEM.
    pub key_file: PathBuf,
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Header").field("name", &self.name).finish_non_exhaustive()
    }
}

const KEYS: [&str; 9] =
    ["url", "urls", "timeout", "headers", "bearerTokenFile", "basicAuth", "caFile", "certFile", "keyFile"];

/// Each gets an even part of the timeout, so more would leave too little to any. An HA group has two or three.
const MAX_URLS: usize = 5;

/// Prometheus' own `--query.timeout` is 2 min; nothing that scales a workload waits longer.
const MAX_TIMEOUT: Duration = Duration::from_secs(300);
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// More headers than any proxy in front of Prometheus asks for.
const MAX_HEADERS: usize = 32;

/// Set by the HTTP client or by another key.
const OWN_HEADERS: [&str; 16] = [
    "host",
    "content-length",
    "content-type",
    "content-encoding",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "proxy-authorization",
    "trailer",
    "expect",
    "traceparent",
    "tracestate",
    "accept",
    "accept-encoding",
    "te",
    "upgrade",
];

impl Backend {
    /// Checks one entry of `backends`; none if anything is wrong with it.
    pub(super) fn check(
        name: &str,
        field: &Field<'_>,
        files: Files<'_>,
        problems: &mut Vec<Problem>,
    ) -> Option<Self> {
        let before = problems.len();
        let name = field_name(name, field, problems);
        let section = Section::open(field, &KEYS, problems)?;
        let urls = urls(&section, problems);
        let timeout = section.get("timeout").and_then(|field| timeout(&field, problems));
        let headers = section.get("headers").map(|field| headers(&field, problems)).unwrap_or_default();
        let credentials = credentials(&section, files, problems);
        let ca_file = section.get("caFile").and_then(|field| file(&field, files, problems));
        let client_certificate = client_certificate(&section, files, problems);
        let backend = Self {
            name: name?,
            urls: urls?,
            timeout: timeout.unwrap_or(DEFAULT_TIMEOUT),
            headers,
            credentials,
            ca_file,
            client_certificate,
        };
        backend.check_tls(&section, problems);
        (problems.len() == before).then_some(backend)
    }

    fn check_tls(&self, section: &Section<'_>, problems: &mut Vec<Problem>) {
        let tls_key = ["caFile", "certFile"].iter().find_map(|key| section.get(key));
        if let (false, Some(field)) = (self.is_https(), tls_key) {
            problems.push(
                field
                    .problem("has no effect: the url begins with http://")
                    .help("write https:// or remove the file"),
            );
        }
    }

    /// Whether what is sent there is encrypted.
    fn is_https(&self) -> bool {
        self.urls.iter().all(BaseUrl::is_https)
    }

    /// Whether a secret goes over the wire unencrypted.
    pub(super) fn exposes_credentials(&self) -> bool {
        !self.is_https() && self.credentials != Credentials::None
    }
}

fn field_name(name: &str, field: &Field<'_>, problems: &mut Vec<Problem>) -> Option<BackendName> {
    let valid = (1..=63).contains(&name.len())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if !valid {
        let problem =
            Problem::new(field.path.clone(), field.key_place, format!("{name:?} is no name of a backend"));
        problems.push(problem.help("use 1 to 63 letters, digits, `-`, `_` and `.`"));
    }
    valid.then(|| BackendName(name.into()))
}

/// `url` or `urls`: the addresses of a backend.
fn urls(section: &Section<'_>, problems: &mut Vec<Problem>) -> Option<Vec<BaseUrl>> {
    match (section.get("url"), section.get("urls")) {
        (Some(one), Some(several)) => {
            let message = "`url` and `urls` exclude each other";
            let problem = Problem::new(several.path.clone(), several.key_place, message);
            problems.push(problem.related(one.key_place, "the other is here").help("keep one of them"));
            None
        }
        (None, Some(field)) => several_urls(&field, problems),
        (Some(field), None) => Some(vec![field.parsed(problems, BaseUrl::parse)?]),
        (None, None) => {
            let problem = section.problem("`url` is missing");
            problems.push(problem.help("add `url: …` here, or `urls: […]` for the servers of an HA pair"));
            None
        }
    }
}

fn several_urls(field: &Field<'_>, problems: &mut Vec<Problem>) -> Option<Vec<BaseUrl>> {
    let before = problems.len();
    let items = field.items(problems)?;
    if items.is_empty() || items.len() > MAX_URLS {
        problems.push(field.problem(format!("`urls` must hold 1 to {MAX_URLS} addresses")));
    }
    let mut found: Vec<(Field<'_>, BaseUrl)> = Vec::new();
    for item in items.into_iter().take(MAX_URLS) {
        let Some(url) = item.parsed(problems, BaseUrl::parse) else { continue };
        if let Some((first, _)) = found.iter().find(|(_, other)| *other == url) {
            let problem = item.problem("the address is given twice");
            problems.push(problem.related(first.key_place, "first given here").help("keep one of them"));
        } else if let Some((first, _)) = found.iter().find(|(_, other)| other.is_https() != url.is_https()) {
            let problem =
                item.problem("http:// and https:// are mixed: one server would be asked unprotected");
            problems.push(
                problem
                    .related(first.key_place, "the other scheme is here")
                    .help("use one scheme for all servers of a backend"),
            );
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

fn headers(field: &Field<'_>, problems: &mut Vec<Problem>) -> Vec<Header> {
    let Some(section) = Section::open_free(field, problems) else { return Vec::new() };
    note_same_headers(&section, problems);
    let headers: Vec<_> =
        section.fields().filter_map(|(name, field)| header(name, &field, problems)).collect();
    if headers.len() > MAX_HEADERS {
        problems.push(field.problem(format!("more than {MAX_HEADERS} headers")));
    }
    headers
}

/// One header by two names that differ by their case only: both would be sent.
fn note_same_headers(section: &Section<'_>, problems: &mut Vec<Problem>) {
    let mut seen = HashMap::new();
    for (written, field) in section.fields() {
        let name = written.to_ascii_lowercase();
        let message = format!("the header `{name}` is given twice; names differ by more than their case");
        let (first, place) = *seen.entry(name).or_insert((written, field.key_place));
        // A key that is the same is noted as every key is.
        if first != written {
            let problem = Problem::new(field.path, field.key_place, message);
            problems.push(problem.related(place, "first given here").help("keep one of them"));
        }
    }
}

fn header(name: &str, field: &Field<'_>, problems: &mut Vec<Problem>) -> Option<Header> {
    let value = field.text(problems)?;
    let name = name.to_ascii_lowercase();
    let at_key = |message: String| Problem::new(field.path.clone(), field.key_place, message);
    if !is_header_name(&name) {
        problems.push(at_key("not a header's name".into()));
    } else if name == "authorization" {
        problems.push(
            at_key("credentials are read from files".into()).help("use `bearerTokenFile` or `basicAuth`"),
        );
    } else if OWN_HEADERS.contains(&name.as_str()) {
        problems.push(at_key(format!("the header `{name}` is set by the server itself")).help("remove it"));
    } else if !value.chars().all(|c| c == ' ' || c.is_ascii_graphic()) || value.trim() != value {
        problems.push(field.problem("a header's value is visible ASCII without spaces around it"));
    } else {
        return Some(Header { name, value: value.to_owned() });
    }
    None
}

fn credentials(section: &Section<'_>, files: Files<'_>, problems: &mut Vec<Problem>) -> Credentials {
    let token = section.get("bearerTokenFile");
    let basic = section.get("basicAuth");
    if let (Some(token), Some(basic)) = (&token, &basic) {
        let problem = Problem::new(
            basic.path.clone(),
            basic.key_place,
            "`bearerTokenFile` and `basicAuth` exclude each other",
        );
        problems.push(problem.related(token.key_place, "the other is here").help("keep one of them"));
    }
    let token = token.and_then(|field| file(&field, files, problems)).map(Credentials::BearerToken);
    let basic = basic.and_then(|field| basic_auth(&field, files, problems));
    token.or(basic).unwrap_or_default()
}

fn basic_auth(field: &Field<'_>, files: Files<'_>, problems: &mut Vec<Problem>) -> Option<Credentials> {
    let section = Section::open(field, &["username", "passwordFile"], problems)?;
    let username = section.required("username", problems).and_then(|field| {
        field.parsed(problems, |name| {
            let ok = !name.is_empty() && !name.contains(|c: char| c == ':' || c.is_control());
            if ok { Ok(name.to_owned()) } else { Err("a username is not empty and has no colon") }
        })
    });
    let password_file =
        section.required("passwordFile", problems).and_then(|field| file(&field, files, problems));
    Some(Credentials::Basic { username: username?, password_file: password_file? })
}

fn client_certificate(
    section: &Section<'_>,
    files: Files<'_>,
    problems: &mut Vec<Problem>,
) -> Option<ClientCertificate> {
    let (cert, key) = (section.get("certFile"), section.get("keyFile"));
    let alone = match (&cert, &key) {
        (Some(field), None) => Some((field, "keyFile")),
        (None, Some(field)) => Some((field, "certFile")),
        _ => None,
    };
    if let Some((field, missing)) = alone {
        let problem = Problem::new(field.path.clone(), field.key_place, format!("`{missing}` is missing"));
        problems.push(problem.help("a client certificate needs both certFile and keyFile"));
    }
    let cert_file = cert.and_then(|field| file(&field, files, problems));
    let key_file = key.and_then(|field| file(&field, files, problems));
    Some(ClientCertificate { cert_file: cert_file?, key_file: key_file? })
}

/// The path of a file that can be read.
fn file(field: &Field<'_>, files: Files<'_>, problems: &mut Vec<Problem>) -> Option<PathBuf> {
    let path = Path::new(field.text(problems)?);
    match files(path) {
        Ok(()) => Some(path.to_owned()),
        Err(error) => {
            let why = error.to_string();
            problems.push(
                field
                    .problem(format!("can't read the file {}: {why}", path.display()))
                    .help("check that it is mounted and readable"),
            );
            None
        }
    }
}
