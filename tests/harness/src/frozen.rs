//! A server on which the module and the script read a clock that the test sets.

use super::limiter::script_source;
use super::{follow, Binary, Connection, Limiter, Server, Setup};

/// 2100-01-01T00:00:00Z. It is later than the server's own clock, so that the server expires no
/// key.
pub const T0_MICROS: i64 = 4_102_444_800_000_000;
pub const T0_MILLIS: i64 = T0_MICROS / 1000;

const TIME_LINE: &str = "local time = redis.call('TIME')";
const FROZEN_LINE: &str = "local time = redis.call('HMGET', 'frozen-clock', 'seconds', 'micros')";

pub struct Frozen {
    pub server: Server,
    pub connection: Connection,
    pub script: Limiter,
}

impl Frozen {
    /// Starts at [`T0_MICROS`].
    #[track_caller]
    pub fn start(binary: &'static Binary) -> Self {
        Self::on(Setup::test_module(binary).start())
    }

    /// The same, with a replica that has the test module too.
    #[track_caller]
    pub fn with_replica(binary: &'static Binary) -> (Self, Server) {
        let frozen = Self::start(binary);
        let replica = Setup::test_module(binary).start();
        follow(&mut replica.connect(), &frozen.server);
        (frozen, replica)
    }

    /// The same on a server of the test, which must have loaded the module with `test-hooks`.
    #[track_caller]
    pub fn on(server: Server) -> Self {
        let mut connection = server.connect();
        let script = Limiter::load(&mut connection, &Self::script_source());
        let mut frozen = Self { server, connection, script };
        frozen.set_clock(T0_MICROS);
        frozen
    }

    /// The text of the script, changed to read the clock of the test.
    #[track_caller]
    pub fn script_source() -> String {
        let source = script_source();
        assert_eq!(source.matches(TIME_LINE).count(), 1, "the script reads the time in one line");
        source.replace(TIME_LINE, FROZEN_LINE)
    }

    /// The module and the script.
    pub fn limiters(&self) -> [Limiter; 2] {
        [Limiter::Module, self.script.clone()]
    }

    /// Sets the clock of both. It stands still until the next call.
    #[track_caller]
    pub fn set_clock(&mut self, micros: i64) {
        for line in Self::clock_lines(micros) {
            self.connection.must(&line);
        }
    }

    /// The commands that set the clock of both.
    pub fn clock_lines(micros: i64) -> [String; 2] {
        let (seconds, rest) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
        [
            format!("RATELIMIT.TEST CLOCK {micros}"),
            format!("HSET frozen-clock seconds {seconds} micros {rest}"),
        ]
    }
}
