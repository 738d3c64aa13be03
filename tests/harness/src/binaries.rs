//! The servers and the two builds of the module, as environment variables name them.

use std::env;
use std::fs;
use std::io::Write;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// A server of the matrix: its name, such as `valkey-8.1.8`, and its program.
#[derive(Debug, PartialEq, Eq)]
pub struct Binary {
    pub name: String,
    pub path: PathBuf,
}

/// Runs a test on each server in turn. After a failure on one server, it still runs on the others.
pub fn on_every_server(test: impl Fn(&'static Binary)) {
    let fails = |binary: &&'static Binary| {
        println!("--- on {}", binary.name);
        catch_unwind(AssertUnwindSafe(|| test(binary))).is_err()
    };
    let failed: Vec<_> = servers().iter().filter(fails).map(|binary| &*binary.name).collect();
    assert!(failed.is_empty(), "failed on {}", failed.join(", "));
}

/// Reports that a test does not apply to a server, and why. It writes to stderr itself, because
/// `cargo test` captures what `eprintln!` writes.
pub fn not_applicable(binary: &Binary, what: &str, why: &str) {
    let _ = writeln!(std::io::stderr(), "not applicable on {}: {what}: {why}", binary.name);
}

/// All servers: RATELIMIT_SERVERS has a line `name path` for each.
pub fn servers() -> &'static [Binary] {
    static SERVERS: OnceLock<Vec<Binary>> = OnceLock::new();
    SERVERS.get_or_init(|| {
        let lines = required("RATELIMIT_SERVERS");
        let servers: Vec<_> = lines.lines().filter(|l| !l.trim().is_empty()).map(binary).collect();
        assert!(!servers.is_empty(), "RATELIMIT_SERVERS names no server: run `make test`");
        servers
    })
}

fn binary(line: &str) -> Binary {
    let Some((name, path)) = line.trim().split_once(' ') else {
        panic!("RATELIMIT_SERVERS: `{line}` is not `name path`: run `make test`");
    };
    // Symbolic links are kept: the same program is a server or a checker of files, depending on the
    // name by which it is called.
    let path = std::path::absolute(path.trim()).expect("there is a current directory");
    assert!(path.exists(), "RATELIMIT_SERVERS: {}: no such file", path.display());
    Binary { name: name.to_owned(), path }
}

/// The module as released: RATELIMIT_MODULE.
pub fn module() -> &'static Path {
    static MODULE: OnceLock<PathBuf> = OnceLock::new();
    MODULE.get_or_init(|| required_path("RATELIMIT_MODULE"))
}

/// The module with the feature `test-hooks`: RATELIMIT_TEST_MODULE.
pub fn test_module() -> &'static Path {
    static MODULE: OnceLock<PathBuf> = OnceLock::new();
    MODULE.get_or_init(|| required_path("RATELIMIT_TEST_MODULE"))
}

/// The library `libfaketimeMT.so.1`, if the machine has it: RATELIMIT_FAKETIME.
pub fn faketime() -> Option<PathBuf> {
    let path = env::var("RATELIMIT_FAKETIME").ok().filter(|path| !path.is_empty())?;
    Some(existing("RATELIMIT_FAKETIME", &path))
}

pub fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// The text of a file of the repository, such as `docs/server.md`.
#[track_caller]
pub fn page(path: &str) -> String {
    let path = repository().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn required_path(name: &str) -> PathBuf {
    existing(name, &required(name))
}

fn required(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run `make test`"))
}

fn existing(name: &str, path: &str) -> PathBuf {
    Path::new(path)
        .canonicalize()
        .unwrap_or_else(|error| panic!("{name}: {path}: {error}: run `make test`"))
}
