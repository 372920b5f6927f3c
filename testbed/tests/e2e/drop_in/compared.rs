//! prometheus-adapter itself, run by the same manifests: what it serves is what our program serves.

use super::{
    DropIn, IDLE, SOON,
    hpas::{Hpa, autoscaler, pods_metric},
    program,
    release::{self, Pod, Release},
    with_drop_in, workload,
};
use crate::direct::Caller;
use serde_json::Value;
use std::collections::BTreeSet;
use testbed::{eventually, tools};

/// How often the HPA reads after each change: each second once.
const READS: usize = 2;
/// Whatever differs between two reads of the same.
const CHANGING: [&str; 4] = ["timestamp", "creationTimestamp", "cpu", "resourceVersion"];

/// The names that an API lists, once it lists any.
async fn listed(caller: &Caller, api: &str) -> BTreeSet<String> {
    let listed = eventually("the API to list metrics", SOON, async || {
        let list = caller.try_get(api).await?.json();
        let names = list["resources"].as_array().into_iter().flatten();
        let names: BTreeSet<_> = names.filter_map(|it| it["name"].as_str()).map(str::to_owned).collect();
        Ok((!names.is_empty()).then_some(names))
    });
    listed.await.unwrap()
}

/// What a read gives, without what changes.
async fn read(caller: &Caller, path: &str) -> (u16, Value) {
    let answer = caller.get(path).await;
    let mut body = answer.json();
    forget(&mut body);
    (answer.code, body)
}

fn forget(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| !CHANGING.contains(&&**name));
            fields.values_mut().for_each(forget);
        }
        Value::Array(items) => items.iter_mut().for_each(forget),
        _ => {}
    }
}

/// Runs both programs by the same manifests, and compares their lists of `apis` and their reads of `paths`. Gives all
/// that is listed.
async fn compare(
    drop_in: &DropIn,
    release: &Release,
    name: &str,
    apis: &[&str],
    paths: &[String],
) -> BTreeSet<String> {
    let adapter = tools::prometheus_adapter().await.unwrap();
    let (cluster, url) = (&drop_in.cluster, drop_in.prometheus.url());
    let theirs = format!("{name}-theirs");
    let (theirs, ours) = tokio::try_join!(release.run(cluster, &theirs, &adapter, url), async {
        release.run(cluster, &format!("{name}-ours"), &program().await, url).await
    },)
    .unwrap();
    let (theirs, ours) = (theirs.caller(cluster), ours.caller(cluster));
    let mut all = BTreeSet::new();
    for api in apis {
        let mut expected = listed(&theirs, api).await;
        assert_eq!(listed(&ours, api).await, expected, "{api}");
        all.append(&mut expected);
    }
    for path in paths {
        let expected = read(&theirs, path).await;
        assert_eq!(expected.0, 200, "{path}: {expected:?}");
        assert!(expected.1["items"].as_array().is_none_or(|items| !items.is_empty()), "{path}: {expected:?}");
        assert_eq!(read(&ours, path).await, expected, "{path}");
    }
    all
}

#[test]
fn by_the_charts_manifests_the_same_metrics_are_listed_and_read_as_of_prometheus_adapter() {
    with_drop_in(|drop_in| async move {
        let _undamaged = drop_in.undamaged.read().await;
        let (custom, external) =
            ("/apis/custom.metrics.k8s.io/v1beta1", "/apis/external.metrics.k8s.io/v1beta1");
        let pod = drop_in.idle_pod().await;
        let namespace = format!("{custom}/namespaces/{IDLE}");
        let paths = [
            format!("{namespace}/pods/*/python_slots"),
            format!("{namespace}/pods/*/python_slots?labelSelector=app%3Dweb"),
            format!("{namespace}/pods/{pod}/memory_working_set_bytes"),
            format!("{namespace}/metrics/python_requests_in_flight"),
            format!("{namespace}/services/web/requests_of_service"),
            format!("{namespace}/deployments.apps/web/requests_of_deployment"),
            format!("{namespace}/models.mlops.example.com/web/requests_of_model"),
            format!("{external}/namespaces/{IDLE}/requests_of_app?labelSelector=app%3Dweb"),
        ];
        let listed = compare(&drop_in, &drop_in.chart, "chart", &[custom, external], &paths).await;
        for name in ["pods/cpu_usage", "namespaces/memory_working_set_bytes", "jobs.batch/python_slots"] {
            assert!(listed.contains(name), "{name} is not in {listed:?}");
        }
    });
}

#[test]
fn by_kube_prometheus_manifests_the_same_usage_is_read_as_of_prometheus_adapter() {
    with_drop_in(|drop_in| async move {
        let _undamaged = drop_in.undamaged.read().await;
        let api = "/apis/metrics.k8s.io/v1beta1";
        let pod = drop_in.idle_pod().await;
        let pods = format!("{api}/namespaces/{IDLE}/pods");
        let paths =
            [pods.clone(), format!("{pods}/{pod}"), format!("{api}/nodes"), format!("{api}/nodes/drop-in")];
        let listed = compare(&drop_in, &drop_in.kube_prometheus, "kube-prometheus", &[api], &paths).await;
        assert_eq!(listed.into_iter().collect::<Vec<_>>(), ["nodes", "pods"]);
    });
}

/// Waits until the pod has answered so many more reads of this namespace.
async fn is_read(pod: &Pod, namespace: &str) {
    let read = || anyhow::Ok(std::fs::read_to_string(pod.process.log())?.matches(namespace).count());
    let before = read().unwrap();
    let read = eventually("the HPA to read", SOON, async || Ok((read()? >= before + READS).then_some(())));
    read.await.unwrap();
}

#[test]
fn an_hpa_works_on_when_prometheus_adapter_is_replaced_and_when_it_comes_back() {
    with_drop_in(|drop_in| async move {
        let _damaged = drop_in.undamaged.write().await;
        let (cluster, chart, ours) = (&drop_in.cluster, &drop_in.chart, &drop_in.pods[0]);
        let adapter = tools::prometheus_adapter().await.unwrap();
        let theirs = chart.run(cluster, "chart-replaced", &adapter, drop_in.prometheus.url()).await.unwrap();
        // It is ready before it knows any metric.
        listed(&theirs.caller(cluster), "/apis/custom.metrics.k8s.io/v1beta1").await;
        chart.register(cluster, &theirs).await.unwrap();
        let hpa = Hpa { client: cluster.client().await.unwrap(), namespace: "hpa-switched" };
        let mut objects = workload(hpa.namespace, "1s");
        objects.push(autoscaler(hpa.namespace, &pods_metric()));
        release::apply(cluster, &objects).await.unwrap();
        is_read(&theirs, hpa.namespace).await;
        let begun = hpa.works().await.unwrap();
        for pod in [ours, &theirs, ours] {
            chart.register(cluster, pod).await.unwrap();
            is_read(pod, hpa.namespace).await;
            let now = hpa.works().await.unwrap();
            assert_eq!(now.last_transition_time, begun.last_transition_time, "it failed meanwhile: {now:?}");
        }
        drop_in.available().await.unwrap();
    });
}
