//! Everything that takes part: a cluster, a node, Prometheus behind the proxy, our servers behind the balancer.

use super::{
    Options,
    reader::{Client, Reader},
    watch::Watch,
    workload::{self, IMAGE, REPLICAS, WORKLOADS},
};
use crate::{
    Balancer, Cluster, FaultProxy, Node, Prometheus, Server, User, cluster, eventually, http, node,
    pki::{self, Authority},
    ports, prometheus, server, workspace,
};
use anyhow::{Context, Result};
use futures_util::future::join_all;
use nix::sys::signal::Signal;
use std::{collections::BTreeMap, net::Ipv4Addr, path::Path, time::Duration};
use tokio::task::JoinSet;

/// What takes seconds, on a busy machine.
pub(super) const SOON: Duration = Duration::from_secs(90);
/// How long a server goes on serving after SIGTERM: ample for the balancer and for connections that are used.
const SHUTDOWN_DELAY: &str = "--shutdown-delay-duration=2s";
/// Of the adapter's rules: new series are found soon, and stay known while Prometheus is away.
const DISCOVERY: [&str; 2] = ["--metrics-relist-interval=2s", "--metrics-max-age=1m"];
/// What a server's log says of a configuration that it refuses.
const REFUSED: &str = "the configuration file is refused";
/// The serving certificate's files, one pair for all servers.
const SERVING: &str = "serving";

/// All that runs. It ends with this value; [`Stage::end`] ends it in order.
pub(super) struct Stage {
    // In the order in which they end.
    pub(super) reader: Reader,
    pub(super) watch: Watch,
    servers: Vec<Server>,
    balancer: Balancer,
    pub(super) proxy: FaultProxy,
    pub(super) prometheus: Prometheus,
    _load: JoinSet<()>,
    node: Node,
    cluster: Cluster,
    config: String,
    options: server::Options,
    serving: pki::IdentityFiles,
    /// The authority that vouches for the serving certificate, as PEM.
    ca: String,
    started: usize,
}

impl Stage {
    /// Starts everything and waits until the load is steady and all HPAs are content.
    pub(super) async fn start(options: &Options) -> Result<Self> {
        let cluster =
            Cluster::start(cluster::Options { name: "faults".into(), ..cluster::Options::default() }).await?;
        let client = cluster.client().await?;
        let node = node(&cluster).await?;
        workload::deploy(&cluster).await?;
        let prometheus = Prometheus::start(prometheus::Options {
            name: "faults-prometheus".into(),
            kubeconfig: Some(cluster.kubeconfig(User::Admin).to_owned()),
            ..prometheus::Options::default()
        })
        .await?;
        eventually("the workloads' pods", SOON, || workload::is_up(&client)).await?;
        let load = workload::load(&client)?;
        let proxy = FaultProxy::start(prometheus.url()).await?;
        let config = workload::configuration(proxy.url(), options.max_age);
        let dir = cluster.dir().subdir("faults")?;
        let serving = Server::identity(&cluster)?.write(&dir, SERVING)?;
        let server = server::Options {
            config: dir.join("config.yaml"),
            kubeconfig: Server::account(&cluster).await?,
            args: [SHUTDOWN_DELAY].iter().chain(&DISCOVERY).map(ToString::to_string).collect(),
        };
        let mut stage = Self {
            reader: Reader::start(&cluster)?,
            watch: Watch::start(&client),
            servers: Vec::new(),
            balancer: Balancer::start().await?,
            proxy,
            prometheus,
            _load: load,
            node,
            ca: cluster.credentials().serving_ca.pem(),
            cluster,
            config,
            options: server,
            serving,
            started: 0,
        };
        stage.mend_config()?;
        stage.add_server().await?;
        stage.register(&stage.ca).await?;
        stage.steady().await?;
        workload::autoscale(&stage.cluster).await?;
        stage.well().await?;
        Ok(stage)
    }

    /// Waits until all is as it should be.
    pub(super) async fn well(&self) -> Result<()> {
        eventually("the HPAs to be content", SOON, async || self.watch.is_well(REPLICAS)).await
    }

    /// Starts one more server and waits until it gets connections.
    pub(super) async fn add_server(&mut self) -> Result<()> {
        self.started += 1;
        let name = format!("metrics-apiserver-{}", self.started);
        let serving =
            server::Serving { files: self.serving.clone(), ca: self.ca.clone(), port: ports::free()? };
        let server = Server::start_with(&self.cluster, &name, &self.options, serving).await?;
        let port = server.port();
        self.balancer.add(port);
        self.servers.push(server);
        let ready = async || Ok(self.balancer.ready().contains(&port).then_some(()));
        eventually("the balancer to see the server ready", SOON, ready).await
    }

    /// Ends the server that has run longest: with SIGTERM, and in its own time.
    pub(super) async fn end_oldest(&mut self) -> Result<()> {
        let server = self.servers.remove(0);
        server.process().terminate()?;
        let status = server.process().ended(SOON).await?;
        self.balancer.remove(server.port());
        anyhow::ensure!(status.success(), "a server told to end ended with {status}");
        Ok(())
    }

    /// Kills every server.
    pub(super) fn kill_servers(&mut self) -> Result<()> {
        for server in self.servers.drain(..) {
            server.process().kill()?;
            self.balancer.remove(server.port());
        }
        Ok(())
    }

    /// How many servers run.
    pub(super) fn servers(&self) -> usize {
        self.servers.len()
    }

    /// Puts a file in the configuration's place that no server can use, and waits until all have refused it.
    pub(super) async fn break_config(&self) -> Result<()> {
        self.configure(&self.config.replace("sum(last_over_time(", "sum(last_over_time((("))?;
        for server in &self.servers {
            let log = async || Ok(std::fs::read_to_string(server.log())?.contains(REFUSED).then_some(()));
            eventually("the broken configuration to be refused", SOON, log).await?;
        }
        Ok(())
    }

    /// Puts the configuration back.
    pub(super) fn mend_config(&self) -> Result<()> {
        self.configure(&self.config)
    }

    fn configure(&self, config: &str) -> Result<()> {
        replace(&self.options.config, config)?;
        // At once, and not when the server looks by itself.
        self.servers.iter().try_for_each(|server| server.process().signal(Signal::SIGHUP))
    }

    /// Makes a new authority and certificate take the old ones' place, as `certs/README.md` says: first both
    /// authorities in the bundle, then the certificate, then the new authority alone. `pause` is what an operator waits
    /// in between.
    pub(super) async fn rotate(&mut self, pause: Duration) -> Result<()> {
        let authority = Authority::new("testbed-serving-ca-next")?;
        let next = authority.server(&[server::HOST, "localhost", "127.0.0.1"])?;
        self.register(&format!("{}{}", self.ca, authority.pem())).await?;
        tokio::time::sleep(pause).await;
        replace(&self.serving.certificate, &next.certificate)?;
        replace(&self.serving.key, &next.key)?;
        let ca = authority.pem();
        for server in &self.servers {
            let look = async || {
                // Anew each time: a kept connection keeps its certificate.
                let client = http::client_of(&ca, server::HOST, (Ipv4Addr::LOCALHOST, server.port()).into())?;
                let url = format!("https://{}:{}/readyz", server::HOST, server.port());
                Ok(http::answers(&client, &url).await?.then_some(()))
            };
            eventually("the new certificate to be shown", SOON, look).await?;
        }
        self.register(&ca).await?;
        self.ca = ca;
        tokio::time::sleep(pause).await;
        Ok(())
    }

    /// Ends everything in order.
    pub(super) async fn end(self) -> Result<()> {
        drop((self.reader, self.watch));
        for stopped in join_all(self.servers.iter().map(|it| it.process().stop())).await {
            stopped?;
        }
        self.node.shutdown().await?;
        self.prometheus.stop().await?;
        self.cluster.shutdown().await
    }

    async fn register(&self, ca: &str) -> Result<()> {
        Server::register_at(&self.cluster, self.balancer.port(), ca).await?;
        Server::register_custom_at(&self.cluster, self.balancer.port(), ca).await
    }

    /// Waits until all metrics are where they will stay.
    async fn steady(&self) -> Result<()> {
        for workload in WORKLOADS {
            let client = Client::new(&self.cluster, workload)?;
            let look = async || {
                let value = client.read().await?;
                // A latency still climbs when it comes into the range; in the upper half it has got there.
                let (low, high) = workload.right;
                anyhow::ensure!(value > f64::midpoint(low, high) - (high - low) / 4.0, "{value}");
                Ok(Some(()))
            };
            let what = format!("{} to be steady", workload.metric);
            eventually(&what, SOON, look).await?;
        }
        Ok(())
    }
}

async fn node(cluster: &Cluster) -> Result<Node> {
    let images = BTreeMap::from([(IMAGE.to_owned(), workspace::binary("inference-svc").await?.into())]);
    let logs = cluster.dir().logs().to_owned();
    Node::start(cluster, node::Options { name: "faults".into(), images, logs }).await
}

/// Whoever reads the file sees the old text or the new one.
fn replace(path: &Path, text: &str) -> Result<()> {
    let next = path.with_extension("next");
    pki::write(&next, text)?;
    std::fs::rename(&next, path).with_context(|| format!("replacing {}", path.display()))
}
