//! The command line as pflag reads it, rewritten for clap.
//!
//! Underscores in names count as dashes, flags without effect are taken out, and a flag with an empty value counts as
//! not given where it has no default.

use std::ffi::OsString;

use clap::{Arg, ArgAction, Command};

use super::ignored::{self, Ignored};

/// A command line for clap.
#[derive(Debug)]
pub(super) struct Arguments {
    /// The program and the arguments that are left.
    pub(super) arguments: Vec<OsString>,
    /// The flags that were taken out.
    pub(super) ignored: Vec<Ignored>,
}

/// One argument; a flag has its value after `=`.
struct Item {
    /// The name of a flag that begins with two dashes.
    name: Option<String>,
    argument: OsString,
}

/// Rewrites a command line, the program included, for `command`.
pub(super) fn rewrite(arguments: impl IntoIterator<Item = OsString>, command: &Command) -> Arguments {
    let mut rest = arguments.into_iter();
    let mut items: Vec<Item> = Vec::new();
    let mut ignored = Vec::new();
    while let Some(argument) = rest.next() {
        let Some((name, value)) = flag(&argument) else {
            let is_end = argument == "--";
            items.push(Item { name: None, argument });
            if is_end {
                // Everything that follows is positional.
                items.extend(rest.by_ref().map(|argument| Item { name: None, argument }));
            }
            continue;
        };
        let known = command.get_arguments().find(|known| known.get_long() == Some(&name));
        if let Some(flag) = ignored::find(&name) {
            if flag.takes_value && value.is_none() {
                rest.next();
            }
            ignored.push(flag);
            continue;
        }
        let value = value
            .map(OsString::from)
            .or_else(|| known.filter(|arg| takes_next(arg)).and_then(|_| rest.next()));
        if value.as_ref().is_some_and(|value| value.is_empty()) && known.is_some_and(is_unset_by_empty) {
            items.retain(|item| item.name.as_ref() != Some(&name));
            continue;
        }
        let mut argument = OsString::from(format!("--{name}"));
        if let Some(value) = value {
            argument.push("=");
            argument.push(value);
        }
        items.push(Item { name: Some(name), argument });
    }
    Arguments { arguments: items.into_iter().map(|item| item.argument).collect(), ignored }
}

/// The name of a flag with two dashes, and its value after `=`.
fn flag(argument: &OsString) -> Option<(String, Option<String>)> {
    let text = argument.to_str()?.strip_prefix("--").filter(|text| !text.is_empty())?;
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (text, None),
    };
    Some((name.replace('_', "-"), value))
}

/// Whether the next argument is the value of this flag, if it has no `=`.
fn takes_next(arg: &Arg) -> bool {
    let is_value = matches!(arg.get_action(), ArgAction::Set | ArgAction::Append);
    is_value && !arg.is_require_equals_set()
}

/// Whether an empty value is the same as no flag: lists and flags with a default can be empty.
fn is_unset_by_empty(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Set) && arg.get_default_values().is_empty()
}
