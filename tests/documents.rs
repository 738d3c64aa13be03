//! The documents against the code: the synopsis, the error texts, every example, and the paths.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ratelimit_core::command::SYNTAX;
use ratelimit_harness::{
    error_names, error_text, page, repository, servers, Connection, Frozen, Reply, T0_MICROS,
};

const README: &str = "README.md";
const CHECK: &str = "docs/commands/ratelimit.check.md";
const PEEK: &str = "docs/commands/ratelimit.peek.md";
pub(crate) const CLIENTS: &str = "docs/clients.md";

/// Line breaks and indentation of a page do not matter.
fn with_single_spaces(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_documents_have_the_synopsis_of_the_code() {
    for (path, command) in [
        (README, "RATELIMIT.CHECK"),
        (README, "RATELIMIT.PEEK"),
        (CHECK, "RATELIMIT.CHECK"),
        (PEEK, "RATELIMIT.PEEK"),
    ] {
        let syntax = format!("{command} {SYNTAX}");
        assert!(with_single_spaces(&page(path)).contains(&syntax), "{path} lacks: {syntax}");
    }
}

#[test]
fn the_page_of_check_has_every_error_text() {
    let page = page(CHECK);
    for name in error_names() {
        let text = format!("`{}`", error_text(name));
        assert!(page.contains(&text), "{CHECK} lacks {text} ({name})");
    }
}

#[test]
fn the_documents_have_only_error_texts_of_the_code() {
    let known: Vec<_> = error_names().into_iter().map(error_text).collect();
    for path in [README, CHECK, PEEK] {
        for text in code_spans(&page(path)).filter(|span| is_error(span)) {
            let is_arity = text.starts_with("ERR wrong number of arguments for 'ratelimit.");
            assert!(is_arity || known.contains(&&*text), "{path} has an unknown error: {text}");
        }
    }
}

fn is_error(span: &str) -> bool {
    ["ERR ", "WRONGTYPE ", "OOM "].iter().any(|code| span.starts_with(code))
}

/// What stands between single backticks, outside the fenced blocks.
fn code_spans(page: &str) -> impl Iterator<Item = String> {
    let prose: String = page.split("```").step_by(2).collect();
    let spans: Vec<_> = prose.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    spans.into_iter()
}

/// One example: what is typed, and what is printed.
struct Example {
    typed: String,
    printed: Vec<String>,
}

/// The examples of a page: the lines after the prompt `redis> ` in its fenced blocks. A line
/// `# 12 s later` is an example too: it moves the clock. A remark may follow after ` # `.
fn examples(page: &str) -> Vec<Example> {
    page.split("```").skip(1).step_by(2).flat_map(examples_of_block).collect()
}

fn examples_of_block(block: &str) -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    for line in block.lines() {
        let typed = line.strip_prefix("redis> ");
        if let Some(typed) = typed.or(later(line).map(|_| line)) {
            examples.push(Example { typed: typed.to_owned(), printed: Vec::new() });
        } else if let (Some(example), false) = (examples.last_mut(), line.trim().is_empty()) {
            let printed = line.split_once(" # ").map_or(line, |(printed, _)| printed);
            example.printed.push(printed.trim_end().to_owned());
        }
    }
    examples
}

/// `# 12 s later`, in microseconds.
fn later(line: &str) -> Option<i64> {
    let seconds: i64 = line.strip_prefix("# ")?.strip_suffix(" s later")?.parse().ok()?;
    Some(seconds * 1_000_000)
}

#[test]
fn every_example_prints_what_the_documents_show() {
    for path in [README, CHECK, PEEK] {
        let examples = examples(&page(path));
        assert!(!examples.is_empty(), "{path} has no example after `redis> `");
        let mut frozen = Frozen::start(&servers()[0]);
        let mut now = T0_MICROS;
        for Example { typed, printed } in examples {
            if let Some(micros) = later(&typed) {
                now += micros;
                frozen.set_clock(now);
                continue;
            }
            let reply = print(&send(&mut frozen.connection, &typed));
            assert_eq!(reply, printed, "{path}: {typed}");
        }
    }
}

fn send(client: &mut Connection, typed: &str) -> Reply {
    let words: Vec<_> = typed.split_whitespace().map(|word| word.trim_matches('"')).collect();
    client.call(&words)
}

/// As redis-cli prints it.
fn print(reply: &Reply) -> Vec<String> {
    match reply {
        Reply::Status(text) => vec![text.clone()],
        Reply::Error(text) => vec![format!("(error) {text}")],
        Reply::Integer(number) => vec![format!("(integer) {number}")],
        Reply::Bytes(bytes) => vec![format!("\"{}\"", bytes.escape_ascii())],
        Reply::Nil => vec!["(nil)".to_owned()],
        Reply::Array(items) | Reply::Push(items) => (1..).zip(items).flat_map(print_item).collect(),
    }
}

fn print_item((number, item): (usize, &Reply)) -> Vec<String> {
    let mut lines = print(item);
    for (i, line) in lines.iter_mut().enumerate() {
        let margin = if i == 0 { format!("{number}) ") } else { "   ".to_owned() };
        line.insert_str(0, &margin);
    }
    lines
}

/// Each row of a table after `<!-- rows of <record> -->` is also in that record of a benchmark.
#[test]
fn every_figure_of_the_readme_is_in_a_record() {
    let readme = page(README);
    let mut rows = 0;
    for part in readme.split("<!-- rows of ").skip(1) {
        let (path, rest) = part.split_once(" -->").expect("the path of a record");
        let record = page(path);
        for row in rest.trim_start().lines().take_while(|line| line.starts_with('|')) {
            assert!(record.lines().any(|line| line == row), "{path} has no row {row}");
            rows += 1;
        }
    }
    assert!(rows >= 6, "the README shows only {rows} rows of records");
}

/// Each file that a page shows after `<!-- file: path -->`, and the text that it shows.
pub(crate) fn files_shown(path: &str) -> BTreeMap<String, String> {
    let page = page(path);
    let parts = page.split("<!-- file: ").skip(1);
    parts.map(|part| file_shown(part).expect("a path, and a fenced block")).collect()
}

fn file_shown(part: &str) -> Option<(String, String)> {
    let (path, rest) = part.split_once(" -->\n```")?;
    let (_language, rest) = rest.split_once('\n')?;
    let (text, _) = rest.split_once("```\n")?;
    Some((path.to_owned(), text.to_owned()))
}

#[test]
fn a_page_shows_its_files_as_they_are() {
    let shown = files_shown(CLIENTS);
    assert!(!shown.is_empty(), "{CLIENTS} shows no file");
    for (file, text) in shown {
        assert_eq!(text, page(&file), "{CLIENTS} shows another {file}");
    }
}

/// A path from the root of the repository, or the end of one: `src/reply.rs`, `http/`, `wire.rs`.
#[test]
fn every_path_that_the_guides_name_exists() {
    let mut files = Vec::new();
    add_files(repository(), &mut files);
    for guide in ["ARCHITECTURE.md", "CONTRIBUTING.md"] {
        let page = page(guide);
        let named: Vec<_> = code_spans(&page).filter_map(|span| named_path(&span)).collect();
        assert!(named.len() > 20, "{guide} names only {named:?}");
        for path in named {
            let exists = files.iter().any(|file| is_named(file, &path));
            assert!(exists, "{guide} names {path}, which does not exist");
        }
    }
}

/// The files below `dir`, as paths from the root of the repository.
fn add_files(dir: &Path, files: &mut Vec<PathBuf>) {
    const NOT_OURS: [&str; 4] = [".git", ".servers", "node_modules", "target"];
    for entry in fs::read_dir(dir).expect("a directory") {
        let entry = entry.expect("an entry");
        let is_dir = entry.file_type().expect("a type").is_dir();
        if !is_dir {
            let path = entry.path();
            files.push(path.strip_prefix(repository()).expect("inside").to_owned());
        } else if NOT_OURS.iter().all(|name| *name != entry.file_name()) {
            add_files(&entry.path(), files);
        }
    }
}

/// The path that a code span begins with. `NAME` stands for a name to choose, so such a path is
/// none; nor are the paths of HTTP, which begin with `/`, and `100/1m`.
fn named_path(span: &str) -> Option<String> {
    const ENDINGS: [&str; 9] =
        [".rs", ".lua", ".md", ".sh", ".txt", ".toml", ".json", ".yml", ".yaml"];
    let word = span.split(' ').next()?;
    let is_path = word.contains('/') || ENDINGS.iter().any(|end| word.ends_with(end));
    let of_path = |c: char| c.is_ascii_alphanumeric() || "/.-_*".contains(c);
    let begins = !word.starts_with(|c: char| c == '/' || c.is_ascii_digit());
    let is_ours = is_path && begins && word.chars().all(of_path) && !word.contains("NAME");
    is_ours.then(|| word.to_owned())
}

/// Whether `path` names `file` or a folder around it. A path that begins with a folder of the root
/// is read from the root; any other may begin anywhere.
fn is_named(file: &Path, path: &str) -> bool {
    let wanted: Vec<_> = path.trim_end_matches('/').split('/').collect();
    let from_root = wanted.len() > 1 && repository().join(wanted[0]).exists();
    let parts: Vec<_> = file.iter().filter_map(|part| part.to_str()).collect();
    let is_wanted = |parts: &[&str]| parts.iter().zip(&wanted).all(|(a, b)| *b == "*" || a == b);
    let mut places = parts.windows(wanted.len());
    if from_root {
        places.next().is_some_and(is_wanted)
    } else {
        places.any(is_wanted)
    }
}
