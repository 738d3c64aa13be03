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
