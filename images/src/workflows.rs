//! Rules for the workflows that publish: a changed action or a right too many would be in every image.

use std::{collections::BTreeSet, fs};

/// All workflows, by name.
fn workflows() -> Vec<(String, String)> {
    let directory = crate::workspace().join(".github/workflows");
    let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    files.map(|path| (path.display().to_string(), fs::read_to_string(&path).unwrap())).collect()
}

#[test]
fn every_action_is_pinned_by_a_commit_and_names_its_version() {
    let mut pinned = BTreeSet::new();
    for (name, text) in workflows() {
        let uses =
            text.lines().filter_map(|line| line.trim().trim_start_matches("- ").strip_prefix("uses: "));
        for action in uses {
            let (action, version) = action.split_once(" # v").unwrap_or_else(|| panic!("{name}: {action}"));
            let (action, commit) = action.split_once('@').unwrap();
            assert!(
                commit.len() == 40 && commit.chars().all(|it| it.is_ascii_hexdigit()),
                "{name}: {action}"
            );
            assert_eq!(version.split('.').count(), 3, "{name}: {action} v{version}");
            pinned.insert((action.to_owned(), commit.to_owned()));
        }
    }
    let actions: BTreeSet<_> = pinned.iter().map(|(action, _)| action).collect();
    assert!(actions.len() == pinned.len() && !actions.is_empty(), "one version of each: {pinned:?}");
}

#[test]
fn a_job_that_compiles_may_only_read() {
    for (name, text) in workflows() {
        assert!(text.contains("\npermissions: {}\n"), "{name} gives its jobs rights by default");
        let (_, jobs) = text.split_once("\njobs:\n").unwrap();
        // A job begins in the third column.
        let jobs: Vec<String> = jobs.lines().fold(Vec::new(), |mut jobs, line| {
            let is_name = line.starts_with("  ") && line[2..].starts_with(|it: char| it.is_ascii_lowercase());
            match jobs.last_mut() {
                Some(job) if !is_name => *job = format!("{job}\n{line}"),
                _ => jobs.push(line.to_owned()),
            }
            jobs
        });
        for job in jobs {
            assert!(job.contains("\n    permissions:\n"), "{name}: {job}");
            let runs_code = ["cargo ", "go tool", "actions/checkout"].iter().any(|it| job.contains(it));
            assert!(!(runs_code && job.contains(": write")), "{name} gives rights to code: {job}");
        }
    }
}
