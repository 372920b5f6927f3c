//! The chart as a dependency of another, under an alias.

use crate::case::{chart_path, folder, object, objects, offline};

#[tokio::test]
async fn as_a_dependency_under_the_adapters_name_it_has_the_adapters_names_and_obeys_the_condition() {
    let (helm, dir) = offline("chart-parent").await;
    let parent = dir.subdir("parent").unwrap();
    let chart = std::fs::read_to_string(folder().join("parent/Chart.yaml")).unwrap();
    std::fs::write(parent.join("Chart.yaml"), chart.replace("CHART", &chart_path())).unwrap();
    std::fs::copy(folder().join("parent/values.yaml"), parent.join("values.yaml")).unwrap();
    let parent = parent.to_str().unwrap();
    helm.run(&["dependency", "update", parent]).await.unwrap().success().unwrap();
    let rendered =
        helm.run(&["template", "stack", parent, "-n", "serving"]).await.unwrap().success().unwrap();
    let objects = objects(&rendered);
    let deployment = object(&objects, "Deployment", "stack-prometheus-adapter");
    let args = deployment["spec"]["template"]["spec"]["containers"][0]["args"].as_array().unwrap();
    let url = "--prometheus-url=http://stack-kube-prom-prometheus.serving.svc:9090";
    assert!(args.iter().any(|arg| arg == url), "{args:?}");
    let registration = object(&objects, "APIService", "v1beta1.custom.metrics.k8s.io");
    assert_eq!(registration["spec"]["service"]["name"], "stack-prometheus-adapter");
    let config = object(&objects, "ConfigMap", "stack-prometheus-adapter");
    assert!(config["data"]["config.yaml"].as_str().unwrap().contains("as: requests_waiting"));

    let off = ["template", "stack", parent, "--set", "prometheus-adapter.enabled=false"];
    assert_eq!(helm.run(&off).await.unwrap().success().unwrap().trim(), "");
}
