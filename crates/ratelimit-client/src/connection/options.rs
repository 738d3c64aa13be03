//! How connections are made and when they are given up.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use redis::io::AsyncDNSResolver;
use redis::RedisResult;

/// How a [`Connection`](crate::Connection) connects, and when it takes a server for lost.
#[derive(Clone)]
pub struct ConnectionOptions {
    pub(super) connect_within: Duration,
    pub(super) max_silence: Duration,
    resolver: Option<Arc<dyn AsyncDNSResolver>>,
    #[cfg(feature = "tls")]
    pub(super) certificates: Option<redis::TlsCertificates>,
}

impl Default for ConnectionOptions {
    fn default() -> Self {
        Self {
            connect_within: Duration::from_secs(2),
            max_silence: Duration::from_secs(1),
            resolver: None,
            #[cfg(feature = "tls")]
            certificates: None,
        }
    }
}

impl ConnectionOptions {
    /// Two seconds to connect, and at most one second of silence.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The time for one attempt to connect: the look-up of the name, the handshakes and the login.
    /// Two seconds unless set.
    #[must_use]
    pub fn connect_within(mut self, time: Duration) -> Self {
        self.connect_within = time;
        self
    }

    /// A connection is given up if calls wait for so long and nothing at all comes back. One second
    /// unless set. It should be longer than a server takes for its slowest command.
    #[must_use]
    pub fn max_silence(mut self, time: Duration) -> Self {
        self.max_silence = time;
        self
    }

    /// Looks names up in another way than the system's. Each attempt to connect looks its name up.
    #[must_use]
    pub fn resolver(mut self, resolver: impl AsyncDNSResolver) -> Self {
        self.resolver = Some(Arc::new(resolver));
        self
    }

    /// Certificate authorities other than the system's, and a certificate of this client, for
    /// `rediss://`.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn certificates(mut self, certificates: redis::TlsCertificates) -> Self {
        self.certificates = Some(certificates);
        self
    }

    pub(super) async fn resolve(&self, host: &str, port: u16) -> RedisResult<Vec<SocketAddr>> {
        match &self.resolver {
            Some(resolver) => Ok(resolver.resolve(host, port).await?.collect()),
            None => Ok(tokio::net::lookup_host((host, port)).await?.collect()),
        }
    }
}

impl fmt::Debug for ConnectionOptions {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("ConnectionOptions")
            .field("connect_within", &self.connect_within)
            .field("max_silence", &self.max_silence)
            .finish_non_exhaustive()
    }
}
