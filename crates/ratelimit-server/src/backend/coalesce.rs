//! Commands that are sent at the same moment go to Redis as one pipeline: one write and one read for
//! all of them, in this process and in the server.

use std::mem;

use ratelimit_client::redis::aio::ConnectionLike;
use ratelimit_client::redis::{
    Cmd, ErrorKind, Pipeline, RedisError, RedisFuture, RedisResult, Value,
};
use tokio::sync::{mpsc, oneshot};

/// More commands go in several batches, so that the first are answered while the others are sent.
const MAX_BATCH: usize = 64;

/// A connection to one server, cheap to clone. The commands of all clones share pipelines.
#[derive(Clone)]
pub(crate) struct Coalesced<C> {
    queue: mpsc::UnboundedSender<Queued>,
    connection: C,
}

struct Queued {
    command: Cmd,
    answer: oneshot::Sender<RedisResult<Value>>,
}

impl<C: ConnectionLike + Clone + Send + Sync + 'static> Coalesced<C> {
    pub(crate) fn over(connection: C) -> Self {
        let (queue, queued) = mpsc::unbounded_channel();
        tokio::spawn(send_all(queued, connection.clone()));
        Self { queue, connection }
    }

    async fn send(&self, command: Cmd) -> RedisResult<Value> {
        let (answer, answered) = oneshot::channel();
        let is_queued = self.queue.send(Queued { command, answer }).is_ok();
        match answered.await {
            Ok(result) if is_queued => result,
            _ => Err((ErrorKind::Io, "the connection has ended").into()),
        }
    }
}

/// Runs until the last clone is dropped. A batch does not wait for the answers to the batch before it.
async fn send_all<C>(mut queued: mpsc::UnboundedReceiver<Queued>, connection: C)
where
    C: ConnectionLike + Clone + Send + 'static,
{
    let mut batch = Vec::with_capacity(MAX_BATCH);
    while let Some(first) = queued.recv().await {
        batch.push(first);
        // Requests that arrived with this one get the time to queue their commands.
        tokio::task::yield_now().await;
        while batch.len() < MAX_BATCH {
            let Ok(next) = queued.try_recv() else { break };
            batch.push(next);
        }
        let batch = mem::replace(&mut batch, Vec::with_capacity(MAX_BATCH));
        tokio::spawn(send_batch(batch, connection.clone()));
    }
}

/// Leaves out commands whose caller has given up.
async fn send_batch(mut batch: Vec<Queued>, mut connection: impl ConnectionLike) {
    batch.retain(|queued| !queued.answer.is_closed());
    let mut pipeline = Pipeline::with_capacity(batch.len());
    let mut answers = Vec::with_capacity(batch.len());
    for Queued { command, answer } in batch {
        pipeline.add_command(command);
        answers.push(answer);
    }
    if answers.is_empty() {
        return;
    }
    let number = answers.len();
    let result = tokio::select! {
        biased;
        result = connection.req_packed_commands(&pipeline, 0, number) => result,
        // Nobody waits for the replies any more.
        () = all_closed(&mut answers) => return,
    };
    match result {
        Ok(values) => {
            for (answer, value) in answers.into_iter().zip(values) {
                // Fails if the caller has given up, which is fine.
                let _ = answer.send(Ok(value));
            }
        }
        Err(error) => fail(answers, &error),
    }
}

/// Waits until every caller has given up.
async fn all_closed(answers: &mut [oneshot::Sender<RedisResult<Value>>]) {
    for answer in answers {
        answer.closed().await;
    }
}

fn fail(answers: Vec<oneshot::Sender<RedisResult<Value>>>, error: &RedisError) {
    for answer in answers {
        let _ = answer.send(Err(error.clone()));
    }
}

impl<C: ConnectionLike + Clone + Send + Sync + 'static> ConnectionLike for Coalesced<C> {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(self.send(command.clone()))
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        self.connection.req_packed_commands(pipeline, offset, count)
    }

    fn get_db(&self) -> i64 {
        self.connection.get_db()
    }
}
