//! Reads the credentials of a kubeconfig, for a backend.
//!
//! The current context counts, as for kubectl. The URL of its cluster is not used. The kubeconfig itself is read once;
//! the files that it names are reloaded when they change.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::{Auth, FileOrData, Identity, Options, ProxyUrl, Secret, ServerName};
use crate::files::{CREDENTIAL_BYTES_MAX, ReadError, read};

/// Why a kubeconfig cannot be used. Contains nothing of its content but names.
#[derive(Debug, thiserror::Error)]
pub enum KubeconfigError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] ReadError),
    /// The file is not a kubeconfig.
    #[error("{} is not a kubeconfig{place}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where it is wrong, or empty.
        place: String,
    },
    /// A part that the current context names is missing.
    #[error("{} has no {what}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// What is missing.
        what: String,
    },
    /// A value that is not valid, or a feature that does not exist here.
    #[error("{}: {problem}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What to change.
        problem: &'static str,
    },
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct Kubeconfig {
    current_context: Option<String>,
    contexts: Option<Vec<NamedContext>>,
    clusters: Option<Vec<NamedCluster>>,
    users: Option<Vec<NamedUser>>,
}

#[derive(Deserialize)]
struct NamedContext {
    name: String,
    #[serde(default)]
    context: Context,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Context {
    cluster: Option<String>,
    user: Option<String>,
}

#[derive(Deserialize)]
struct NamedCluster {
    name: String,
    #[serde(default)]
    cluster: Cluster,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct Cluster {
    certificate_authority: Option<String>,
    certificate_authority_data: Option<String>,
    insecure_skip_tls_verify: Option<bool>,
    tls_server_name: Option<String>,
    proxy_url: Option<String>,
}

#[derive(Deserialize)]
struct NamedUser {
    name: String,
    #[serde(default)]
    user: User,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct User {
    client_certificate: Option<String>,
    client_certificate_data: Option<String>,
    client_key: Option<String>,
    client_key_data: Option<String>,
    token: Option<String>,
    #[serde(rename = "tokenFile")]
    token_file: Option<String>,
    username: Option<String>,
    password: Option<String>,
    #[serde(rename = "as")]
    impersonate: Option<String>,
    exec: Option<serde::de::IgnoredAny>,
    auth_provider: Option<serde::de::IgnoredAny>,
}

impl Options {
    /// Takes CA, client certificate and credentials from the current context of a kubeconfig.
    pub fn use_kubeconfig(&mut self, path: &Path) -> Result<(), KubeconfigError> {
        let text = read(path, CREDENTIAL_BYTES_MAX)?;
        let place = |error: &serde_saphyr::Error| {
            let at = error.location();
            at.map(|at| format!(" (line {}, column {})", at.line(), at.column())).unwrap_or_default()
        };
        // The message of the parser may quote a secret.
        let file: Kubeconfig = serde_saphyr::from_slice(&text)
            .map_err(|error| KubeconfigError::Syntax { path: path.to_owned(), place: place(&error) })?;
        let (cluster, user) = file.current(path)?;
        Reader { path }.set(self, cluster, user)
    }
}

impl Kubeconfig {
    /// The cluster and the user of the current context.
    fn current(self, path: &Path) -> Result<(Cluster, User), KubeconfigError> {
        let missing = |what: String| KubeconfigError::Missing { path: path.to_owned(), what };
        let name = given(self.current_context).ok_or_else(|| missing("current-context".to_owned()))?;
        let mut contexts = self.contexts.into_iter().flatten();
        let context = contexts
            .find(|context| context.name == name)
            .ok_or_else(|| missing(format!("context {name:?}")))?
            .context;
        let cluster = match given(context.cluster) {
            None => Cluster::default(),
            Some(name) => {
                let mut clusters = self.clusters.into_iter().flatten();
                let cluster = clusters.find(|cluster| cluster.name == name);
                cluster.ok_or_else(|| missing(format!("cluster {name:?}")))?.cluster
            }
        };
        let user = match given(context.user) {
            None => User::default(),
            Some(name) => {
                let mut users = self.users.into_iter().flatten();
                users.find(|user| user.name == name).ok_or_else(|| missing(format!("user {name:?}")))?.user
            }
        };
        Ok((cluster, user))
    }
}

/// Reads the parts of the kubeconfig with this path.
struct Reader<'a> {
    path: &'a Path,
}

impl Reader<'_> {
    fn set(&self, options: &mut Options, cluster: Cluster, user: User) -> Result<(), KubeconfigError> {
        if user.exec.is_some() || user.auth_provider.is_some() {
            return Err(self.unusable("exec plugins and auth providers are not supported; use a tokenFile"));
        }
        if given(user.impersonate.clone()).is_some() {
            return Err(self.unusable("impersonation (as) is not supported; remove it"));
        }
        let proxy = given(cluster.proxy_url).map(|url| ProxyUrl::parse(&url)).transpose();
        options.proxy = proxy.map_err(|_| {
            self.unusable("proxy-url is not an http, https or socks5 URL of a host and a port")
        })?;
        options.ca = self.source(cluster.certificate_authority, cluster.certificate_authority_data)?;
        options.insecure_skip_tls_verify = cluster.insecure_skip_tls_verify.unwrap_or_default();
        let server_name = given(cluster.tls_server_name).map(|name| ServerName::parse(&name)).transpose();
        options.server_name =
            server_name.map_err(|_| self.unusable("tls-server-name is not a valid DNS name"))?;
        if options.insecure_skip_tls_verify {
            if options.ca.is_some() {
                return Err(self
                    .unusable("insecure-skip-tls-verify and a certificate-authority are given; remove one"));
            }
            options.server_name = None;
        }
        if options.server_name.is_some() && options.ca.is_none() {
            return Err(self.unusable("tls-server-name needs a certificate-authority; add the server's CA"));
        }
        if options.server_name.is_some() && options.proxy.as_ref().is_some_and(ProxyUrl::is_https) {
            return Err(
                self.unusable("tls-server-name and an https proxy-url do not go together; remove one")
            );
        }
        options.identity = self.identity(&user)?;
        options.auth = self.auth(user)?;
        Ok(())
    }

    fn identity(&self, user: &User) -> Result<Option<Identity>, KubeconfigError> {
        let cert = self.source(user.client_certificate.clone(), user.client_certificate_data.clone())?;
        let key = self.source(user.client_key.clone(), user.client_key_data.clone())?;
        match (cert, key) {
            (None, None) => Ok(None),
            (Some(cert), Some(key)) => Ok(Some(Identity { cert, key })),
            _ => Err(self.unusable("a client certificate needs both client-certificate and client-key")),
        }
    }

    fn auth(&self, user: User) -> Result<Auth, KubeconfigError> {
        // As in client-go, the file wins: it may be newer.
        let token = match (given(user.token_file), given(user.token)) {
            (Some(file), _) => Some(self.file(&file)),
            (None, Some(token)) => Some(FileOrData::Data(Secret(token.into_bytes()))),
            (None, None) => None,
        };
        match (token, given(user.username)) {
            (None, None) => Ok(Auth::None),
            (Some(token), None) => Ok(Auth::Bearer(token)),
            (None, Some(username)) => {
                let password = FileOrData::Data(Secret(user.password.unwrap_or_default().into_bytes()));
                Ok(Auth::Basic { username, password })
            }
            (Some(_), Some(_)) => Err(self.unusable("a token and a username are given; remove one of them")),
        }
    }

    /// A file or base64 data; data wins.
    fn source(
        &self,
        file: Option<String>,
        data: Option<String>,
    ) -> Result<Option<FileOrData>, KubeconfigError> {
        match (given(data), given(file)) {
            (Some(data), _) => {
                let data = STANDARD.decode(data.trim()).map_err(|_| {
                    self.unusable("a key that ends with -data has a value that is not base64")
                })?;
                Ok(Some(FileOrData::Data(Secret(data))))
            }
            (None, Some(file)) => Ok(Some(self.file(&file))),
            (None, None) => Ok(None),
        }
    }

    /// A file that is named relative to the kubeconfig.
    fn file(&self, name: &str) -> FileOrData {
        FileOrData::File(self.path.with_file_name(name))
    }

    fn unusable(&self, problem: &'static str) -> KubeconfigError {
        KubeconfigError::Unusable { path: self.path.to_owned(), problem }
    }
}

/// An empty text is as good as none.
fn given(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests;
