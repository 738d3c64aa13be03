//! A connection that is made in the background.

use std::future::Future;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use ratelimit_client::redis::aio::ConnectionLike;
use ratelimit_client::redis::{
    Cmd, ErrorKind, Pipeline, RedisError, RedisFuture, RedisResult, Value,
};

use crate::sync::lock;

const TRY_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// A connection that cannot be made without its server: until it is there every call fails at once,
/// by what the last attempt met.
pub(super) struct Late<C>(Arc<Slot<C>>);

struct Slot<C> {
    connection: OnceLock<C>,
    why_not: Mutex<RedisError>,
}

impl<C> Clone for Late<C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<C: Clone + Send + Sync + 'static> Late<C> {
    pub(super) fn when<F, Connecting>(connect: F) -> Self
    where
        F: Fn() -> Connecting + Send + 'static,
        Connecting: Future<Output = RedisResult<C>> + Send,
    {
        let not_yet = RedisError::from((ErrorKind::Io, "not connected yet"));
        let slot = Slot { connection: OnceLock::new(), why_not: Mutex::new(not_yet) };
        let late = Self(Arc::new(slot));
        let slot = Arc::clone(&late.0);
        tokio::spawn(async move {
            loop {
                match connect().await {
                    Ok(connection) => return drop(slot.connection.set(connection)),
                    Err(error) => slot.fails(error),
                }
                tokio::time::sleep(TRY_AGAIN_AFTER).await;
            }
        });
        late
    }

    fn connection(&self) -> RedisResult<C> {
        let why_not = || lock(&self.0.why_not).clone();
        self.0.connection.get().cloned().ok_or_else(why_not)
    }
}

impl<C> Slot<C> {
    fn fails(&self, error: RedisError) {
        *lock(&self.why_not) = error;
    }
}

impl<C: ConnectionLike + Clone + Send + Sync + 'static> ConnectionLike for Late<C> {
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
