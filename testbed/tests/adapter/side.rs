//! One of the two servers, behind a proxy of its own that records what it asks of Prometheus.

use crate::{
    answer::Answer,
    case::{Case, Read},
    world::World,
};
use anyhow::{Context, Result};
use reqwest::{Client, Identity};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Command,
    time::Duration,
};
use testbed::{Call, FaultProxy, Process, Server, User, eventually, ports};

/// How long a server may take until it is ready and has looked for series twice, while others start as well.
const UP: Duration = Duration::from_secs(60);
/// No answer takes longer unless something is wrong.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Both servers have these. The adapter's limit of five requests a second to kube-apiserver is far above what a test
/// may wait for.
const FLAGS: [&str; 5] = [
    "--bind-address=127.0.0.1",
    "--metrics-relist-interval=1s",
    "--metrics-max-age=10m",
    "--client-qps=500",
    "--client-burst=1000",
];
const QUERY: &str = "/api/v1/query";
const RESOURCE_API: &str = "/apis/metrics.k8s.io/";
const BUILD_INFO: &str = "/api/v1/status/buildinfo";
const SERIES: &str = "/api/v1/series";
/// What our server asks a Prometheus that failed several times.
const PROBE: &str = "vector(1)";
/// Headers for Prometheus that flags set.
const HEADERS: [&str; 2] = ["authorization", "x-scope-orgid"];
/// In flags it stands for the address of Prometheus.
const PROMETHEUS: &str = "$PROMETHEUS";

/// A running server. It ends with this value.
pub(crate) struct Side {
    proxy: FaultProxy,
    /// As kube-apiserver, and as nobody.
    front_proxy: Client,
    anonymous: Client,
    url: String,
    process: Process,
}

/// What came of a read.
pub(crate) struct Seen {
    pub(crate) answer: Answer,
    /// The queries that reached Prometheus meanwhile.
    pub(crate) queries: Vec<String>,
}

impl Side {
    /// Starts a server. Its name in the log folder is that of the case and `server`.
    pub(crate) async fn start(world: &World, program: &Path, server: &str, case: &Case) -> Result<Self> {
        let name = &format!("{}-{server}", case.name);
        let proxy = FaultProxy::recording(world.prometheus.url()).await?;
        let cluster = &world.cluster;
        let dir = cluster.dir().subdir(name)?;
        let port = ports::free()?;
        let serving = Server::identity(cluster)?.write(&dir, "serving")?;
        let mut command = command(world, program, &case.configuration);
        let address = proxy.url().trim_start_matches("http://");
        let flags: Vec<String> = case.flags.iter().map(|flag| flag.replace(PROMETHEUS, address)).collect();
        if !flags.iter().any(|flag| flag.starts_with("--prometheus-url=")) {
            command.arg(format!("--prometheus-url={}", proxy.url()));
        }
        command.arg(format!("--secure-port={port}")).args(&flags).current_dir(&dir);
        command.arg("--tls-cert-file").arg(&serving.certificate);
        command.arg("--tls-private-key-file").arg(&serving.key);
        // Only the logs are looked at after its end.
        let process =
            Process::start(name, &mut command, &cluster.dir().log(name))?.with_grace(Duration::ZERO);
        let identity = cluster.credentials().request_header_ca.client("front-proxy-client", None)?;
        let identity = Identity::from_pem(format!("{}{}", identity.certificate, identity.key).as_bytes())?;
        let ca = cluster.credentials().serving_ca.pem();
        let client = || -> Result<_> {
            let roots = reqwest::Certificate::from_pem_bundle(ca.as_bytes())?;
            // A connection that the adapter accepts before it has read whom to trust stays without rights.
            Ok(Client::builder().no_proxy().timeout(TIMEOUT).tls_certs_only(roots).pool_max_idle_per_host(0))
        };
        let front_proxy = client()?.identity(identity).build()?;
        let url = format!("https://localhost:{port}");
        Ok(Self { proxy, front_proxy, anonymous: client()?.build()?, url, process })
    }

    /// Waits until the server is ready and has looked for each series of the configuration twice: then it has worked
    /// with all answers of the first time.
    pub(crate) async fn ready(&self, configuration: &Path) -> Result<()> {
        // Once it knows whom to trust.
        let apis = Read { path: "/apis".into(), ..Read::default() };
        let answers = async || Ok(self.read(&apis).await?.answer.code == 200);
        self.process.until("the server is ready", UP, answers).await?;
        let wanted = series_queries(&std::fs::read_to_string(configuration)?)?;
        let found = eventually("the second discovery", UP, async || {
            let mut seen = BTreeMap::new();
            for call in self.proxy.calls(0).iter().filter(|call| call.path == SERIES) {
                *seen.entry(call.parameter("match[]").unwrap_or_default().to_owned()).or_insert(0) += 1;
            }
            let missing =
                wanted.iter().find(|(query, lists)| seen.get(*query).unwrap_or(&0) < &(2 * **lists));
            match missing {
                Some((query, _)) => Err(anyhow::anyhow!("`{query}` was not asked twice: {seen:?}")),
                None => Ok(Some(())),
            }
        });
        found.await.with_context(|| self.process.log_tail())
    }

    /// Sends a read.
    pub(crate) async fn read(&self, read: &Read) -> Result<Seen> {
        let before = self.calls();
        let (path, parameters) = read.target();
        let user = read.user.as_deref().unwrap_or("admin");
        let client = if user == "anonymous" { &self.anonymous } else { &self.front_proxy };
        let mut request = client.get(format!("{}{path}", self.url)).query(&parameters);
        if user != "anonymous" {
            let group = if user == "admin" { "system:masters" } else { "system:authenticated" };
            request = request.header("x-remote-user", user).header("x-remote-group", group);
        }
        if let Some(accept) = &read.accept {
            request = request.header("accept", accept);
        }
        if let Some(fault) = read.fault {
            self.proxy.set(fault);
        }
        let response = request.send().await;
        self.proxy.set(testbed::Fault::None);
        let response = response.with_context(|| format!("reading {}", read.path))?;
        let code = response.status().as_u16();
        let content_type =
            response.headers().get("content-type").and_then(|it| it.to_str().ok()).unwrap_or_default();
        let content_type = content_type.to_owned();
        let answer = Answer::new(code, &content_type, response.text().await?);
        let mut queries: Vec<String> = self.proxy.calls(before).iter().filter_map(query).collect();
        if path.starts_with(RESOURCE_API) {
            // The adapter takes the pods and nodes of this API from a map.
            for query in &mut queries {
                *query = sort_alternatives(query);
            }
        }
        Ok(Seen { answer, queries })
    }

    /// How Prometheus is called: method, path and headers, and for series the selectors.
    pub(crate) fn calls_made(&self) -> BTreeSet<String> {
        let describe = |call: &Call| {
            let mut text = format!("{} {}", call.method, call.path);
            for name in HEADERS {
                text += &call.header(name).map(|value| format!(" {name}: {value}")).unwrap_or_default();
            }
            if call.path == SERIES {
                text.push(' ');
                text += call.parameter("match[]").unwrap_or_default();
            }
            text
        };
        // Ours asks once what the backend is.
        let calls = self.proxy.calls(0);
        calls.iter().filter(|call| call.path != BUILD_INFO).map(describe).collect()
    }

    fn calls(&self) -> usize {
        self.proxy.calls(0).len()
    }
}

/// The command that starts a server, without its port and certificate, and without Prometheus.
pub(crate) fn command(world: &World, program: &Path, configuration: &Path) -> Command {
    let kubeconfig = world.cluster.kubeconfig(User::Admin);
    let mut command = Command::new(program);
    command.args(FLAGS);
    for flag in ["--lister-kubeconfig", "--authentication-kubeconfig", "--authorization-kubeconfig"] {
        command.arg(flag).arg(kubeconfig);
    }
    command.arg("--config").arg(configuration);
    command
}

/// The query of a call, if it is one of a rule.
fn query(call: &Call) -> Option<String> {
    let query = call.parameter("query").unwrap_or_default();
    (call.path == QUERY && query != PROBE).then(|| query.to_owned())
}

/// The query with the alternatives of each regular expression in order.
fn sort_alternatives(query: &str) -> String {
    let sorted = |text: &str| {
        let mut alternatives: Vec<&str> = text.split('|').collect();
        alternatives.sort_unstable();
        alternatives.join("|")
    };
    let strings = query.split('"').enumerate();
    strings
        .map(|(number, text)| if number % 2 == 1 { sorted(text) } else { text.to_owned() })
        .collect::<Vec<_>>()
        .join("\"")
}

/// The series queries of a configuration, each with the number of lists that have it: `rules` and `externalRules` are
/// discovered apart.
fn series_queries(configuration: &str) -> Result<BTreeMap<String, usize>> {
    // The adapter reads the first document.
    let documents: Vec<Value> = serde_saphyr::from_multiple(configuration)?;
    let configuration = documents.first();
    let mut queries = BTreeMap::new();
    for list in ["rules", "externalRules"] {
        let rules = configuration.and_then(|it| it.get(list)?.as_array().cloned()).unwrap_or_default();
        let mut own: Vec<&str> = rules
            .iter()
            .map(|rule| rule.get("seriesQuery").and_then(Value::as_str).unwrap_or_default())
            .collect();
        own.sort_unstable();
        own.dedup();
        for query in own {
            *queries.entry(query.to_owned()).or_insert(0) += 1;
        }
    }
    Ok(queries)
}

#[test]
fn the_alternatives_of_regular_expressions_are_put_in_order() {
    let query = sort_alternatives("a{b=~\"y|x|z\",c=\"|\"} or d|e");
    assert_eq!(query, "a{b=~\"x|y|z\",c=\"|\"} or d|e");
}

#[test]
fn a_series_query_of_both_lists_counts_twice() {
    let text =
        "rules: [{seriesQuery: a}, {seriesQuery: a}, {seriesQuery: b}]\nexternalRules: [{seriesQuery: a}]\n";
    let queries = series_queries(text).unwrap();
    assert_eq!(queries.into_iter().collect::<Vec<_>>(), [("a".into(), 2), ("b".into(), 1)]);
    assert!(series_queries("").unwrap().is_empty());
}
