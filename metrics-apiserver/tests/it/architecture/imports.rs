//! Which file imports from which. Paths are read from the text; a name that a module re-exports leads to the file that
//! defines it.

use super::sources::Source;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// One path of an import or of code, a word for each segment; `*` at the end of a glob.
type Segments = Vec<String>;

/// A name that a `use` brings into a module.
struct Imported {
    path: Segments,
    /// Passed on by `pub use`.
    is_reexport: bool,
}

/// One module of the crate.
struct Module {
    path: Segments,
    file: String,
    imports: BTreeMap<String, Imported>,
    globs: Vec<Segments>,
    /// The code without its `use` declarations.
    body: String,
}

/// File → the files it imports from → the names.
pub(super) type Graph = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

pub(super) fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// The imports between these files.
pub(super) fn graph(sources: &[Source]) -> Graph {
    let modules: Vec<Module> = sources.iter().map(Module::parse).collect();
    let crate_ = Crate { modules: &modules };
    let mut graph = Graph::new();
    for (index, module) in modules.iter().enumerate() {
        for path in module.used() {
            let Some((target, name)) = crate_.resolve(index, &path, 0) else { continue };
            if target != index {
                let edges = graph.entry(module.file.clone()).or_default();
                edges.entry(modules[target].file.clone()).or_default().insert(name);
            }
        }
    }
    graph
}

/// The rooms that a file imports from.
pub(super) fn rooms(source: &Source) -> BTreeSet<String> {
    let module = Module::parse(source);
    let roots =
        module.used().into_iter().chain(module.imports.values().map(|imported| imported.path.clone()));
    roots.filter_map(|path| room(&module.path, &path)).collect()
}

/// The room that a path leads to, by `crate::` or by `super::`.
fn room(module: &[String], path: &[String]) -> Option<String> {
    let ups = path.iter().take_while(|word| *word == "super").count();
    match path.first()?.as_str() {
        "crate" => path.get(1).cloned(),
        "super" if ups >= module.len() => path.get(ups).cloned(),
        _ => None,
    }
}

/// Sets of files that import from each other, directly or by way of others: each set with the imports inside it.
pub(super) fn cycles(graph: &Graph) -> Vec<(BTreeSet<String>, String)> {
    let reach: BTreeMap<&str, BTreeSet<&str>> =
        graph.keys().map(|file| (file.as_str(), reachable(graph, file))).collect();
    let reaches = |from: &str, to: &str| reach.get(from).is_some_and(|files| files.contains(to));
    let mut seen = BTreeSet::new();
    let mut cycles = Vec::new();
    for file in graph.keys().filter(|file| reaches(file, file)) {
        let set: BTreeSet<String> =
            graph.keys().filter(|other| reaches(file, other) && reaches(other, file)).cloned().collect();
        if !seen.insert(set.clone()) {
            continue;
        }
        let mut text = String::new();
        for (from, targets) in graph.iter().filter(|(from, _)| set.contains(*from)) {
            for (to, names) in targets.iter().filter(|(to, _)| set.contains(*to)) {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                writeln!(text, "    {from} imports {} from {to}", names.join(", ")).unwrap();
            }
        }
        cycles.push((set, text));
    }
    cycles
}

fn reachable<'a>(graph: &'a Graph, file: &str) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut open = vec![file];
    while let Some(file) = open.pop() {
        for next in graph.get(file).into_iter().flat_map(BTreeMap::keys) {
            if found.insert(next.as_str()) {
                open.push(next);
            }
        }
    }
    found
}

impl Module {
    fn parse(source: &Source) -> Self {
        let code = source.code();
        let (mut imports, mut globs, mut body) = (BTreeMap::new(), Vec::new(), String::new());
        let mut rest = code.as_str();
        while let Some((before, declaration, is_reexport, after)) = next_use(rest) {
            body.push_str(before);
            for (name, path) in expand(declaration) {
                if name == "*" {
                    globs.push(path);
                } else {
                    imports.insert(name, Imported { path, is_reexport });
                }
            }
            rest = after;
        }
        body.push_str(rest);
        let path = source.module().into_iter().map(str::to_owned).collect();
        Self { path, file: source.path.clone(), imports, globs, body }
    }

    /// The paths that the module's own code depends on. A re-export alone is none, and neither is an imported module:
    /// what counts is what the code takes from it.
    fn used(&self) -> Vec<Segments> {
        let (words, paths) = (words(&self.body), paths(&self.body));
        let mut used: Vec<Segments> = self.globs.clone();
        for (name, imported) in &self.imports {
            let through: Vec<&Segments> = paths.iter().filter(|path| path[0] == *name).collect();
            if through.is_empty() {
                if !imported.is_reexport || words.contains(name.as_str()) {
                    used.push(imported.path.clone());
                }
            } else {
                used.extend(through.iter().map(|path| [&imported.path, &path[1..]].concat()));
            }
        }
        used.extend(paths.into_iter().filter(|path| !self.imports.contains_key(&path[0])));
        used
    }
}

struct Crate<'a> {
    modules: &'a [Module],
}

impl Crate<'_> {
    fn module(&self, path: &[String]) -> Option<usize> {
        self.modules.iter().position(|module| module.path == path)
    }

    /// The module that defines what `path` names in the module `from`, and the name; none for other crates.
    fn resolve(&self, from: usize, path: &[String], depth: usize) -> Option<(usize, String)> {
        let first = path.first()?.as_str();
        let mut at = self.modules[from].path.clone();
        let is_child = |at: &[String], word: &str| self.module(&[at, &[word.to_owned()]].concat()).is_some();
        if !matches!(first, "crate" | "super" | "self") && !is_child(&at, first) {
            return None;
        }
        for (index, word) in path.iter().enumerate() {
            match word.as_str() {
                "crate" => at.clear(),
                "self" => {}
                "super" => drop(at.pop()),
                _ if is_child(&at, word) => at.push(word.clone()),
                _ => {
                    let here = self.module(&at)?;
                    let imported = self.modules[here].imports.get(word).filter(|_| depth < 8);
                    let onward = imported.and_then(|imported| {
                        let path = [&imported.path, &path[index + 1..]].concat();
                        self.resolve(here, &path, depth + 1)
                    });
                    return Some(onward.unwrap_or_else(|| (here, word.clone())));
                }
            }
        }
        Some((self.module(&at)?, path.last()?.clone()))
    }
}

/// The next `use` declaration: what comes before it, its tree, whether it re-exports, what comes after it.
fn next_use(code: &str) -> Option<(&str, &str, bool, &str)> {
    let mut from = 0;
    loop {
        let at = from + code[from..].find("use ")?;
        let line_start = code[..at].rfind('\n').map_or(0, |newline| newline + 1);
        let before = code[line_start..at].trim();
        let is_reexport = before.starts_with("pub") && (before == "pub" || before.ends_with(')'));
        if before.is_empty() || is_reexport {
            let end = at + code[at..].find(';')?;
            return Some((&code[..line_start], &code[at + 4..end], is_reexport, &code[end + 1..]));
        }
        from = at + 4;
    }
}

/// The names that a tree of imports brings in, with their paths.
fn expand(tree: &str) -> Vec<(String, Segments)> {
    let mut found = Vec::new();
    branch(tree.trim(), &[], &mut found);
    found
}

fn branch(tree: &str, prefix: &[String], found: &mut Vec<(String, Segments)>) {
    if let Some(group) = tree.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        for part in split(group) {
            branch(part, prefix, found);
        }
    } else if let Some((word, rest)) = tree.split_once("::") {
        branch(rest.trim(), &[prefix, &[word.trim().to_owned()]].concat(), found);
    } else {
        let (word, name) = tree.split_once(" as ").unwrap_or((tree, tree));
        let (word, name) = (word.trim(), name.trim());
        let mut path = prefix.to_vec();
        if word != "self" {
            path.push(word.to_owned());
        }
        let name = if name == "self" { path.last().cloned().unwrap_or_default() } else { name.to_owned() };
        found.push((name, path));
    }
}

/// The parts of a group, at the commas outside of inner groups.
fn split(group: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(group[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(group[start..].trim());
    parts.retain(|part| !part.is_empty());
    parts
}

fn words(code: &str) -> BTreeSet<&str> {
    code.split(|character| !is_word(character)).collect()
}

/// All paths of more than one segment.
fn paths(code: &str) -> Vec<Segments> {
    let mut found = Vec::new();
    let mut rest = code;
    while let Some(at) = rest.find(is_word) {
        let mut path = Vec::new();
        rest = &rest[at..];
        // `pub(in crate::a)` says who may import, and imports nothing.
        let is_visibility = code[..code.len() - rest.len()].ends_with("pub(in ");
        loop {
            let end = rest.find(|character| !is_word(character)).unwrap_or(rest.len());
            path.push(rest[..end].to_owned());
            rest = &rest[end..];
            match rest.strip_prefix("::") {
                Some(after) if after.starts_with(is_word) => rest = after,
                _ => break,
            }
        }
        if path.len() > 1 && !is_visibility {
            found.push(path);
        }
    }
    found
}

/// A file of a crate that a test makes up.
#[cfg(test)]
fn file(path: &str, text: &str) -> Source {
    Source { path: path.into(), text: text.into() }
}

#[test]
fn groups_of_imports_are_understood() {
    let names = |tree| expand(tree).into_iter().map(|(name, path)| format!("{name}={}", path.join("::")));
    assert_eq!(
        names("super::{a::{self, B}, c as d,\n e::*}").collect::<Vec<_>>(),
        ["a=super::a", "B=super::a::B", "d=super::c", "*=super::e::*"]
    );
    assert_eq!(paths("a::b(c::D::new(), e)"), [vec!["a", "b"], vec!["c", "D", "new"]]);
    assert!(paths("pub(in crate::a) fn f() {}").is_empty());
}

#[test]
fn the_rooms_imported_are_found_in_groups_and_in_code() {
    let text =
        "use crate::{a::B, c as d};\npub use crate::e::*;\nfn f() { crate::g::h(); super::super::i::j() }\n";
    assert_eq!(rooms(&file("x/y.rs", text)).into_iter().collect::<Vec<_>>(), ["a", "c", "e", "g", "i"]);
}

#[test]
fn a_child_and_its_parent_that_import_from_each_other_are_a_cycle() {
    let parent = "mod child;\nuse child::Child;\npub struct Limits;\nfn f(_: Child) {}\n";
    let found = cycles(&graph(&[file("a/mod.rs", parent), file("a/child.rs", "use super::Limits;\n")]));
    assert_eq!(found.len(), 1);
    assert_eq!(
        found[0].1,
        "    a/child.rs imports Limits from a/mod.rs\n    a/mod.rs imports Child from a/child.rs\n"
    );
}

#[test]
fn a_re_export_leads_to_the_file_that_defines_the_name() {
    let parent = "mod one;\nmod two;\npub use one::One;\npub use two::Two;\n";
    let two = "use super::One;\npub struct Two;\n";
    let sources = [file("a/mod.rs", parent), file("a/one.rs", "pub struct One;\n"), file("a/two.rs", two)];
    let graph = graph(&sources);
    assert_eq!(graph.keys().collect::<Vec<_>>(), ["a/two.rs"]);
    assert_eq!(graph["a/two.rs"].keys().collect::<Vec<_>>(), ["a/one.rs"]);
    assert!(cycles(&graph).is_empty());
}

#[test]
fn files_that_reach_each_other_by_way_of_a_third_are_a_cycle() {
    let root = file("lib.rs", "pub mod a;\npub mod b;\npub mod c;\n");
    let a = file("a.rs", "use crate::b;\nfn f() { b::g() }\n");
    let b = file("b.rs", "fn g() { crate::c::h() }\n");
    let c = file("c.rs", "#[cfg(test)]\nuse crate::b;\nuse crate::a::f;\n");
    let found = cycles(&graph(&[root, a, b, c]));
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].0.iter().collect::<Vec<_>>(), ["a.rs", "b.rs", "c.rs"]);
}
