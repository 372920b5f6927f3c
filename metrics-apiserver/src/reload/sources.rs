//! What a configuration gives to the catalog.

use crate::catalog::FilePart;
use crate::config::{AdapterRules, Groups};
use crate::rules::Rule;
use crate::series;

/// What the file says itself, and the rules whose series are discovered.
pub fn sources(rules: Vec<Rule>, groups: Groups, adapter: &AdapterRules) -> (FilePart, series::Rules) {
    let AdapterRules { custom, external, resource } = adapter.clone();
    let file =
        FilePart { custom: groups.custom, external: groups.external, resource, ..FilePart::native(rules) };
    (file, series::Rules { custom, external })
}
