//! Where a client's address, CAs and credentials come from: a kubeconfig, or the pod that the server runs in.

use std::fmt;
use std::path::{Path, PathBuf};

use kube::Config;
use kube::config::{AuthInfo, Cluster, KubeConfigOptions, Kubeconfig};

use super::error::KubernetesError;
use crate::files::{CREDENTIAL_BYTES_MAX, read};

/// kube takes the proxy of the environment for a kubeconfig that names none, and then refuses it because proxies are
/// not compiled in. It looks no further if there is one, and its value is dropped.
const NO_PROXY: &str = "http://no-proxy.invalid";
/// Where kubelet mounts the credentials of a pod.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Where a client comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The current context of this kubeconfig.
    Kubeconfig(PathBuf),
    /// The pod's ServiceAccount.
    InCluster,
}

impl Source {
    /// A kubeconfig, if there is one, or else the pod.
    pub fn of(kubeconfig: Option<&Path>) -> Self {
        kubeconfig.map_or(Self::InCluster, |path| Self::Kubeconfig(path.to_owned()))
    }

    /// The files that make up the client.
    pub(super) fn files(&self) -> Result<Vec<PathBuf>, KubernetesError> {
        match self {
            Self::InCluster => {
                Ok(["ca.crt", "token"].map(|name| Path::new(SERVICE_ACCOUNT).join(name)).into())
            }
            Self::Kubeconfig(path) => {
                let mut kubeconfig = parse(path)?;
                let mut files = vec![path.clone()];
                let cluster = current_cluster(&mut kubeconfig);
                files.extend(
                    cluster.and_then(|cluster| cluster.certificate_authority.as_ref()).map(PathBuf::from),
                );
                if let Some(user) = current_user(&kubeconfig) {
                    let named = [&user.client_certificate, &user.client_key, &user.token_file];
                    files.extend(named.into_iter().flatten().map(PathBuf::from));
                }
                Ok(files)
            }
        }
    }

    /// What these files say now.
    pub(super) async fn load(&self) -> Result<Config, KubernetesError> {
        let mut config = match self {
            Self::InCluster => {
                Config::incluster().map_err(|error| KubernetesError::InCluster(error.to_string()))?
            }
            Self::Kubeconfig(path) => {
                let unusable = |message| KubernetesError::Unusable { path: path.clone(), message };
                let mut kubeconfig = parse(path)?;
                if let Some(cluster) = current_cluster(&mut kubeconfig) {
                    if cluster.proxy_url.as_ref().is_some_and(|url| !url.is_empty()) {
                        return Err(unusable("proxy-url is not supported; remove it".to_owned()));
                    }
                    cluster.proxy_url = Some(NO_PROXY.to_owned());
                }
                Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
                    .await
                    .map_err(|error| unusable(error.to_string()))?
            }
        };
        config.proxy_url = None;
        if let Some(file) = config.auth_info.token_file.take()
            && config.auth_info.token.is_none()
        {
            config.auth_info.token = Some(token(Path::new(&file))?.into());
        }
        Ok(config)
    }
}

/// The token in a file, without the line end that editors and `echo` leave there: kube would send it, where client-go
/// does not. A new token makes a new client, so kube need not read the file again.
fn token(path: &Path) -> Result<String, KubernetesError> {
    let content = read(path, CREDENTIAL_BYTES_MAX)?;
    let token = String::from_utf8_lossy(&content).trim().to_owned();
    if token.is_empty() { Err(KubernetesError::EmptyToken(path.to_owned())) } else { Ok(token) }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kubeconfig(path) => path.display().fmt(f),
            Self::InCluster => f.write_str("in-cluster"),
        }
    }
}

/// The kubeconfig; the files that it names have absolute paths, or paths relative to the working directory.
fn parse(path: &Path) -> Result<Kubeconfig, KubernetesError> {
    // kube opens the file itself, would wait for the writer of a pipe, and reads files of any size.
    let unreadable = |message| KubernetesError::Unreadable { path: path.to_owned(), message };
    read(path, CREDENTIAL_BYTES_MAX).map_err(|error| unreadable(error.source.to_string()))?;
    Kubeconfig::read_from(path).map_err(|error| unreadable(error.to_string()))
}

/// The names of the current context's cluster and user.
fn current_context(kubeconfig: &Kubeconfig) -> Option<(String, Option<String>)> {
    let current = kubeconfig.current_context.as_ref()?;
    let context = kubeconfig.contexts.iter().find(|context| context.name == *current)?.context.as_ref()?;
    Some((context.cluster.clone(), context.user.clone()))
}

fn current_cluster(kubeconfig: &mut Kubeconfig) -> Option<&mut Cluster> {
    let (name, _) = current_context(kubeconfig)?;
    kubeconfig.clusters.iter_mut().find(|cluster| cluster.name == name)?.cluster.as_mut()
}

fn current_user(kubeconfig: &Kubeconfig) -> Option<&AuthInfo> {
    let (_, name) = current_context(kubeconfig)?;
    let name = name?;
    kubeconfig.auth_infos.iter().find(|user| user.name == name)?.auth_info.as_ref()
}
