//! prometheus-adapter's flags for the connection to Prometheus: they define the backend `default`.

use std::fmt;
use std::path::{Path, PathBuf};

use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{ArgAction, Args};

use super::prometheus_url::PrometheusUrl;
use crate::backend::{self, Auth, FileOrData, Identity, KubeconfigError, Method, NamespacedText, Secret};
use crate::config::{DefaultBackend, RESERVED_HEADERS};
use crate::syntax::{ParseUrlError, is_header_name, parse_bool};

/// The URL of prometheus-adapter without `--prometheus-url`.
const DEFAULT_URL: &str = "https://localhost";

/// Where kubelet mounts the token and the CA bundle of the ServiceAccount.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The connection to Prometheus. URL and headers may contain secrets.
#[derive(Clone, Default, Args)]
#[command(next_help_heading = "Prometheus")]
#[group(skip)]
pub struct PrometheusOptions {
    /// Base URL of the backend `default`, for configurations that define no backend of this name; a path is kept, and
    /// user:password@ is sent as basic authentication; adapter rules without a backend use localhost by https
    #[arg(id = "prometheus-url", long = "prometheus-url", value_name = "URL")]
    url: Option<String>,
    /// HTTP method of queries, GET or POST; without it, long queries are sent by POST
    #[arg(id = "prometheus-verb", long = "prometheus-verb", value_name = "METHOD", value_parser = method())]
    method: Option<Method>,
    /// Header sent with every query; repeatable
    #[arg(id = "prometheus-header", long = "prometheus-header", value_name = "NAME=VALUE")]
    headers: Vec<String>,
    /// CA bundle for Prometheus, PEM; reloaded when the file changes; with it, the --prometheus-auth-* flags have no
    /// effect
    #[arg(id = "prometheus-ca-file", long = "prometheus-ca-file", value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Client certificate for Prometheus, PEM; reloaded when the file changes; needs --prometheus-ca-file
    #[arg(
        id = "prometheus-client-tls-cert-file",
        long = "prometheus-client-tls-cert-file",
        value_name = "FILE"
    )]
    cert_file: Option<PathBuf>,
    /// Private key of the client certificate, PEM; reloaded when the file changes
    #[arg(
        id = "prometheus-client-tls-key-file",
        long = "prometheus-client-tls-key-file",
        value_name = "FILE"
    )]
    key_file: Option<PathBuf>,
    /// Bearer token for Prometheus; reloaded when the file changes
    #[arg(id = "prometheus-token-file", long = "prometheus-token-file", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Use the token of the ServiceAccount and the CA bundle of the cluster for Prometheus
    #[arg(id = "prometheus-auth-incluster", long = "prometheus-auth-incluster", value_name = "BOOL")]
    #[arg(num_args = 0..=1, require_equals = true)]
    #[arg(default_value = "false", default_missing_value = "true", action = ArgAction::Set, value_parser = parse_bool)]
    auth_incluster: bool,
    /// Kubeconfig with the CA, client certificate and credentials for Prometheus; the URL in it is not used
    #[arg(id = "prometheus-auth-config", long = "prometheus-auth-config", value_name = "FILE")]
    auth_config: Option<PathBuf>,
}

fn method() -> impl clap::builder::TypedValueParser<Value = Method> {
    PossibleValuesParser::new(["GET", "POST"]).map(|name| match name.as_str() {
        "POST" => Method::Post,
        _ => Method::Get,
    })
}

impl PrometheusOptions {
    /// Every invalid flag.
    pub(super) fn errors(&self) -> Vec<String> {
        let mut errors = Vec::new();
        if let Err(error) = self.parsed_url() {
            errors.push(match error {
                ParseUrlError::Credentials => {
                    "--prometheus-url: the credentials of the URL are not valid; percent-encode them"
                        .to_owned()
                }
                error => format!("--prometheus-url: {error}"),
            });
        }
        for (name, value) in self.headers() {
            if !is_header_name(name) {
                errors.push(format!(
                    "--prometheus-header: {name:?} is not a valid header name; use Name=value"
                ));
            } else if !value.chars().all(|c| c == '\t' || c == ' ' || c.is_ascii_graphic()) {
                errors.push(format!("--prometheus-header: the value of {name} must be visible ASCII"));
            }
        }
        if self.ca_file.is_none() && self.auth_incluster && self.auth_config.is_some() {
            let error = "--prometheus-auth-incluster and --prometheus-auth-config are mutually exclusive";
            errors.push(error.to_owned());
        }
        errors
    }

    /// Every flag that has no effect.
    pub(super) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let mut warn = |is_wrong: bool, text: &str| {
            if is_wrong {
                warnings.push(text.to_owned());
            }
        };
        let url = self.parsed_url().ok();
        warn(
            url.as_ref().is_some_and(|url| url.has_query),
            "--prometheus-url: the query of the URL is not sent; use --prometheus-header",
        );
        warn(
            self.ca_file.is_some() && (self.auth_incluster || self.auth_config.is_some()),
            "--prometheus-auth-incluster and --prometheus-auth-config have no effect with --prometheus-ca-file",
        );
        warn(
            (self.cert_file.is_some() || self.key_file.is_some()) && self.identity().is_none(),
            "--prometheus-client-tls-cert-file and --prometheus-client-tls-key-file have an effect only together, \
             and with --prometheus-ca-file",
        );
        warn(
            self.ca_file.is_some() && url.is_some_and(|url| !url.base.is_https()),
            "--prometheus-ca-file has no effect: --prometheus-url begins with http://",
        );
        for (name, _) in self.headers().filter(|(name, _)| is_reserved(name)) {
            warn(true, &format!("--prometheus-header: {name} is ignored, the server sets it"));
        }
        warnings
    }

    /// The backend that the flags define. Reads the kubeconfig of `--prometheus-auth-config`.
    pub fn default_backend(&self) -> Result<DefaultBackend, DefaultBackendError> {
        let PrometheusUrl { base, credentials, .. } = self.parsed_url()?;
        let mut options = backend::Options::new(vec![base]);
        if let Some(ca_file) = &self.ca_file {
            options.ca = Some(FileOrData::File(ca_file.clone()));
            options.identity = self.identity();
        } else if let Some(kubeconfig) = &self.auth_config {
            options.use_kubeconfig(kubeconfig)?;
        } else if self.auth_incluster {
            let file = |name: &str| FileOrData::File(Path::new(SERVICE_ACCOUNT).join(name));
            options.ca = Some(file("ca.crt"));
            options.auth = Auth::Bearer(file("token"));
        }
        if let Some(token_file) = &self.token_file {
            options.auth = Auth::Bearer(FileOrData::File(token_file.clone()));
        }
        if let Some((username, password)) = credentials {
            options.auth = Auth::Basic { username, password: FileOrData::Data(Secret(password)) };
        }
        options.method = self.method.unwrap_or_default();
        for (name, value) in self.headers().filter(|(name, _)| !is_reserved(name)) {
            if name.eq_ignore_ascii_case("authorization") {
                options.auth = Auth::None;
            }
            options.headers.push((name.to_owned(), NamespacedText::literal(value)));
        }
        Ok(DefaultBackend { options, is_given: self.is_given() })
    }

    fn is_given(&self) -> bool {
        let files = [&self.ca_file, &self.cert_file, &self.key_file, &self.token_file, &self.auth_config];
        self.url.is_some()
            || self.method.is_some()
            || !self.headers.is_empty()
            || self.auth_incluster
            || files.into_iter().any(Option::is_some)
    }

    fn parsed_url(&self) -> Result<PrometheusUrl, ParseUrlError> {
        PrometheusUrl::parse(self.url.as_deref().unwrap_or(DEFAULT_URL))
    }

    fn identity(&self) -> Option<Identity> {
        let (cert, key) = (self.cert_file.clone()?, self.key_file.clone()?);
        self.ca_file.is_some().then(|| Identity { cert: cert.into(), key: key.into() })
    }

    /// Names and values; a text without `=` is a name with an empty value.
    fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().map(|text| text.split_once('=').unwrap_or((text, "")))
    }
}

/// Whether the client sets this header.
fn is_reserved(name: &str) -> bool {
    RESERVED_HEADERS.iter().any(|reserved| name.eq_ignore_ascii_case(reserved))
}

/// Why the flags define no backend.
#[derive(Debug, thiserror::Error)]
pub enum DefaultBackendError {
    /// The URL is not valid.
    #[error("--prometheus-url")]
    Url(#[from] ParseUrlError),
    /// The kubeconfig cannot be used.
    #[error("--prometheus-auth-config")]
    Kubeconfig(#[from] KubeconfigError),
}

impl fmt::Debug for PrometheusOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrometheusOptions").finish_non_exhaustive()
    }
}
