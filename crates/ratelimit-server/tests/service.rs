//! The process of the service, and requests to it.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ratelimit_harness::{eventually, servers, Server, Setup};
use serde_json::Value;
use tempfile::TempDir;
use ureq::http::{HeaderMap, Response};
use ureq::{Agent, Body};

const PROGRAM: &str = env!("CARGO_BIN_EXE_ratelimit-server");

/// The settings of a service. The environment of the test itself is not passed on.
pub struct Settings {
    variables: Vec<(String, String)>,
    flags: Vec<String>,
    max_files: Option<u32>,
    dir: TempDir,
}

impl Settings {
    /// Without a server, in memory.
    pub fn memory() -> Self {
        Self::bare().set("BACKEND", "memory").set("PORT", "0").set("LOG_FORMAT", "json")
    }

    /// With a deadline that a busy machine can keep.
    pub fn on(server: &Server) -> Self {
        Self::at(&format!("redis://127.0.0.1:{}", server.port()))
    }

    pub fn at(url: &str) -> Self {
        let settings = Self::bare().set("REDIS_URL", url).set("REDIS_DEADLINE", "20s");
        settings.set("PORT", "0").set("LOG_FORMAT", "json")
    }

    /// With a server address where nothing listens, and without waiting for it.
    pub fn nowhere() -> Self {
        Self::at("redis://127.0.0.1:1").set("START_DEADLINE", 0)
    }

    pub fn bare() -> Self {
        let dir = tempfile::Builder::new().prefix("ratelimit-").tempdir().expect("a directory");
        Self { variables: Vec::new(), flags: Vec::new(), max_files: None, dir }
    }

    /// The last value of a variable counts.
    pub fn set(mut self, name: &str, value: impl ToString) -> Self {
        self.variables.push((name.to_owned(), value.to_string()));
        self
    }

    pub fn flag(mut self, flag: &str) -> Self {
        self.flags.push(flag.to_owned());
        self
    }

    /// With this limit of open files, which the process cannot raise.
    pub fn max_files(mut self, max: u32) -> Self {
        self.max_files = Some(max);
        self
    }

    /// A file in the working directory.
    pub fn file(self, name: &str, text: &str) -> Self {
        fs::write(self.dir.path().join(name), text).expect("a file");
        self
    }

    fn command(&self) -> Command {
        let mut command = match self.max_files {
            None => Command::new(PROGRAM),
            Some(max) => {
                let mut shell = Command::new("/bin/sh");
                let limited = format!("ulimit -n {max} && exec \"$0\" \"$@\"");
                shell.args(["-c", &limited, PROGRAM]);
                shell
            }
        };
        command.env_clear().envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.args(&self.flags).current_dir(self.dir.path()).stdin(Stdio::null());
        command
    }

    /// Runs it to its end.
    pub fn output(&self) -> Output {
        self.command().output().expect("the program starts")
    }

    /// `(exit code, standard error)` of a start that must fail.
    #[track_caller]
    pub fn refusal(&self) -> (i32, String) {
        let mut process = self.command().stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let process = process.as_mut().expect("the program starts");
        let mut status = None;
        eventually("the start is refused", || {
            status = process.try_wait().expect("a child can be waited for");
            status.is_some()
        });
        let mut message = String::new();
        let mut stderr = process.stderr.take().expect("piped");
        stderr.read_to_string(&mut message).expect("text");
        (status.and_then(|status| status.code()).expect("it ended by itself"), message)
    }

    #[track_caller]
    pub fn start(self) -> Service {
        let mut service = self.begin();
        service.listens();
        service
    }

    /// Starts it without waiting until it listens.
    pub fn begin(self) -> Service {
        let mut command = self.command();
        let mut process =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let lines = collect(process.stdout.take().expect("piped"));
        let errors = collect(process.stderr.take().expect("piped"));
        Service { process, port: 0, lines, errors, dir: self.dir }
    }
}

type Lines = Arc<Mutex<Vec<String>>>;

fn collect(pipe: impl Read + Send + 'static) -> Lines {
    let lines = Lines::default();
    let sink = Arc::clone(&lines);
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            sink.lock().expect("no panic").push(line);
        }
    });
    lines
}

/// Dropping the handle ends it.
pub struct Service {
    process: Child,
    port: u16,
    lines: Lines,
    /// The lines of standard error.
    errors: Lines,
    dir: TempDir,
}

impl Service {
    #[track_caller]
    pub fn listens(&mut self) {
        eventually("the service listens", || {
            let ended = self.process.try_wait().expect("a child can be waited for");
            assert!(ended.is_none(), "the service did not start: {ended:?}, {}", self.errors());
            let lines = self.raw_log();
            let listening = lines.iter().find(|line| line.contains("listening"));
            let address = listening.and_then(|line| line.split_once("127.0.0.1:"));
            let port = address.map(|(_, rest)| rest.split(|c: char| !c.is_ascii_digit()));
            let port = port.and_then(|mut numbers| numbers.next()?.parse().ok());
            self.port = port.unwrap_or(0);
            port.is_some()
        });
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("it accepts");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a time");
        stream
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        self.get_with(path, &[])
    }

    #[track_caller]
    pub fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        get(&agent(), &url, headers)
    }

    #[track_caller]
    pub fn post(&self, path: &str, body: &str) -> Answer {
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        let request = agent().post(url).content_type("application/json");
        Answer::read(request.send(body).expect("an answer"))
    }

    /// The decision of /v1/check.
    #[track_caller]
    pub fn check(&self, body: &str) -> Value {
        let answer = self.post("/v1/check", body);
        assert_eq!(answer.status, 200, "{body}: {}", answer.body);
        answer.json()
    }

    /// The statuses of this many `GET /`, one after the other.
    #[track_caller]
    pub fn statuses(&self, times: usize) -> Vec<u16> {
        (0..times).map(|_| self.get("/").status).collect()
    }

    /// Log lines with this message. Every line must be JSON.
    pub fn log(&self, message: &str) -> Vec<Value> {
        let lines = self.lines.lock().expect("no panic");
        let parsed = lines.iter().map(|line| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
        });
        parsed.filter(|line: &Value| line["message"] == message).collect()
    }

    /// Log lines as they are.
    pub fn raw_log(&self) -> Vec<String> {
        self.lines.lock().expect("no panic").clone()
    }

    pub fn errors(&self) -> String {
        self.errors.lock().expect("no panic").join("\n")
    }

    /// The value of a metric by its name and labels as they are written.
    #[track_caller]
    pub fn metric(&self, series: &str) -> f64 {
        let text = self.get("/metrics").body;
        let mut lines = text.lines().filter_map(|line| line.rsplit_once(' '));
        let value = lines.find(|(name, _)| *name == series);
        let (_, value) = value.unwrap_or_else(|| panic!("no {series} in:\n{text}"));
        value.parse().expect("a number")
    }

    /// The most memory that the process has had so far.
    pub fn peak_bytes(&self) -> u64 {
        let status = read(Path::new(&format!("/proc/{}/status", self.process.id())));
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a line");
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
        kib * 1024
    }

    pub fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        let sent = Command::new("kill").args([name, &pid]).status().expect("kill runs");
        assert!(sent.success());
    }

    /// Waits until it ends, after a signal.
    pub fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("the service ends", || {
            status = self.process.try_wait().expect("a child can be waited for");
            status.is_some()
        });
        status.expect("it ended")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            let lines = self.raw_log();
            println!("the end of the log:\n{}", lines[lines.len().saturating_sub(15)..].join("\n"));
            println!("its standard error: {}", self.errors());
        }
    }
}

/// A server with the module, the first of those to test on.
pub fn server() -> Server {
    Setup::module(&servers()[0]).start()
}

pub fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("it has an address").port()
}

/// A client that opens a connection for each request.
pub fn agent() -> Agent {
    let config = Agent::config_builder().http_status_as_error(false).max_idle_connections(0);
    config.timeout_global(Some(Duration::from_secs(60))).build().into()
}

#[track_caller]
pub fn get(agent: &Agent, url: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = agent.get(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Answer::read(request.call().expect("an answer"))
}

pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    pub fn read(response: Response<Body>) -> Self {
        let (parts, mut body) = response.into_parts();
        let body = body.read_to_string().expect("text");
        Self { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    /// The value of a field; empty if it is missing.
    pub fn field(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("ASCII"))
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

pub fn repository(path: &str) -> String {
    let path = ratelimit_harness::repository().join(path);
    read(&path)
}

pub fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
