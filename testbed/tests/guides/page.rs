//! The commands of a page, and what it shows of their output.

use std::path::Path;

/// A command of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    /// The heading that it is below.
    pub(crate) section: String,
    /// The line of the page that it begins in.
    pub(crate) line: usize,
    /// What a shell is given.
    pub(crate) command: String,
    /// What the page shows of its output: see [`crate::pattern`]. Empty if it shows nothing.
    pub(crate) shown: Vec<String>,
}

/// Commands that change nothing, and show a state that may take a while to come about.
const READS: [&str; 4] = ["kubectl get ", "kubectl top ", "kubectl describe ", "kubectl logs "];

impl Step {
    /// Whether the command may be repeated until it shows what the page shows.
    pub(crate) fn is_read(&self) -> bool {
        READS.iter().any(|read| self.command.starts_with(read))
    }

    /// Whether the page shows that the command fails.
    pub(crate) fn fails(&self) -> bool {
        self.shown.iter().any(|line| line.starts_with("Error"))
    }
}

/// The steps of a page, from its blocks of the kind `console`. A command begins with `$ ` and goes on after a
/// backslash at the end of a line.
pub(crate) fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let (mut section, mut block, mut goes_on) = (String::new(), None, false);
    for (number, line) in page.lines().enumerate() {
        match block {
            None if line.starts_with("```") => block = Some(line == "```console"),
            None => {
                if let Some(heading) = line.strip_prefix("## ") {
                    heading.clone_into(&mut section);
                }
            }
            Some(_) if line == "```" => block = None,
            Some(false) => {}
            Some(true) => {
                if let Some(command) = line.strip_prefix("$ ") {
                    let (section, command) = (section.clone(), command.to_owned());
                    steps.push(Step { section, line: number + 1, command, shown: Vec::new() });
                } else {
                    let step = steps.last_mut().expect("a block begins with a command");
                    if goes_on {
                        step.command.push('\n');
                        step.command.push_str(line);
                    } else {
                        step.shown.push(line.to_owned());
                    }
                }
                let is_command = goes_on || line.starts_with("$ ");
                goes_on = is_command && line.ends_with('\\');
            }
        }
    }
    assert!(block.is_none(), "a block does not end");
    steps
}

/// The steps of a guide's page.
pub(crate) fn of_guide(root: &Path, guide: &str) -> Vec<Step> {
    let page = std::fs::read_to_string(root.join("guides").join(guide).join("README.md")).unwrap();
    let steps = steps(&page);
    assert!(!steps.is_empty(), "{guide} has no commands");
    steps
}

#[test]
fn commands_and_their_output_are_read_from_console_blocks_only() {
    let page = "# A\n## First\n```sh\n$ no\n```\ntext\n```console\n$ helm install a \\\n    --wait\n…\n\
        STATUS: deployed\n$ kubectl get b\n```\n## Second\n```console\n$ kubectl delete b\n```\n";
    let step = |section: &str, line, command: &str, shown: &[&str]| Step {
        section: section.to_owned(),
        line,
        command: command.to_owned(),
        shown: shown.iter().map(|line| (*line).to_owned()).collect(),
    };
    let expected = [
        step("First", 8, "helm install a \\\n    --wait", &["…", "STATUS: deployed"]),
        step("First", 12, "kubectl get b", &[]),
        step("Second", 16, "kubectl delete b", &[]),
    ];
    let steps = steps(page);
    assert_eq!(steps, expected);
    assert_eq!(steps.iter().map(Step::is_read).collect::<Vec<_>>(), [false, true, false]);
}
