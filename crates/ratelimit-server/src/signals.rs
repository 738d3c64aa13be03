//! Unix signals: those that end the process, and the one that reads the policies again.

use tokio::signal::unix::{Signal, SignalKind};

/// A Unix signal. If it cannot be registered, it never fires.
pub(crate) struct Signals(Option<Signal>);

impl Signals {
    pub(crate) fn on(kind: SignalKind) -> Self {
        Self(tokio::signal::unix::signal(kind).ok())
    }

    pub(crate) async fn next(&mut self) {
        match &mut self.0 {
            Some(signal) => drop(signal.recv().await),
            None => std::future::pending().await,
        }
    }
}

/// SIGTERM or SIGINT: the process is to end.
pub(crate) struct Shutdown(Signals, Signals);

impl Shutdown {
    pub(crate) fn listen() -> Self {
        Self(Signals::on(SignalKind::terminate()), Signals::on(SignalKind::interrupt()))
    }

    pub(crate) async fn next(&mut self) {
        tokio::select! {
            () = self.0.next() => {}
            () = self.1.next() => {}
        }
    }
}
