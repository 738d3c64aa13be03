//! The signals that end the process or make it read its policies again.

use tokio::signal::unix::{Signal, SignalKind};

/// A signal of the system. Asked for in vain (which no system here does), it never comes.
pub(crate) struct Signals(Option<Signal>);

pub(crate) fn signal(kind: SignalKind) -> Signals {
    Signals(tokio::signal::unix::signal(kind).ok())
}

impl Signals {
    pub(crate) fn never() -> Self {
        Self(None)
    }

    pub(crate) async fn next(&mut self) {
        match &mut self.0 {
            Some(signal) => drop(signal.recv().await),
            None => std::future::pending().await,
        }
    }
}

/// SIGTERM and SIGINT.
pub(crate) struct Ends(Signals, Signals);

impl Ends {
    pub(crate) fn listen() -> Self {
        Self(signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    }

    pub(crate) async fn next(&mut self) {
        tokio::select! {
            () = self.0.next() => {}
            () = self.1.next() => {}
        }
    }
}
