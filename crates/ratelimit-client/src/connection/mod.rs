//! Connections made from addresses. They are replaced when they are lost, and never send a call twice
//! that may have been counted.

mod address;
mod backoff;
#[cfg(feature = "cluster")]
mod cluster;
#[cfg(any(feature = "sentinel", feature = "cluster"))]
mod gather;
mod options;
mod renewed;
mod request;
#[cfg(feature = "sentinel")]
mod sentinel;
mod stream;
#[cfg(feature = "tls")]
mod tls;

use std::fmt;
use std::sync::Arc;

use redis::aio::ConnectionLike;
use redis::{Cmd, IntoConnectionInfo, Pipeline, RedisFuture, RedisResult, Value};

use address::Address;
pub use options::ConnectionOptions;
use renewed::Renewed;
use request::{Batch, Command};

/// A connection that finds its server again, for [`Limiter::redis`](crate::Limiter::redis). Cheap to
/// clone; all clones share one connection to each server.
///
/// It connects at the first call, so it can be made before any server is up. It is given up and made
/// anew, with the name looked up again, when
///
/// - the server closes it, or a router between both does,
/// - nothing comes back for a second while calls wait ([`ConnectionOptions::max_silence`]),
/// - the server answers that it cannot decide, but that another server may: READONLY, MASTERDOWN,
///   LOADING, NOREPLICAS, NOAUTH, WRONGPASS.
///
/// So within seconds it finds the server that a new process would find, behind a name, a proxy or a
/// virtual address. There is one attempt to connect at a time, and failed attempts are 50 ms to one
/// second apart. Calls between two attempts fail at once.
///
/// **A call that may have been counted is never sent twice.** If the connection had ended before
/// anything of a call was written, nothing was counted. Then the call goes out once over a new
/// connection, so that the first call after a pause is not lost to an idle time of the server or of a
/// load balancer.
///
/// Calls must be made in a tokio runtime with its time and I/O drivers.
///
/// ```no_run
/// use ratelimit_client::{Connection, Limiter, OnFailure};
/// use std::time::Duration;
///
/// # fn main() -> ratelimit_client::redis::RedisResult<()> {
/// let connection = Connection::single("redis://redis.internal:6379", Default::default())?;
/// let limiter = Limiter::redis(connection, OnFailure::open_after(Duration::from_millis(50)));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Connection(Kind);

#[derive(Clone)]
enum Kind {
    Renewed(Renewed),
    #[cfg(feature = "cluster")]
    Cluster(cluster::Cluster),
}

impl Connection {
    /// A connection to one server: `redis://`, `rediss://` or `redis+unix://`.
    ///
    /// # Errors
    ///
    /// The address cannot be used. A server that is not up is no error.
    pub fn single(
        server: impl IntoConnectionInfo,
        options: ConnectionOptions,
    ) -> RedisResult<Self> {
        let info = server.into_connection_info()?;
        let address = Address { info, options: Arc::new(options) };
        address.validate()?;
        Ok(Self(Kind::Renewed(Renewed::new(address))))
    }

    /// A connection to the master that the sentinels name.
    ///
    /// The sentinels are asked at each connect, and twice a second while connected. As soon as one
    /// of them knows of a failover, calls go to the new master; the old one may take writes for ten
    /// seconds more, which it forgets.
    ///
    /// Of `login` the scheme, the user, the password and the database are used for the master; its
    /// host and port are not. `redis://master` stands for no password and database 0.
    ///
    /// ```
    /// use ratelimit_client::Connection;
    ///
    /// # fn main() -> ratelimit_client::redis::RedisResult<()> {
    /// let sentinels = ["redis://10.0.0.1:26379", "redis://10.0.0.2:26379", "redis://10.0.0.3:26379"];
    /// let login = "redis://:password@master";
    /// let connection = Connection::sentinel(sentinels, "mymaster", login, Default::default())?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// An address cannot be used. Servers that are not up are no error.
    #[cfg(feature = "sentinel")]
    pub fn sentinel(
        sentinels: impl IntoIterator<Item = impl IntoConnectionInfo>,
        master: &str,
        login: impl IntoConnectionInfo,
        options: ConnectionOptions,
    ) -> RedisResult<Self> {
        let sentinels: RedisResult<Vec<_>> =
            sentinels.into_iter().map(IntoConnectionInfo::into_connection_info).collect();
        let login = login.into_connection_info()?;
        let sentinels = sentinel::Sentinels::new(sentinels?, master, login, options)?;
        Ok(Self(Kind::Renewed(Renewed::new(sentinels))))
    }

    /// A connection to each node of a cluster, over which a command goes to the node of its first key.
    ///
    /// The nodes given here are asked for all others. MOVED, ASK and TRYAGAIN are followed, since a
    /// command that is answered so was not run; a call without an answer is not sent again. The slots
    /// are asked for again after MOVED and CLUSTERDOWN, and when a node is lost.
    ///
    /// User, password and TLS of the first node are used for all.
    ///
    /// ```
    /// use ratelimit_client::Connection;
    ///
    /// # fn main() -> ratelimit_client::redis::RedisResult<()> {
    /// let nodes = ["redis://10.0.0.1:6379", "redis://10.0.0.2:6379"];
    /// let connection = Connection::cluster(nodes, Default::default())?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// An address cannot be used. Nodes that are not up are no error.
    #[cfg(feature = "cluster")]
    pub fn cluster(
        nodes: impl IntoIterator<Item = impl IntoConnectionInfo>,
        options: ConnectionOptions,
    ) -> RedisResult<Self> {
        let nodes: RedisResult<Vec<_>> =
            nodes.into_iter().map(IntoConnectionInfo::into_connection_info).collect();
        Ok(Self(Kind::Cluster(cluster::Cluster::new(nodes?, options)?)))
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        // Each kind has a future of its own, because a large future is slow to move.
        match &self.0 {
            Kind::Renewed(renewed) => {
                Box::pin(async move { Ok(renewed.send(&Command(command)).await?) })
            }
            #[cfg(feature = "cluster")]
            Kind::Cluster(cluster) => Box::pin(cluster.send(command)),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match &self.0 {
            Kind::Renewed(renewed) => {
                let batch = Batch { pipeline, offset, count };
                Box::pin(async move { Ok(renewed.send(&batch).await?) })
            }
            #[cfg(feature = "cluster")]
            Kind::Cluster(cluster) => Box::pin(cluster.send_each(pipeline)),
        }
    }

    /// Always 0. The database is chosen by the address.
    fn get_db(&self) -> i64 {
        0
    }
}
