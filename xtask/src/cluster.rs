//! `cargo xtask cluster`.

use anyhow::Result;
use std::{io::Write, process::ExitCode, time::Duration};
use testbed::{Cluster, Options, Prometheus, User, prometheus};

/// Run a control plane and a Prometheus until ctrl-c
///
/// etcd, kube-apiserver, kube-controller-manager and Prometheus run as local processes and listen on 127.0.0.1 only.
/// There are no nodes, so pods stay Pending. Prometheus scrapes running pods with the annotation prometheus.io/scrape:
/// "true".
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Sync period of the HPA controller, in seconds; 15 in a real cluster
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=3600))]
    hpa_sync_period: u64,
    /// Scrape interval of Prometheus, in seconds
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    scrape_interval: u64,
}

pub(crate) async fn run(args: &Args) -> Result<ExitCode> {
    let hpa_sync_period = Duration::from_secs(args.hpa_sync_period);
    let cluster = Cluster::start(Options { hpa_sync_period, ..Options::default() }).await?;
    let prometheus = Prometheus::start(prometheus::Options {
        scrape_interval: Duration::from_secs(args.scrape_interval),
        kubeconfig: Some(cluster.kubeconfig(User::Admin).to_owned()),
        ..prometheus::Options::default()
    })
    .await?;
    print_usage(&cluster, &prometheus)?;
    tokio::signal::ctrl_c().await?;
    prometheus.stop().await?;
    cluster.shutdown().await?;
    Ok(ExitCode::SUCCESS)
}

fn print_usage(cluster: &Cluster, prometheus: &Prometheus) -> Result<()> {
    let mut out = std::io::stdout().lock();
    let kubeconfig = cluster.kubeconfig(User::Admin).display();
    writeln!(out, "The cluster runs. In another terminal:\n")?;
    writeln!(out, "  export KUBECONFIG={kubeconfig}")?;
    writeln!(out, "  alias kubectl={}", cluster.tools().kubectl().display())?;
    writeln!(out, "  kubectl get apiservices")?;
    writeln!(out, "  curl '{}/api/v1/query?query=up'\n", prometheus.url())?;
    writeln!(out, "Someone without rights:  {}", cluster.kubeconfig(User::Developer).display())?;
    writeln!(out, "Kubernetes' logs:        {}", cluster.dir().logs().display())?;
    writeln!(out, "Prometheus' log:         {}", prometheus.dir().logs().display())?;
    writeln!(out, "\nctrl-c ends everything.")?;
    Ok(())
}
