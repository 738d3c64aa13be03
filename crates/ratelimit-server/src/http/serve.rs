//! Connections: bounded in number, size and time, and closed at the end without losing an answer.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{ACCESS_CONTROL_EXPOSE_HEADERS, CONNECTION};
use axum::http::{HeaderValue, Method, Request, Response, StatusCode};
use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1::{self, Parts};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use ratelimit_client::http::fields::RATELIMIT_POLICY;
use socket2::SockRef;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{watch, OwnedSemaphorePermit, Semaphore};
use tower_service::Service;

use crate::app::App;
use crate::http::problem::Problem;
use crate::http::{descriptors, host, host_field, welcome};
use crate::policies::key_by::Peer;
use crate::telemetry::requests::{Endpoint, OpenConnection};

/// For the first line and the fields of a request together; above it the answer is 431. More than a
/// proxy hands on by default: nginx 33 KiB (`large_client_header_buffers`), Envoy 60 KiB.
const MAX_HEADER_BYTES: usize = 64 * 1024;
/// What a connection keeps of a head that is not complete, or of a body that is not read yet.
const MAX_BUFFER_BYTES: usize = MAX_HEADER_BYTES;
/// For this long after the signal, connections are still accepted, and every answer says
/// `Connection: close`: a client that is just sending gets its answer. For the same time again, open
/// connections may still begin a request.
const LAST_CALL: Duration = Duration::from_millis(500);
const TIMEOUT_RESPONSE: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// The fields that a script of another origin may read.
const EXPOSED: HeaderValue = HeaderValue::from_static("RateLimit-Policy, RateLimit, Retry-After");

/// How many connections the system keeps until they are accepted.
const BACKLOG: u32 = 1024;

/// Connections to `ADMIN_BIND`. They are among the descriptors that are reserved.
const MAX_ADMIN_CONNECTIONS: usize = 64;

/// For whom an address is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Audience {
    /// `BIND` and `PORT`, with `GET /`.
    Clients,
    /// `ADMIN_BIND`.
    Operators,
}

/// Binds without listening: a second process fails at once, and no client connects before the service
/// is ready.
///
/// `Err` names the settings that gave the address.
pub(crate) fn take_port(settings: &str, address: SocketAddr) -> Result<TcpSocket, String> {
    let take = || {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        // Connections of an earlier process, closed but still in the system's tables, do not hinder.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(socket)
    };
    take().map_err(|error: io::Error| format!("{settings} {address}: {error}"))
}

pub(crate) fn listen(socket: TcpSocket) -> Result<TcpListener, String> {
    let address = socket.local_addr().map_err(|error| error.to_string())?;
    socket.listen(BACKLOG).map_err(|error| format!("{address}: {error}"))
}

/// What every connection needs.
struct Connections {
    app: Arc<App>,
    router: Router,
    audience: Audience,
    permits: Arc<Semaphore>,
    /// Becomes true when idle connections are to close.
    closing: watch::Receiver<bool>,
}

/// Serves until the app stops, then finishes the requests that have begun. Returns whether all were
/// finished within the deadline.
pub(crate) async fn serve(
    listener: TcpListener,
    app: Arc<App>,
    router: Router,
    audience: Audience,
) -> bool {
    let max = match audience {
        Audience::Clients => descriptors::max_connections(app.settings.max_connections),
        Audience::Operators => MAX_ADMIN_CONNECTIONS,
    };
    let deadline = app.settings.shutdown_deadline;
    let permits = Arc::new(Semaphore::new(max));
    let (close, closing) = watch::channel(false);
    let mut stopping = app.stopping.clone();
    let connections = Connections { app, router, audience, permits: Arc::clone(&permits), closing };

    tokio::select! {
        () = until_true(&mut stopping) => {}
        () = connections.accept(&listener) => {}
    }
    if permits.available_permits() < max {
        tokio::select! {
            () = tokio::time::sleep(LAST_CALL.min(deadline)) => {}
            () = connections.accept(&listener) => {}
        }
    }
    if let Err(error) = connections.accept_waiting(listener) {
        tracing::error!(%error, "waiting connections are lost");
    }
    // A client that has just connected is about to send.
    let all = u32::try_from(max).expect("settings bound it");
    let _ = tokio::time::timeout(LAST_CALL.min(deadline), permits.acquire_many(all)).await;
    close.send_replace(true);
    let ended = tokio::time::timeout(deadline, permits.acquire_many(all)).await;
    ended.is_ok()
}

async fn until_true(value: &mut watch::Receiver<bool>) {
    // Fails when the sender is gone, which is at the end of the process.
    let _ = value.wait_for(|is_true| *is_true).await;
}

impl Connections {
    /// Never returns. Above the bound, further connections wait in the system's queue.
    async fn accept(&self, listener: &TcpListener) {
        loop {
            let permit = Arc::clone(&self.permits).acquire_owned().await.expect("never closed");
            match listener.accept().await {
                Ok((stream, peer)) => self.start(stream, peer, permit),
                Err(error) => pause_after(&error).await,
            }
        }
    }

    /// Accepts the connections that are in the system's queue already: closing the listener would reset
    /// them. Asks the system itself, as tokio may not know of them yet. Closes the listener.
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
        let (audience, closing) = (self.audience, self.closing.clone());
        tokio::spawn(async move {
            let open = OpenConnection::new(Arc::clone(&app.metrics.requests));
            serve_connection(stream, peer, app, router, audience, closing).await;
            drop((open, permit));
        });
    }
}

/// Where no file descriptor is left, for example, the next attempt would fail at once too.
async fn pause_after(error: &io::Error) {
    let is_the_clients =
        matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset);
    if !is_the_clients {
        tracing::error!(%error, "cannot accept a connection");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Answers all requests of one connection.
async fn serve_connection(
    stream: TcpStream,
    peer: SocketAddr,
    app: Arc<App>,
    router: Router,
    audience: Audience,
    mut closing: watch::Receiver<bool>,
) {
    // A small answer must not wait for the acknowledgement of the answer before it.
    let _ = stream.set_nodelay(true);
    let peer = Peer::new(peer.ip(), &app.settings.trusted_proxies);
    let deadline = app.settings.request_deadline;
    // Ends the connection of a client that reads no answer for this long.
    #[cfg(target_os = "linux")]
    let _ = SockRef::from(&stream).set_tcp_user_timeout(Some(deadline));
    let answer = service_fn(move |request| {
        let (app, router, peer) = (Arc::clone(&app), router.clone(), peer.clone());
        async move { Ok::<_, Infallible>(answer(request, &peer, &app, router, audience).await) }
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(deadline)
        .max_header_size(MAX_HEADER_BYTES)
        .max_buf_size(MAX_BUFFER_BYTES)
        // A client that has ended its side after the request still gets its answer.
        .half_close(true)
        // Answers are small: one buffer is faster than a list of buffers.
        .writev(false)
        .serve_connection(TokioIo::new(stream), answer);
    let mut pinned = Pin::new(&mut connection);
    let ended = tokio::select! {
        // A request that has arrived is read before an idle connection is closed.
        biased;
        ended = pinned.as_mut() => ended,
        () = until_true(&mut closing) => {
            pinned.as_mut().graceful_shutdown();
            pinned.await
        }
    };
    if ended.is_err_and(|error| error.is_timeout()) {
        answer_too_slow(connection.into_parts()).await;
    }
}

/// Answers a client whose first line and fields did not arrive in time; an idle connection just ends.
async fn answer_too_slow<S>(parts: Parts<TokioIo<TcpStream>, S>) {
    if !parts.read_buf.is_empty() {
        let _ = parts.io.into_inner().write_all(TIMEOUT_RESPONSE).await;
    }
}

/// Answers one request, and counts it.
async fn answer(
    request: Request<Incoming>,
    peer: &Peer,
    app: &Arc<App>,
    router: Router,
    audience: Audience,
) -> Response<Body> {
    let endpoint = Endpoint::of_path(request.uri().path());
    let mut response = route(request, peer, app, router, audience).await;
    app.metrics.requests.count(endpoint, response.status().as_u16());
    if app.settings.expose_fields && response.headers().contains_key(RATELIMIT_POLICY) {
        response.headers_mut().insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }
    if *app.stopping.borrow() {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// `GET /` skips the router, which is a measurable part of the cost of a check.
async fn route(
    request: Request<Incoming>,
    peer: &Peer,
    app: &Arc<App>,
    mut router: Router,
    audience: Audience,
) -> Response<Body> {
    if !host_field::is_valid(&request) {
        return Problem::new(StatusCode::BAD_REQUEST, "one valid field Host is needed").response();
    }
    let is_welcome = request.uri().path() == "/"
        && matches!(*request.method(), Method::GET | Method::HEAD)
        && audience == Audience::Clients;
    if is_welcome {
        let (parts, _) = request.into_parts();
        welcome::answer(app, &parts, peer).await
    } else if let Some(refusal) = host::refusal(&request, peer, &app.settings) {
        refusal
    } else {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer.clone());
        let Ok(response) = router.call(request).await;
        response
    }
}
