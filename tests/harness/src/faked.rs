//! A server all of whose clocks stand where the test has put them, by libfaketime: so the build that
//! ships, and the script as it ships, can be shown any moment.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::{eventually, faketime, Binary, Connection, Server, Setup, T0_MICROS};

/// What libfaketime says, again and again, where the allocator asks the time before it is ready.
const NEVER_READY: &str = "Cannot recover from unexpected recursive calls";

pub struct Faked {
    pub server: Server,
    connection: Connection,
    clock: PathBuf,
    _dir: TempDir,
}

impl Faked {
    /// At [`T0_MICROS`]. `Err` holds why there can be none.
    #[track_caller]
    pub fn start(binary: &'static Binary) -> Result<Self, &'static str> {
        let library = faketime().ok_or("libfaketime is missing; `make test-matrix` gets it")?;
        let dir = tempfile::tempdir().expect("a directory");
        let clock = dir.path().join("clock");
        write_clock(&clock, T0_MICROS);
        if !bears(binary, &library, dir.path()) {
            return Err("its allocator does not start under libfaketime");
        }
        let setup = Setup::module(binary)
            .with_environment("LD_PRELOAD", library)
            .with_environment("FAKETIME_TIMESTAMP_FILE", &clock)
            .with_environment("FAKETIME_FMT", "%s")
            .with_environment("FAKETIME_NO_CACHE", "1")
            .with_environment("TZ", "UTC");
        let server = setup.start();
        let mut connection = server.connect();
        // At now = expiry a look-up still finds the key, but the server may expire it unasked.
        connection.must("DEBUG SET-ACTIVE-EXPIRE 0");
        Ok(Self { server, connection, clock, _dir: dir })
    }

    /// From 1970 on. The server sees no other time until this is called again.
    #[track_caller]
    pub fn set_clock(&mut self, micros: i64) {
        write_clock(&self.clock, micros);
        let time = self.connection.must("TIME").texts();
        let seen = format!("{}{:0>6}", time[0], time[1]).parse();
        assert_eq!(seen, Ok(micros), "the server's clock stands where it was put");
    }
}

/// In one step, for the server may read it at any time. libfaketime takes the fraction for a
/// floating number and rounds it down: the half microsecond makes up for what that loses.
fn write_clock(clock: &Path, micros: i64) {
    let (seconds, rest) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    let next = clock.with_extension("next");
    fs::write(&next, format!("{seconds}.{rest:06}5\n")).expect("a file for the clock");
    fs::rename(&next, clock).expect("the clock is replaced");
}

/// Whether the program runs under the library at all; one that cannot hangs for ever.
fn bears(binary: &Binary, library: &Path, dir: &Path) -> bool {
    let log = dir.join("log");
    let mut process = Command::new(&binary.path)
        .arg("--version")
        .env("LD_PRELOAD", library)
        .env("FAKETIME_TIMESTAMP_FILE", dir.join("clock"))
        .env("FAKETIME_FMT", "%s")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&log).expect("a file for the log"))
        .spawn()
        .expect("the server's program runs");
    let mut bears = true;
    eventually("the program ends, or libfaketime gives up", || {
        bears = !fs::read_to_string(&log).expect("the log").contains(NEVER_READY);
        !bears || process.try_wait().expect("a child can be waited for").is_some()
    });
    let _ = process.kill();
    let _ = process.wait();
    bears
}
