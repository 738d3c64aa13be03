//! What goes over a connection: a command or a pipeline.

use std::future::Future;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{Cmd, Pipeline, RedisError, RedisResult, ServerError, ServerErrorKind, Value};

/// A command or a pipeline, which can be sent more than once.
pub(super) trait Request: Send + Sync {
    type Reply: Send;

    fn send(
        &self,
        connection: MultiplexedConnection,
    ) -> impl Future<Output = RedisResult<Self::Reply>> + Send;

    /// The first error in a reply.
    fn error(reply: &Self::Reply) -> Option<&ServerError>;
}

pub(super) struct Command<'a>(pub(super) &'a Cmd);

impl Request for Command<'_> {
    type Reply = Value;

    async fn send(&self, mut connection: MultiplexedConnection) -> RedisResult<Value> {
        connection.send_packed_command(self.0).await
    }

    fn error(reply: &Value) -> Option<&ServerError> {
        match reply {
            Value::ServerError(error) => Some(error),
            _ => None,
        }
    }
}

pub(super) struct Batch<'a> {
    pub(super) pipeline: &'a Pipeline,
    pub(super) offset: usize,
    pub(super) count: usize,
}

impl Request for Batch<'_> {
    type Reply = Vec<Value>;

    async fn send(&self, mut connection: MultiplexedConnection) -> RedisResult<Vec<Value>> {
        connection.req_packed_commands(self.pipeline, self.offset, self.count).await
    }

    fn error(replies: &Vec<Value>) -> Option<&ServerError> {
        replies.iter().find_map(Command::error)
    }
}

/// A command that the node may run although its slot is only about to move there.
#[cfg(feature = "cluster")]
pub(super) struct Asking<'a>(pub(super) &'a Cmd);

#[cfg(feature = "cluster")]
impl Request for Asking<'_> {
    type Reply = Value;

    async fn send(&self, mut connection: MultiplexedConnection) -> RedisResult<Value> {
        let mut pipeline = Pipeline::with_capacity(2);
        pipeline.cmd("ASKING").add_command(self.0.clone());
        let mut replies = connection.req_packed_commands(&pipeline, 0, 2).await?;
        Ok(replies.pop().unwrap_or(Value::Nil))
    }

    fn error(reply: &Value) -> Option<&ServerError> {
        Command::error(reply)
    }
}

/// Whether a server that answers so cannot decide, but the server that a new connection finds may.
/// Such a call was not counted.
pub(super) fn is_of_the_server(error: &RedisError) -> bool {
    use redis::ErrorKind::{AuthenticationFailed, Server};
    match error.kind() {
        Server(kind) => matches!(
            kind,
            ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown | ServerErrorKind::BusyLoading
        ),
        AuthenticationFailed => true,
        _ => matches!(error.code(), Some("NOAUTH" | "WRONGPASS" | "NOREPLICAS")),
    }
}
