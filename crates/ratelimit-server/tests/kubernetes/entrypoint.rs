//! A real server, started by docker/redis/entrypoint.sh as its container starts it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use ratelimit_harness::{eventually, module, servers, Binary, Connection};
use tempfile::TempDir;

use crate::service::{free_port, repository};

const MODULE: &str = "/usr/local/lib/libratelimit.so";
const DATA: &str = "dir /data\n";

/// The folders and the environment of a container. Dropping the handle ends it.
pub struct Container {
    dir: TempDir,
    environment: BTreeMap<String, String>,
    pub port: u16,
    process: Option<Child>,
}

impl Container {
    /// The script with this machine's paths, and a `PATH` with one server and its client.
    pub fn new(mut environment: BTreeMap<String, String>) -> Self {
        let dir = tempfile::Builder::new().prefix("entrypoint-").tempdir().expect("a directory");
        let mut script = repository("docker/redis/entrypoint.sh");
        let data = format!("dir {}\n", dir.path().display());
        for (from, to) in [(MODULE, module().to_str().expect("UTF-8")), (DATA, &data)] {
            assert!(script.contains(from), "the script lacks {from}");
            script = script.replace(from, to);
        }
        fs::write(dir.path().join("script"), script).expect("a file");
        let binary = &servers()[0];
        let bin = dir.path().join("bin");
        fs::create_dir(&bin).expect("a directory");
        let kind = binary.name.split('-').next().expect("redis or valkey");
        symlink(&binary.path, bin.join(format!("{kind}-server"))).expect("a link");
        symlink(client_of(binary), bin.join(format!("{kind}-cli"))).expect("a link");
        let port = free_port();
        environment.insert("REDIS_PORT".to_owned(), port.to_string());
        environment.insert("PATH".to_owned(), bin.display().to_string());
        Self { dir, environment, port, process: None }
    }

    fn script(&self, words: &[&str]) -> Command {
        let mut command = Command::new("/bin/sh");
        command.arg(self.dir.path().join("script")).args(words);
        command.env_clear().envs(&self.environment).current_dir(self.dir.path());
        command.stdin(Stdio::null());
        command
    }

    /// Whether a probe passes.
    pub fn passes(&self, command: &[&str]) -> bool {
        let (program, words) = command.split_first().expect("a program");
        assert_eq!(*program, "ratelimit-entrypoint");
        self.script(words).status().expect("a shell").success()
    }

    pub fn start(&mut self, words: &[&str]) {
        let mut command = self.script(words);
        let log = fs::File::create(self.dir.path().join("log")).expect("a file");
        command.args(["--bind", "127.0.0.1"]).stdout(log);
        self.process = Some(command.spawn().expect("a shell"));
        let port = self.port;
        eventually("the server listens", || Connection::open(port).is_ok());
    }

    /// Ends it as the kubelet does.
    pub fn terminate(&mut self) -> ExitStatus {
        let mut process = self.process.take().expect("it runs");
        let sent = Command::new("kill").arg(process.id().to_string()).status();
        assert!(sent.expect("kill runs").success());
        let mut status = None;
        eventually("the server ends", || {
            status = process.try_wait().expect("a child can be waited for");
            status.is_some()
        });
        status.expect("it ended")
    }

    /// The same container with another server and its client.
    pub fn ask(&mut self, port: u16, password: Option<&str>) {
        self.environment.insert("REDIS_PORT".to_owned(), port.to_string());
        self.environment.insert("REDIS_PASSWORD".to_owned(), password.unwrap_or("").to_owned());
    }

    /// A connection with the password.
    #[track_caller]
    pub fn connect(&self) -> Connection {
        let mut connection = Connection::open(self.port).expect("it listens");
        connection.must(&format!("AUTH {}", self.environment["REDIS_PASSWORD"]));
        connection
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// The client beside the server, else the one on PATH: each client can talk to each server.
fn client_of(binary: &Binary) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).collect::<Vec<_>>();
    let beside = binary.path.parent().map(Path::to_owned);
    let candidates = beside.into_iter().chain(dirs);
    let mut clients = candidates.flat_map(|dir| [dir.join("redis-cli"), dir.join("valkey-cli")]);
    let found = clients.find(|path| path.exists());
    found.expect("redis-cli is missing: scripts/setup.sh redis-tools installs it")
}
