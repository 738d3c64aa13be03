//! A server process in a directory of its own.

use std::collections::HashMap;
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::sync::Mutex;
use std::time::Instant;

use tempfile::TempDir;

use super::wait::DEADLINE;
use super::{module, test_module, Binary, Connection};

/// What a server is started with.
#[derive(Clone)]
pub struct Setup {
    binary: &'static Binary,
    directives: Vec<String>,
    arguments: Vec<&'static str>,
    environment: Vec<(String, PathBuf)>,
}

impl Setup {
    /// Without the module.
    pub fn plain(binary: &'static Binary) -> Self {
        let setup = Self::bare(binary);
        setup.with_known("enable-debug-command yes").with_known("enable-module-command yes")
    }

    /// With the module as released.
    pub fn module(binary: &'static Binary) -> Self {
        Self::plain(binary).with(&format!("loadmodule {}", module().display()))
    }

    /// With the module that has the test hooks.
    pub fn test_module(binary: &'static Binary) -> Self {
        Self::plain(binary).with(&format!("loadmodule {}", test_module().display()))
    }

    fn bare(binary: &'static Binary) -> Self {
        let directives = ["save \"\"", "bind 127.0.0.1", "repl-diskless-sync-delay 0"];
        let directives = directives.map(str::to_owned).to_vec();
        Self { binary, directives, arguments: Vec::new(), environment: Vec::new() }
    }

    /// A sentinel for the master `mymaster`. `quorum` sentinels must agree that the master is down.
    pub fn sentinel(master: &Server, quorum: usize) -> Self {
        let directives = vec![
            "bind 127.0.0.1".to_owned(),
            format!("sentinel monitor mymaster 127.0.0.1 {} {quorum}", master.port()),
            "sentinel down-after-milliseconds mymaster 500".to_owned(),
            "sentinel failover-timeout mymaster 3000".to_owned(),
        ];
        let arguments = vec!["--sentinel"];
        Self { binary: master.binary(), directives, arguments, environment: Vec::new() }
    }

    /// With a line of the configuration file.
    pub fn with(mut self, directive: &str) -> Self {
        self.directives.push(directive.to_owned());
        self
    }

    /// The same, if the server knows such a line.
    fn with_known(self, directive: &str) -> Self {
        if knows_directive(self.binary, directive) {
            return self.with(directive);
        }
        self
    }

    pub fn with_environment(mut self, name: &str, value: impl Into<PathBuf>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    #[track_caller]
    pub fn start(self) -> Server {
        match self.try_start() {
            Ok(server) => server,
            Err(log) => panic!("the server did not start:\n{log}"),
        }
    }

    /// The log of a server that does not start.
    #[track_caller]
    pub fn refuses_to_start(self) -> String {
        let directives = self.directives.join("\n");
        let Err(log) = self.try_start() else { panic!("the server started with\n{directives}") };
        log
    }

    /// `Err` holds the log of a server that did not start.
    pub fn try_start(self) -> Result<Server, String> {
        let dir = tempfile::Builder::new().prefix("ratelimit-").tempdir().expect("a directory");
        self.try_start_in(dir)
    }

    fn try_start_in(self, dir: TempDir) -> Result<Server, String> {
        // Another process may take the port before the server does.
        for _ in 0..9 {
            let port = free_port();
            let mut process = self.spawn(port, dir.path());
            if answers(port, &mut process) {
                return Ok(Server { setup: self, dir: Some(dir), process, port });
            }
            let _ = process.kill();
            let _ = process.wait();
            let log = fs::read_to_string(dir.path().join("log")).unwrap_or_default();
            if !log.contains("in use") {
                return Err(log);
            }
        }
        Err("no free port in nine attempts".to_owned())
    }

    fn spawn(&self, port: u16, dir: &Path) -> Child {
        let file = dir.join("server.conf");
        let directives = self.directives.join("\n");
        let text = format!("port {port}\ndir {}\n{directives}\n", dir.display());
        fs::write(&file, text).expect("a file for the configuration");
        let log = File::create(dir.join("log")).expect("a file for the log");
        Command::new(&self.binary.path)
            .arg(&file)
            .args(&self.arguments)
            .current_dir(dir)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", self.binary.path.display()))
    }
}

/// Whether a server starts with such a line. Tried once for each server.
fn knows_directive(binary: &'static Binary, directive: &str) -> bool {
    static TRIED: Mutex<Option<HashMap<(&Path, String), bool>>> = Mutex::new(None);
    let mut tried = TRIED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let tried = tried.get_or_insert_with(HashMap::new);
    *tried
        .entry((&binary.path, directive.to_owned()))
        .or_insert_with(|| Setup::bare(binary).with(directive).try_start().is_ok())
}

/// A port below those that the system gives to clients. The port 10000 above it must be free too:
/// a node of a cluster uses it.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = (std::process::id().wrapping_mul(131) % 7000) as u16;
    let is_free = |port: &u16| {
        TcpListener::bind(("127.0.0.1", *port)).is_ok()
            && TcpListener::bind(("127.0.0.1", *port + 10_000)).is_ok()
    };
    let candidates = (0..7000).map(|_| 15_000 + (first + NEXT.fetch_add(1, Relaxed) % 7000) % 7000);
    candidates.into_iter().find(is_free).expect("a free port")
}

/// Waits until this process answers on the port. False if the process has ended.
fn answers(port: u16, process: &mut Child) -> bool {
    let start = Instant::now();
    while start.elapsed() < DEADLINE {
        if process.try_wait().expect("a child can be waited for").is_some() {
            return false;
        }
        if let Ok(mut connection) = Connection::open(port) {
            if let Ok(reply) = connection.try_call(&["INFO", "everything"]) {
                let info = reply.text();
                let is_ours = info.contains(&format!("\r\nprocess_id:{}\r\n", process.id()));
                if is_ours && !info.contains("\r\nloading:1\r\n") {
                    return true;
                }
            }
        }
        std::thread::sleep(std::time::Duration::from_millis(3));
    }
    false
}

/// A running server. It ends when this is dropped.
pub struct Server {
    setup: Setup,
    dir: Option<TempDir>,
    process: Child,
    port: u16,
}

impl Server {
    #[track_caller]
    pub fn connect(&self) -> Connection {
        Connection::open(self.port).expect("the server accepts a connection")
    }

    #[track_caller]
    pub fn connect_resp3(&self) -> Connection {
        let mut connection = self.connect();
        connection.must("HELLO 3");
        connection
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    pub fn binary(&self) -> &'static Binary {
        self.setup.binary
    }

    pub fn dir(&self) -> &Path {
        self.dir.as_ref().expect("a server has its directory").path()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.dir().join("log")).unwrap_or_default()
    }

    /// Kills the process, as a crash would.
    pub fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Pauses the process: its connections stay open, and it answers nothing.
    #[track_caller]
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    #[track_caller]
    pub fn resume(&self) {
        self.signal("-CONT");
    }

    #[track_caller]
    fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.pid().to_string()]).status();
        assert!(status.is_ok_and(|status| status.success()), "kill {signal}");
    }

    /// Starts a killed server again, on the same files and the same port.
    #[track_caller]
    pub fn start_again(&mut self) {
        let dir = self.dir().to_owned();
        self.process = self.setup.spawn(self.port, &dir);
        let answers = answers(self.port, &mut self.process);
        assert!(answers, "the server did not start again:\n{}", self.log());
    }

    /// Kills the server and starts it again, on the same files and another port.
    #[track_caller]
    pub fn restart(self) -> Self {
        let setup = self.setup.clone();
        self.restart_as(setup)
    }

    /// The same with another setup, which may be that of another server.
    #[track_caller]
    pub fn restart_as(mut self, setup: Setup) -> Self {
        self.kill();
        let dir = self.dir.take().expect("a server has its directory");
        match setup.try_start_in(dir) {
            Ok(server) => server,
            Err(log) => panic!("the server did not start again:\n{log}"),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() && self.dir.is_some() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            let tail = lines[lines.len().saturating_sub(15)..].join("\n");
            println!("the end of the log of {}:\n{tail}", self.setup.binary.name);
        }
    }
}
