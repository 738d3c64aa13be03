//! The page against what stands elsewhere: the records of the bench, the servers, and these tests.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use ratelimit_harness::{repository, servers, Binary, Setup};

const PAGE: &str = "docs/operations.md";

fn read(path: &str) -> String {
    let path = repository().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The lines of the fenced block behind `<!-- block: name -->`.
pub fn block(name: &str) -> Vec<String> {
    let page = read(PAGE);
    let marker = format!("<!-- block: {name} -->\n```\n");
    let (_, rest) = page.split_once(&marker).unwrap_or_else(|| panic!("{PAGE} has no {marker}"));
    let (text, _) = rest.split_once("```").expect("the end of the block");
    text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

#[test]
fn every_block_of_commands_is_run() {
    let page = read(PAGE);
    let blocks: Vec<_> = page.split("<!-- block: ").skip(1).collect();
    let sources = sources();
    for block in &blocks {
        let (name, _) = block.split_once(" -->").expect("a name");
        let call = format!("block(\"{name}\")");
        let is_run = sources.values().any(|text| text.contains(&call));
        assert!(is_run, "no test runs the block {name}");
    }
    assert_eq!(page.matches("\n```\n").count(), 2 * blocks.len(), "a block without a name");
}

/// The cells of the rows of the table behind `<!-- table: name -->`, without its two head lines.
pub fn table(name: &str) -> Vec<Vec<String>> {
    let page = read(PAGE);
    let marker = format!("<!-- table: {name} -->\n");
    let (_, rest) = page.split_once(&marker).unwrap_or_else(|| panic!("{PAGE} has no {marker}"));
    rest.lines().take_while(|line| line.starts_with('|')).skip(2).map(cells).collect()
}

fn cells(row: &str) -> Vec<String> {
    row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
}

/// What stands between single backticks.
pub fn code_spans(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

const ALGORITHMS: [&str; 3] = ["FIXED", "SLIDING", "BUCKET"];

/// Of a server: each algorithm, and the millions of keys that the page promises.
pub fn keys_per_gib(server: &str) -> Vec<(&'static str, f64)> {
    let row = table("memory").into_iter().find(|row| row[0] == server);
    let row = row.unwrap_or_else(|| panic!("{PAGE} has no memory of {server}"));
    ALGORITHMS
        .into_iter()
        .zip(&row[1..])
        .map(|(algorithm, cell)| (algorithm, millions(cell)))
        .collect()
}

/// Of a cell such as `141 B, 7.6 M`.
fn millions(cell: &str) -> f64 {
    let millions = cell.split_once(", ").and_then(|(_, keys)| keys.strip_suffix(" M"));
    millions
        .and_then(|keys| keys.parse().ok())
        .unwrap_or_else(|| panic!("not `bytes, keys`: {cell}"))
}

#[test]
fn the_memory_of_the_page_is_that_of_the_record() {
    let page = read(PAGE);
    let (_, link) = page.split_once("[the record](../").expect("a link to the record");
    let record = read(link.split(')').next().expect("a path"));
    let rows = table("memory");
    let recorded: BTreeSet<_> = record
        .lines()
        .filter(|line| line.contains("| CHECK"))
        .map(|line| cells(line)[0].clone())
        .collect();
    assert_eq!(rows.iter().map(|row| row[0].clone()).collect::<BTreeSet<_>>(), recorded);
    for row in &rows {
        for (cell, what) in row[1..].iter().zip(["FIXED", "SLIDING", "BUCKET", "FIXED, two pairs"])
        {
            let is_it =
                |cells: &Vec<String>| cells[0] == row[0] && cells[1] == format!("CHECK {what}");
            let cells = record.lines().map(cells).find(is_it).expect("a row of the record");
            let bytes: u64 = cells[4].parse().expect("bytes per key after five calls");
            let tenths = (1 << 30) / bytes / 100_000;
            let expected = format!("{bytes} B, {}.{} M", tenths / 10, tenths % 10);
            assert_eq!(*cell, expected, "{} {what}", row[0]);
        }
    }
}

#[test]
fn the_rows_of_the_throughput_stand_in_the_record() {
    let page = read(PAGE);
    let (path, rest) = page
        .split_once("<!-- rows of ")
        .and_then(|(_, rest)| rest.split_once(" -->"))
        .expect("the path of a record");
    let record = read(path);
    let rows: Vec<_> = rest.trim_start().lines().take_while(|line| line.starts_with('|')).collect();
    assert!(rows.len() > 3, "{rows:?}");
    for row in rows.iter().skip(2) {
        let cells = cells(row);
        let part = record
            .split("\n\n")
            .skip_while(|part| part.trim() != format!("One hot key, pipeline {}", cells[0]))
            .nth(1);
        let expected =
            format!("| CHECK FIXED allowed | {} | {} | {} |", cells[1], cells[2], cells[3]);
        assert!(
            part.is_some_and(|part| part.contains(expected.trim_end_matches('|'))),
            "{path}: {expected}"
        );
    }
}

#[test]
fn what_a_server_lacks_stands_in_the_page() {
    for binary in servers() {
        let listed: Vec<_> = table("lacks")
            .into_iter()
            .filter(|row| row[1].split(", ").any(|name| name == binary.name))
            .collect();
        let listed: Vec<_> = listed.iter().map(|row| code_spans(&row[0])[0].clone()).collect();
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
    lacks
}

/// The files of tests: their paths, and their texts.
fn sources() -> BTreeMap<String, String> {
    let mut sources = BTreeMap::new();
    for folder in ["tests", "tests/operations"] {
        for file in fs::read_dir(repository().join(folder)).expect("a folder of tests").flatten() {
            let path = format!("{folder}/{}", file.file_name().to_string_lossy());
            if path.ends_with(".rs") {
                sources.insert(path.clone(), read(&path));
            }
        }
    }
    sources
}

fn tests_of(text: &str) -> impl Iterator<Item = &str> {
    text.split("#[test]\nfn ").skip(1).map(|rest| rest.split('(').next().expect("a name"))
}

/// The tests that the comments `<!-- tried by: … -->` name, one a line: the path that each must be in
/// (`tests/operations/` where the line has none), and its name.
fn named_tests() -> BTreeSet<(String, String)> {
    let page = read(PAGE);
    let comments = page.split("<!-- tried by:\n").skip(1);
    let comments = comments.map(|rest| rest.split("-->").next().expect("the end of the comment"));
    let named = comments.flat_map(str::lines).map(|line| {
        let (place, name) = line.split_once(": ").unwrap_or(("tests/operations/", line));
        (place.to_owned(), name.to_owned())
    });
    named.collect()
}

#[test]
fn every_statement_names_its_tests_and_every_test_its_statement() {
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
