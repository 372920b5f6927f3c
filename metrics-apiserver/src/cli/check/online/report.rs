//! The outcome of each check, as text or JSON.

use std::io::{self, Write};

use clap::ValueEnum;
use serde::Serialize;

use super::text::{json, lines, one_line};

/// Failed checks that one line names.
const NAMED: usize = 3;

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
pub(super) enum Outcome {
    Ok,
    Failed,
    /// It could not be made, or had no sense.
    Skipped,
}

/// What a check is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Category {
    Configuration,
    Backends,
    Rules,
    Kubernetes,
    Rbac,
    ApiServices,
    Certificates,
    Hpas,
}

impl Category {
    /// Of a check with this name.
    fn of(name: &str) -> Self {
        match name.split(['.', '[']).next().unwrap_or(name) {
            "backends" => Self::Backends,
            "metrics" | "rules" | "externalRules" | "resourceRules" => Self::Rules,
            "kubernetes" => Self::Kubernetes,
            "rbac" => Self::Rbac,
            "apiservices" => Self::ApiServices,
            "certificates" => Self::Certificates,
            "hpas" => Self::Hpas,
            _ => Self::Configuration,
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::Configuration => "Configuration",
            Self::Backends => "Backends",
            Self::Rules => "Rules",
            Self::Kubernetes => "Kubernetes",
            Self::Rbac => "Rights",
            Self::ApiServices => "APIServices",
            Self::Certificates => "Certificates",
            Self::Hpas => "HPAs",
        }
    }

    /// The section that explains failures.
    const fn page(self) -> &'static str {
        match self {
            Self::Configuration => "docs/configuration.md#the-file",
            Self::Backends | Self::Rules => "docs/operations.md#reads-find-no-value",
            Self::Kubernetes => "docs/operations.md#restricting-egress",
            Self::Rbac => "docs/operations.md#access",
            Self::ApiServices => "docs/operations.md#registration",
            Self::Certificates => "docs/operations.md#certificates",
            Self::Hpas => "docs/operations.md#hpas-in-the-check-of-the-cluster",
        }
    }
}

/// What to do about a failure, and the section that says more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hint {
    pub(super) fix: &'static str,
    pub(super) page: &'static str,
}

/// A metric that an HPA reads.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct HpaMetric {
    pub(super) namespace: String,
    /// The name of the HPA.
    pub(super) hpa: String,
    /// The type as in the HPA: `Pods`, `Object`, `External`, `Resource` or `ContainerResource`.
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) metric: String,
    pub(super) target: String,
    /// What kube-apiserver answers now, as a quantity.
    pub(super) now: Option<String>,
    /// What the configuration answers.
    pub(super) configuration: Option<String>,
    /// The latter divided by the former.
    pub(super) ratio: Option<f64>,
}

/// One check.
#[derive(Debug, Serialize)]
struct Check {
    category: Category,
    /// What is checked, as a path of the configuration where there is one.
    name: String,
    outcome: Outcome,
    /// What was found.
    detail: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
    /// The section of the documentation that explains a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    page: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hpa: Option<HpaMetric>,
}

/// All checks, in order.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    checks: Vec<Check>,
    /// Whether the text has a title for each category.
    #[serde(skip)]
    has_titles: bool,
}

impl Report {
    /// A report whose text has a title for each category.
    pub(super) fn with_titles() -> Self {
        Self { has_titles: true, ..Self::default() }
    }

    pub(super) fn ok(&mut self, name: &str, detail: &str) {
        self.add(name, Outcome::Ok, detail, None);
    }

    /// A check that failed, and what to do about it.
    pub(super) fn failed(&mut self, name: &str, detail: &str, fix: &str) {
        self.add(name, Outcome::Failed, detail, Some(fix));
    }

    /// A check that failed with a message of several lines, such as the problems of a file.
    pub(super) fn failed_with_lines(&mut self, name: &str, detail: &str, hint: Hint) {
        self.explained(name, "", hint);
        if let Some(check) = self.checks.last_mut() {
            check.detail = lines(detail);
        }
    }

    /// A check that failed, and a section of its own that explains it.
    pub(super) fn explained(&mut self, name: &str, detail: &str, hint: Hint) {
        self.failed(name, detail, hint.fix);
        if let Some(check) = self.checks.last_mut() {
            check.page = Some(hint.page);
        }
    }

    /// A check that was not made, and why.
    pub(super) fn skipped(&mut self, name: &str, detail: &str) {
        self.add(name, Outcome::Skipped, detail, None);
    }

    /// A check that was not made, and what to do to have it made.
    pub(super) fn skipped_with(&mut self, name: &str, detail: &str, fix: &str) {
        self.add(name, Outcome::Skipped, detail, Some(fix));
    }

    /// A check of what an HPA reads.
    pub(super) fn hpa(
        &mut self,
        name: &str,
        outcome: Outcome,
        detail: &str,
        hint: Option<Hint>,
        hpa: HpaMetric,
    ) {
        self.add(name, outcome, detail, hint.map(|hint| hint.fix));
        if let Some(check) = self.checks.last_mut() {
            check.hpa = Some(hpa);
            check.page = hint.map(|hint| hint.page);
        }
    }

    pub(super) fn has_failures(&self) -> bool {
        self.count(Outcome::Failed) > 0
    }

    /// The failed checks in one line.
    pub(super) fn failures(&self) -> String {
        let failed = || self.checks.iter().filter(|check| check.outcome == Outcome::Failed);
        let (count, all) = (failed().count(), self.checks.len());
        let names: Vec<_> = failed().take(NAMED).map(|check| check.name.as_str()).collect();
        let more = if count > NAMED { format!(" and {} more", count - NAMED) } else { String::new() };
        format!("{count} of {all} checks failed: {}{more}", names.join(", "))
    }

    fn add(&mut self, name: &str, outcome: Outcome, detail: &str, fix: Option<&str>) {
        let category = Category::of(name);
        let page = fix.map(|_| category.page());
        let (name, fix, detail) = (one_line(name), fix.map(one_line), one_line(detail));
        self.checks.push(Check { category, name, outcome, detail, fix, page, hpa: None });
    }

    fn count(&self, outcome: Outcome) -> usize {
        self.checks.iter().filter(|check| check.outcome == outcome).count()
    }

    pub(super) fn write(&self, format: Format, out: &mut dyn Write) -> io::Result<()> {
        match format {
            Format::Json => writeln!(out, "{}", json(&serde_json::to_string_pretty(self)?)),
            Format::Text => self.write_text(out),
        }
    }

    fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut before = None;
        for Check { category, name, outcome, detail, fix, page, .. } in &self.checks {
            if self.has_titles && before.replace(*category) != Some(*category) {
                writeln!(out, "{}", category.title())?;
            }
            let word = match outcome {
                Outcome::Ok => "ok",
                Outcome::Failed => "FAILED",
                Outcome::Skipped => "skipped",
            };
            let detail = detail.replace('\n', "\n         ");
            writeln!(out, "{word:<8} {name}: {detail}")?;
            if let Some(fix) = fix {
                writeln!(out, "         fix: {fix}")?;
            }
            if let Some(page) = page {
                writeln!(out, "         see: {page}")?;
            }
        }
        let (all, failed, skipped) =
            (self.checks.len(), self.count(Outcome::Failed), self.count(Outcome::Skipped));
        writeln!(out, "{all} checks, {failed} failed, {skipped} skipped")
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const CATEGORIES: [Category; 8] = [
        Category::Configuration,
        Category::Backends,
        Category::Rules,
        Category::Kubernetes,
        Category::Rbac,
        Category::ApiServices,
        Category::Certificates,
        Category::Hpas,
    ];

    /// Fails unless the documentation has the section.
    #[track_caller]
    pub(crate) fn assert_page_exists(page: &str) {
        let (file, section) = page.split_once('#').unwrap();
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
        let text = std::fs::read_to_string(path).unwrap();
        let titles = text.lines().filter_map(|line| line.trim_start_matches('#').strip_prefix(' '));
        let mut sections = titles.map(|title| {
            let kept = title
                .to_lowercase()
                .chars()
                .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
                .collect::<String>();
            kept.replace(' ', "-")
        });
        assert!(sections.any(|found| found == section), "{page}");
    }

    #[test]
    fn the_section_that_explains_the_failures_of_each_category_exists() {
        for category in CATEGORIES {
            assert_page_exists(category.page());
        }
        for hint in [super::super::FILE, super::super::KUBECONFIG] {
            assert_page_exists(hint.page);
        }
    }

    #[test]
    fn names_and_messages_of_others_add_no_line_and_no_escape_sequence() {
        let hostile = "a\u{1b}[2J\n         fix: b\nok       c\r\u{202e}\u{9b}31m";
        let metric = HpaMetric { metric: hostile.to_owned(), ..HpaMetric::default() };
        let mut report = Report::default();
        report.failed(&format!("hpas.{hostile}"), hostile, hostile);
        report.hpa("hpas.a", Outcome::Failed, hostile, None, metric);
        let hint = Hint { fix: "correct the file", page: "docs/configuration.md#the-file" };
        report.failed_with_lines("configuration", &format!("two\nlines {hostile}"), hint);
        let written = |format: Format| {
            let mut out = Vec::new();
            report.write(format, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        let text = written(Format::Text);
        let of_others = text.lines().filter(|line| !line.starts_with("         ")).count();
        assert_eq!(of_others, 4, "three checks and the sum in\n{text}");
        for text in [text, written(Format::Json), report.failures()] {
            let is_obeyed = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
            assert!(!text.contains(is_obeyed), "{text:?}");
        }
        let json: serde_json::Value = serde_json::from_str(&written(Format::Json)).unwrap();
        assert_eq!(json["checks"][1]["hpa"]["metric"], hostile);
    }

    #[test]
    fn the_failures_are_counted_and_the_first_of_them_named() {
        let mut report = Report::default();
        report.ok("rbac.a", "may get");
        assert!(!report.has_failures());
        for name in ["hpas.a", "hpas.b", "hpas.c", "hpas.d"] {
            report.failed(name, "no", "do it");
        }
        assert_eq!(report.failures(), "4 of 5 checks failed: hpas.a, hpas.b, hpas.c and 1 more");
    }
}
