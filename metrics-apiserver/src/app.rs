//! The composition root: names every concrete type, creates one of each, and runs them together. No logic lives here.

mod kubernetes;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use kube::Client;
use prometheus_client::registry::Registry;
use tokio::runtime::Handle;
use tokio::task::{JoinSet, spawn_blocking};

use crate::answer::Answers;
use crate::authn::{self, Authenticator, Refusals, Reviews, TokenReviewer, TrustStore};
use crate::authz::Authorizer;
use crate::backend::Backends;
use crate::cache::{self, Cache, QuerySource};
use crate::catalog::{Catalog, Discovered, ServedCatalog};
use crate::cli::{self, AdapterOptions, CheckArgs, Options, Verdict};
use crate::config::{self, Config, DefaultBackend};
use crate::objects::{self, Objects};
use crate::readiness::Readiness;
use crate::registration::{self, Registration};
use crate::reload::{self, Reload, Sighup};
use crate::series::{self, Series};
use crate::server;
use crate::shutdown::{self, Ending};
use crate::telemetry::{self, Exporting};
use crate::tls;

/// Everything that serves, created and bound, but not serving yet.
struct App {
    bound: server::Bound,
    cache: Arc<Cache>,
    backends: Arc<Backends>,
    readiness: Readiness,
    background: JoinSet<()>,
}

/// Starts and serves, until a signal ends it or a part of it fails. The first signal ends a start at any time. A
/// configuration that cannot be served is an error of type [`config::Problems`].
pub async fn serve(options: Options) -> anyhow::Result<Ending> {
    // Before anything else: an early SIGHUP must not end the process.
    let signals = shutdown::Signals::install().and_then(|signals| Ok((signals, Sighup::install()?)));
    let (mut signals, sighup) = signals.context("cannot listen for signals")?;
    let (log, export) = telemetry::init(&options.telemetry)?;
    let exporting = Exporting::start(export);
    let mut registry = Registry::default();
    telemetry::register_process_metrics(&mut registry);
    log.register(&mut registry);
    exporting.register(&mut registry);

    let shutdown_delay = options.shutdown_delay;
    // A file on a hanging mount blocks the thread that reads it, so the thread that waits for signals does not read
    // any.
    let build = spawn_blocking(move || Handle::current().block_on(App::build(options, sighup, registry)));
    let app = tokio::select! {
        biased;
        () = signals.next() => {
            tracing::info!("stopped while starting");
            return Ok(Ending::Drained);
        }
        app = build => app.context("the start failed")??,
    };
    let ending = app.run(signals, shutdown_delay, exporting).await;
    drop(log); // Writes the last lines.
    ending
}

/// Runs `check --online` or `check --cluster`: asks the cluster of the kubeconfig, or the one that the process runs in.
pub async fn check_online(args: &CheckArgs, out: &mut dyn io::Write) -> io::Result<Verdict> {
    let is_in_cluster = std::env::var_os("KUBERNETES_SERVICE_HOST").is_some();
    let client = match args.kubeconfig(is_in_cluster) {
        None if !is_in_cluster => None,
        // The files are not followed: the command ends soon.
        kubeconfig => Some(kubernetes::clients([kubeconfig.as_deref()], &mut JoinSet::new()).await),
    };
    let client = client.map(|made| made.map(|[client]| client).map_err(|error| format!("{error:#}")));
    cli::check_online(args, client.as_ref(), out, &mut io::stderr()).await
}

impl App {
    /// Creates every part and binds the port. Files are read and kube-apiserver is asked for its CA bundles before, so
    /// a server that cannot work never listens.
    async fn build(options: Options, sighup: Sighup, mut registry: Registry) -> anyhow::Result<Self> {
        let default_backend = options.prometheus.default_backend()?;
        let config = config::load(&options.config, Some(&default_backend))?;
        for warning in options.warnings().iter().chain(&config.warnings) {
            tracing::warn!("{warning}");
        }
        if let Some(error) = options.adapter.error_with_rules().filter(|_| !config.adapter.custom.is_empty())
        {
            return Err(anyhow!(error));
        }
        let readiness = Readiness::default();
        let mut background = JoinSet::new();
        let [authn, authz] = options.kubeconfigs();
        let lister = options.adapter.lister_kubeconfig.as_deref().or(options.kubeconfig.as_deref());
        let [authn_client, authz_client, lister] =
            kubernetes::clients([authn, authz, lister], &mut background).await?;
        let objects = Arc::new(Objects::of_cluster(lister.clone(), objects_options(&options), &mut registry));
        let Answering { answers, cache, backends, catalog, series, reload } =
            answering(&options, default_backend, config, objects, &readiness, &mut registry)?;
        background.spawn(Arc::clone(&cache).run_prefetch());
        background.spawn(Arc::clone(&backends).recognize_engines());
        readiness.configuration_loaded();
        background.spawn(Arc::clone(&series).follow_resources());
        background.spawn(series.run());
        background.spawn(reload.run(sighup));
        let reviews = Reviews::register(&mut registry);
        let refusals = Refusals::register(&mut registry);
        let authenticator =
            authenticator(options.authentication, authn_client, (&reviews, refusals), &mut background)
                .await?;
        readiness.authentication_config_synced();
        let authorizer = Arc::new(Authorizer::new(authz_client, &options.authorization, &reviews)?);
        let certificates = certificates(&options.tls, &mut registry, &mut background)?;
        let parts = registration::Parts {
            catalog,
            certificates: Arc::clone(&certificates),
            readiness: readiness.clone(),
        };
        if let Some(registration) = Registration::new(&options.registration, parts, &mut registry) {
            background.spawn(registration.run(lister));
        }
        let tls = tls::server_config(certificates, &options.tls).context("cannot set up TLS")?;
        let parts =
            server::Parts { answers, authenticator, authorizer, readiness: readiness.clone(), registry };
        let bound = server::bind(parts, tls, &options.server)
            .with_context(|| format!("cannot listen on {}", options.server.address()))?;
        tracing::info!(address = %bound.local_addr(), "serving");
        Ok(Self { bound, cache, backends, readiness, background })
    }

    /// Serves until a signal ends it or a background task fails.
    async fn run(
        self,
        mut signals: shutdown::Signals,
        shutdown_delay: Duration,
        mut exporting: Exporting,
    ) -> anyhow::Result<Ending> {
        let Self { bound, cache, backends, readiness, mut background } = self;
        let serving = shutdown::until_signalled(
            async || signals.next().await,
            &readiness,
            shutdown_delay,
            |stop| bound.run(stop.requested()),
        );
        let ending = tokio::select! {
            ending = serving => ending.context("the server failed")?,
            failure = first_failure(&mut background) => return Err(failure),
            failure = first_failure(exporting.tasks()) => return Err(failure),
        };
        background.shutdown().await;
        cache.shutdown().await;
        backends.shutdown().await;
        if ending == Ending::Drained {
            exporting.flush().await;
        }
        tracing::info!("stopped");
        Ok(ending)
    }
}

/// Waits for a background task that panics. One that returns has nothing to do.
async fn first_failure(background: &mut JoinSet<()>) -> anyhow::Error {
    while let Some(ended) = background.join_next().await {
        if let Err(error) = ended {
            return anyhow!(error).context("a background task failed");
        }
    }
    std::future::pending().await
}

fn objects_options(options: &Options) -> objects::Options {
    let AdapterOptions { client_qps, client_burst, discovery_interval, .. } = options.adapter;
    objects::Options::new(client_qps, client_burst, discovery_interval)
}

/// What answers reads, and what keeps it up to date with the configuration file.
struct Answering {
    answers: Arc<Answers>,
    cache: Arc<Cache>,
    backends: Arc<Backends>,
    catalog: Arc<ServedCatalog>,
    series: Arc<Series>,
    reload: Reload,
}

fn answering(
    options: &Options,
    default_backend: DefaultBackend,
    config: Config,
    objects: Arc<Objects>,
    readiness: &Readiness,
    registry: &mut Registry,
) -> anyhow::Result<Answering> {
    let Config { backends: configured, rules, adapter, groups, fingerprint, .. } = config;
    let backends = Arc::new(Backends::build(configured.clone())?);
    backends.register(registry);
    let source = Arc::clone(&backends) as Arc<dyn QuerySource>;
    let cache = Arc::new(Cache::new(source, cache::Limits::default(), Handle::current()));
    cache.register(registry);
    let (file, series_rules) = reload::sources(rules, groups, &adapter);
    let catalog = Arc::new(ServedCatalog::new(Catalog::merge(Arc::new(file), Discovered::new())));
    let answers =
        Arc::new(Answers::new(Arc::clone(&catalog), Arc::clone(&cache), Arc::clone(&objects), registry));
    let parts = series::Parts {
        backends: Arc::clone(&backends),
        objects,
        catalog: Arc::clone(&catalog),
        readiness: readiness.clone(),
        options: series::Options {
            relist_interval: options.adapter.metrics_relist_interval,
            max_age: options.adapter.max_age(),
        },
    };
    let series = Series::new(parts, series_rules, registry);
    let parts = reload::Parts {
        file: options.config.clone(),
        default_backend: Some(default_backend),
        catalog: Arc::clone(&catalog),
        series: Arc::clone(&series),
        backends: Arc::clone(&backends),
        cache: Arc::clone(&cache),
        answers: Arc::clone(&answers),
        readiness: readiness.clone(),
        metrics: reload::Metrics::register(registry),
    };
    let reload = Reload::new(parts, fingerprint, configured, adapter);
    Ok(Answering { answers, cache, backends, catalog, series, reload })
}

async fn authenticator(
    options: authn::Options,
    client: Client,
    (reviews, refusals): (&Reviews, Refusals),
    background: &mut JoinSet<()>,
) -> anyhow::Result<Arc<Authenticator>> {
    let tokens = TokenReviewer::new(client.clone(), options.token_cache_ttl, reviews)
        .context("cannot create a random secret")?;
    let trust = Arc::new(TrustStore::new(options).context("cannot load the trusted CA bundles")?);
    trust.look_up(&client).await.context("cannot load the trusted CA bundles")?;
    background.spawn(Arc::clone(&trust).watch(client));
    background.spawn(Arc::clone(&trust).poll_files());
    Ok(Arc::new(Authenticator::new(trust, tokens, refusals)))
}

fn certificates(
    options: &tls::Options,
    registry: &mut Registry,
    background: &mut JoinSet<()>,
) -> anyhow::Result<Arc<tls::Certificates>> {
    let certificates = tls::Certificates::load(options).context("cannot load the serving certificate")?;
    let certificates = Arc::new(certificates);
    certificates.register(registry);
    background.spawn(Arc::clone(&certificates).poll_files());
    Ok(certificates)
}
