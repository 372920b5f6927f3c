//! Each guide, as its page says.

use crate::{page, pool::with_place};
use std::{collections::BTreeSet, fs};
use testbed::workspace;

/// The guides that are followed as they are.
const FOLLOWED: [&str; 6] = ["scale-to-zero", "vllm", "nim", "seldon", "home-cluster", "kube-prometheus"];

#[test]
fn scale_to_zero_can_be_followed() {
    with_place(async |place| place.follow("scale-to-zero").await);
}

#[test]
fn vllm_can_be_followed() {
    with_place(async |place| place.follow("vllm").await);
}

#[test]
fn nim_can_be_followed() {
    with_place(async |place| place.follow("nim").await);
}

#[test]
fn seldon_can_be_followed() {
    with_place(async |place| place.follow("seldon").await);
}

#[test]
fn home_cluster_can_be_followed() {
    with_place(async |place| place.follow("home-cluster").await);
}

#[test]
fn kube_prometheus_can_be_followed() {
    with_place(async |place| place.follow("kube-prometheus").await);
}

#[test]
fn every_guide_is_followed_and_in_the_index_and_uses_its_files() {
    let guides = workspace::root().join("guides");
    let index = fs::read_to_string(guides.join("README.md")).unwrap();
    let folders = fs::read_dir(&guides).unwrap().map(|entry| entry.unwrap());
    let folders: BTreeSet<String> = folders
        .filter(|entry| entry.file_type().unwrap().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    let followed = FOLLOWED.into_iter().chain(["temporal"]).map(str::to_owned).collect();
    assert_eq!(folders, followed);
    for guide in folders {
        assert!(index.contains(&format!("({guide}/README.md)")), "{guide} is not in the index");
        let page = fs::read_to_string(guides.join(&guide).join("README.md")).unwrap();
        let steps = page::of_guide(workspace::root(), &guide);
        assert!(steps.iter().any(|step| step.section == "Go back"), "{guide} has no way back");
        for entry in fs::read_dir(guides.join(&guide)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(page.contains(&name) || name == "README.md", "{guide} does not mention {name}");
        }
    }
}
