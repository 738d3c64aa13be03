//! A stream to a server that knows its own end, and that notices a server which does not answer.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::task::{ready, Context, Poll};
use std::time::Duration;

use redis::RedisError;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// The state of a stream, shared with the calls that go over it.
#[derive(Debug, Default)]
pub(super) struct StreamState {
    /// The number of bytes that the stream has taken.
    written: AtomicU64,
    has_ended: AtomicBool,
    /// Why no further call should go over this stream.
    lost: OnceLock<RedisError>,
}

impl StreamState {
    pub(super) fn written(&self) -> u64 {
        self.written.load(Relaxed)
    }

    /// Whether the end of the stream was seen, and nothing was written after `before` bytes. Then no
    /// call that was made after these bytes has reached the server.
    pub(super) fn ended_unwritten(&self, before: u64) -> bool {
        self.has_ended.load(Relaxed) && self.written() == before
    }

    /// Sends further calls over a new stream. Calls on their way may still get their answers.
    pub(super) fn give_up(&self, error: RedisError) {
        // Fails if the stream was given up before, which is fine.
        let _ = self.lost.set(error);
    }

    /// Why no further call should go over the stream; `None` while it can be used.
    pub(super) fn loss(&self) -> Option<RedisError> {
        let ended = || io::Error::new(io::ErrorKind::BrokenPipe, "the connection has ended");
        let lost = self.lost.get().cloned();
        lost.or_else(|| self.has_ended.load(Relaxed).then(|| ended().into()))
    }

    pub(super) fn is_lost(&self) -> bool {
        self.has_ended.load(Relaxed) || self.lost.get().is_some()
    }

    fn end(&self) {
        self.has_ended.store(true, Relaxed);
    }
}

/// Ends when the server closes it, and when bytes were written and none came back for too long. After
/// the end it takes no bytes, so a call that is not written by then never reaches the server.
#[derive(Debug)]
pub(super) struct WatchedStream<S> {
    stream: S,
    state: Arc<StreamState>,
    silence: Silence,
}

impl<S> WatchedStream<S> {
    pub(super) fn new(stream: S, state: Arc<StreamState>, max_silence: Duration) -> Self {
        Self { stream, state, silence: Silence::new(max_silence) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WatchedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context,
        buffer: &mut ReadBuf,
    ) -> Poll<io::Result<()>> {
        let filled = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Ready(Ok(())) if buffer.filled().len() > filled => {
                self.silence.end();
                Poll::Ready(Ok(()))
            }
            Poll::Ready(end) => {
                self.state.end();
                Poll::Ready(end)
            }
            Poll::Pending => {
                ready!(self.silence.poll_too_long(context));
                self.state.end();
                let error = io::Error::new(io::ErrorKind::ConnectionAborted, "no answer for long");
                Poll::Ready(Err(error))
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WatchedStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.state.has_ended.load(Relaxed) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        self.silence.begin(context);
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes));
        match &written {
            Ok(number) => drop(self.state.written.fetch_add(*number as u64, Relaxed)),
            Err(_) => self.state.end(),
        }
        Poll::Ready(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// The time since something was written and nothing came back. Its timer is set at most once in
/// `max`, so a busy stream does not pay for it.
#[derive(Debug)]
struct Silence {
    max: Duration,
    since: Option<Instant>,
    timer: Pin<Box<Sleep>>,
    is_timer_set: bool,
}

impl Silence {
    fn new(max: Duration) -> Self {
        let timer = Box::pin(tokio::time::sleep(max));
        Self { max, since: None, timer, is_timer_set: false }
    }

    fn begin(&mut self, context: &mut Context) {
        if self.since.is_some() {
            return;
        }
        let now = Instant::now();
        self.since = Some(now);
        if !self.is_timer_set {
            self.timer.as_mut().reset(now + self.max);
            self.is_timer_set = true;
            // The timer wakes the task that polled it last. When it ends, the task reads.
            let _ = self.timer.as_mut().poll(context);
        }
    }

    fn end(&mut self) {
        self.since = None;
    }

    fn poll_too_long(&mut self, context: &mut Context) -> Poll<()> {
        while self.is_timer_set {
            ready!(self.timer.as_mut().poll(context));
            match self.since.map(|since| since + self.max) {
                None => self.is_timer_set = false,
                Some(due) if due <= Instant::now() => return Poll::Ready(()),
                Some(due) => self.timer.as_mut().reset(due),
            }
        }
        Poll::Pending
    }
}
