//! The backend `default` that flags define, beside those of the file.

use super::problem::Problem;
use super::rules::DEFAULT_BACKEND as NAME;
use super::section::{Field, Section};
use crate::backend::Options;
use crate::rules::BackendName;

/// The sections of prometheus-adapter's configuration, which names no backends.
const ADAPTER_SECTIONS: [&str; 3] = ["rules", "externalRules", "resourceRules"];

/// The backend that flags define.
#[derive(Debug, Clone)]
pub struct DefaultBackend {
    /// How to reach it.
    pub options: Options,
    /// Whether flags were given; if not, it exists only for sections of prometheus-adapter, as their default.
    pub is_given: bool,
}

impl DefaultBackend {
    /// Adds it to the backends of the file, where it is missing; both together are a problem.
    pub(super) fn add(
        &self,
        root: &Section<'_>,
        names: Option<&mut Vec<&str>>,
        backends: &mut Vec<(BackendName, Options)>,
        problems: &mut Vec<Problem>,
    ) {
        // If the names are unknown, `backends` is wrong, which is reported.
        let Some(names) = names else { return };
        if let Some(field) = defined_in(root) {
            if self.is_given {
                let problem =
                    field.key_problem("backend `default` is defined here and by --prometheus-* flags");
                problems.push(problem.help("remove it here, or remove these flags"));
            }
        } else if self.is_given || ADAPTER_SECTIONS.iter().any(|section| root.get(section).is_some()) {
            names.push(NAME);
            backends.push((BackendName(NAME.into()), self.options.clone()));
        }
    }
}

fn defined_in<'a>(root: &Section<'a>) -> Option<Field<'a>> {
    let field = root.get("backends")?;
    // What is wrong with it is reported where the backends are checked.
    let section = Section::open_free(&field, &mut Vec::new())?;
    section.fields().find_map(|(name, field)| (name == NAME).then_some(field))
}
