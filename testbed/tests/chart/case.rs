//! The values, and Helm without a cluster.

use serde_json::Value;
use std::path::{Path, PathBuf};
use testbed::{Helm, chart, rundir::RunDir, workspace};

/// The namespace of every release.
pub(crate) const NAMESPACE: &str = "monitoring";
/// What Helm takes the cluster for when there is none.
pub(crate) const KUBERNETES: &str = "1.37.0";
/// Without a cluster the chart cannot keep a certificate. Values that say nothing about one get what the adapter's
/// chart does.
pub(crate) const UNVERIFIED: &str = "tls.insecureSkipTLSVerify=true";

/// A file with values.
pub(crate) struct Case {
    /// The file's name without its end.
    pub(crate) name: String,
    /// The name of the release.
    pub(crate) release: String,
    /// The file.
    pub(crate) file: PathBuf,
    /// Whether the values choose a certificate.
    chooses_certificate: bool,
}

impl Case {
    /// `helm COMMAND …` for this case, with what the command needs besides.
    pub(crate) fn args<'a>(&'a self, chart: &'a str, command: &[&'a str]) -> Vec<&'a str> {
        let mut args = command.to_vec();
        args.extend([&*self.release, chart, "--namespace", NAMESPACE, "--values", self.path()]);
        args
    }

    /// Arguments of `helm template`.
    pub(crate) fn template_args<'a>(&'a self, chart: &'a str) -> Vec<&'a str> {
        let mut args = self.args(chart, &["template"]);
        args.extend(["--kube-version", KUBERNETES]);
        if !self.chooses_certificate {
            args.extend(["--set", UNVERIFIED]);
        }
        args
    }

    pub(crate) fn path(&self) -> &str {
        self.file.to_str().unwrap()
    }
}

/// The folder of this test program.
pub(crate) fn folder() -> PathBuf {
    workspace::root().join("testbed/tests/chart")
}

/// Every case, in order.
pub(crate) fn all() -> Vec<Case> {
    let entries = std::fs::read_dir(folder().join("values")).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 10, "{files:?}");
    files.into_iter().map(read).collect()
}

fn read(file: PathBuf) -> Case {
    let text = std::fs::read_to_string(&file).unwrap();
    let release = text.lines().next().unwrap().strip_prefix("# release: ").unwrap().to_owned();
    let values: Value = serde_saphyr::from_str(&text).unwrap();
    let chooses_certificate = values["tls"]["enable"] == true || values["certManager"]["enabled"] == true;
    Case { name: file.file_stem().unwrap().to_str().unwrap().to_owned(), release, file, chooses_certificate }
}

/// The chart's folder as an argument.
pub(crate) fn chart_path() -> String {
    chart::dir().to_str().unwrap().to_owned()
}

/// Helm without a cluster, and the folders of the run.
pub(crate) async fn offline(name: &str) -> (Helm, RunDir) {
    let dir = RunDir::new(name).unwrap();
    let helm = Helm::find(dir.state(), None).await.unwrap();
    (helm, dir)
}

/// The objects in a rendering.
pub(crate) fn objects(rendered: &str) -> Vec<Value> {
    let documents = format!("\n{rendered}");
    let values = documents.split("\n---\n").map(|document| {
        let value: Option<Value> =
            serde_saphyr::from_str(document).unwrap_or_else(|error| panic!("{error}\n{document}"));
        value.unwrap_or_default()
    });
    values.filter(|value| !value.is_null()).collect()
}

/// The object of this kind and name.
pub(crate) fn object<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let found = objects.iter().find(|object| object["kind"] == kind && object["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("no {kind} {name}"))
}

/// Writes a file with values into the state of a run.
pub(crate) fn values_file(dir: &Path, text: &str) -> String {
    let file = dir.join("values.yaml");
    std::fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}
