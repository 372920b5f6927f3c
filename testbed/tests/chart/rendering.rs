//! What `helm template` makes of the values.

use crate::case::{self, NAMESPACE, UNVERIFIED, chart_path, folder, object, objects, offline};
use serde_json::{Value, json};
use std::{path::Path, process::Stdio};
use testbed::{Helm, pki, rundir::RunDir, workspace};
use tokio::process::Command;

#[tokio::test]
async fn every_case_passes_lint_and_is_rendered_as_recorded() {
    let dir = RunDir::new("chart-rendering").unwrap();
    for (version, helm) in [
        ("3", Helm::find_3(dir.state(), None).await.unwrap()),
        ("4", Helm::find(dir.state(), None).await.unwrap()),
    ] {
        let now = dir.logs().join(version);
        let differ = different(&helm, &now).await;
        assert!(
            differ.is_empty(),
            "Helm {version}: {differ:?} differ; the files as they are now: {}",
            now.display()
        );
    }
}

/// The cases that this Helm does not render as recorded. Their files as they are now are written into the folder `now`.
async fn different(helm: &Helm, now: &Path) -> Vec<String> {
    std::fs::create_dir_all(now).unwrap();
    let mut differ = Vec::new();
    for case in case::all() {
        let chart = chart_path();
        let lint = helm.run(&["lint", "--strict", &chart, "--values", case.path()]).await.unwrap();
        lint.success().unwrap_or_else(|error| panic!("{}: {error:#}", case.name));
        let rendered = helm.run(&case.template_args(&chart)).await.unwrap();
        let rendered = rendered.success().unwrap_or_else(|error| panic!("{}: {error:#}", case.name));
        let file = format!("{}.yaml", case.name);
        std::fs::write(now.join(&file), &rendered).unwrap();
        let recorded = std::fs::read_to_string(folder().join("rendered").join(&file)).unwrap_or_default();
        // Helm 3 and 4 differ in empty lines.
        let lines = |text: &str| -> Vec<String> {
            text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect()
        };
        if lines(&recorded) != lines(&rendered) {
            differ.push(file);
        }
    }
    differ
}

#[tokio::test]
async fn the_configuration_of_every_case_passes_the_check_of_the_server() {
    let (helm, dir) = offline("chart-check").await;
    let server = workspace::binary("metrics-apiserver").await.unwrap();
    let mut checked = 0;
    for case in case::all() {
        let rendered = helm.run(&case.template_args(&chart_path())).await.unwrap().success().unwrap();
        let objects = objects(&rendered);
        let Some(config) = objects.iter().find_map(|object| object["data"]["config.yaml"].as_str()) else {
            continue;
        };
        let file = dir.state().join("config.yaml");
        std::fs::write(&file, config).unwrap();
        let mut command = Command::new(&server);
        command.args(["check", "--skip-files", "--config"]).arg(&file).args(prometheus_flags(&objects));
        let output = command.stdin(Stdio::null()).output().await.unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {errors}\n{config}", case.name);
        checked += 1;
    }
    assert!(checked >= 10, "{checked}");
}

#[tokio::test]
async fn the_server_accepts_the_arguments_of_every_case() {
    let (helm, dir) = offline("chart-arguments").await;
    let server = workspace::binary("metrics-apiserver").await.unwrap();
    let config = dir.state().join("config.yaml");
    std::fs::write(&config, "metrics: []").unwrap();
    let ca = dir.state().join("ca.crt");
    std::fs::write(&ca, pki::Authority::new("Prometheus").unwrap().pem()).unwrap();
    for case in case::all() {
        let rendered = helm.run(&case.template_args(&chart_path())).await.unwrap().success().unwrap();
        let objects = objects(&rendered);
        let args =
            arguments(&objects).into_iter().map(|arg| match arg.split_once("-file=/etc/prometheus-ca/") {
                Some((flag, _)) => format!("{flag}-file={}", ca.display()),
                None => arg,
            });
        let mut command = Command::new(&server);
        // It ends with 2 or 64 for its arguments, and with 1 for a cluster that is not there.
        command.args(args).arg("--kubeconfig=/nowhere").arg("--config").arg(&config);
        let output = command.stdin(Stdio::null()).output().await.unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{}: {errors}", case.name);
        assert!(errors.contains("/nowhere"), "{}: {errors}", case.name);
    }
}

#[tokio::test]
async fn the_job_before_an_upgrade_checks_the_configuration_of_the_server() {
    let (helm, dir) = offline("chart-job").await;
    let server = workspace::binary("metrics-apiserver").await.unwrap();
    let broken = "rules: {custom: [{seriesQuery: a, name: {matches: '('}, metricsQuery: a}]}";
    for (values, code) in [("{}", 0), (broken, 64)] {
        let (chart, file) = (chart_path(), case::values_file(dir.state(), values));
        let args = [
            "template",
            "r",
            &chart,
            "--values",
            &file,
            "--set",
            UNVERIFIED,
            "--set",
            "checkJob.enabled=true",
        ];
        let objects = objects(&helm.run(&args).await.unwrap().success().unwrap());
        let config = &object(&objects, "ConfigMap", "r-metrics-apiserver-check")["data"];
        assert_eq!(*config, object(&objects, "ConfigMap", "r-metrics-apiserver")["data"]);
        let job = object(&objects, "Job", "r-metrics-apiserver-check");
        assert_eq!(job["metadata"]["annotations"]["helm.sh/hook"], "pre-install,pre-upgrade");
        let container = &job["spec"]["template"]["spec"]["containers"][0];
        let config_file = dir.state().join("config.yaml");
        std::fs::write(&config_file, config["config.yaml"].as_str().unwrap()).unwrap();
        let args: Vec<String> = serde_json::from_value(container["args"].clone()).unwrap();
        let config_file = config_file.to_str().unwrap();
        let args = args.into_iter().map(|arg| arg.replace("/etc/adapter/config.yaml", config_file));
        let output = Command::new(&server).args(args).stdin(Stdio::null()).output().await.unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[tokio::test]
async fn the_packaged_chart_renders_the_same() {
    let (helm, dir) = offline("chart-package").await;
    let (chart, state) = (chart_path(), dir.state().to_str().unwrap().to_owned());
    helm.run(&["package", &chart, "--destination", &state]).await.unwrap().success().unwrap();
    let package = format!("{state}/metrics-apiserver-{}.tgz", env!("CARGO_PKG_VERSION"));
    let case = case::all().pop().unwrap();
    let from_folder = helm.run(&case.template_args(&chart)).await.unwrap().success().unwrap();
    let from_package = helm.run(&case.template_args(&package)).await.unwrap().success().unwrap();
    assert_eq!(from_package, from_folder);
}

/// The flags of the Deployment that `check` takes, too. Files that they name are not here.
fn prometheus_flags(objects: &[Value]) -> Vec<String> {
    let args = arguments(objects).into_iter();
    args.filter(|arg| arg.starts_with("--prometheus-url") || arg.starts_with("--prometheus-header")).collect()
}

/// The arguments of the server.
fn arguments(objects: &[Value]) -> Vec<String> {
    let deployment = objects.iter().find(|object| object["kind"] == "Deployment").unwrap();
    let args = &deployment["spec"]["template"]["spec"]["containers"][0]["args"];
    serde_json::from_value(args.clone()).unwrap()
}

#[tokio::test]
async fn the_url_of_prometheus_is_put_together_as_by_the_adapters_chart() {
    let (helm, _dir) = offline("chart-url").await;
    for (set, expected) in [
        (&["prometheus.url=http://p"][..], "http://p:9090"),
        (&["prometheus.url=http://p", "text prometheus.port=8080"], "http://p:8080"),
        (&["prometheus.url=http://p", "prometheus.port=0"], "http://p"),
        (&["prometheus.url=http://p", "prometheus.port=null"], "http://p"),
        (&["prometheus.url=http://p:1", "prometheus.port="], "http://p:1"),
        (&["prometheus.url=https://u:w@p", "prometheus.path=/a/"], "https://u:w@p:9090/a/"),
        (&["prometheus.url=http://p/a/", "prometheus.port=0"], "http://p/a/"),
        (&["prometheus.url=http://[::1]"], "http://[::1]:9090"),
        (
            &["prometheus.url=http://{{ .Release.Name }}-{{ .Values.team }}.svc", "team=a"],
            "http://r-a.svc:9090",
        ),
    ] {
        let chart = chart_path();
        let mut args = vec!["template", "r", &chart, "--set", UNVERIFIED];
        for value in set {
            match value.strip_prefix("text ") {
                Some(value) => args.extend(["--set-string", value]),
                None => args.extend(["--set", value]),
            }
        }
        let rendered = helm.run(&args).await.unwrap().success().unwrap();
        let flags = prometheus_flags(&objects(&rendered));
        assert_eq!(flags, [format!("--prometheus-url={expected}")], "{set:?}");
    }
}

#[tokio::test]
async fn a_release_of_the_adapters_name_keeps_the_adapters_names() {
    let (helm, _dir) = offline("chart-names").await;
    for (release, set, name) in [
        ("prometheus-adapter", "a=b", "prometheus-adapter"),
        ("my-prometheus-adapter", "a=b", "my-prometheus-adapter"),
        ("hpa-metrics", "nameOverride=prometheus-adapter", "hpa-metrics-prometheus-adapter"),
        ("metrics-apiserver", "a=b", "metrics-apiserver"),
        ("monitoring", "a=b", "monitoring-metrics-apiserver"),
        ("monitoring", "fullnameOverride=x", "x"),
    ] {
        let chart = chart_path();
        let args = ["template", release, &chart, "-n", NAMESPACE, "--set", UNVERIFIED, "--set", set];
        let objects = objects(&helm.run(&args).await.unwrap().success().unwrap());
        let deployment = object(&objects, "Deployment", name);
        let service = object(&objects, "Service", name);
        let selector = &deployment["spec"]["selector"]["matchLabels"];
        assert_eq!(*selector, service["spec"]["selector"]);
        assert_eq!(selector["app.kubernetes.io/instance"], release);
        let label =
            if name.ends_with("prometheus-adapter") { "prometheus-adapter" } else { "metrics-apiserver" };
        assert_eq!(selector["app.kubernetes.io/name"], label);
        let pod = &deployment["spec"]["template"]["spec"];
        assert_eq!(pod["volumes"][0], json!({"name": "config", "configMap": {"name": name}}));
        assert_eq!(pod["containers"][0]["volumeMounts"][0]["mountPath"], "/etc/adapter");
        assert!(object(&objects, "ConfigMap", name)["data"]["config.yaml"].is_string());
        for version in ["v1beta1", "v1beta2"] {
            let registration = object(&objects, "APIService", &format!("{version}.custom.metrics.k8s.io"));
            let target = json!({"name": name, "namespace": NAMESPACE, "port": 443});
            assert_eq!(registration["spec"]["service"], target);
        }
    }
}

#[tokio::test]
async fn the_service_is_named_only_if_every_api_with_rules_is_registered() {
    let (helm, _dir) = offline("chart-service").await;
    let chart = chart_path();
    let external = r#"metrics=[{"name":"a","query":"up"}]"#;
    for (set, is_named) in [
        ("apiServices.custom=null", true),
        ("apiServices.create=false", false),
        ("apiServices.custom=false", false),
        ("apiServices.external=false", false),
        ("apiServices.external=true", true),
        ("rules.default=false", true),
    ] {
        let mut args = vec!["template", "r", &chart, "-n", NAMESPACE, "--set", UNVERIFIED];
        args.extend(["--set-json", external, "--set", set]);
        let objects = objects(&helm.run(&args).await.unwrap().success().unwrap());
        let named = arguments(&objects).contains(&format!("--service={NAMESPACE}/r-metrics-apiserver"));
        assert_eq!(named, is_named, "{set}");
    }
}

#[tokio::test]
async fn pods_keep_out_of_meshes_unless_the_values_say_otherwise() {
    let (helm, _dir) = offline("chart-mesh").await;
    let chart = chart_path();
    let set = "checkJob.enabled=true,podLabels.team=a,podLabels.kuma\\.io/sidecar-injection=enabled";
    let args = ["template", "r", &chart, "--set", UNVERIFIED, "--set", set];
    let objects = objects(&helm.run(&args).await.unwrap().success().unwrap());
    for (kind, name) in [("Deployment", "r-metrics-apiserver"), ("Job", "r-metrics-apiserver-check")] {
        let metadata = &object(&objects, kind, name)["spec"]["template"]["metadata"];
        assert_eq!(metadata["labels"]["sidecar.istio.io/inject"], "false", "{kind}");
        assert_eq!(metadata["annotations"]["linkerd.io/inject"], "disabled", "{kind}");
        assert_eq!(metadata["labels"]["kuma.io/sidecar-injection"], "enabled", "{kind}");
        assert_eq!(metadata["labels"]["team"], "a", "{kind}");
    }
}

#[tokio::test]
async fn an_older_kubernetes_gets_no_field_that_it_does_not_know() {
    let (helm, _dir) = offline("chart-older").await;
    let chart = chart_path();
    for (version, knows_fields, knows_flow_schemas) in
        [("1.26.0", false, false), ("1.27.0", true, false), ("1.28.9", true, false), ("1.29.0", true, true)]
    {
        let args = ["template", "r", &chart, "--set", UNVERIFIED, "--kube-version", version];
        let rendered = helm.run(&args).await.unwrap().success().unwrap();
        for field in ["matchLabelKeys", "unhealthyPodEvictionPolicy"] {
            assert_eq!(rendered.contains(field), knows_fields, "{version} {field}");
        }
        assert_eq!(rendered.contains("kind: FlowSchema"), knows_flow_schemas, "{version}");
    }
    let args = ["template", "r", &chart, "--set", UNVERIFIED, "--kube-version", "1.22.0"];
    assert!(helm.run(&args).await.unwrap().success().is_err());
}
