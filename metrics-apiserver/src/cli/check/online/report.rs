//! The outcome of each check, as text or JSON.

use std::io::{self, Write};

use clap::ValueEnum;
use serde::Serialize;

/// How a report is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Lines for people
    #[default]
    Text,
    /// One JSON object
    Json,
}

/// What became of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Ok,
    Failed,
    /// It could not be made, or had no sense.
    Skipped,
}

/// One check.
#[derive(Debug, Serialize)]
struct Check {
    /// What is checked, as a path of the configuration where there is one.
    name: String,
    outcome: Outcome,
    /// What was found.
    detail: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
}

/// All checks, in order.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    checks: Vec<Check>,
}

impl Report {
    pub(super) fn ok(&mut self, name: &str, detail: &str) {
        self.add(name, Outcome::Ok, detail, None);
    }

    /// A check that failed, and what to do about it.
    pub(super) fn failed(&mut self, name: &str, detail: &str, fix: &str) {
        self.add(name, Outcome::Failed, detail, Some(fix));
    }

    /// A check that was not made, and why.
    pub(super) fn skipped(&mut self, name: &str, detail: &str) {
        self.add(name, Outcome::Skipped, detail, None);
    }

    pub(super) fn has_failures(&self) -> bool {
        self.count(Outcome::Failed) > 0
    }

    fn add(&mut self, name: &str, outcome: Outcome, detail: &str, fix: Option<&str>) {
        let (name, fix) = (name.to_owned(), fix.map(str::to_owned));
        self.checks.push(Check { name, outcome, detail: detail.to_owned(), fix });
    }

    fn count(&self, outcome: Outcome) -> usize {
        self.checks.iter().filter(|check| check.outcome == outcome).count()
    }

    pub(super) fn write(&self, format: Format, out: &mut dyn Write) -> io::Result<()> {
        match format {
            Format::Json => {
                serde_json::to_writer_pretty(&mut *out, self)?;
                writeln!(out)
            }
            Format::Text => self.write_text(out),
        }
    }

    fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        for Check { name, outcome, detail, fix } in &self.checks {
            let word = match outcome {
                Outcome::Ok => "ok",
                Outcome::Failed => "FAILED",
                Outcome::Skipped => "skipped",
            };
            let detail = detail.trim_end().replace('\n', "\n         ");
            writeln!(out, "{word:<8} {name}: {detail}")?;
            if let Some(fix) = fix {
                writeln!(out, "         fix: {fix}")?;
            }
        }
        let (all, failed, skipped) =
            (self.checks.len(), self.count(Outcome::Failed), self.count(Outcome::Skipped));
        writeln!(out, "{all} checks, {failed} failed, {skipped} skipped")
    }
}
