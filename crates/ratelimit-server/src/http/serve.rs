//! Connections: accepted, bounded in number, size and time, and ended without losing an answer.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Method, Request, Response};
use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1::{self, Parts};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{watch, OwnedSemaphorePermit, Semaphore};
use tower_service::Service;

use crate::app::App;
use crate::http::welcome;
use crate::policies::key_by::Peer;

/// The request's first line and fields together; more is answered by 431.
const MOST_HEADER_BYTES: usize = 16 * 1024;
/// So long after the signal, connections are still accepted and answered, each answer saying that it
/// is the last: who sends on a kept connection at that moment is answered, not cut off. And so long
/// again, those that are open may still begin.
const LAST_CALL: Duration = Duration::from_millis(500);
const TOO_SLOW: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// Connections that the system keeps until they are accepted.
const QUEUE: u32 = 1024;

/// The port is this process's, so that another one is told at once; yet nobody can connect.
pub(crate) fn take_port(address: SocketAddr) -> Result<TcpSocket, String> {
    let take = || {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        // What a process before this one has left in the system's tables is no obstacle.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(socket)
    };
    take().map_err(|error| cannot_listen(address, &error))
}

pub(crate) fn listen(socket: TcpSocket) -> Result<TcpListener, String> {
    let address = socket.local_addr().map_err(|error| error.to_string())?;
    socket.listen(QUEUE).map_err(|error| cannot_listen(address, &error))
}

fn cannot_listen(address: SocketAddr, error: &io::Error) -> String {
    format!("BIND, PORT {address}: {error}")
}

/// Where connections are, from their accepting to their end.
struct Connections {
    app: Arc<App>,
    router: Router,
    permits: Arc<Semaphore>,
    /// Becomes true when idle connections are to close.
    closing: watch::Receiver<bool>,
}

/// Until the app is stopping; then finishes what was begun, within the deadline. Whether it could.
pub(crate) async fn serve(listener: TcpListener, app: Arc<App>, router: Router) -> bool {
    let most = app.settings.max_connections;
    let deadline = app.settings.shutdown_deadline;
    let permits = Arc::new(Semaphore::new(most));
    let (close, closing) = watch::channel(false);
    let mut stopping = app.stopping.clone();
    let connections = Connections { app, router, permits: Arc::clone(&permits), closing };

    tokio::select! {
        () = becomes_true(&mut stopping) => {}
        () = connections.accept(&listener) => {}
    }
    if permits.available_permits() < most {
        tokio::select! {
            () = tokio::time::sleep(LAST_CALL.min(deadline)) => {}
            () = connections.accept(&listener) => {}
        }
    }
    if let Err(error) = connections.accept_waiting(listener) {
        tracing::error!(%error, "connections that waited are lost");
    }
    // Who has just connected is about to send.
    let all = most as u32;
    let _ = tokio::time::timeout(LAST_CALL.min(deadline), permits.acquire_many(all)).await;
    close.send_replace(true);
    let ended = tokio::time::timeout(deadline, permits.acquire_many(all)).await;
    ended.is_ok()
}

async fn becomes_true(told: &mut watch::Receiver<bool>) {
    // An error is that nobody can tell any more, which is at the very end.
    let _ = told.wait_for(|told| *told).await;
}

impl Connections {
    /// Never ends. Above the most connections, further ones wait in the system's queue.
    async fn accept(&self, listener: &TcpListener) {
        loop {
            let permit = Arc::clone(&self.permits).acquire_owned().await.expect("never closed");
            match listener.accept().await {
                Ok((stream, peer)) => self.start(stream, peer, permit),
                Err(error) => pause_after(&error).await,
            }
        }
    }

    /// Those that are in the system's queue already: closing the listener would reset them. Asked of
    /// the system itself, as tokio may not have heard of them yet. Closes the listener.
    fn accept_waiting(&self, listener: TcpListener) -> io::Result<()> {
        let listener = listener.into_std()?;
        while let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            match listener.accept() {
                Ok((stream, peer)) => {
                    stream.set_nonblocking(true)?;
                    self.start(TcpStream::from_std(stream)?, peer, permit);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn start(&self, stream: TcpStream, peer: SocketAddr, permit: OwnedSemaphorePermit) {
        let (app, router) = (Arc::clone(&self.app), self.router.clone());
        let closing = self.closing.clone();
        tokio::spawn(async move {
            converse(stream, peer, app, router, closing).await;
            drop(permit);
        });
    }
}

/// No file descriptor left, say: the next attempt would fail too, at once.
async fn pause_after(error: &io::Error) {
    let is_the_clients =
        matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset);
    if !is_the_clients {
        tracing::error!(%error, "no connection can be accepted");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// All requests of one connection.
async fn converse(
    stream: TcpStream,
    peer: SocketAddr,
    app: Arc<App>,
    router: Router,
    mut closing: watch::Receiver<bool>,
) {
    // A small answer must not wait for the acknowledgement of the last one.
    let _ = stream.set_nodelay(true);
    let peer = Peer::new(peer.ip(), &app.settings.addresses);
    let deadline = app.settings.request_deadline;
    // A client that takes no answer for so long keeps its place no longer.
    #[cfg(target_os = "linux")]
    let _ = SockRef::from(&stream).set_tcp_user_timeout(Some(deadline));
    let answer = service_fn(move |request| {
        let (app, router, peer) = (Arc::clone(&app), router.clone(), peer.clone());
        async move { Ok::<_, Infallible>(answer(request, &peer, &app, router).await) }
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(deadline)
        .max_header_size(MOST_HEADER_BYTES)
        // Head and body of an answer are small: one buffer, instead of a list of them.
        .writev(false)
        .serve_connection(TokioIo::new(stream), answer);
    let mut pinned = Pin::new(&mut connection);
    let ended = tokio::select! {
        // What has arrived is read before idle connections close.
        biased;
        ended = pinned.as_mut() => ended,
        () = becomes_true(&mut closing) => {
            pinned.as_mut().graceful_shutdown();
            pinned.await
        }
    };
    if ended.is_err_and(|error| error.is_timeout()) {
        say_too_slow(connection.into_parts()).await;
    }
}

/// Whose first line and fields did not arrive in time is told so; a connection that was idle just ends.
async fn say_too_slow<S>(parts: Parts<TokioIo<TcpStream>, S>) {
    if !parts.read_buf.is_empty() {
        let _ = parts.io.into_inner().write_all(TOO_SLOW).await;
    }
}

/// `GET /` goes past the router: its cost is to be the check's, not the way's.
async fn answer(
    request: Request<Incoming>,
    peer: &Peer,
    app: &Arc<App>,
    mut router: Router,
) -> Response<Body> {
    let is_welcome =
        request.uri().path() == "/" && matches!(*request.method(), Method::GET | Method::HEAD);
    let mut response = if is_welcome {
        let (parts, _) = request.into_parts();
        welcome::answer(app, &parts, peer).await
    } else {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer.clone());
        let Ok(response) = router.call(request).await;
        response
    };
    if *app.stopping.borrow() {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
