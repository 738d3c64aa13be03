//! Asking several servers the same question at once.

use std::future::Future;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use redis::{ErrorKind, RedisError, RedisResult};
use tokio::time::Instant;

/// After the first answer the others get so much time.
const GRACE: Duration = Duration::from_millis(100);

/// The answers that come until all are there, or until a moment after the first one. `Err`: there is no
/// answer within `patience`, or only errors.
pub(super) async fn gather<T>(
    questions: impl IntoIterator<Item = impl Future<Output = RedisResult<T>>>,
    patience: Duration,
) -> RedisResult<Vec<T>> {
    let mut asked: FuturesUnordered<_> = questions.into_iter().collect();
    let mut answers = Vec::new();
    let mut last_error = RedisError::from((ErrorKind::Io, "no server answers"));
    let mut deadline = Instant::now() + patience;
    loop {
        match tokio::time::timeout_at(deadline, asked.next()).await {
            Ok(Some(Ok(answer))) => {
                if answers.is_empty() {
                    deadline = Instant::now() + GRACE;
                }
                answers.push(answer);
            }
            Ok(Some(Err(error))) => last_error = error,
            Ok(None) | Err(_) if answers.is_empty() => return Err(last_error),
            Ok(None) | Err(_) => return Ok(answers),
        }
    }
}
