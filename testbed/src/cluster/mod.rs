//! A Kubernetes control plane: etcd, kube-apiserver and kube-controller-manager as local processes.
//!
//! There is no scheduler and no kubelet: pods stay Pending unless a [`Node`](crate::Node) binds and runs them. Services
//! have loopback addresses, where nothing listens unless a node does.

mod components;
mod credentials;

pub use components::Component;
pub use credentials::{Credentials, User};

use crate::{
    Kubectl, Process, Tools, kubeconfig, kubeconfig::Credential, loopback::Network, ports, rundir::RunDir,
};
use anyhow::{Context, Result};
use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::ServiceAccount,
};
use kube::{Api, api::PostParams};
use std::{
    net::{Ipv4Addr, SocketAddrV4},
    path::{Path, PathBuf},
    time::Duration,
};

/// Tokens outlive any run, also a cluster that is kept to play with.
const TOKEN_SECONDS: i64 = 7 * 24 * 3600;

/// How a cluster is to be.
#[derive(Clone, Debug)]
pub struct Options {
    /// Begins the name of the folder with the logs.
    pub name: String,
    /// How often `HorizontalPodAutoscalers` are looked at. Kubernetes' default is 15 s.
    pub hpa_sync_period: Duration,
    /// Further flags for kube-apiserver.
    pub apiserver_args: Vec<String>,
    /// Further flags for kube-controller-manager.
    pub controller_manager_args: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            name: "cluster".into(),
            hpa_sync_period: Duration::from_secs(1),
            apiserver_args: Vec::new(),
            controller_manager_args: Vec::new(),
        }
    }
}

/// A running control plane. It ends with this value; its logs stay.
#[derive(Debug)]
pub struct Cluster {
    // In the order in which they end.
    controller_manager: Process,
    apiserver: Process,
    etcd: Process,
    credentials: Credentials,
    tools: Tools,
    address: SocketAddrV4,
    url: String,
    /// The addresses of Services.
    _services: Network,
    dir: RunDir,
}

impl Cluster {
    /// Starts a control plane and waits until it is of use: the API server is ready and the controllers work.
    pub async fn start(options: Options) -> Result<Self> {
        crate::install_crypto();
        let tools = Tools::ensure().await?;
        let dir = RunDir::new(&options.name)?;
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, ports::free()?);
        let url = format!("https://{address}");
        let services = Network::reserve()?;
        let credentials = Credentials::create(&dir.subdir("pki")?, &url)?;
        let etcd = components::start_etcd(&tools, &dir).await?;
        let place = components::Place { etcd: &etcd.url, address, services: &services };
        let apiserver =
            components::start_apiserver(&tools, &dir, &credentials, &place, &options.apiserver_args).await?;
        let controller_manager =
            components::start_controller_manager(&tools, &dir, &credentials, &options).await?;
        let etcd = etcd.process;
        Ok(Self {
            controller_manager,
            apiserver,
            etcd,
            credentials,
            tools,
            address,
            url,
            _services: services,
            dir,
        })
    }

    /// The API server's address, such as `https://127.0.0.1:18123`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where the API server listens.
    pub(crate) fn address(&self) -> SocketAddrV4 {
        self.address
    }

    /// Everything that vouches for anybody here: authorities, their files, kubeconfigs.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// The programs.
    pub fn tools(&self) -> &Tools {
        &self.tools
    }

    /// The folders of this run; a program beside the cluster keeps its own things there too.
    pub fn dir(&self) -> &RunDir {
        &self.dir
    }

    /// The kubeconfig of one of the users that every cluster has.
    pub fn kubeconfig(&self, user: User) -> &Path {
        self.credentials.kubeconfig(user)
    }

    /// A client with all rights. It belongs to the runtime it is made on: make one for each test.
    pub async fn client(&self) -> Result<kube::Client> {
        kubeconfig::client(self.kubeconfig(User::Admin)).await
    }

    /// kubectl with all rights, such as `cluster.kubectl().run(&["get", "pods"])`.
    pub fn kubectl(&self) -> Kubectl {
        self.kubectl_as(self.kubeconfig(User::Admin))
    }

    /// kubectl for the holder of this kubeconfig.
    pub fn kubectl_as(&self, kubeconfig: &Path) -> Kubectl {
        Kubectl::new(&self.tools, kubeconfig, self.dir.state())
    }

    /// A token of a ServiceAccount, which must exist.
    pub async fn request_service_account_token(&self, namespace: &str, name: &str) -> Result<String> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client().await?, namespace);
        let spec =
            TokenRequestSpec { expiration_seconds: Some(TOKEN_SECONDS), ..TokenRequestSpec::default() };
        let request = TokenRequest { spec, ..TokenRequest::default() };
        let answer = accounts.create_token_request(name, &PostParams::default(), &request).await;
        let answer =
            answer.with_context(|| format!("requesting a token of ServiceAccount {namespace}/{name}"))?;
        Ok(answer.status.context("kube-apiserver answered without a token")?.token)
    }

    /// A kubeconfig that holds only the token of a ServiceAccount, which must exist.
    pub async fn service_account_kubeconfig(&self, namespace: &str, name: &str) -> Result<PathBuf> {
        let token = self.request_service_account_token(namespace, name).await?;
        let dir = self.dir.subdir("kubeconfig")?;
        let file = format!("{namespace}.{name}");
        kubeconfig::write(
            &dir,
            &file,
            &self.url,
            &self.credentials.files().cluster_ca,
            &Credential::Token(&token),
        )
    }

    /// One of the three programs, to look at its log or to send it a signal (stop, continue, kill).
    pub fn process(&self, component: Component) -> &Process {
        match component {
            Component::Etcd => &self.etcd,
            Component::ApiServer => &self.apiserver,
            Component::ControllerManager => &self.controller_manager,
        }
    }

    /// Ends the control plane in order. Dropping it does the same, but blocks the thread.
    pub async fn shutdown(self) -> Result<()> {
        for process in [&self.controller_manager, &self.apiserver, &self.etcd] {
            process.stop().await?;
        }
        Ok(())
    }
}
