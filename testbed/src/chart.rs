//! The Helm chart's files that are made from others: Helm packages no links, and a README must not go stale.

use crate::workspace;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

/// Around the table of values in the README.
const TABLE: [&str; 2] = ["<!-- values: made by `cargo xtask chart` -->\n", "<!-- end of values -->\n"];
/// Longer defaults are left to values.yaml.
const LONGEST_DEFAULT: usize = 48;

/// A value of the chart that has a description.
#[derive(Debug, PartialEq, Eq)]
struct Described {
    /// Keys, joined with dots.
    path: String,
    /// The comment above it, in one line.
    text: String,
}

/// The chart's folder.
pub fn dir() -> PathBuf {
    workspace::root().join("charts/metrics-apiserver")
}

/// The files that are made from others, and what they must hold.
pub fn copies() -> Result<Vec<(PathBuf, String)>> {
    let monitoring = workspace::root().join("manifests/components");
    let rules = read(&monitoring.join("monitoring/prometheus-rule.yaml"))?;
    let (_, spec) = rules.split_once("\nspec:\n").context("prometheus-rule.yaml has no `spec`")?;
    let alerts: String =
        spec.lines().flat_map(|line| [line.strip_prefix("  ").unwrap_or(line), "\n"]).collect();
    let dashboard = read(&monitoring.join("grafana-dashboard/metrics-apiserver.json"))?;
    let readme = dir().join("README.md");
    let text = with_table(&read(&readme)?, &table(&read(&dir().join("values.yaml"))?)?)?;
    Ok(vec![
        (dir().join("files/alerts.yaml"), alerts),
        (dir().join("files/dashboard.json"), dashboard),
        (readme, text),
    ])
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}

/// The README with another table.
fn with_table(readme: &str, table: &str) -> Result<String> {
    let [begin, end] = TABLE;
    let (head, rest) = readme.split_once(begin).context("the README has no place for the table of values")?;
    let (_, tail) = rest.split_once(end).context("the README's table of values does not end")?;
    Ok(format!("{head}{begin}\n{table}\n{end}{tail}"))
}

fn table(values: &str) -> Result<String> {
    let defaults: Value = serde_saphyr::from_str(values).context("values.yaml is no YAML")?;
    let mut table = "| value | default | meaning |\n| --- | --- | --- |\n".to_owned();
    for Described { path, text } in described(values) {
        let default = path.split('.').try_fold(&defaults, |value, key| value.get(key));
        let default = default.with_context(|| format!("values.yaml has no {path}"))?;
        let mut default = format!("`{default}`");
        if default.len() > LONGEST_DEFAULT {
            "values.yaml".clone_into(&mut default);
        }
        writeln!(table, "| `{path}` | {} | {} |", default.replace('|', "\\|"), text.replace('|', "\\|"))?;
    }
    ensure!(table.lines().count() > 2, "values.yaml describes no value");
    Ok(table)
}

/// The keys with a comment right above them.
fn described(values: &str) -> Vec<Described> {
    let mut found = Vec::new();
    let mut comment: Vec<&str> = Vec::new();
    let mut keys: Vec<(usize, &str)> = Vec::new();
    for line in values.lines() {
        let text = line.trim_start();
        if let Some(words) = text.strip_prefix('#') {
            comment.push(words.trim());
            continue;
        }
        if let Some((indent, key)) = key(line) {
            keys.retain(|(outer, _)| *outer < indent);
            keys.push((indent, key));
            if !comment.is_empty() {
                let path: Vec<&str> = keys.iter().map(|(_, key)| *key).collect();
                found.push(Described { path: path.join("."), text: comment.join(" ") });
            }
        }
        comment.clear();
    }
    found
}

/// The key that a line begins with, and its indentation.
fn key(line: &str) -> Option<(usize, &str)> {
    let (key, _) = line.trim_start().split_once(':')?;
    let is_key = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric());
    is_key.then_some((line.len() - line.trim_start().len(), key))
}

#[cfg(test)]
mod tests;
