//! The page of the clients against the programs that `make test-clients` runs.

use std::collections::BTreeSet;
use std::fs::{self, DirEntry};

use crate::documents::{files_shown, CLIENTS};
use ratelimit_harness::{page, repository};

/// The programs: `examples/<client>/check.<language>`.
fn programs() -> BTreeSet<String> {
    let folders = fs::read_dir(repository().join("examples")).expect("the folder of the examples");
    folders
        .flatten()
        .filter(|folder| folder.path().is_dir())
        .map(|folder| program_in(&folder))
        .collect()
}

fn program_in(folder: &DirEntry) -> String {
    let files = fs::read_dir(folder.path()).expect("the folder of a client");
    let names =
        files.flatten().map(|file| file.file_name().into_string().expect("a name in UTF-8"));
    let programs: Vec<_> = names.filter(|name| name.starts_with("check.")).collect();
    let [program] = &programs[..] else { panic!("{folder:?} holds {programs:?}, not one program") };
    format!("examples/{}/{program}", folder.file_name().to_string_lossy())
}

#[test]
fn the_page_of_the_clients_shows_every_program_that_is_tested_and_no_other() {
    let shown: BTreeSet<_> = files_shown(CLIENTS).into_keys().collect();
    assert_eq!(shown, programs());
}

/// The clients of the programs that can connect to a cluster.
fn clients_of_a_cluster() -> BTreeSet<String> {
    let speaks_cluster = |program: &String| {
        let text = page(program);
        text.contains("REDIS_CLUSTER") || text.contains("redis-cli -u \"$url\" -c ")
    };
    let folder = |program: String| program.split('/').nth(1).expect("a folder").to_owned();
    programs().into_iter().filter(speaks_cluster).map(folder).collect()
}

#[test]
fn every_program_for_a_cluster_is_tested_on_a_cluster() {
    let script = page("scripts/test-clients.sh");
    let (_, cases) = script.split_once("made for one server").expect("the comment");
    let (names, _) = cases.split_once(")\n").expect("the names");
    let names = names.lines().last().expect("a line").trim();
    let tested: BTreeSet<_> = names.split(" | ").map(str::to_owned).collect();
    assert_eq!(tested, clients_of_a_cluster());
}
