//! Everything that the HPAs, their Deployments and the `APIService` were seen to do, by watching and not by looking now
//! and then.

use super::workload::{NAMESPACE, WORKLOADS};
use anyhow::Result;
use futures_util::{StreamExt, pin_mut};
use k8s_openapi::{
    api::{apps::v1::Deployment, autoscaling::v2::HorizontalPodAutoscaler},
    kube_aggregator::pkg::apis::apiregistration::v1::APIService,
};
use kube::{
    Api, Resource, ResourceExt,
    runtime::{WatchStreamExt, watcher},
};
use serde::de::DeserializeOwned;
use std::{
    collections::BTreeMap,
    fmt::Debug,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};
use tokio::task::JoinSet;

/// What the HPAs read.
const API_SERVICES: [&str; 3] =
    ["v1beta1.external.metrics.k8s.io", "v1beta1.custom.metrics.k8s.io", "v1beta2.custom.metrics.k8s.io"];
/// Before these stands where the error came from, after them the server's own words.
const BEFORE_CAUSE: [&str; 2] = ["external metrics API: ", "custom metrics API: "];

/// Watches until dropped.
pub(super) struct Watch {
    record: Arc<Mutex<Record>>,
    _tasks: JoinSet<()>,
}

/// What was seen since [`Watch::begin`], the state at that time first.
#[derive(Clone, Debug, Default)]
pub(super) struct Record {
    pub(super) hpas: BTreeMap<String, Hpa>,
    /// By the name of the `APIService`.
    pub(super) available: BTreeMap<String, Vec<(Instant, bool)>>,
}

/// One HPA and its Deployment.
#[derive(Clone, Debug, Default)]
pub(super) struct Hpa {
    /// What the Deployment is to have.
    pub(super) replicas: Vec<(Instant, i32)>,
    /// The condition `ScalingActive`: none while it is true, else why not.
    pub(super) failing: Vec<(Instant, Option<String>)>,
}

impl Watch {
    pub(super) fn start(client: &kube::Client) -> Self {
        let record = Arc::new(Mutex::new(Record::default()));
        let mut tasks = JoinSet::new();
        let note = note(Arc::clone(&record), |record, deployment: &Deployment| {
            if let Some(replicas) = deployment.spec.as_ref().and_then(|it| it.replicas) {
                append(&mut record.hpa(&deployment.name_any()).replicas, replicas);
            }
        });
        tasks.spawn(follow(Api::namespaced(client.clone(), NAMESPACE), note));
        let note = note_hpa(Arc::clone(&record));
        tasks.spawn(follow(Api::namespaced(client.clone(), NAMESPACE), note));
        let note = self::note(Arc::clone(&record), |record, service: &APIService| {
            let conditions = service.status.as_ref().and_then(|it| it.conditions.as_ref());
            let available = conditions.into_iter().flatten().find(|it| it.type_ == "Available");
            let name = service.name_any();
            if let Some(available) = available.filter(|_| API_SERVICES.contains(&&*name)) {
                append(record.available.entry(name).or_default(), available.status == "True");
            }
        });
        tasks.spawn(follow(Api::all(client.clone()), note));
        Self { record, _tasks: tasks }
    }

    /// Forgets all but the state of this moment.
    pub(super) fn begin(&self) {
        let mut record = lock(&self.record);
        record.available.values_mut().for_each(keep_last);
        for hpa in record.hpas.values_mut() {
            keep_last(&mut hpa.replicas);
            keep_last(&mut hpa.failing);
        }
    }

    /// What has been seen so far.
    pub(super) fn record(&self) -> Record {
        lock(&self.record).clone()
    }

    /// Everything is as it should be: the right size, every HPA at work, the APIs available.
    pub(super) fn is_well(&self, replicas: i32) -> Result<Option<()>> {
        let record = lock(&self.record);
        let well = |hpa: &Hpa| {
            hpa.replicas.last().is_some_and(|it| it.1 == replicas)
                && hpa.failing.last().is_some_and(|it| it.1.is_none())
        };
        let mut available = record.available.values().map(|it| it.last().is_some_and(|it| it.1));
        anyhow::ensure!(
            record.available.len() == API_SERVICES.len()
                && available.all(|it| it)
                && record.hpas.len() == WORKLOADS.len()
                && record.hpas.values().all(well),
            "last seen: {record:?}"
        );
        Ok(Some(()))
    }
}

impl Record {
    fn hpa(&mut self, name: &str) -> &mut Hpa {
        self.hpas.entry(name.to_owned()).or_default()
    }
}

impl Hpa {
    /// The causes it was told between two times, each once, in their order.
    pub(super) fn causes(&self, from: Instant, until: Instant) -> Vec<String> {
        let mut causes: Vec<String> = Vec::new();
        for (at, cause) in &self.failing {
            if let Some(cause) = cause
                && (from..=until).contains(at)
                && !causes.contains(cause)
            {
                causes.push(cause.clone());
            }
        }
        causes
    }

    /// Whether it was at work again between its first failure and `until`.
    pub(super) fn recovered_before(&self, until: Instant) -> bool {
        let mut seen = self.failing.iter().filter(|it| it.0 <= until).skip_while(|it| it.1.is_none());
        seen.any(|it| it.1.is_none())
    }
}

/// Tells `note` of every object, now and whenever it changes.
async fn follow<K>(api: Api<K>, note: impl Fn(&K))
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let objects = watcher(api, watcher::Config::default()).default_backoff().applied_objects();
    pin_mut!(objects);
    // An interrupted watch goes on by itself.
    while let Some(object) = objects.next().await {
        if let Ok(object) = object {
            note(&object);
        }
    }
}

fn note<K>(record: Arc<Mutex<Record>>, note: impl Fn(&mut Record, &K)) -> impl Fn(&K) {
    move |object| note(&mut lock(&record), object)
}

fn note_hpa(record: Arc<Mutex<Record>>) -> impl Fn(&HorizontalPodAutoscaler) {
    note(record, |record, hpa: &HorizontalPodAutoscaler| {
        let conditions = hpa.status.as_ref().and_then(|it| it.conditions.as_ref());
        let active = conditions.into_iter().flatten().find(|it| it.type_ == "ScalingActive");
        if let Some(active) = active {
            let cause = cause(active.message.as_deref().unwrap_or_default());
            append(
                &mut record.hpa(&hpa.name_any()).failing,
                (active.status != "True").then(|| cause.to_owned()),
            );
        }
    })
}

/// The server's own words in the message of an HPA's condition.
fn cause(message: &str) -> &str {
    let cause = BEFORE_CAUSE.iter().find_map(|before| message.split_once(before));
    let cause = cause.map_or(message, |(_, cause)| cause);
    let cause = cause.strip_prefix("the HPA was unable to compute the replica count: ").unwrap_or(cause);
    cause.rsplit_once(" (get ").map_or(cause, |(cause, _)| cause)
}

fn append<T: PartialEq>(seen: &mut Vec<(Instant, T)>, now: T) {
    if seen.last().is_none_or(|last| last.1 != now) {
        seen.push((Instant::now(), now));
    }
}

fn keep_last<T>(seen: &mut Vec<T>) {
    seen.drain(..seen.len().saturating_sub(1));
}

fn lock(record: &Mutex<Record>) -> MutexGuard<'_, Record> {
    record.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_cause_is_what_the_server_said() {
        let message = "the HPA was unable to compute the replica count: unable to get external metric faults/x: \
                       unable to fetch metrics from external metrics API: metric `x`: the query returned NaN \
                       (get x.external.metrics.k8s.io)";
        assert_eq!(cause(message), "metric `x`: the query returned NaN");
        let message = "the HPA was unable to compute the replica count: unable to get metric x: no metrics returned \
                       from custom metrics API";
        assert_eq!(cause(message), "unable to get metric x: no metrics returned from custom metrics API");
        assert_eq!(cause("another message"), "another message");
    }

    #[test]
    fn an_hpa_tells_its_causes_and_whether_it_recovered_in_between() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let cause = |text: &str| Some(text.to_owned());
        let mut hpa = Hpa { replicas: Vec::new(), failing: vec![(at(0), None), (at(2), cause("a"))] };
        assert!(!hpa.recovered_before(at(9)));
        hpa.failing.extend([(at(3), cause("b")), (at(4), None), (at(5), cause("a")), (at(8), cause("late"))]);
        assert_eq!(hpa.causes(at(1), at(7)), ["a", "b"]);
        assert!(hpa.recovered_before(at(4)) && !hpa.recovered_before(at(3)));
    }
}
