//! The documents against the code: the synopsis, the error texts, and every example.

use std::collections::BTreeMap;

use ratelimit_core::command::SYNTAX;
use ratelimit_harness::{
    error_names, error_text, page, servers, Connection, Frozen, Reply, T0_MICROS,
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

/// The examples of a page: the lines behind the prompt `redis> ` in its fenced blocks. A line
/// `# 12 s later` is an example too: it moves the clock. A remark may follow behind ` # `.
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
        assert!(!examples.is_empty(), "{path} has no example behind `redis> `");
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

/// Each row of a table behind `<!-- rows of <record> -->` is also in that record of a benchmark.
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

/// Each file that a page shows behind `<!-- file: path -->`, and the text that it shows.
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
