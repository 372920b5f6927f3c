//! `docs/configuration.md` and `--help` say what the program does.

use std::fs;
use std::path::{Path, PathBuf};

use metrics_apiserver::{cli, config};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn docs() -> String {
    fs::read_to_string(root().join("docs/configuration.md")).unwrap()
}

/// The YAML blocks of a Markdown text, each with the line it begins at.
fn samples(markdown: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut lines = markdown.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        if line == "```yaml" {
            let block: Vec<_> =
                lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```").collect();
            found.push((number + 2, block.join("\n")));
        }
    }
    found
}

#[test]
fn every_sample_of_the_documentation_is_valid() {
    let samples = samples(&docs());
    assert!(samples.len() >= 4, "the samples were not found");
    for (line, sample) in samples {
        // A sample without backends uses the default one.
        let text = if sample.contains("backends:") {
            sample
        } else {
            format!("{sample}\nbackends: {{default: {{url: 'http://prometheus:9090'}}}}\n")
        };
        if let Err(problems) = config::check(config::Source::new("sample", text)) {
            panic!("the sample at line {line} of docs/configuration.md is wrong:\n{problems}");
        }
    }
}

#[test]
fn every_key_of_the_file_is_documented() {
    let text = docs();
    let tables = [
        config::ROOT_KEYS,
        config::BACKEND_KEYS,
        config::RULE_KEYS,
        config::ADAPTER_RULE_KEYS,
        config::SERIES_FILTER_KEYS,
        config::RESOURCES_KEYS,
        config::OVERRIDE_KEYS,
        config::NAME_KEYS,
        config::RESOURCE_RULES_KEYS,
        config::USAGE_KEYS,
    ];
    for key in tables.into_iter().flatten() {
        let key = key.name;
        assert!(text.contains(&format!("| `{key}` |")), "{key} has no row in docs/configuration.md");
    }
}

#[test]
fn every_flag_is_documented() {
    let (help, text) = (cli::help(), docs());
    let flags: Vec<_> =
        help.split_whitespace().filter(|word| word.starts_with("--") && word.len() > 3).collect();
    assert!(flags.len() > 25, "{help}");
    for flag in flags {
        let name: String = flag.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
        assert!(text.contains(&format!("`{name}")), "{name} has no row in docs/configuration.md");
    }
}

/// `UPDATE_GOLDEN=1` writes the file anew.
#[test]
fn help_is_as_reviewed() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/help.txt");
    let help = cli::help();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &help).unwrap();
    }
    let golden = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(help, golden, "if this is meant, run the test with UPDATE_GOLDEN=1 and review the change");
}
