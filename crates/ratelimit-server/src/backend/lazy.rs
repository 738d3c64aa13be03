//! A connection that is made in the background, for the client of a cluster.

use std::future::Future;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use ratelimit_client::redis::aio::ConnectionLike;
use ratelimit_client::redis::{
    Cmd, ErrorKind, Pipeline, RedisError, RedisFuture, RedisResult, Value,
};

use crate::sync::lock;

const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Connects in the background, again and again until it succeeds. Until then every call fails at once
/// with the error of the last attempt.
pub(super) struct LazyConnection<C>(Arc<Shared<C>>);

struct Shared<C> {
    connection: OnceLock<C>,
    last_error: Mutex<RedisError>,
}

impl<C> Clone for LazyConnection<C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<C: Clone + Send + Sync + 'static> LazyConnection<C> {
    pub(super) fn connect_by<F, Connecting>(connect: F) -> Self
    where
        F: Fn() -> Connecting + Send + 'static,
        Connecting: Future<Output = RedisResult<C>> + Send,
    {
        let not_yet = RedisError::from((ErrorKind::Io, "not connected yet"));
        let shared = Shared { connection: OnceLock::new(), last_error: Mutex::new(not_yet) };
        let lazy = Self(Arc::new(shared));
        let shared = Arc::clone(&lazy.0);
        tokio::spawn(async move {
            loop {
                match connect().await {
                    Ok(connection) => return drop(shared.connection.set(connection)),
                    Err(error) => *lock(&shared.last_error) = error,
                }
                tokio::time::sleep(RETRY_AFTER).await;
            }
        });
        lazy
    }

    fn connection(&self) -> RedisResult<C> {
        self.0.connection.get().cloned().ok_or_else(|| lock(&self.0.last_error).clone())
    }
}

impl<C: ConnectionLike + Clone + Send + Sync + 'static> ConnectionLike for LazyConnection<C> {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move { self.connection()?.req_packed_command(command).await })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(
            async move { self.connection()?.req_packed_commands(pipeline, offset, count).await },
        )
    }

    fn get_db(&self) -> i64 {
        self.0.connection.get().map_or(0, C::get_db)
    }
}
