//! What `cargo deny check bans licenses sources` says, from `cargo metadata` and the same `deny.toml`, for machines
//! without cargo-deny.

mod licence;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    process::Stdio,
};
use testbed::workspace;

/// The lists of `deny.toml`. The file is read as text: a list of one key, from `[` to a line that begins with `]`.
#[derive(Debug, Default)]
struct Rules {
    targets: Vec<String>,
    licences: BTreeSet<String>,
    banned: Vec<String>,
    skipped: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Debug, Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Node {
    id: String,
    deps: Vec<Edge>,
    /// Those that are on.
    features: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Edge {
    pkg: String,
}

#[derive(Debug, Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    /// None for the workspace's own.
    source: Option<String>,
    #[serde(default)]
    dependencies: Vec<Dependency>,
    /// What each feature turns on.
    #[serde(default)]
    features: BTreeMap<String, Vec<String>>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    name: String,
    /// What features call it, if not by its name.
    rename: Option<String>,
    optional: bool,
}

/// Fails with all problems at once.
pub(crate) async fn check() -> Result<()> {
    let rules = Rules::parse(&fs::read_to_string(workspace::root().join("deny.toml"))?);
    ensure!(!rules.targets.is_empty() && !rules.licences.is_empty(), "deny.toml has no lists");
    let problems = rules.problems(&packages(&rules.targets).await?);
    ensure!(problems.is_empty(), "{}", problems.trim_end());
    cargo_deny().await
}

/// The packages that are built for these targets, those of tests and build scripts included.
async fn packages(targets: &[String]) -> Result<Vec<Package>> {
    let mut command = workspace::cargo();
    command.args(["metadata", "--format-version=1", "--locked"]).stderr(Stdio::inherit());
    for target in targets {
        command.args(["--filter-platform", target]);
    }
    let output = command.output().await.context("starting cargo metadata")?;
    ensure!(output.status.success(), "cargo metadata ended with {}", output.status);
    let Metadata { mut packages, resolve } = serde_json::from_slice(&output.stdout)?;
    let used = built(&packages, &resolve.nodes);
    packages.retain(|package| used.contains(&package.id));
    Ok(packages)
}

/// The packages that the workspace's own lead to. cargo also lists optional ones that a feature names only weakly
/// (`ring?/alloc`), and does not build them.
fn built(packages: &[Package], nodes: &[Node]) -> BTreeSet<String> {
    let packages: BTreeMap<&str, &Package> =
        packages.iter().map(|package| (package.id.as_str(), package)).collect();
    let nodes: BTreeMap<&str, &Node> = nodes.iter().map(|node| (node.id.as_str(), node)).collect();
    let own = packages.values().filter(|package| package.source.is_none());
    let mut open: Vec<&str> = own.map(|package| package.id.as_str()).collect();
    let mut built = BTreeSet::new();
    while let Some(id) = open.pop() {
        let (Some(package), Some(node)) = (packages.get(id), nodes.get(id)) else { continue };
        if built.insert(id.to_owned()) {
            let edges = node.deps.iter().filter_map(|edge| packages.get(edge.pkg.as_str()));
            open.extend(edges.filter(|to| package.needs(&to.name, &node.features)).map(|to| to.id.as_str()));
        }
    }
    built
}

impl Package {
    /// Whether it is built with this dependency if these features are on.
    fn needs(&self, dependency: &str, features: &[String]) -> bool {
        let turns_on = |what: &String, key: &str| {
            what.strip_prefix("dep:").is_some_and(|on| on == key)
                || what.split_once('/').is_some_and(|(on, _)| on == key)
        };
        self.dependencies.iter().filter(|declared| declared.name == dependency).any(|declared| {
            let key = declared.rename.as_deref().unwrap_or(dependency);
            let mut on = features.iter().filter_map(|feature| self.features.get(feature)).flatten();
            !declared.optional || on.any(|what| turns_on(what, key))
        })
    }
}

/// The real one, where it is installed.
async fn cargo_deny() -> Result<()> {
    let probe =
        workspace::cargo().args(["deny", "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !probe.await.is_ok_and(|status| status.success()) {
        return Ok(());
    }
    let status = workspace::cargo().args(["deny", "check", "bans", "licenses", "sources"]).status().await?;
    ensure!(status.success(), "cargo deny ended with {status}");
    Ok(())
}

impl Rules {
    fn parse(text: &str) -> Self {
        let list = |section: &str, key: &str| {
            let section = text.split(&format!("[{section}]\n")).nth(1).unwrap_or_default();
            let section = section.split("\n[").next().unwrap_or_default();
            let lines = section.lines().filter(|line| !line.trim_start().starts_with('#'));
            let mut lines = lines.skip_while(|line| !line.starts_with(&format!("{key} = [")));
            let first = lines.next().and_then(|line| line.split_once('[')).map_or("", |(_, rest)| rest);
            let one_line = first.contains(']');
            let rest = lines.take_while(|line| !line.starts_with(']')).filter(|_| !one_line);
            // The first string of a line is what counts: `"MIT",` or `{ crate = "syn:<3", reason = "…" },`.
            let strings =
                |line: &str| line.split('"').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
            let firsts = rest.filter_map(|line| strings(line).into_iter().next());
            strings(first).into_iter().chain(firsts).collect::<Vec<String>>()
        };
        Self {
            targets: list("graph", "targets"),
            licences: list("licenses", "allow").into_iter().collect(),
            banned: list("bans", "deny"),
            skipped: list("bans", "skip"),
        }
    }

    fn problems(&self, packages: &[Package]) -> String {
        let mut problems = String::new();
        let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        let mut unused: BTreeSet<&str> = self.skipped.iter().map(String::as_str).collect();
        let sources: BTreeSet<&str> =
            packages.iter().filter_map(|package| package.source.as_deref()).collect();
        for source in sources.iter().skip(1).chain(sources.iter().filter(|it| !it.starts_with("registry+"))) {
            let _ = writeln!(problems, "{source} is not the crate registry");
        }
        for Package { name, version, license, .. } in packages {
            let licence = license.as_deref().unwrap_or("no licence");
            if !licence::allowed(licence, &self.licences) {
                let _ = writeln!(problems, "{name} {version}: {licence} is not allowed by deny.toml");
            }
            if self.banned.iter().any(|spec| matches(spec, name, version)) {
                let _ = writeln!(problems, "{name} {version} is banned by deny.toml");
            }
            let skips = self.skipped.iter().filter(|spec| matches(spec, name, version));
            if skips.map(|spec| unused.remove(spec.as_str())).count() == 0 {
                versions.entry(name).or_default().push(version);
            }
        }
        for (name, versions) in versions.iter().filter(|(_, versions)| versions.len() > 1) {
            let versions = versions.join(", ");
            let _ =
                writeln!(problems, "{name} is there in versions {versions}: skip the old one in deny.toml");
        }
        for spec in unused {
            let _ = writeln!(problems, "{spec} is not there any more: remove it from deny.toml");
        }
        problems
    }
}

/// Whether a package is meant by `name`, `name@1.2.3` or `name:<1.2`.
fn matches(spec: &str, name: &str, version: &str) -> bool {
    let numbers = |text: &str| -> Vec<u64> {
        text.split(['.', '-', '+']).map_while(|part| part.parse().ok()).collect()
    };
    if let Some((spec, limit)) = spec.split_once(":<") {
        spec == name && numbers(version) < numbers(limit)
    } else if let Some((spec, exact)) = spec.split_once('@') {
        spec == name && version == exact
    } else {
        spec == name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"[graph]
targets = ["x", "y"]
[licenses]
version = 2
# Why.
allow = [
  "MIT",
  "ISC",
]
[bans]
skip = [
  { crate = "syn:<3", reason = "macros" },
]
deny = [
  { crate = "openssl" },
]
[sources]
"#;

    fn package(name: &str, version: &str, license: &str) -> Package {
        let source = Some("registry+here".to_owned());
        Package {
            id: String::new(),
            name: name.into(),
            version: version.into(),
            license: Some(license.into()),
            source,
            dependencies: Vec::new(),
            features: BTreeMap::new(),
        }
    }

    #[test]
    fn an_optional_package_that_is_only_named_weakly_is_not_built() {
        let metadata: Metadata = serde_json::from_str(
            r#"{"packages": [
                {"id": "own", "name": "own", "version": "0.0.0", "dependencies": [
                    {"name": "tls", "optional": false}]},
                {"id": "tls", "name": "tls", "version": "1.0.0", "source": "registry+here",
                    "features": {"alloc": ["ring?/alloc"], "aws": ["dep:aws"], "zlib": ["gz/fast"]},
                    "dependencies": [{"name": "ring", "optional": true}, {"name": "aws", "optional": true},
                        {"name": "flate", "rename": "gz", "optional": true}]},
                {"id": "ring", "name": "ring", "version": "1.0.0", "source": "registry+here"},
                {"id": "aws", "name": "aws", "version": "1.0.0", "source": "registry+here"},
                {"id": "flate", "name": "flate", "version": "1.0.0", "source": "registry+here"}],
            "resolve": {"nodes": [
                {"id": "own", "features": [], "deps": [{"pkg": "tls"}]},
                {"id": "tls", "features": ["alloc", "aws", "zlib"],
                    "deps": [{"pkg": "ring"}, {"pkg": "aws"}, {"pkg": "flate"}]},
                {"id": "ring", "features": [], "deps": []}, {"id": "aws", "features": [], "deps": []},
                {"id": "flate", "features": [], "deps": []}]}}"#,
        )
        .unwrap();
        let built = built(&metadata.packages, &metadata.resolve.nodes);
        assert_eq!(built.iter().map(String::as_str).collect::<Vec<_>>(), ["aws", "flate", "own", "tls"]);
    }

    /// As `cargo xtask test` finds them, with all else that it does.
    #[tokio::test]
    async fn the_packages_that_are_there_are_allowed() {
        check().await.unwrap();
    }

    #[test]
    fn the_lists_of_deny_toml_are_found() {
        let rules = Rules::parse(FILE);
        assert_eq!((rules.targets.len(), rules.licences.len()), (2, 2));
        assert_eq!((rules.banned, rules.skipped), (vec!["openssl".into()], vec!["syn:<3".into()]));
    }

    #[test]
    fn an_old_version_is_skipped_and_a_new_duplicate_is_not() {
        let rules = Rules::parse(FILE);
        let mut packages = vec![package("syn", "3.0.1", "MIT"), package("syn", "2.0.9", "MIT")];
        assert_eq!(rules.problems(&packages), "");
        packages.push(package("syn", "3.1.0", "MIT"));
        let duplicate = "syn is there in versions 3.0.1, 3.1.0: skip the old one in deny.toml\n";
        assert_eq!(rules.problems(&packages), duplicate);
        let stale = "syn:<3 is not there any more: remove it from deny.toml\n";
        assert_eq!(rules.problems(&packages[..1]), stale);
    }

    #[test]
    fn licences_bans_and_sources_are_checked() {
        let rules = Rules { skipped: Vec::new(), ..Rules::parse(FILE) };
        let from_git = Package { source: Some("git+there".into()), ..package("a", "1.0.0", "MIT") };
        let found =
            rules.problems(&[package("openssl", "0.1.0", "MIT"), package("b", "1.0.0", "GPL-3.0"), from_git]);
        for problem in
            ["openssl 0.1.0 is banned", "b 1.0.0: GPL-3.0 is not allowed", "git+there is not the crate"]
        {
            assert!(found.contains(problem), "{found}");
        }
    }

    #[test]
    fn versions_are_compared_by_number() {
        assert!(matches("h2:<0.4", "h2", "0.3.26") && !matches("h2:<0.4", "h2", "0.4.0"));
        assert!(matches("a:<0.10", "a", "0.9.5") && !matches("a:<0.10", "b", "0.9.5"));
        assert!(matches("a@1.0.0", "a", "1.0.0") && !matches("a@1.0.0", "a", "1.0.1"));
    }
}
