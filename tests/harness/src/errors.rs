//! The texts of the errors by their names, read out of `src/error.rs`, which alone holds them.

use std::collections::BTreeMap;
use std::sync::OnceLock;

const SOURCE: &str = include_str!("../../../src/error.rs");

#[track_caller]
pub fn error_text(name: &str) -> &'static str {
    table().get(name).unwrap_or_else(|| panic!("src/error.rs has no error of the name {name}"))
}

/// Without that of a wrong arity, which is the server's own text.
pub fn error_names() -> Vec<&'static str> {
    table().keys().copied().collect()
}

fn table() -> &'static BTreeMap<&'static str, &'static str> {
    static TABLE: OnceLock<BTreeMap<&str, &str>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let parts: Vec<_> = SOURCE.split("=>").collect();
        let mut table: BTreeMap<_, _> = parts
            .windows(2)
            .filter_map(|pair| Some((last_name(pair[0])?, first_text(pair[1])?)))
            .collect();
        table.remove("Arity").expect("src/error.rs has the error Arity");
        table
    })
}

/// `… ArgumentError::Limit ` is Limit.
fn last_name(before: &str) -> Option<&str> {
    before.rsplit_once("::").map(|(_, name)| name.trim())
}

/// ` c"ERR …", …` is ERR ….
fn first_text(behind: &str) -> Option<&str> {
    let (_, text) = behind.split_once("c\"")?;
    text.split_once('"').map(|(text, _)| text)
}
