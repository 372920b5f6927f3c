//! The resources and objects of a real cluster: what is used is watched, everything else is listed when it is read.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use kube::Client;
use prometheus_client::registry::Registry;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::error::ObjectsError;
use super::key::Key;
use super::live::LiveLists;
use super::metrics::Metrics;
use super::object::{Object, Selection};
use super::options::Options;
use super::resources::{KnownResources, Table};
use super::store::Budget;
use super::watched::Watched;
use super::watcher::Watcher;

/// Resources watched at once. Metrics describe a handful: pods, services, nodes, namespaces, workloads.
const WATCHES_MAX: usize = 32;
/// Objects of one answer. More would make queries and answers of tens of megabytes.
const SELECTED_MAX: usize = 50_000;

/// A real cluster.
pub(super) struct Cluster {
    client: Client,
    options: Options,
    pub(super) table: Table,
    live: Arc<LiveLists>,
    budget: Arc<Budget>,
    selected_max: usize,
    watches: Mutex<HashMap<Key, Arc<Watched>>>,
    begin: mpsc::Sender<Arc<Watched>>,
    /// Taken by `run`.
    begun: Mutex<Option<mpsc::Receiver<Arc<Watched>>>>,
    metrics: Arc<Metrics>,
}

impl Cluster {
    pub(super) fn new(client: Client, options: Options, registry: &mut Registry) -> Self {
        Self::with_limits(client, options, registry, Budget::default(), SELECTED_MAX)
    }

    pub(super) fn with_limits(
        client: Client,
        options: Options,
        registry: &mut Registry,
        budget: Budget,
        selected_max: usize,
    ) -> Self {
        let metrics = Metrics::register(registry);
        let (begin, begun) = mpsc::channel(WATCHES_MAX);
        Self {
            live: Arc::new(LiveLists::new(client.clone(), &options, selected_max, Arc::clone(&metrics))),
            client,
            options,
            table: Table::new(KnownResources::default()),
            budget: Arc::new(budget),
            selected_max,
            watches: Mutex::default(),
            begin,
            begun: Mutex::new(Some(begun)),
            metrics,
        }
    }

    /// The selected objects: of the watch if it is in sync, else by a list.
    pub(super) async fn select(
        &self,
        selection: &Selection,
        deadline: Instant,
    ) -> Result<Vec<Arc<Object>>, ObjectsError> {
        if let Some(watched) = self.watched(&Key::of(selection)) {
            watched.wait_for_sync(deadline).await;
            if let Some(selected) = watched.select(selection, self.selected_max) {
                return selected.map_err(|_| ObjectsError::TooMany {
                    resource: selection.resource.resource.clone(),
                    limit: self.selected_max,
                });
            }
        }
        let listed = self.live.list(selection, deadline).await;
        if matches!(listed, Err(ObjectsError::Unavailable { .. })) {
            // The resource may be gone, or have another version now.
            self.table.unresolved.notify_one();
        }
        listed
    }

    /// The watch for these objects, which begins with the first read; none if there are too many.
    fn watched(&self, key: &Key) -> Option<Arc<Watched>> {
        let mut watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(watched) = watches.get(key) {
            watched.touch();
            return Some(Arc::clone(watched));
        }
        if watches.len() >= WATCHES_MAX {
            return None;
        }
        let watched = Arc::new(Watched::new(key.clone(), Arc::clone(&self.budget)));
        self.begin.try_send(Arc::clone(&watched)).ok()?;
        watches.insert(key.clone(), Arc::clone(&watched));
        Some(watched)
    }

    /// Follows the cluster until dropped.
    pub(super) async fn run(&self) {
        let begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(begun) = begun else { return };
        let interval = self.options.discovery_interval;
        tokio::join!(
            self.table.follow(self.client.clone(), interval, &self.metrics),
            self.run_watches(begun)
        );
    }

    /// Runs the watches in tasks of their own, which end with this one.
    async fn run_watches(&self, mut begun: mpsc::Receiver<Arc<Watched>>) {
        let mut tasks = JoinSet::new();
        loop {
            tokio::select! {
                Some(watched) = begun.recv() => {
                    let (client, budget) = (self.client.clone(), Arc::clone(&self.budget));
                    tasks.spawn(Watcher::new(client, budget, Arc::clone(&self.metrics), watched).run());
                }
                Some(ended) = tasks.join_next() => match ended {
                    Ok(key) => {
                        self.watches.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
                    }
                    Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                    Err(_) => {}
                },
                else => return,
            }
        }
    }
}
