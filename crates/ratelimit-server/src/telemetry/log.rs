//! The log: lines on standard output, as text or JSON.

use std::io::IsTerminal;

use tracing_subscriber::fmt;

/// The format and the level of the log.
#[derive(Clone, Copy, Debug)]
pub struct Log {
    /// JSON, not text.
    pub json: bool,
    /// The lowest level that is logged.
    pub level: tracing::Level,
}

/// To be called once.
pub fn start(log: Log) {
    let lines = fmt().with_max_level(log.level).with_target(false);
    if log.json {
        lines.json().flatten_event(true).with_current_span(false).init();
    } else {
        lines.with_ansi(std::io::stdout().is_terminal()).init();
    }
}
