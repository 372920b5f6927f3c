//! Warnings about adapter rules: what is valid, and what prometheus-adapter accepts in silence, but probably a mistake.

use crate::config::section::{Field, Section};

/// Warnings of one kind that are listed; a file with three hundred generated rules has the same one for each.
const LISTED: usize = 5;

/// The warnings about a file, by kind.
#[derive(Debug, Default)]
pub(super) struct Warnings {
    kinds: Vec<Kind>,
}

#[derive(Debug)]
struct Kind {
    name: &'static str,
    lines: Vec<String>,
    count: usize,
}

impl Warnings {
    /// Warns about a value. `kind` says in a few words what all warnings of this kind have in common.
    pub(super) fn at(&mut self, field: &Field<'_>, kind: &'static str, message: &str) {
        self.add(kind, format!("{} (line {}): {message}", field.path, field.key_place.line));
    }

    /// Warns about a mapping as a whole.
    pub(super) fn of(&mut self, section: &Section<'_>, kind: &'static str, message: &str) {
        let (path, place) = section.position();
        self.add(kind, format!("{path} (line {}): {message}", place.line));
    }

    fn add(&mut self, name: &'static str, line: String) {
        let index = self.kinds.iter().position(|kind| kind.name == name);
        let index = index.unwrap_or_else(|| {
            self.kinds.push(Kind { name, lines: Vec::new(), count: 0 });
            self.kinds.len() - 1
        });
        if let Some(kind) = self.kinds.get_mut(index) {
            kind.count += 1;
            if kind.lines.len() < LISTED {
                kind.lines.push(line);
            }
        }
    }

    /// One line for each warning; those beyond the first few of a kind are counted.
    pub(super) fn lines(self) -> impl Iterator<Item = String> {
        self.kinds.into_iter().flat_map(|Kind { name, lines, count }| {
            let more = count - lines.len();
            let counted = (more > 0).then(|| format!("{more} more rules {name}"));
            lines.into_iter().chain(counted)
        })
    }
}
