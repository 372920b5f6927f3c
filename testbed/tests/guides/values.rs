//! The files of the guides, without a cluster.

use crate::checkout::Checkout;
use serde_json::Value;
use std::{fs, path::PathBuf};
use testbed::{rundir::RunDir, workspace};

/// Every YAML file of the guides.
fn yaml_files() -> Vec<PathBuf> {
    let mut folders = vec![workspace::root().join("guides")];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "yaml") {
                files.push(path);
            }
        }
    }
    files
}

fn documents(text: &str) -> Vec<Value> {
    let values = text.split("\n---\n").map(serde_saphyr::from_str::<Option<Value>>);
    values.map(|value| value.unwrap().unwrap_or_default()).collect()
}

#[test]
fn lines_of_the_guides_fit_on_a_screen_and_manifests_have_kinds() {
    for file in yaml_files() {
        let text = fs::read_to_string(&file).unwrap();
        let is_values = file.to_str().unwrap().ends_with("values.yaml");
        for document in documents(&text) {
            assert_eq!(document["kind"].is_string(), !is_values && !file.ends_with("Chart.yaml"), "{file:?}");
        }
        assert!(text.lines().all(|line| line.chars().count() <= 120), "{file:?}");
    }
}

#[tokio::test]
async fn the_values_of_every_guide_make_a_configuration_that_check_accepts() {
    let dir = RunDir::new("guides-values").unwrap();
    let checkout = Checkout::new(dir.state(), &dir.state().join("no-kubeconfig")).await;
    let server = workspace::binary("metrics-apiserver").await.unwrap();
    let values: Vec<_> = yaml_files()
        .into_iter()
        .filter(|file| {
            file.to_str().unwrap().ends_with("values.yaml") && !file.ends_with("stack/values.yaml")
        })
        .collect();
    assert_eq!(values.len(), 6, "{values:?}");
    for file in values {
        let template = format!(
            "helm template prometheus-adapter charts/metrics-apiserver --values {} --kube-version 1.37.0 \
             --set tls.insecureSkipTLSVerify=true --show-only templates/configmap.yaml > rendered.yaml",
            file.display()
        );
        let (output, succeeds) = checkout.shell(&template).await;
        assert!(succeeds, "{file:?}: {output}");
        let rendered = fs::read_to_string(checkout.root().join("rendered.yaml")).unwrap();
        let map = documents(&rendered).into_iter().find(|map| map["kind"] == "ConfigMap").unwrap();
        let config = map["data"]["config.yaml"].as_str().unwrap();
        fs::write(checkout.root().join("config.yaml"), config).unwrap();
        let check = format!("{} check --config config.yaml --prometheus-url http://a", server.display());
        let (output, succeeds) = checkout.shell(&check).await;
        assert!(succeeds && output.contains("no problems"), "{file:?}: {output}");
    }
}
