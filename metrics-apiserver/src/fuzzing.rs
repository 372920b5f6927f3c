//! What the fuzz targets in `fuzz/` run: one function each, which takes any bytes and panics where something that must
//! hold does not.
//!
//! Compiled for fuzzing and for tests only. The functions that look into a room lie in the room's own `fuzzing.rs`. The
//! tests give every function the files of its corpus, so that a finding that was mended stays so without a fuzzer.

use std::collections::BTreeSet;
use std::str;

use crate::config::{self, Config, Place, Source};
use crate::metric::{MetricId, Namespace, ParseSelectorError, Resources, Selector};

pub use crate::authn::fuzzing::headers;
pub use crate::backend::fuzzing::response;
pub use crate::rules::fuzzing::injection;
pub use crate::server::fuzzing::request;

/// A label selector: what is read is printed as a text that is read as the same; what is not read says where.
pub fn selector(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    match text.parse::<Selector>() {
        Ok(selector) => {
            let printed = selector.to_string();
            let again = printed.parse::<Selector>();
            // A space is printed behind `in`: what just fitted can become too long.
            let grew = matches!(again, Err(ParseSelectorError::TooLong(_))) && printed.len() > text.len();
            assert!(grew || again.as_ref() == Ok(&selector), "{text:?} is printed as {printed:?}: {again:?}");
        }
        Err(
            ParseSelectorError::Unexpected { position, .. }
            | ParseSelectorError::Key { position, .. }
            | ParseSelectorError::Value { position, .. }
            | ParseSelectorError::NotAnInteger { position, .. },
        ) => assert!(text.is_char_boundary(position), "{position} is no place in {text:?}"),
        Err(ParseSelectorError::TooLong(_) | ParseSelectorError::TooMany) => {}
    }
}

/// A configuration file: it is good as a whole, or has problems that each stand at a place of the file.
pub fn configuration(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    match config::check(Source::new("fuzz.yaml", text)) {
        Ok(checked) => can_be_served(checked.config()),
        Err(errors) => {
            assert!(!errors.problems().is_empty() && !errors.to_string().is_empty());
            for problem in errors.problems() {
                let related = problem.related.iter().map(|(place, _)| Some(*place));
                for place in related.chain([problem.place]) {
                    assert!(place.is_some_and(|place| lies_in(place, text)), "{text:?}: {problem:?}");
                }
            }
        }
    }
}

/// Whether there is such a line, as YAML counts them, and column; behind a line's last character is still in it.
fn lies_in(place: Place, text: &str) -> bool {
    let text = text.replace("\r\n", "\n");
    let line = place.line.checked_sub(1).and_then(|before| text.split(['\n', '\r']).nth(before));
    place.column >= 1 && line.is_some_and(|line| place.column <= line.chars().count() + 1)
}

fn can_be_served(config: &Config) {
    let backends: BTreeSet<_> = config.backends.iter().map(|(name, _)| name).collect();
    let rules: BTreeSet<_> = config.rules.iter().map(|rule| MetricId::external(&rule.name)).collect();
    assert_eq!(
        (backends.len(), rules.len()),
        (config.backends.len(), config.rules.len()),
        "names are distinct"
    );
    for rule in &config.rules {
        assert!(backends.contains(&rule.backend), "{} has a backend", rule.name);
        if let Ok(namespace) = Namespace::parse("default") {
            let _ = rule.external_plan(&namespace, &Selector::default(), &Resources::default());
        }
    }
    for rule in config.adapter.custom.iter().chain(&config.adapter.external) {
        assert!(backends.contains(&rule.backend), "{} has a backend", rule.series_query);
        let _ = rule.external_query("series", "default", &Selector::default(), &Resources::default());
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    type Target = fn(&[u8]);

    const TARGETS: [(&str, Target); 6] = [
        ("configuration", super::configuration),
        ("headers", super::headers),
        ("injection", super::injection),
        ("request", super::request),
        ("response", super::response),
        ("selector", super::selector),
    ];

    fn fuzz() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
    }

    fn files(folder: &Path) -> Vec<PathBuf> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    #[test]
    fn every_file_of_the_corpus_holds_what_its_target_asks() {
        for (name, target) in TARGETS {
            let corpus = files(&fuzz().join("corpus").join(name));
            assert!(corpus.len() >= 3, "{name} has a corpus");
            for file in corpus {
                println!("{}", file.display());
                target(&fs::read(file).unwrap());
            }
        }
    }

    #[test]
    fn every_target_is_a_program_of_the_fuzz_workspace() {
        let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
        for (name, _) in TARGETS {
            assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name}");
            let program = fs::read_to_string(fuzz().join(format!("fuzz_targets/{name}.rs"))).unwrap();
            assert!(program.contains(&format!("fuzzing::{name}(data)")), "{name}");
        }
        assert_eq!(files(&fuzz().join("fuzz_targets")).len(), TARGETS.len());
    }
}
