//! Lists that a read waits for: of objects that are not watched, or not yet. Reads that want the same objects share
//! one list.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use kube::Client;
use tokio::time::{Instant, timeout_at};

use super::error::{ObjectsError, RequestError};
use super::key::Key;
use super::list::List;
use super::metrics::Metrics;
use super::object::{Object, Selection};
use super::options::Options;
use super::store;
use crate::causes::causes;
use crate::limit::TokenBucket;
use crate::metric::Namespace;

/// How long a list may take, however long its readers wait.
const LIST_DEADLINE: Duration = Duration::from_secs(10);

type Listed = Result<Arc<[Arc<Object>]>, ObjectsError>;
type InFlight = BoxFuture<'static, Listed>;

/// The lists in flight, and the limit on their rate.
pub(super) struct LiveLists {
    client: Client,
    bucket: Option<TokenBucket>,
    objects_max: usize,
    in_flight: Mutex<HashMap<Selection, WeakShared<InFlight>>>,
    /// What could not be listed the last time, and was logged.
    reported: Mutex<HashSet<Key>>,
    metrics: Arc<Metrics>,
}

impl LiveLists {
    pub(super) fn new(client: Client, options: &Options, objects_max: usize, metrics: Arc<Metrics>) -> Self {
        let interval = Duration::from_secs_f32(1.0 / options.qps);
        Self {
            client,
            bucket: options.burst.map(|burst| TokenBucket::new(interval, burst)),
            objects_max,
            in_flight: Mutex::default(),
            reported: Mutex::default(),
            metrics,
        }
    }

    /// Lists the selected objects by `deadline`, or joins the list that is in flight.
    pub(super) async fn list(
        self: &Arc<Self>,
        selection: &Selection,
        deadline: Instant,
    ) -> Result<Vec<Arc<Object>>, ObjectsError> {
        let list = self.join(selection, deadline);
        match timeout_at(deadline, list).await {
            Ok(listed) => listed.map(|objects| objects.to_vec()),
            Err(_) => Err(ObjectsError::Deadline { resource: selection.resource.resource.clone() }),
        }
    }

    fn join(self: &Arc<Self>, selection: &Selection, deadline: Instant) -> Shared<InFlight> {
        // Nothing that is done under the lock panics half-way.
        let mut in_flight = self.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
        let running = |list: &WeakShared<InFlight>| list.upgrade().filter(|list| list.peek().is_none());
        if let Some(list) = in_flight.get(selection).and_then(running) {
            return list;
        }
        in_flight.retain(|_, list| running(list).is_some());
        let (lists, wanted) = (Arc::clone(self), selection.clone());
        let list = async move { lists.run(&wanted, deadline).await }.boxed().shared();
        if let Some(weak) = list.downgrade() {
            in_flight.insert(selection.clone(), weak);
        }
        list
    }

    /// Lists in the time of the first reader, if the rate allows it.
    async fn run(&self, selection: &Selection, deadline: Instant) -> Listed {
        let listed = match &self.bucket {
            Some(bucket) if !bucket.take_by(deadline).await => {
                if self.reported().insert(Key::of(selection)) {
                    tracing::warn!(
                        resource = %selection.resource.resource,
                        "more lists of objects are wanted than --client-qps allows"
                    );
                }
                Err(ObjectsError::Deadline { resource: selection.resource.resource.clone() })
            }
            _ => self.fetch(selection).await,
        };
        self.metrics.listed(listed.as_ref().map(|_| ()));
        listed
    }

    async fn fetch(&self, selection: &Selection) -> Listed {
        let key = Key::of(selection);
        let list = List {
            key: &key,
            namespace: selection.in_namespace(),
            selector: Some(&selection.selector),
            is_cached: true,
        };
        let mut objects = Vec::new();
        let mut take = |metadata| {
            objects.extend(store::object(metadata, None).map(Arc::new));
            if objects.len() > self.objects_max {
                return Err(RequestError::TooMany(self.objects_max));
            }
            Ok(())
        };
        let deadline = Instant::now() + LIST_DEADLINE;
        let read = timeout_at(deadline, list.read(&self.client, deadline, &mut take)).await;
        match read.unwrap_or(Err(RequestError::Timeout)) {
            Ok(_) => {
                self.reported().remove(&key);
                objects.sort_by(|one, other| place(one).cmp(&place(other)));
                Ok(objects.into())
            }
            Err(error) => Err(self.failed(key, &error)),
        }
    }

    fn failed(&self, key: Key, error: &RequestError) -> ObjectsError {
        let resource = key.resource.resource.clone();
        let is_new = self.reported().insert(key);
        match error {
            RequestError::Status(403) => {
                if is_new {
                    tracing::warn!(
                        %resource,
                        "not allowed to list {resource}; grant the server's ServiceAccount get, list and watch"
                    );
                }
                ObjectsError::Forbidden { verb: "list", resource }
            }
            RequestError::Timeout => ObjectsError::Deadline { resource },
            RequestError::TooMany(limit) => ObjectsError::TooMany { resource, limit: *limit },
            error => {
                if is_new {
                    tracing::warn!(%resource, error = %causes(error), "cannot list objects");
                }
                ObjectsError::Unavailable { resource }
            }
        }
    }

    fn reported(&self) -> MutexGuard<'_, HashSet<Key>> {
        self.reported.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn place(object: &Arc<Object>) -> (Option<&str>, &str) {
    (object.namespace.as_ref().map(Namespace::as_str), &object.name)
}
