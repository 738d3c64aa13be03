//! docs/operations.md against the records of the benchmarks, the servers, and these tests.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use ratelimit_harness::{page, repository, servers, Binary, Reply, Setup, ALGORITHMS};

const PAGE: &str = "docs/operations.md";

/// What stands after a marker, such as `<!-- table: alerts -->`.
fn after(marker: &str) -> String {
    let text = page(PAGE);
    let (_, rest) = text.split_once(marker).unwrap_or_else(|| panic!("{PAGE} has no {marker}"));
    rest.to_owned()
}

/// The lines of the fenced block after `<!-- block: name -->`, without its comments.
pub fn block(name: &str) -> Vec<String> {
    let rest = after(&format!("<!-- block: {name} -->\n```\n"));
    let (text, _) = rest.split_once("```").expect("the end of the block");
    text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

#[test]
fn every_block_of_commands_is_run() {
    let text = page(PAGE);
    let blocks: Vec<_> = text.split("<!-- block: ").skip(1).collect();
    let sources = sources();
    for block in &blocks {
        let (name, _) = block.split_once(" -->").expect("a name");
        let call = format!("block(\"{name}\")");
        let is_run = sources.values().any(|source| source.contains(&call));
        assert!(is_run, "no test runs the block {name}");
    }
    assert_eq!(text.matches("\n```\n").count(), 2 * blocks.len(), "a block without a name");
}

/// The cells of the table after `<!-- table: name -->`, row by row, without the head of the table.
pub fn table(name: &str) -> Vec<Vec<String>> {
    rows(&after(&format!("<!-- table: {name} -->\n")))
}

/// The cells of the table at the start of a text, row by row, without the head of the table.
fn rows(text: &str) -> Vec<Vec<String>> {
    text.lines().take_while(|line| line.starts_with('|')).skip(2).map(cells).collect()
}

fn cells(row: &str) -> Vec<String> {
    row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
}

/// What stands between single backticks.
pub fn code_spans(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Each algorithm, and how many million keys of it the page promises for 1 GiB on a server.
pub fn keys_per_gib(server: &str) -> Vec<(&'static str, f64)> {
    let row = table("memory").into_iter().find(|row| row[0] == server);
    let row = row.unwrap_or_else(|| panic!("{PAGE} has no memory of {server}"));
    let millions = row[1..].iter().map(|cell| millions(cell));
    ALGORITHMS.into_iter().zip(millions).collect()
}

/// The millions of keys in a cell such as `141 B, 7.6 M`.
fn millions(cell: &str) -> f64 {
    let millions = cell.split_once(", ").and_then(|(_, keys)| keys.strip_suffix(" M"));
    millions
        .and_then(|keys| keys.parse().ok())
        .unwrap_or_else(|| panic!("not `bytes, keys`: {cell}"))
}

#[test]
fn the_memory_of_the_page_is_that_of_the_record() {
    let rest = after("[the record](../");
    let record = page(rest.split(')').next().expect("a path"));
    let rows = table("memory");
    let servers: BTreeSet<_> = rows.iter().map(|row| row[0].clone()).collect();
    let checks = record.lines().filter(|line| line.contains("| CHECK"));
    let recorded: BTreeSet<_> = checks.map(|line| cells(line)[0].clone()).collect();
    assert_eq!(servers, recorded);
    for row in &rows {
        let policies = ALGORITHMS.into_iter().chain(["FIXED, two pairs"]);
        for (cell, policy) in row[1..].iter().zip(policies) {
            assert_eq!(*cell, memory_in(&record, &row[0], policy), "{} {policy}", row[0]);
        }
    }
}

/// The bytes of a key after five calls, and the million keys in 1 GiB, as the page shows them.
fn memory_in(record: &str, server: &str, policy: &str) -> String {
    let check = format!("CHECK {policy}");
    let mut rows = record.lines().map(cells);
    let row = rows.find(|row| row[0] == server && row[1] == check).expect("a row of the record");
    let bytes: u64 = row[4].parse().expect("bytes per key after five calls");
    let tenths = (1 << 30) / bytes / 100_000;
    format!("{bytes} B, {}.{} M", tenths / 10, tenths % 10)
}

#[test]
fn the_throughput_of_the_page_is_that_of_the_record() {
    let rest = after("<!-- rows of ");
    let (path, rest) = rest.split_once(" -->").expect("the path of a record");
    let record = page(path);
    let rows = rows(rest.trim_start());
    assert!(rows.len() > 1, "{rows:?}");
    for row in rows {
        let title = format!("One hot key, pipeline {}", row[0]);
        let mut parts = record.split("\n\n").skip_while(|part| part.trim() != title);
        let expected = format!("| CHECK FIXED allowed | {} | {} | {} ", row[1], row[2], row[3]);
        let is_there = parts.nth(1).is_some_and(|part| part.contains(&expected));
        assert!(is_there, "{path}: {expected}");
    }
}

#[test]
fn the_page_lists_what_each_server_lacks() {
    for binary in servers() {
        let mut rows = table("lacks");
        rows.retain(|row| row[1].split(", ").any(|name| name == binary.name));
        let listed: Vec<_> = rows.iter().map(|row| code_spans(&row[0])[0].clone()).collect();
        assert_eq!(listed, lacks(binary), "{}", binary.name);
    }
}

fn lacks(binary: &'static Binary) -> Vec<&'static str> {
    let server = Setup::module(binary).start();
    let mut client = server.connect();
    let mut lacks = Vec::new();
    if !client.knows_command("CLUSTER|MIGRATESLOTS") {
        lacks.push("CLUSTER MIGRATESLOTS");
    }
    if !client.must("ACL CAT write").texts().iter().any(|name| name == "ratelimit.check") {
        lacks.push("ACL CAT");
    }
    if !client.knows_command("CLIENT|SETINFO") {
        lacks.push("CLIENT SETINFO");
    }
    client.must("CONFIG SET maxmemory 1");
    client.must("MULTI");
    if let Reply::Error(_) = client.reply_to("RATELIMIT.PEEK k 5 60") {
        lacks.push("MULTI");
    }
    lacks
}

/// The files of tests: their paths, and their texts.
fn sources() -> BTreeMap<String, String> {
    let mut sources = BTreeMap::new();
    for folder in ["tests", "tests/operations", "crates/ratelimit-client/tests"] {
        for file in fs::read_dir(repository().join(folder)).expect("a folder of tests").flatten() {
            let path = format!("{folder}/{}", file.file_name().to_string_lossy());
            if path.ends_with(".rs") {
                sources.insert(path.clone(), page(&path));
            }
        }
    }
    sources
}

fn tests_of(text: &str) -> impl Iterator<Item = &str> {
    text.split("#[test]\nfn ").skip(1).map(|rest| rest.split('(').next().expect("a name"))
}

/// The tests that the comments `<!-- tried by: … -->` name, one a line: the path and the name of
/// each. The path is `tests/operations/` if the line has none.
fn named_tests() -> BTreeSet<(String, String)> {
    let text = page(PAGE);
    let comments = text.split("<!-- tried by:\n").skip(1);
    let comments = comments.map(|rest| rest.split("-->").next().expect("the end of the comment"));
    let named = comments.flat_map(str::lines).map(|line| {
        let (place, name) = line.split_once(": ").unwrap_or(("tests/operations/", line));
        (place.to_owned(), name.to_owned())
    });
    named.collect()
}

#[test]
fn every_statement_has_its_tests_and_every_test_a_statement() {
    let (named, sources) = (named_tests(), sources());
    for (place, name) in &named {
        let mut files = sources.iter().filter(|(path, _)| path.starts_with(&**place));
        let is_there = files.any(|(_, text)| tests_of(text).any(|test| test == name));
        assert!(is_there, "{PAGE} names a test that is not in {place}: {name}");
    }
    for (path, text) in sources.iter().filter(|(path, _)| path.starts_with("tests/operations/")) {
        for name in tests_of(text).filter(|_| !path.ends_with("page.rs")) {
            let is_named = named.iter().any(|(_, named)| named == name);
            assert!(is_named, "{PAGE} does not name {name} of {path}");
        }
    }
}
