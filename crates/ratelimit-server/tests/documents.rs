//! The documents agree with the program: settings, files, endpoints, metrics.

use std::collections::BTreeMap;

use ratelimit_harness::ALGORITHMS;

use crate::service::{repository, Settings};

const SERVER: &str = "docs/server.md";
const NGINX: &str = "docs/nginx.md";

/// By variable, the flag and the default that `--help` shows.
pub fn helped() -> BTreeMap<String, (String, String)> {
    let help = Settings::bare().flag("--help").output();
    let help = String::from_utf8(help.stdout).expect("text");
    let mut found = BTreeMap::new();
    let (mut flag, mut variable) = (String::new(), String::new());
    for line in help.lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("--") {
            flag = format!("--{}", rest.split([' ', ',']).next().expect("a name"));
        }
        if let Some(name) = bracketed(line, "[env: ") {
            variable = name.trim_end_matches('=').to_owned();
            found.insert(variable.clone(), (flag.clone(), String::new()));
        }
        if let Some(default) = bracketed(line, "[default: ") {
            found.get_mut(&variable).expect("after its variable").1 = default.to_owned();
        }
    }
    found
}

fn bracketed<'a>(line: &'a str, opening: &str) -> Option<&'a str> {
    line.split_once(opening)?.1.split(']').next()
}

#[test]
fn the_table_of_settings_matches_the_help() {
    let help = helped();
    assert!(help.len() > 25, "{help:?}");
    let page = repository(SERVER);
    let rows = page.lines().filter(|line| line.starts_with("| `") && line.contains("`--"));
    let table: BTreeMap<_, _> = rows
        .map(|row| {
            let cells: Vec<_> =
                row.split('|').map(|cell| cell.trim().trim_matches('`').to_owned()).collect();
            (cells[1].clone(), (cells[2].clone(), cells[3].clone()))
        })
        .collect();
    assert_eq!(table, help);
}

#[test]
fn the_page_of_nginx_quotes_lines_of_its_two_files() {
    let page = repository(NGINX);
    let files = ["docker/nginx-auth-request.conf", "docker/nginx.conf"].map(|path| {
        assert!(page.contains(&format!("](../{path})")), "{NGINX} has no link to {path}");
        repository(path)
    });
    let blocks = page.split("```nginx\n").skip(1);
    let blocks = blocks.map(|rest| rest.split("```").next().expect("the end of the block"));
    let quoted: Vec<_> = blocks.flat_map(str::lines).collect();
    assert!(quoted.len() >= 4, "{quoted:?}");
    for line in quoted {
        let mut lines = files.iter().flat_map(|file| file.lines());
        assert!(lines.any(|other| other.trim() == line), "{NGINX} quotes another line: {line}");
    }
}

#[test]
fn the_documents_name_each_path_and_each_metric() {
    let service = Settings::memory().set("RATE_LIMIT", 0).start();
    service.get("/");
    let page = repository(SERVER);
    for path in service.get("/openapi.json").json()["paths"].as_object().expect("paths").keys() {
        assert!(page.contains(&format!("{path}`")), "{SERVER} lacks {path}");
    }
    let metrics = service.get("/metrics").body;
    for name in metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, _) = name.split_once(' ').expect("a type");
        let spans = [format!("`{name}`"), format!("`{name}{{")];
        assert!(spans.iter().any(|span| page.contains(span)), "{SERVER} lacks {name}");
    }
}

#[test]
fn the_help_and_the_page_name_every_algorithm() {
    let help = String::from_utf8(Settings::bare().flag("--help").output().stdout).expect("text");
    let names = ALGORITHMS.map(str::to_lowercase);
    let choice = format!("<{}>", names.join("|"));
    assert!(help.contains(&choice), "the help lacks {choice}");
    let page = repository(SERVER);
    for name in names {
        assert!(page.contains(&format!("`:{name}`")), "{SERVER} lacks the key's end :{name}");
    }
}

#[test]
fn the_policies_of_the_documents_can_be_used() {
    let page = repository(SERVER);
    let (_, rest) = page.split_once("```toml\n").expect("an example");
    let (example, _) = rest.split_once("```").expect("its end");
    let service = Settings::memory().file("p.toml", example).set("POLICIES", "p.toml").start();
    assert_eq!(service.get("/").status, 200);
}

#[test]
fn the_decision_and_the_error_of_the_documents_are_real() {
    let page = repository(SERVER);
    let (_, rest) = page.split_once("$ curl -s --json '").expect("an example");
    let (request, rest) = rest.split_once("' http://127.0.0.1:3000/v1/check\n").expect("its path");
    let server = crate::service::server();
    let service = Settings::on(&server).set("INSTANCE", "ratelimit-3000").start();
    let answer = service.post("/v1/check", request).body;
    assert_eq!(rest.lines().next(), Some(&*answer));
    let wrong = service.post("/v1/check", r#"{"key":"k","limit":-1,"window":60}"#).body;
    assert!(page.contains(&format!("```\n{wrong}\n```")), "{SERVER} lacks {wrong}");
}
