//! The composition root: names every concrete type, makes one of each, and runs them together. No logic lives here.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use prometheus_client::registry::Registry;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use crate::answer::Answers;
use crate::authn::{Authenticator, FrontProxyFlags, Reviews, TokenReviewer, TrustOptions, TrustStore};
use crate::authz::{Authorizer, AuthorizerOptions, OpenPaths};
use crate::backend::{Auth, Backends, ClientOptions, Identity};
use crate::cache::{self, Cache, QuerySource};
use crate::catalog::{Catalog, ServedCatalog};
use crate::config::{self, Config, LogFormat, LogLevel, Options, TlsVersion};
use crate::readiness::Readiness;
use crate::reload::{self, Reload, Sighup};
use crate::rules::BackendName;
use crate::shutdown::{self, Ending};
use crate::telemetry::{Exporting, Log, TraceOptions, Traces};
use crate::tls::{self, MinVersion, ServingCertificate};
use crate::{server, telemetry};

/// One call to the Kubernetes API, connecting included; reviews bound their retries besides.
const KUBERNETES_TIMEOUT: Duration = Duration::from_secs(10);

/// Everything that serves, made and bound, but serving nobody yet.
struct App {
    bound: server::Bound,
    cache: Arc<Cache>,
    backends: Arc<Backends>,
    readiness: Readiness,
    shutdown_delay: Duration,
    background: JoinSet<()>,
}

/// What the process tells of itself. The log's last lines are written when this value ends.
#[derive(Debug)]
struct Telemetry {
    log: Log,
    exporting: Exporting,
}

/// The signals of this process.
#[derive(Debug)]
pub struct Signals {
    shutdown: shutdown::Signals,
    sighup: Sighup,
}

impl Signals {
    /// Takes them over; from here on none of them ends the process by itself.
    pub fn install() -> anyhow::Result<Self> {
        let installed = shutdown::Signals::install()
            .and_then(|shutdown| Ok(Self { shutdown, sighup: Sighup::install()? }));
        installed.context("cannot listen for signals")
    }
}

/// Sends the log to standard error, and traces to where the flags say, if they do.
fn init_telemetry(options: &Options) -> anyhow::Result<Telemetry> {
    let logging = options.logging;
    let format = match logging.format {
        LogFormat::Text => telemetry::Format::Text,
        LogFormat::Json => telemetry::Format::Json,
    };
    let verbosity = match logging.level {
        LogLevel::Info => telemetry::Verbosity::Operator,
        LogLevel::Debug => telemetry::Verbosity::Requests,
        LogLevel::Trace => telemetry::Verbosity::Everything,
    };
    let traces = options.tracing.as_ref().map(|tracing| {
        Traces::new(&TraceOptions {
            endpoint: tracing.endpoint.as_str().to_owned(),
            sampling_rate_per_million: tracing.sampling_rate_per_million,
        })
    });
    let traces = traces.transpose().context("cannot send traces")?;
    let (log, export) = telemetry::init(verbosity, format, traces).context("cannot start logging")?;
    Ok(Telemetry { log, exporting: Exporting::begin(export) })
}

/// Starts and serves, until a signal has ended it or a part of it has failed. A start is ended by the first signal.
pub async fn serve(options: Options, config: Config, signals: Signals) -> anyhow::Result<Ending> {
    let telemetry = init_telemetry(&options)?;
    let Signals { shutdown: mut signals, sighup } = signals;
    let app = tokio::select! {
        biased;
        () = signals.next() => {
            tracing::info!("stopped while starting");
            return Ok(Ending::Drained);
        }
        app = App::build(options, config, sighup, &telemetry) => app?,
    };
    app.run(signals, telemetry).await
}

impl App {
    /// Makes every part and takes the port. Files are read and kube-apiserver is asked for its CA bundles before, so a
    /// server that cannot work never listens.
    async fn build(
        options: Options,
        config: Config,
        sighup: Sighup,
        telemetry: &Telemetry,
    ) -> anyhow::Result<Self> {
        for note in options.notes.iter().chain(&config.warnings) {
            tracing::warn!("{note}");
        }
        let readiness = Readiness::default();
        let mut background = JoinSet::new();
        let mut registry = Registry::default();
        telemetry::register_process_metrics(&mut registry);
        telemetry.log.register(&mut registry);
        telemetry.exporting.register(&mut registry);

        let Serving { answers, cache, backends, reload } =
            serving(&options, config, &readiness, &mut registry)?;
        background.spawn(Arc::clone(&cache).run_prefetch());
        readiness.configuration_loaded();
        background.spawn(reload.run(sighup));
        let (authn_client, authz_client) = kubernetes_clients(&options).await?;
        let reviews = Reviews::register(&mut registry);
        let authenticator =
            authenticator(&options.authentication, authn_client, &reviews, &mut background).await?;
        readiness.authentication_config_synced();
        let authorizer = authorizer(&options.authorization, authz_client, &reviews)?;
        let tls = serving_tls(&options.serving, &mut registry, &mut background)?;

        let parts =
            server::Parts { answers, authenticator, authorizer, readiness: readiness.clone(), registry };
        let bound = server::bind(parts, server_options(&options, tls))
            .with_context(|| format!("cannot listen on {}", options.serving.address))?;
        tracing::info!(address = %bound.local_addr(), "serving");
        Ok(Self {
            bound,
            cache,
            backends,
            readiness,
            shutdown_delay: options.limits.shutdown_delay,
            background,
        })
    }

    /// Serves until a signal has ended it, or a background task has failed.
    async fn run(self, mut signals: shutdown::Signals, telemetry: Telemetry) -> anyhow::Result<Ending> {
        let Self { bound, cache, backends, readiness, shutdown_delay, mut background } = self;
        let Telemetry { log, mut exporting } = telemetry;
        let serving = shutdown::until_signalled(
            async || signals.next().await,
            &readiness,
            shutdown_delay,
            |stop| bound.run(stop.requested()),
        );
        let ending = tokio::select! {
            ending = serving => ending.context("the server ended")?,
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
        drop(log);
        Ok(ending)
    }
}

/// Waits for a background task that panics. One that returns had nothing to watch.
async fn first_failure(background: &mut JoinSet<()>) -> anyhow::Error {
    while let Some(ended) = background.join_next().await {
        if let Err(error) = ended {
            return anyhow!(error).context("a background task failed");
        }
    }
    std::future::pending().await
}

/// What answers, what it answers from, and what keeps it as the file says.
struct Serving {
    answers: Arc<Answers>,
    cache: Arc<Cache>,
    backends: Arc<Backends>,
    reload: Reload,
}

fn serving(
    options: &Options,
    config: Config,
    readiness: &Readiness,
    registry: &mut Registry,
) -> anyhow::Result<Serving> {
    let configured: Vec<_> = config.backends.into_iter().map(client_options).collect();
    let backends = Arc::new(Backends::build(configured.clone())?);
    backends.register(registry);
    let source = Arc::clone(&backends) as Arc<dyn QuerySource>;
    let cache = Arc::new(Cache::new(source, cache::Limits::default(), Handle::current()));
    cache.register(registry);
    let catalog = Arc::new(ServedCatalog::new(Catalog::new(config.rules)));
    let answers = Arc::new(Answers::new(Arc::clone(&catalog), Arc::clone(&cache), registry));
    let parts = reload::Parts {
        file: options.config_file.clone(),
        catalog,
        backends: Arc::clone(&backends),
        client_options,
        forget: Box::new({
            let cache = Arc::clone(&cache);
            move |backend| cache.forget(backend)
        }),
        prepare: Box::new({
            let answers = Arc::clone(&answers);
            move || answers.prepare()
        }),
        readiness: readiness.clone(),
        metrics: reload::Metrics::register(registry),
    };
    let reload = Reload::new(parts, config.fingerprint, configured);
    Ok(Serving { answers, cache, backends, reload })
}

fn client_options(backend: config::Backend) -> (BackendName, ClientOptions) {
    let options = ClientOptions {
        urls: backend.urls.iter().map(|url| url.as_str().to_owned()).collect(),
        timeout: backend.timeout,
        headers: backend.headers.into_iter().map(|header| (header.name, header.value)).collect(),
        auth: match backend.credentials {
            config::Credentials::None => Auth::None,
            config::Credentials::BearerToken(file) => Auth::BearerTokenFile(file),
            config::Credentials::Basic { username, password_file } => Auth::Basic { username, password_file },
        },
        ca_file: backend.ca_file,
        identity: backend
            .client_certificate
            .map(|pair| Identity { cert_file: pair.cert_file, key_file: pair.key_file }),
    };
    (backend.name, options)
}

async fn authenticator(
    options: &config::Authentication,
    client: Client,
    reviews: &Reviews,
    background: &mut JoinSet<()>,
) -> anyhow::Result<Arc<Authenticator>> {
    let trust = TrustStore::new(trust_options(options)).context("cannot learn whom to trust")?;
    let trust = Arc::new(trust);
    trust.look_up(&client).await.context("cannot learn whom to trust")?;
    background.spawn(Arc::clone(&trust).watch(client.clone()));
    background.spawn(Arc::clone(&trust).poll_files());
    let tokens = TokenReviewer::new(client, options.token_cache_ttl, reviews)
        .context("cannot make a random secret")?;
    Ok(Arc::new(Authenticator::new(trust, tokens)))
}

fn trust_options(options: &config::Authentication) -> TrustOptions {
    TrustOptions {
        client_ca_file: options.client_ca_file.clone(),
        front_proxy: options.request_header.clone().map(|flags| FrontProxyFlags {
            client_ca_file: flags.client_ca_file,
            allowed_names: flags.allowed_names,
            username_headers: flags.username_headers,
            group_headers: flags.group_headers,
            extra_headers_prefix: flags.extra_headers_prefix,
            uid_headers: flags.uid_headers,
        }),
        skip_lookup: options.skip_lookup,
        tolerate_lookup_failure: options.tolerate_lookup_failure,
    }
}

fn authorizer(
    options: &config::Authorization,
    client: Client,
    reviews: &Reviews,
) -> anyhow::Result<Arc<Authorizer>> {
    let options = AuthorizerOptions {
        open_paths: OpenPaths::parse(&options.always_allow_paths)?,
        allowed_lifetime: options.authorized_ttl,
        denied_lifetime: options.unauthorized_ttl,
    };
    Ok(Arc::new(Authorizer::new(client, options, reviews)))
}

fn serving_tls(
    options: &config::Serving,
    registry: &mut Registry,
    background: &mut JoinSet<()>,
) -> anyhow::Result<rustls::ServerConfig> {
    let certificate = ServingCertificate::load(options.cert_file.clone(), options.key_file.clone())
        .context("cannot load the serving certificate")?;
    let certificate = Arc::new(certificate);
    certificate.register(registry);
    background.spawn(Arc::clone(&certificate).poll_files());
    let minimum = match options.min_tls {
        TlsVersion::Tls12 => MinVersion::Tls12,
        TlsVersion::Tls13 => MinVersion::Tls13,
    };
    tls::server_config(certificate, minimum).context("cannot set up TLS")
}

fn server_options(options: &Options, tls: rustls::ServerConfig) -> server::Options {
    server::Options {
        address: options.serving.address,
        tls,
        request_timeout: options.limits.request_timeout,
        read_deadline: options.read_deadline,
        max_in_flight: options.limits.max_requests_in_flight,
    }
}

/// For authentication and for authorization; one for both, with its connections, unless the flags name two.
async fn kubernetes_clients(options: &Options) -> anyhow::Result<(Client, Client)> {
    let (authn, authz) = (&options.authentication.kubeconfig, &options.authorization.kubeconfig);
    let client = kubernetes(authn.as_deref()).await?;
    let other = if authz == authn { client.clone() } else { kubernetes(authz.as_deref()).await? };
    Ok((client, other))
}

/// A client of the Kubernetes API: by this kubeconfig, or as a pod does. Each of kube's errors tells its cause itself.
async fn kubernetes(kubeconfig: Option<&Path>) -> anyhow::Result<Client> {
    let mut config = match kubeconfig {
        Some(path) => {
            let read = Kubeconfig::read_from(path)
                .map_err(|error| anyhow!("cannot read the kubeconfig {}: {error}", path.display()))?;
            kube::Config::from_custom_kubeconfig(read, &KubeConfigOptions::default())
                .await
                .map_err(|error| anyhow!("cannot use the kubeconfig {}: {error}", path.display()))?
        }
        None => kube::Config::incluster().map_err(|error| {
            anyhow!("cannot reach the Kubernetes API as a pod does; outside a cluster, name a kubeconfig with --kubeconfig: {error}")
        })?,
    };
    config.connect_timeout = Some(KUBERNETES_TIMEOUT);
    // Reviews retry by themselves, within the time a read has; kube's retries would come on top.
    config.default_retry = false;
    Client::try_from(config).context("cannot make a client for the Kubernetes API")
}
