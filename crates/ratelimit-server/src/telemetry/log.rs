//! The log: lines on standard output, as text or JSON.

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
    match log.json {
        true => lines.json().flatten_event(true).with_current_span(false).init(),
        false => lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stdout())).init(),
    }
}
