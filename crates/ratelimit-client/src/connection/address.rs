//! Opening a connection to one address: the look-up of its name, TCP or a Unix socket, TLS, the login.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{select_ok, BoxFuture, FutureExt};
use redis::aio::MultiplexedConnection;
use redis::io::tcp::socket2::{SockRef, TcpKeepalive};
use redis::io::tcp::TcpSettings;
use redis::{AsyncConnectionConfig, ConnectionAddr, ConnectionInfo, RedisResult};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::renewed::Open;
use super::stream::{StreamState, WatchedStream};
use super::ConnectionOptions;

/// An idle connection is probed after this time, so that both ends and the routers between them
/// notice when one of them is gone.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(15);
#[cfg(target_os = "linux")]
const KEEPALIVE_EVERY: Duration = Duration::from_secs(5);
/// A server that vanishes without closing the connection is noticed after this time.
#[cfg(target_os = "linux")]
const USER_TIMEOUT: Duration = Duration::from_secs(5);

/// One connection, after the login.
#[derive(Clone)]
pub(super) struct Opened {
    pub(super) connection: MultiplexedConnection,
    pub(super) state: Arc<StreamState>,
}

/// Where a server is, and how to connect to it.
#[derive(Clone, Debug)]
pub(super) struct Address {
    pub(super) info: ConnectionInfo,
    pub(super) options: Arc<ConnectionOptions>,
}

impl Open for Address {
    fn open(&self) -> BoxFuture<'static, RedisResult<Opened>> {
        self.clone().open_in_time().boxed()
    }
}

impl Address {
    /// `Err`: no connection can ever be made to such an address.
    pub(super) fn validate(&self) -> RedisResult<()> {
        match self.info.addr() {
            ConnectionAddr::Tcp(..) => Ok(()),
            #[cfg(feature = "tls")]
            ConnectionAddr::TcpTls { host, insecure: false, .. } => {
                super::tls::validate(host, self.options.certificates.as_ref())
            }
            #[cfg(unix)]
            ConnectionAddr::Unix(_) => Ok(()),
            _ => Err(unsupported().into()),
        }
    }

    pub(super) async fn open_in_time(self) -> RedisResult<Opened> {
        let opened = tokio::time::timeout(self.options.connect_within, self.open_in_any_time());
        let too_slow = |_| io::Error::new(io::ErrorKind::TimedOut, "connecting took too long");
        opened.await.map_err(too_slow)?
    }

    async fn open_in_any_time(&self) -> RedisResult<Opened> {
        match self.info.addr() {
            ConnectionAddr::Tcp(host, port) => self.log_in(self.tcp(host, *port).await?).await,
            #[cfg(feature = "tls")]
            ConnectionAddr::TcpTls { host, port, insecure: false, .. } => {
                let stream = self.tcp(host, *port).await?;
                let certificates = self.options.certificates.as_ref();
                self.log_in(super::tls::encrypt(stream, host, certificates).await?).await
            }
            #[cfg(unix)]
            ConnectionAddr::Unix(path) => {
                self.log_in(tokio::net::UnixStream::connect(path).await?).await
            }
            _ => Err(unsupported().into()),
        }
    }

    /// Takes the first of the name's addresses that accepts.
    async fn tcp(&self, host: &str, port: u16) -> RedisResult<TcpStream> {
        let addresses = self.options.resolve(host, port).await?;
        if addresses.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address").into());
        }
        let connecting = addresses.into_iter().map(|address| TcpStream::connect(address).boxed());
        let (stream, _) = select_ok(connecting).await?;
        set_up(&stream, self.info.tcp_settings())?;
        Ok(stream)
    }

    async fn log_in<S>(&self, stream: S) -> RedisResult<Opened>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let state = Arc::<StreamState>::default();
        let stream = WatchedStream::new(stream, Arc::clone(&state), self.options.max_silence);
        // The caller has a deadline of its own.
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let login = self.info.redis_settings();
        let logging_in = MultiplexedConnection::new_with_config(login, stream, config);
        let (connection, driver) = logging_in.await?;
        // It ends when the connection is dropped and the last answer is there, or the stream ends.
        tokio::spawn(driver);
        Ok(Opened { connection, state })
    }
}

/// The address of another host, of the same kind.
#[cfg(any(feature = "sentinel", feature = "cluster"))]
pub(super) fn at(like: &ConnectionAddr, host: &str, port: u16) -> ConnectionAddr {
    let host = host.to_owned();
    match like {
        ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
            let (insecure, tls_params) = (*insecure, tls_params.clone());
            ConnectionAddr::TcpTls { host, port, insecure, tls_params }
        }
        _ => ConnectionAddr::Tcp(host, port),
    }
}

fn unsupported() -> (redis::ErrorKind, &'static str) {
    let text = "this kind of address is not supported: a missing feature `tls`, or `#insecure`";
    (redis::ErrorKind::InvalidClientConfig, text)
}

/// Settings of the caller's come first.
fn set_up(stream: &TcpStream, settings: &TcpSettings) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let ours = TcpKeepalive::new().with_time(KEEPALIVE_AFTER);
    #[cfg(target_os = "linux")]
    let ours = ours.with_interval(KEEPALIVE_EVERY);
    socket.set_tcp_keepalive(settings.keepalive().unwrap_or(&ours))?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(settings.user_timeout().unwrap_or(USER_TIMEOUT)))?;
    Ok(())
}
