//! The texts of the errors, by the names of the errors. Most of them are in the core, the others in
//! the module's `src/error.rs`.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use ratelimit_core::{ArgumentError, StateError};

use module::Error;

// `Arity` is not used here: the server has the text for it.
#[allow(dead_code)]
#[path = "../../../src/error.rs"]
mod module;

#[track_caller]
pub fn error_text(name: &str) -> &'static str {
    table().get(name).unwrap_or_else(|| panic!("there is no error of the name {name}"))
}

/// All names but `Arity`: the server has the text for it.
pub fn error_names() -> Vec<&'static str> {
    table().keys().map(String::as_str).collect()
}

fn table() -> &'static BTreeMap<String, String> {
    static TABLE: OnceLock<BTreeMap<String, String>> = OnceLock::new();
    TABLE.get_or_init(|| errors().map(|error| (name(error), text(error))).collect())
}

fn errors() -> impl Iterator<Item = Error> {
    let arguments = ArgumentError::all().map(Error::from);
    let states = StateError::ALL.iter().map(|&error| Error::from(error));
    let others =
        [Error::WrongType, Error::Clock, Error::OutOfMemory, Error::Replication, Error::Panic];
    arguments.chain(states).chain(others)
}

/// The innermost word of an error: of `Argument(Policy(Limit))`, it is `Limit`.
fn name(error: Error) -> String {
    let debug = format!("{error:?}");
    let (_, name) = debug.rsplit_once('(').unwrap_or(("", &debug));
    name.trim_end_matches(')').to_owned()
}

fn text(error: Error) -> String {
    let (code, sentence) = error.text();
    format!("{code} {sentence}")
}
