//! The page of the clients against the programs that `make test-clients` runs.

use std::collections::BTreeSet;
use std::fs;

use crate::documents::{files_shown, CLIENTS};
use ratelimit_harness::repository;

/// The programs: `tests/clients/<client>/check.<language>`.
fn programs() -> BTreeSet<String> {
    let mut programs = BTreeSet::new();
    for client in fs::read_dir(repository().join("tests/clients")).expect("the clients").flatten() {
        if !client.path().is_dir() {
            continue;
        }
        for file in fs::read_dir(client.path()).expect("a client").flatten() {
            let (client, file) = (client.file_name(), file.file_name());
            let path =
                format!("tests/clients/{}/{}", client.to_string_lossy(), file.to_string_lossy());
            programs.insert(path);
        }
    }
    programs
}

#[test]
fn the_page_of_the_clients_shows_every_program_that_is_tested_and_no_other() {
    let shown: BTreeSet<_> = files_shown(CLIENTS).into_keys().collect();
    assert_eq!(shown, programs());
}
