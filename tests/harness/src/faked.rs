//! A server whose whole clock is set by the test, with libfaketime. So the module and the script
//! can be tried at any moment exactly as released.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::{eventually, faketime, Binary, Connection, Server, Setup, T0_MICROS};

/// libfaketime writes this for ever if the allocator reads the time before the library is ready.
const NEVER_READY: &str = "Cannot recover from unexpected recursive calls";

pub struct Faked {
    pub server: Server,
    connection: Connection,
    clock: PathBuf,
    _dir: TempDir,
}

impl Faked {
    /// Starts at [`T0_MICROS`]. `Err` holds the reason if the server cannot run so.
    #[track_caller]
    pub fn start(binary: &'static Binary) -> Result<Self, &'static str> {
        let library = faketime().ok_or("libfaketime is missing; `make test-matrix` gets it")?;
        let dir = tempfile::tempdir().expect("a directory");
        let clock = dir.path().join("clock");
        write_clock(&clock, T0_MICROS);
        if !runs_under(binary, &library, dir.path()) {
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
        // At the very moment of expiry, a look-up still finds the key. The server must not delete
        // it on its own before.
        connection.must("DEBUG SET-ACTIVE-EXPIRE 0");
        Ok(Self { server, connection, clock, _dir: dir })
    }

    /// Sets the clock, to 1970 or later. It stands still until the next call.
    #[track_caller]
    pub fn set_clock(&mut self, micros: i64) {
        write_clock(&self.clock, micros);
        let time = self.connection.must("TIME").texts();
        let seen = format!("{}{:0>6}", time[0], time[1]).parse();
        assert_eq!(seen, Ok(micros), "the server's clock is the one that was set");
    }
}

/// Replaces the file in one step, because the server may read it at any time. libfaketime reads a
/// floating-point number and rounds it down. The added half microsecond makes up for that.
fn write_clock(clock: &Path, micros: i64) {
    let (seconds, rest) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    let next = clock.with_extension("next");
    fs::write(&next, format!("{seconds}.{rest:06}5\n")).expect("a file for the clock");
    fs::rename(&next, clock).expect("the clock is replaced");
}

/// Whether the program runs under the library at all. If it cannot, it hangs for ever.
fn runs_under(binary: &Binary, library: &Path, dir: &Path) -> bool {
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
    let mut runs = true;
    eventually("the program ends, or libfaketime gives up", || {
        runs = !fs::read_to_string(&log).expect("the log").contains(NEVER_READY);
        !runs || process.try_wait().expect("a child can be waited for").is_some()
    });
    let _ = process.kill();
    let _ = process.wait();
    runs
}
