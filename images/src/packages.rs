//! The packages that are linked into a program, as cargo knows them.

use crate::{Architecture, Program, shell, workspace};
use anyhow::{Context, Result};
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

/// One package of the program.
#[derive(Clone, Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) license: Option<String>,
    /// Its sources on this machine.
    pub(crate) directory: PathBuf,
    /// SHA-256 of the registry's archive, by the lock file; none for the workspace's own.
    pub(crate) checksum: Option<String>,
    /// Names and versions of the packages that it uses.
    pub(crate) dependencies: Vec<Key>,
}

/// Name and version.
pub(crate) type Key = (String, String);

impl Package {
    /// Whether it is of this workspace.
    pub(crate) fn is_own(&self) -> bool {
        self.checksum.is_none()
    }

    pub(crate) fn key(&self) -> Key {
        (self.name.clone(), self.version.clone())
    }
}

#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Entry>,
    resolve: Resolve,
}

#[derive(Debug, Deserialize)]
struct Entry {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    manifest_path: PathBuf,
}

#[derive(Debug, Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Node {
    id: String,
    deps: Vec<Edge>,
}

#[derive(Debug, Deserialize)]
struct Edge {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

#[derive(Debug, Deserialize)]
struct Kind {
    /// None for what is linked.
    kind: Option<String>,
}

/// All packages of a program by name and version, itself included. Proc macros and build scripts are not linked.
pub(crate) fn linked(program: Program, architecture: Architecture) -> Result<Vec<Package>> {
    let mut tree = shell::cargo();
    tree.args(["tree", "--locked", "--target", architecture.triple(), "--package", program.name()]);
    tree.args(["--edges", "normal,no-proc-macro", "--prefix", "none", "--format", "{p}"]);
    let linked = keys(&shell::output(&mut tree)?);
    let mut metadata = shell::cargo();
    metadata.args(["metadata", "--locked", "--format-version=1", "--filter-platform", architecture.triple()]);
    let metadata =
        serde_json::from_str(&shell::output(&mut metadata)?).context("reading `cargo metadata`")?;
    let lock = std::fs::read_to_string(workspace().join("Cargo.lock")).context("reading Cargo.lock")?;
    join(&linked, metadata, &checksums(&lock))
}

/// Name and version in the lines of `cargo tree`: `serde v1.0.228` or `images v0.1.0 (/src/images)`.
fn keys(tree: &str) -> BTreeSet<Key> {
    let words = tree.lines().map(str::split_whitespace);
    words
        .filter_map(|mut words| Some((words.next()?.into(), words.next()?.strip_prefix('v')?.into())))
        .collect()
}

/// The checksums in the lock file, whose packages are separated by empty lines.
fn checksums(lock: &str) -> BTreeMap<Key, String> {
    let value = |package: &str, key: &str| {
        let mut lines = package.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix(" = \""));
        lines.next().and_then(|rest| rest.strip_suffix('"')).map(str::to_owned)
    };
    let packages = lock.split("\n\n");
    let entry = |it: &str| Some(((value(it, "name")?, value(it, "version")?), value(it, "checksum")?));
    packages.filter_map(entry).collect()
}

fn join(linked: &BTreeSet<Key>, metadata: Metadata, sums: &BTreeMap<Key, String>) -> Result<Vec<Package>> {
    let keys: BTreeMap<String, Key> = metadata
        .packages
        .iter()
        .map(|entry| (entry.id.clone(), (entry.name.clone(), entry.version.clone())))
        .filter(|(_, key)| linked.contains(key))
        .collect();
    let mut uses: BTreeMap<String, Vec<Key>> = BTreeMap::new();
    for node in metadata.resolve.nodes {
        let edges = node.deps.iter().filter(|edge| edge.dep_kinds.iter().any(|it| it.kind.is_none()));
        let mut used: Vec<Key> = edges.filter_map(|edge| keys.get(&edge.pkg).cloned()).collect();
        used.sort_unstable();
        uses.insert(node.id, used);
    }
    let mut packages = Vec::new();
    for entry in metadata.packages {
        let Some(key) = keys.get(&entry.id) else { continue };
        let directory = entry.manifest_path.parent().context("a package lies in no folder")?.to_owned();
        packages.push(Package {
            checksum: sums.get(key).cloned(),
            dependencies: uses.remove(&entry.id).unwrap_or_default(),
            name: entry.name,
            version: entry.version,
            license: entry.license,
            directory,
        });
    }
    packages.sort_unstable_by_key(Package::key);
    Ok(packages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_linked_into_the_server_is_found_for_both_architectures() {
        for architecture in [Architecture::Amd64, Architecture::Arm64] {
            let packages = linked(Program::Server, architecture).unwrap();
            let find = |name: &str| packages.iter().find(|it| it.name == name);
            let own = find("metrics-apiserver").unwrap();
            assert!(own.is_own() && own.dependencies.iter().any(|(name, _)| name == "hyper"), "{own:?}");
            let hyper = find("hyper").unwrap();
            assert_eq!(hyper.checksum.as_ref().map(String::len), Some(64));
            assert!(hyper.directory.join("Cargo.toml").exists());
            assert!(find("aws-lc-sys").is_some(), "C code is linked as well");
            for absent in ["serde_derive", "cc", "tempfile", "ring", "inference-svc"] {
                assert!(find(absent).is_none(), "{absent} is not linked");
            }
        }
    }

    #[test]
    fn lines_of_the_tree_are_names_and_versions() {
        let found = keys("own v0.1.0 (/src/own)\nserde v1.0.228\nserde v1.0.228 (*)\n");
        let expected = [("own", "0.1.0"), ("serde", "1.0.228")];
        assert!(found.iter().map(|(name, version)| (name.as_str(), version.as_str())).eq(expected));
    }
}
