//! Calls that are made at the same moment go to Redis together: one write and one read for all of
//! them, here and there.

use std::mem;

use ratelimit_client::redis::aio::ConnectionLike;
use ratelimit_client::redis::{
    Cmd, ErrorKind, Pipeline, RedisError, RedisFuture, RedisResult, Value,
};
use tokio::sync::{mpsc, oneshot};

/// More calls go in several parts, so that the first are answered while the others are sent.
const MOST: usize = 64;

/// A connection to one server; cloned cheaply. Calls of all its clones are joined.
#[derive(Clone)]
pub(crate) struct Together<C> {
    calls: mpsc::UnboundedSender<Asked>,
    connection: C,
}

struct Asked {
    command: Cmd,
    answer: oneshot::Sender<RedisResult<Value>>,
}

impl<C: ConnectionLike + Clone + Send + Sync + 'static> Together<C> {
    pub(crate) fn over(connection: C) -> Self {
        let (calls, asked) = mpsc::unbounded_channel();
        tokio::spawn(join(asked, connection.clone()));
        Self { calls, connection }
    }

    async fn ask(&self, command: Cmd) -> RedisResult<Value> {
        let (answer, answered) = oneshot::channel();
        let is_sent = self.calls.send(Asked { command, answer }).is_ok();
        match answered.await {
            Ok(result) if is_sent => result,
            _ => Err((ErrorKind::Io, "the connection has ended").into()),
        }
    }
}

/// Until nobody is left who could ask. A part does not wait for the answers to the one before.
async fn join<C>(mut asked: mpsc::UnboundedReceiver<Asked>, connection: C)
where
    C: ConnectionLike + Clone + Send + 'static,
{
    let mut part = Vec::with_capacity(MOST);
    while let Some(first) = asked.recv().await {
        part.push(first);
        // The requests that have arrived with this one are looked at before this goes on.
        tokio::task::yield_now().await;
        while part.len() < MOST {
            let Ok(next) = asked.try_recv() else { break };
            part.push(next);
        }
        let part = mem::replace(&mut part, Vec::with_capacity(MOST));
        tokio::spawn(send(part, connection.clone()));
    }
}

/// Who has given up meanwhile is not asked for.
async fn send(mut part: Vec<Asked>, mut connection: impl ConnectionLike) {
    part.retain(|asked| !asked.answer.is_closed());
    let mut pipeline = Pipeline::with_capacity(part.len());
    let mut answers = Vec::with_capacity(part.len());
    for Asked { command, answer } in part {
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
        // To be given up tells some connections that their server hangs.
        () = all_give_up(&mut answers) => return,
    };
    match result {
        Ok(values) => {
            for (answer, value) in answers.into_iter().zip(values) {
                // Whoever asked may be gone by now.
                let _ = answer.send(Ok(value));
            }
        }
        Err(error) => fail(answers, &error),
    }
}

async fn all_give_up(answers: &mut [oneshot::Sender<RedisResult<Value>>]) {
    for answer in answers {
        answer.closed().await;
    }
}

fn fail(answers: Vec<oneshot::Sender<RedisResult<Value>>>, error: &RedisError) {
    for answer in answers {
        let _ = answer.send(Err(error.clone()));
    }
}

impl<C: ConnectionLike + Clone + Send + Sync + 'static> ConnectionLike for Together<C> {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(self.ask(command.clone()))
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
