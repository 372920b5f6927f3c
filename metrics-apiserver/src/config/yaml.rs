//! The configuration file as written: a YAML tree in which every key and value has its place.
//!
//! A typed deserializer stops at the first error. The tree accepts any YAML, duplicate keys included, so that the check
//! sees all of it and lists every problem at once.

use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy, NonFiniteFloatPolicy};
use serde_saphyr::{Error, Location, Spanned};

use super::problem::Place;

/// Ten thousand rules with long queries fit into it; a larger file is not a configuration.
pub(super) const MAX_FILE_BYTES: usize = 8 << 20;

/// Ten thousand rules with every key, four holds included, have 590,000 nodes; the rest is for longer lists of labels
/// and for aliases.
const MAX_NODES: usize = 1_500_000;

/// The deepest key, `basicAuth.username` of a backend, has depth 4.
const MAX_DEPTH: usize = 16;

/// The document itself, and an empty one after a trailing `---`, as templates produce it.
const MAX_DOCUMENTS: usize = 2;

/// Events that aliases may add: enough for ten thousand rules that each merge five keys with a hold, too few for a
/// billion-laughs file.
const MAX_REPLAYED_EVENTS: usize = 600_000;

/// A `<<` in each of ten thousand rules and of a hundred backends.
const MAX_MERGES: usize = 20_000;

/// One YAML node and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// Its first character; of a block scalar the first one of the text; of an alias, the alias.
    pub(super) place: Place,
    /// The bytes of the file that define it; of an alias, those of what it stands for.
    pub(super) written: Range<usize>,
    /// What it is.
    pub(super) value: Value,
}

/// What a YAML node holds.
#[derive(Debug, Clone)]
pub(super) enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A string.
    Text(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, as written: in order, with duplicates.
    Map(Vec<Entry>),
}

/// A YAML number; a whole number is exact, also above 2^53.
#[derive(Debug, Clone, Copy)]
pub(super) enum Number {
    /// Digits only.
    Whole(i128),
    /// With a decimal point or an exponent, or longer than 64 bits; also infinite and NaN.
    Float(f64),
}

/// One key of a mapping with its value.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// The key.
    pub(super) key: String,
    /// The place of the key.
    pub(super) place: Place,
    /// Its value.
    pub(super) node: Node,
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(value) => value.fmt(f),
            Self::Float(value) => value.fmt(f),
        }
    }
}

impl Value {
    /// The kind of the value, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "a string",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }
}

/// Why a text is not parsed: the one problem that hides all others.
#[derive(Debug)]
pub(super) struct SyntaxError {
    /// Where parsing stopped.
    pub(super) place: Option<Place>,
    /// What was wrong there.
    pub(super) message: String,
    /// What that means.
    pub(super) help: &'static str,
}

impl SyntaxError {
    fn new(error: &Error, text: &str) -> Self {
        let place = error.location().and_then(place_of);
        if let Some(message) = words(error.without_snippet()) {
            return Self { place, message, help: NOT_CHECKED };
        }
        let message = without_place(&error.without_snippet().to_string()).to_owned();
        match place.filter(|_| message.contains("tab")).and_then(|place| tab_from(text, place)) {
            Some(tab) => Self {
                place: Some(tab),
                message,
                help: "indent with spaces; the rest of the file was not checked",
            },
            None => Self { place, message, help: "not valid YAML; the rest of the file was not checked" },
        }
    }
}

/// The first tab in the indentation of a line, from the line of a place on: the parser names the text before the tab.
fn tab_from(text: &str, place: Place) -> Option<Place> {
    text.lines().enumerate().skip(place.line - 1).find_map(|(index, line)| {
        let column = line.chars().take_while(|c| matches!(c, ' ' | '\t')).position(|c| c == '\t')? + 1;
        Some(Place { line: index + 1, column })
    })
}

const NOT_CHECKED: &str = "the file was not checked";
const SEVERAL_DOCUMENTS: &str = "the file contains more than one document";

/// Messages for valid YAML that exceeds a limit; those of the parser name its internals.
fn words(error: &Error) -> Option<String> {
    let aliases = || "too many aliases: the expanded file is too large".to_owned();
    match error {
        Error::AliasError { error, .. } => words(error),
        Error::RecursiveReferencesRequireWeakTypes { .. } => {
            Some("an alias refers to a node that contains it".to_owned())
        }
        Error::AliasReplayCounterOverflow { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => Some(aliases()),
        Error::Budget { breach, .. } => Some(match breach {
            BudgetBreach::Documents { .. } => SEVERAL_DOCUMENTS.to_owned(),
            BudgetBreach::Depth { .. } => format!("nested more than {MAX_DEPTH} levels deep"),
            BudgetBreach::Nodes { .. } | BudgetBreach::Events { .. } => {
                format!("more than {MAX_NODES} keys and values")
            }
            BudgetBreach::Aliases { .. }
            | BudgetBreach::Anchors { .. }
            | BudgetBreach::AliasAnchorRatio { .. }
            | BudgetBreach::RecordedAnchorEvents { .. }
            | BudgetBreach::RecordedAnchorBytes { .. }
            | BudgetBreach::MergeKeys { .. } => aliases(),
            _ => "the file exceeds the limits of a configuration".to_owned(),
        }),
        _ => None,
    }
}

/// Parses the one YAML document of a file, within limits; an empty file is null.
pub(super) fn parse(text: &str) -> Result<Node, SyntaxError> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_nodes: MAX_NODES,
            max_events: 2 * MAX_NODES,
            max_depth: MAX_DEPTH,
            max_documents: MAX_DOCUMENTS,
            max_merge_keys: MAX_MERGES,
            // One anchor may serve all rules; what aliases add is limited below.
            enforce_alias_anchor_ratio: false,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: MAX_REPLAYED_EVENTS },
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        merge_keys: MergeKeyPolicy::Merge,
        strict_booleans: true,
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        emit_comments: false,
        with_snippet: false,
    };
    let documents = serde_saphyr::from_multiple_with_options::<Node>(text, options);
    let mut documents = documents.map_err(|error| SyntaxError::new(&error, text))?.into_iter();
    let first = documents.next().unwrap_or_else(|| Node {
        place: Place::default(),
        written: 0..0,
        value: Value::Null,
    });
    documents.next().map_or(Ok(first), |second| {
        let (place, message) = (Some(second.place), SEVERAL_DOCUMENTS.to_owned());
        Err(SyntaxError { place, message, help: NOT_CHECKED })
    })
}

fn place_of(location: Location) -> Option<Place> {
    let line = usize::try_from(location.line()).ok().filter(|line| *line > 0)?;
    Some(Place { line, column: usize::try_from(location.column()).ok()?.max(1) })
}

/// The bytes of a location; none for an unknown one.
fn bytes_of(location: Location) -> Range<usize> {
    let span = location.span();
    let index =
        |number: Option<u64>| number.and_then(|number| usize::try_from(number).ok()).unwrap_or_default();
    let start = index(span.byte_offset());
    start..start.saturating_add(index(span.byte_len()))
}

/// The message without ` at line 1, column 2`, which the problem displays itself.
fn without_place(message: &str) -> &str {
    message.split(" at line ").next().unwrap_or(message)
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        let (place, written) = (place_of(spanned.referenced).unwrap_or_default(), bytes_of(spanned.defined));
        Ok(Self { place, written, value: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(Number::Whole(value.into())))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(Number::Whole(value.into())))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Number(Number::Float(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Vec::new();
        while let Some(key) = entries.next_key::<Spanned<String>>()? {
            let place = place_of(key.referenced).unwrap_or_default();
            map.push(Entry { key: key.value, place, node: entries.next_value()? });
        }
        Ok(Value::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(node: &Node) -> &[Entry] {
        match &node.value {
            Value::Map(entries) => entries,
            other => panic!("{other:?} is not a mapping"),
        }
    }

    #[test]
    fn a_tab_in_the_indentation_is_reported_at_its_place() {
        for (text, line, column) in [
            ("a:\n- name: m\n\tquery: up\n", 3, 1),
            ("a:\n- b: |\n  \n\tup\n", 4, 1),
            ("a:\n\t- b\n", 2, 1),
            ("a:\n  b:\n  \tc: d\n", 3, 3),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.place, Some(Place { line, column }), "{text:?}: {}", error.message);
            assert!(error.message.contains("tab") && error.help.contains("spaces"), "{}", error.message);
        }
    }

    #[test]
    fn every_key_and_value_has_its_place() {
        let node = parse("a: 1\nb:\n- x\n- c: |\n    text\n").unwrap();
        let entries = map(&node);
        assert_eq!(entries[0].place, Place { line: 1, column: 1 });
        assert_eq!(entries[0].node.place, Place { line: 1, column: 4 });
        let Value::List(items) = &entries[1].node.value else { panic!("a list") };
        assert_eq!(items[0].place, Place { line: 3, column: 3 });
        let inner = &map(&items[1])[0];
        assert_eq!(
            (inner.place, inner.node.place),
            (Place { line: 4, column: 3 }, Place { line: 5, column: 5 })
        );
        assert!(matches!(&inner.node.value, Value::Text(text) if text == "text\n"));
    }

    #[test]
    fn duplicate_keys_are_kept_for_the_check() {
        let node = parse("a: 1\na: 2\n").unwrap();
        assert_eq!(map(&node).iter().map(|e| e.place.line).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn aliases_and_merges_are_read_and_bounded() {
        let node = parse("a: &x {k: v}\nb: *x\nc: {<<: *x, l: w}\n").unwrap();
        assert_eq!(map(&map(&node)[1].node)[0].key, "k");
        assert_eq!(map(&map(&node)[2].node).len(), 2);
        let line = |i: usize| format!("a{i}: &a{i} [{}]\n", vec![format!("*a{}", i - 1); 9].join(", "));
        let bomb: Vec<_> = (1..12).map(line).collect();
        parse(&format!("a0: &a0 [x, x, x]\n{}", bomb.concat())).unwrap_err();
    }

    /// The nodes of a tree, keys included, and the events that it is read from.
    fn size(node: &Node) -> (usize, usize) {
        let add = |a: (usize, usize), b: (usize, usize)| (a.0 + b.0, a.1 + b.1);
        match &node.value {
            Value::List(items) => items.iter().map(size).fold((1, 2), add),
            Value::Map(entries) => {
                entries.iter().map(|entry| add((1, 1), size(&entry.node))).fold((1, 2), add)
            }
            _ => (1, 1),
        }
    }

    #[test]
    fn ten_thousand_metrics_may_merge_one_mapping() {
        let merges = (0..10_000).map(|i| format!("- {{<<: *d, name: m{i}}}\n"));
        let node = parse(&format!("- &d {{query: up}}\n{}", merges.collect::<String>())).unwrap();
        let Value::List(items) = &node.value else { panic!("a list") };
        assert_eq!((items.len(), map(&items[10_000]).len()), (10_001, 2));
        // Parsing the whole file would take seconds.
        let hold = "{hold: 5m, then: {value: 0}}";
        let holds = format!("{{a: {hold}, b: {hold}, c: {hold}, d: {hold}, maxAge: 30s}}");
        assert!(10_000 * size(&parse(&holds).unwrap()).1 <= MAX_REPLAYED_EVENTS);
    }

    #[test]
    fn ten_thousand_metrics_may_have_every_key() {
        let hold = "{hold: 5m, then: {value: 0}}";
        let holds = ["onNoData", "onNaN", "onInfinite", "onFailure"].map(|key| format!("{key}: {hold}"));
        let rule = format!(
            "{{name: m, query: up, backend: b, namespace: {{label: ns}}, selector: {{allow: [a, b, c, d]}}, \
             result: sum, {}, onPartial: accept, allowNegative: true, maxAge: 1s}}",
            holds.join(", ")
        );
        let (nodes, events) = size(&parse(&rule).unwrap());
        assert_eq!(nodes, 59, "as in the comment on the limit");
        assert!(10_000 * nodes <= MAX_NODES && 10_000 * events <= 2 * MAX_NODES);
    }

    #[test]
    fn invalid_yaml_is_refused_with_its_place() {
        let error = parse("a: 1\nb: [1, 2\nc: 3\n").unwrap_err();
        assert!(error.place.is_some_and(|place| place.line >= 2), "{error:?}");
        assert!(parse(&"[".repeat(10_000)).is_err());
        assert!(parse("a: 1\n---\nb: 2\n").is_err());
    }
}
