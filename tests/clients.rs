//! The page of the clients against the programs that `make test-clients` runs.

use std::collections::BTreeMap;
use std::fs;

use ratelimit_harness::repository;

const PAGE: &str = "docs/clients.md";

fn read(path: &str) -> String {
    let path = repository().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What the page shows behind each `<!-- file: path -->`.
fn shown() -> BTreeMap<String, String> {
    let page = read(PAGE);
    let parts = page.split("<!-- file: ").skip(1);
    parts.map(|part| block(part).expect("a path, and a fenced block")).collect()
}

fn block(part: &str) -> Option<(String, String)> {
    let (path, rest) = part.split_once(" -->\n```")?;
    let (_language, rest) = rest.split_once('\n')?;
    let (text, _) = rest.split_once("```\n")?;
    Some((path.to_owned(), text.to_owned()))
}

/// The programs: `tests/clients/<client>/check.<language>`.
fn programs() -> BTreeMap<String, String> {
    let mut programs = BTreeMap::new();
    for client in fs::read_dir(repository().join("tests/clients")).expect("the clients").flatten() {
        if !client.path().is_dir() {
            continue;
        }
        for file in fs::read_dir(client.path()).expect("a client").flatten() {
            let (client, file) = (client.file_name(), file.file_name());
            let path =
                format!("tests/clients/{}/{}", client.to_string_lossy(), file.to_string_lossy());
            programs.insert(path.clone(), read(&path));
        }
    }
    programs
}

#[test]
fn the_page_of_the_clients_shows_every_program_as_it_is_tested() {
    let (shown, programs) = (shown(), programs());
    assert!(programs.len() >= 10, "only {} programs", programs.len());
    for (path, text) in &programs {
        let shown = shown.get(path).unwrap_or_else(|| panic!("{PAGE} does not show {path}"));
        assert_eq!(shown, text, "{PAGE} shows another {path}");
    }
    for path in shown.keys() {
        assert!(programs.contains_key(path), "{PAGE} shows {path}, which nobody runs");
    }
}
