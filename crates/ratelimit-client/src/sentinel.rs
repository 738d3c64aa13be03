//! A connection to the master of Redis Sentinel, which follows it through a failover.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use futures_util::future::{BoxFuture, FutureExt, Shared};
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::sentinel::SentinelClient;
use redis::{
    AsyncConnectionConfig, Cmd, ErrorKind, Pipeline, RedisFuture, RedisResult, ServerErrorKind,
    Value,
};

use crate::sync::lock;

/// A connection to the master that the sentinels name. Cheap to clone; all clones share one
/// connection.
///
/// The sentinels are asked for the master at first, and again
///
/// - when the connection fails,
/// - when the master answers READONLY, because it has become a replica,
/// - when a call is given up, as at the deadline of a limiter, and no other call got an answer
///   meanwhile.
///
/// No call is tried twice. The connection can be made before any of the servers is up.
///
/// ```no_run
/// # use ratelimit_client::{redis, SentinelConnection};
/// use redis::sentinel::{SentinelClient, SentinelServerType};
///
/// # fn example() -> redis::RedisResult<SentinelConnection> {
/// let sentinels = vec!["redis://10.0.0.1:26379", "redis://10.0.0.2:26379"];
/// let master = String::from("mymaster");
/// let client = SentinelClient::build(sentinels, master, None, SentinelServerType::Master)?;
/// let connection = SentinelConnection::new(client, Default::default());
/// # Ok(connection)
/// # }
/// ```
#[derive(Clone)]
pub struct SentinelConnection(Arc<Inner>);

struct Inner {
    client: Arc<tokio::sync::Mutex<SentinelClient>>,
    config: AsyncConnectionConfig,
    link: Mutex<Link>,
}

/// The connection to a master, or the search for one.
#[derive(Clone)]
struct Link {
    connection: Shared<BoxFuture<'static, RedisResult<MultiplexedConnection>>>,
    /// Answers that came over this link.
    answers: Arc<AtomicU64>,
}

impl SentinelConnection {
    /// Takes a client of the sentinels, and the configuration of the connections to the master.
    pub fn new(client: SentinelClient, config: AsyncConnectionConfig) -> Self {
        let client = Arc::new(tokio::sync::Mutex::new(client));
        let link = Mutex::new(Link::search(&client, &config));
        Self(Arc::new(Inner { client, config, link }))
    }

    fn attempt(&self) -> Attempt {
        let link = lock(&self.0.link).clone();
        let answers_before = link.answers.load(Relaxed);
        Attempt { inner: Arc::clone(&self.0), link, answers_before, is_answered: false }
    }
}

impl fmt::Debug for SentinelConnection {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("SentinelConnection").finish_non_exhaustive()
    }
}

impl Link {
    /// Starts a task that finds the master and connects. It goes on even if the call that waits for
    /// it is given up.
    fn search(
        client: &Arc<tokio::sync::Mutex<SentinelClient>>,
        config: &AsyncConnectionConfig,
    ) -> Self {
        let (client, config) = (Arc::clone(client), config.clone());
        let connecting =
            async move { client.lock().await.get_async_connection_with_config(&config).await };
        let connection = connecting.boxed().shared();
        // Outside a runtime the search starts with the first call.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(connection.clone());
        }
        Self { connection, answers: Arc::default() }
    }
}

/// One call, over the link that was current when the call began.
struct Attempt {
    inner: Arc<Inner>,
    link: Link,
    answers_before: u64,
    is_answered: bool,
}

impl Attempt {
    async fn connect(&self) -> RedisResult<MultiplexedConnection> {
        let connection = self.link.connection.clone().await;
        if connection.is_err() {
            self.search_again();
        }
        connection
    }

    /// Counts an answer, and searches again if the master has been deposed.
    fn note_result<T>(&mut self, result: &RedisResult<T>, is_read_only: impl Fn(&T) -> bool) {
        let is_deposed = match result {
            Ok(reply) => is_read_only(reply),
            Err(error) => error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly),
        };
        if is_deposed {
            self.search_again();
        } else if !result.as_ref().is_err_and(redis::RedisError::is_io_error) {
            self.is_answered = true;
            self.link.answers.fetch_add(1, Relaxed);
        }
    }

    /// Replaces the link, unless another call has done so already.
    fn search_again(&self) {
        let mut link = lock(&self.inner.link);
        if Arc::ptr_eq(&link.answers, &self.link.answers) {
            *link = Link::search(&self.inner.client, &self.inner.config);
        }
    }
}

impl Drop for Attempt {
    /// A call without an answer has failed or was given up. If no other call got an answer
    /// meanwhile, the master may be gone, so a new search starts.
    fn drop(&mut self) {
        let is_connected = self.link.connection.peek().is_some();
        let none_answered = self.link.answers.load(Relaxed) == self.answers_before;
        if !self.is_answered && is_connected && none_answered {
            self.search_again();
        }
    }
}

fn is_read_only(reply: &Value) -> bool {
    matches!(reply, Value::ServerError(error) if error.kind() == Some(ServerErrorKind::ReadOnly))
}

impl ConnectionLike for SentinelConnection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            let mut attempt = self.attempt();
            let mut connection = attempt.connect().await?;
            let reply = connection.req_packed_command(command).await;
            attempt.note_result(&reply, is_read_only);
            reply
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        commands: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            let mut attempt = self.attempt();
            let mut connection = attempt.connect().await?;
            let replies = connection.req_packed_commands(commands, offset, count).await;
            attempt.note_result(&replies, |replies| replies.iter().any(is_read_only));
            replies
        })
    }

    /// The database of the connection; 0 while there is no connection.
    fn get_db(&self) -> i64 {
        let link = lock(&self.0.link).clone();
        link.connection.peek().and_then(|found| found.as_ref().ok()).map_or(0, |c| c.get_db())
    }
}
