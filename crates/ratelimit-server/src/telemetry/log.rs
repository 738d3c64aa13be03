//! The log: lines on standard output, for people or for machines.

use tracing_subscriber::fmt;

use crate::settings::Log;

/// Once in a process.
pub fn start(log: Log) {
    let lines = fmt().with_max_level(log.level).with_target(false);
    match log.json {
        true => lines.json().flatten_event(true).with_current_span(false).init(),
        false => lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stdout())).init(),
    }
}
