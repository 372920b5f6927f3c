//! `ARCHITECTURE.md` as the checks read it: the table of rooms, and the list of the pure ones.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The heading above the table.
const HEADING: &str = "## The rooms";
/// The invariant that names the pure rooms.
const PURE: &str = "do no I/O and read no clock";

/// What the table allows.
#[derive(Debug, Default)]
pub(super) struct Rooms {
    /// Each room and what it may import; a room is a module right below the crate's root.
    pub(super) imports: BTreeMap<String, Vec<String>>,
    /// Each outside crate, by its name in code, and where it may be named: a room or a file.
    crates: BTreeMap<String, Vec<String>>,
    /// Crates that any room may name.
    free: Vec<String>,
    /// Crates that any room but the pure ones may name.
    free_unless_pure: Vec<String>,
    pub(super) pure: Vec<String>,
}

impl Rooms {
    pub(super) fn read() -> Self {
        let rooms = Self::parse(&text());
        assert!(rooms.imports.len() > 10 && rooms.pure.len() > 1, "the table is found: {rooms:?}");
        rooms
    }

    fn parse(document: &str) -> Self {
        let mut rooms = Self::default();
        let section = document.split(HEADING).nth(1).unwrap_or_default();
        let section = section.split("\n## ").next().unwrap_or_default();
        let rows = section.lines().filter(|line| line.starts_with('|')).skip(2);
        let rows: Vec<Vec<&str>> = rows.map(|row| row.trim_matches('|').split('|').collect()).collect();
        let named: Vec<String> = rows.iter().flat_map(|cells| quoted(cells[0])).collect();
        for cells in rows {
            let [first, _, imports, outside] = cells[..] else {
                panic!("a row of four cells: {cells:?}");
            };
            let names = quoted(first);
            for name in &names {
                let allowed = if imports.trim() == "all" { named.clone() } else { quoted(imports) };
                rooms.imports.insert(name.clone(), allowed);
            }
            for entry in outside.split(',') {
                let mut words = quoted(entry).into_iter();
                let Some(name) = words.next().map(|name| name.replace('-', "_")) else { continue };
                let files: Vec<String> = words.collect();
                match names.first() {
                    None if first.contains("pure") => rooms.free_unless_pure.push(name),
                    None => rooms.free.push(name),
                    Some(room) if files.is_empty() => {
                        rooms.crates.entry(name).or_default().push(room.clone());
                    }
                    Some(room) => {
                        let paths = files.iter().map(|file| format!("{room}/{file}"));
                        rooms.crates.entry(name).or_default().extend(paths);
                    }
                }
            }
        }
        let invariant = document.lines().find(|line| line.contains(PURE)).unwrap_or_default();
        rooms.pure = quoted(invariant.split(PURE).next().unwrap_or_default());
        rooms
    }

    /// Whether the file `path` in `room` may name the outside crate.
    pub(super) fn allow(&self, room: &str, path: &str, name: &str) -> bool {
        let is = |list: &[String], word: &str| list.iter().any(|one| one == word);
        let places = self.crates.get(name).map(Vec::as_slice).unwrap_or_default();
        is(places, room)
            || is(places, path)
            || is(&self.free, name)
            || is(&self.free_unless_pure, name) && !is(&self.pure, room)
    }

    /// Whether any row names the outside crate.
    pub(super) fn knows(&self, name: &str) -> bool {
        self.crates.contains_key(name)
            || [&self.free, &self.free_unless_pure].into_iter().flatten().any(|it| it == name)
    }
}

fn text() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../ARCHITECTURE.md")).unwrap()
}

/// The files in the numbered list of the cold read.
pub(super) fn cold_read() -> Vec<String> {
    let document = text();
    let section = document.split("## A cold read").nth(1).unwrap_or_default();
    let section = section.split("\n## ").next().unwrap_or_default();
    let lines = section.lines().filter(|line| line.starts_with(|first: char| first.is_ascii_digit()));
    lines.filter_map(|line| quoted(line).into_iter().next()).collect()
}

/// The words between backticks.
fn quoted(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn the_table_is_understood() {
    let document = "## The rooms of x\n\n| room | holds | may import | may name |\n| --- | --- | --- | --- |\n\
                    | any room | | | `thiserror` |\n\
                    | any but the pure | | | `tokio` |\n\
                    | `metric` | names | – | `a-b` |\n\
                    | `cache` | `x` | `metric` | `serde` in `one.rs` and `two.rs`, `moka` |\n\
                    | `app` | wiring | all | – |\n\n\
                    ## Invariants\n- `metric` and `rules` do no I/O and read no clock; `x` is more.\n";
    let rooms = Rooms::parse(document);
    assert_eq!(rooms.imports["cache"], ["metric"]);
    assert_eq!(rooms.imports["app"], ["metric", "cache", "app"]);
    assert_eq!(rooms.pure, ["metric", "rules"]);
    assert!(rooms.allow("metric", "metric/x.rs", "a_b") && !rooms.allow("cache", "cache/x.rs", "a_b"));
    assert!(rooms.allow("cache", "cache/two.rs", "serde") && !rooms.allow("cache", "cache/mod.rs", "serde"));
    assert!(rooms.allow("metric", "metric/x.rs", "thiserror") && rooms.allow("cache", "cache/x.rs", "tokio"));
    assert!(!rooms.allow("metric", "metric/x.rs", "tokio") && !rooms.knows("libc"));
}
