//! Who vouches for whom in a cluster, and the files that say so.

use crate::{
    kubeconfig::{self, Credential},
    pki::{self, Authority, IdentityFiles},
};
use anyhow::Result;
use std::path::{Path, PathBuf};

/// The common name of the front proxy's certificate: the only one that `--requestheader-allowed-names` lets through.
pub(super) const FRONT_PROXY: &str = "front-proxy-client";

/// The people that every cluster has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User {
    /// Group `system:masters`: may do everything.
    Admin,
    /// User `developer`: may do nothing but what a `RoleBinding` gives.
    Developer,
}

/// The authorities of a cluster and what they signed.
#[derive(Debug)]
pub struct Credentials {
    /// Vouches for people, components and kube-apiserver itself.
    pub cluster_ca: Authority,
    /// Vouches for kube-apiserver as a front proxy.
    pub request_header_ca: Authority,
    /// Vouches for the servers behind `APIServices`.
    pub serving_ca: Authority,
    files: Files,
    admin: PathBuf,
    developer: PathBuf,
}

/// Where the credentials lie.
#[derive(Debug)]
pub struct Files {
    /// The folder of all of them.
    pub dir: PathBuf,
    /// The cluster authority's certificate.
    pub cluster_ca: PathBuf,
    /// The request-header authority's certificate.
    pub request_header_ca: PathBuf,
    /// The serving authority's certificate.
    pub serving_ca: PathBuf,
    /// kube-apiserver's serving certificate.
    pub apiserver: IdentityFiles,
    /// kube-apiserver's client certificate as a front proxy.
    pub front_proxy: IdentityFiles,
    /// The key that signs ServiceAccount tokens.
    pub token_key: PathBuf,
    /// The public key that proves them.
    pub token_public_key: PathBuf,
    /// The kubeconfig of the controllers.
    pub controller_manager: PathBuf,
}

impl Credentials {
    /// Makes everything anew in `dir` for an API server at `url`.
    pub(super) fn create(dir: &Path, url: &str) -> Result<Self> {
        let cluster_ca = Authority::new("testbed-cluster-ca")?;
        let request_header_ca = Authority::new("testbed-request-header-ca")?;
        let serving_ca = Authority::new("testbed-serving-ca")?;
        let ca_file = dir.join("cluster-ca.crt");
        pki::write(&ca_file, &cluster_ca.pem())?;
        let names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost", "127.0.0.1"];
        let user = |file: &str, user: &str, group: Option<&str>| {
            let identity = cluster_ca.client(user, group)?.write(dir, file)?;
            kubeconfig::write(dir, file, url, &ca_file, &Credential::Certificate(&identity))
        };
        let (token_key, token_public_key) = pki::write_token_keys(dir, "service-account")?;
        let files = Files {
            apiserver: cluster_ca.server(&names)?.write(dir, "apiserver")?,
            front_proxy: request_header_ca.client(FRONT_PROXY, None)?.write(dir, "front-proxy")?,
            controller_manager: user("controller-manager", "system:kube-controller-manager", None)?,
            request_header_ca: dir.join("request-header-ca.crt"),
            serving_ca: dir.join("serving-ca.crt"),
            cluster_ca: ca_file.clone(),
            dir: dir.to_owned(),
            token_key,
            token_public_key,
        };
        pki::write(&files.request_header_ca, &request_header_ca.pem())?;
        pki::write(&files.serving_ca, &serving_ca.pem())?;
        let admin = user("admin", "admin", Some("system:masters"))?;
        let developer = user("developer", "developer", None)?;
        Ok(Self { cluster_ca, request_header_ca, serving_ca, files, admin, developer })
    }

    /// Where everything lies.
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// The kubeconfig of one of the users.
    pub fn kubeconfig(&self, user: User) -> &Path {
        match user {
            User::Admin => &self.admin,
            User::Developer => &self.developer,
        }
    }
}
