//! The software bill of materials of a program, in `CycloneDX` 1.5.

use crate::{
    Architecture, Program,
    compile::Toolchain,
    packages::{Key, Package},
};
use serde_json::{Value, json};

/// The document, the same for the same sources and toolchain: it has no time and no random serial number.
pub(crate) fn document(
    program: Program,
    architecture: Architecture,
    packages: &[Package],
    toolchain: &Toolchain,
) -> Value {
    let own = packages.iter().find(|package| package.name == program.name());
    let package = architecture.debian_packages().1;
    let libc = distributed(toolchain, architecture, ("glibc", package, &toolchain.libc, "LGPL-2.1-or-later"));
    let mut components: Vec<Value> = packages
        .iter()
        .filter(|package| package.name != program.name())
        .map(|package| component("library", package))
        .collect();
    components.push(libc.clone());
    if program.needs_public_cas() {
        let list = ("ca-certificates", "ca-certificates", toolchain.certificates.as_str(), "MPL-2.0");
        components.push(distributed(toolchain, architecture, list));
    }
    components.push(json!({
        "type": "library", "name": "rust-std", "bom-ref": "rust-std",
        "version": toolchain.rustc.split_whitespace().nth(1).unwrap_or_default(),
        "licenses": [{"expression": "MIT OR Apache-2.0"}],
    }));
    let mut dependencies: Vec<Value> = packages
        .iter()
        .map(|it| json!({"ref": purl(&it.key()), "dependsOn": it.dependencies.iter().map(purl).collect::<Vec<_>>()}))
        .collect();
    let own_ref = own.map(|own| json!(purl(&own.key())));
    for edge in dependencies.iter_mut().filter(|edge| Some(&edge["ref"]) == own_ref.as_ref()) {
        if let Some(uses) = edge["dependsOn"].as_array_mut() {
            uses.extend([libc["bom-ref"].clone(), json!("rust-std")]);
        }
    }
    json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": own.map(|own| component("application", own)),
            "properties": [
                {"name": "target", "value": architecture.triple()},
                {"name": "rustc", "value": toolchain.rustc},
                {"name": "cc", "value": toolchain.compiler},
                {"name": "libc", "value": toolchain.libc},
            ],
        },
        "components": components,
        "dependencies": dependencies,
    })
}

fn component(kind: &str, package: &Package) -> Value {
    let purl = purl(&package.key());
    let mut component = json!({
        "type": kind, "name": package.name, "version": package.version, "purl": purl, "bom-ref": purl,
    });
    if let Some(license) = &package.license {
        // `MIT/Apache-2.0` is what old packages write for OR.
        component["licenses"] = json!([{"expression": license.replace('/', " OR ")}]);
    }
    if let Some(checksum) = &package.checksum {
        component["hashes"] = json!([{"alg": "SHA-256", "content": checksum}]);
    }
    component
}

/// The package URL, by which scanners find vulnerabilities. A `+` of a version stands for itself in its path.
fn purl((name, version): &Key) -> String {
    format!("pkg:cargo/{name}@{}", version.replace('+', "%2B"))
}

/// What comes from the distribution: its name, package, version and licence.
fn distributed(
    toolchain: &Toolchain,
    architecture: Architecture,
    (name, package, version, license): (&str, &str, &str, &str),
) -> Value {
    let distribution = &toolchain.distribution;
    let encoded = version.replace('+', "%2B");
    let purl = format!("pkg:deb/{distribution}/{package}@{encoded}?arch={}", architecture.name());
    json!({
        "type": "library", "name": name, "version": version, "purl": purl, "bom-ref": purl,
        "licenses": [{"expression": license}],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn package(name: &str, checksum: Option<&str>, dependencies: &[&str]) -> Package {
        Package {
            name: name.into(),
            version: "1.0.0+a".into(),
            license: Some("MIT/Apache-2.0".into()),
            directory: "/".into(),
            checksum: checksum.map(str::to_owned),
            dependencies: dependencies
                .iter()
                .map(|name| ((*name).to_owned(), "1.0.0+a".to_owned()))
                .collect(),
        }
    }

    #[test]
    fn every_reference_of_the_document_names_a_component() {
        let packages = [package("hyper", Some("abc"), &[]), package("metrics-apiserver", None, &["hyper"])];
        let toolchain = Toolchain {
            rustc: "rustc 1.95.0 (5980 2026-04-14)".into(),
            compiler: "cc 12".into(),
            libc: "2.36-9+deb12u14".into(),
            certificates: "20230311".into(),
            distribution: "debian".into(),
        };
        let made = document(Program::Server, Architecture::Amd64, &packages, &toolchain);
        let all = made["components"].as_array().unwrap().iter().chain([&made["metadata"]["component"]]);
        let names: BTreeSet<_> = all.map(|it| it["bom-ref"].as_str().unwrap()).collect();
        assert!(names.contains("pkg:deb/debian/ca-certificates@20230311?arch=amd64"), "{names:?}");
        assert!(names.contains("pkg:deb/debian/libc6-dev@2.36-9%2Bdeb12u14?arch=amd64"), "{names:?}");
        let edges = made["dependencies"].as_array().unwrap();
        for to in edges.iter().flat_map(|it| it["dependsOn"].as_array().unwrap().iter().chain([&it["ref"]])) {
            assert!(names.contains(to.as_str().unwrap()), "{to} of {names:?}");
        }
        assert_eq!(edges[1]["dependsOn"].as_array().unwrap().len(), 3);
        assert_eq!(made["components"][0]["hashes"][0]["content"], "abc");
        assert_eq!(made["components"][0]["licenses"][0]["expression"], "MIT OR Apache-2.0");
    }
}
