//! Sending a question to a server: by the module's command, or by the Lua script where the server
//! does not know the command.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use redis::aio::ConnectionLike;
use redis::{Cmd, ErrorKind, RedisError, RedisResult, Script, ServerErrorKind, Value};

use crate::call::Question;
use crate::error::Unanswered;
use crate::wire::{self, append_words};
use crate::{Answer, Source};

/// Whether the module or the Lua script decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Backend {
    /// The module; or the script, while the server does not know the module's command. Then one
    /// call every five seconds tries the module again.
    #[default]
    Auto,
    /// Only the module. A server without it answers an error.
    Module,
    /// Only the Lua script.
    Script,
}

/// The text and the digest of the Lua script.
pub(crate) struct ScriptText {
    text: String,
    digest: String,
}

impl ScriptText {
    pub(crate) fn new(text: &str) -> Self {
        Self { text: text.to_owned(), digest: Script::new(text).get_hash().to_owned() }
    }
}

impl Default for ScriptText {
    fn default() -> Self {
        Self::new(include_str!("../lua/ratelimit.lua"))
    }
}

/// Any connection of the crate `redis` that is cheap to clone.
pub(crate) trait Connection: Send + Sync {
    fn query(&self, command: Cmd) -> BoxFuture<'_, RedisResult<Value>>;
}

impl<C: ConnectionLike + Clone + Send + Sync> Connection for C {
    fn query(&self, command: Cmd) -> BoxFuture<'_, RedisResult<Value>> {
        let mut connection = self.clone();
        Box::pin(async move { connection.req_packed_command(&command).await })
    }
}

pub(crate) struct Server {
    connection: Arc<dyn Connection>,
    backend: Backend,
    script: ScriptText,
    module: ModulePresence,
}

impl Server {
    pub(crate) fn new(
        connection: Arc<dyn Connection>,
        backend: Backend,
        script: ScriptText,
    ) -> Self {
        Self { connection, backend, script, module: ModulePresence::default() }
    }

    /// `now_ms` may come from any clock that does not step back.
    pub(crate) async fn send(
        &self,
        question: &Question<'_>,
        now_ms: u64,
    ) -> Result<Answer, Unanswered> {
        let (reply, source) = match self.backend {
            Backend::Module => (self.send_to_module(question).await?, Source::Module),
            Backend::Script => (self.send_to_script(question).await?, Source::Script),
            Backend::Auto => self.send_to_either(question, now_ms).await?,
        };
        wire::parse(&reply, question.policy, source)
    }

    async fn send_to_either(
        &self,
        question: &Question<'_>,
        now_ms: u64,
    ) -> RedisResult<(Value, Source)> {
        if self.module.is_due(now_ms) {
            match self.send_to_module(question).await {
                Err(error) if is_unknown_command(&error) => self.module.set_missing(now_ms),
                Err(error) => return Err(error),
                Ok(reply) => {
                    self.module.set_present();
                    return Ok((reply, Source::Module));
                }
            }
        }
        Ok((self.send_to_script(question).await?, Source::Script))
    }

    async fn send_to_module(&self, question: &Question<'_>) -> RedisResult<Value> {
        // Room for a command with one pair, so that it does not grow while it is written.
        let mut command = Cmd::with_capacity(8, question.key.len() + 64);
        command.arg(question.verb.command()).arg(&*question.key);
        append_words(&mut command, question);
        self.query(command).await
    }

    /// Calls the script by its digest. A server that does not have it (any more) gets the text, and
    /// keeps it.
    async fn send_to_script(&self, question: &Question<'_>) -> RedisResult<Value> {
        let by_digest = script_command("EVALSHA", &self.script.digest, question);
        match self.query(by_digest).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                self.query(script_command("EVAL", &self.script.text, question)).await
            }
            reply => reply,
        }
    }

    pub(crate) async fn delete(&self, key: &[u8]) -> Result<(), Unanswered> {
        let mut command = redis::cmd("DEL");
        command.arg(key);
        self.query(command).await?;
        Ok(())
    }

    async fn query(&self, command: Cmd) -> RedisResult<Value> {
        self.connection.query(command).await?.extract_error()
    }
}

/// Whether the server has the module, as far as is known.
#[derive(Default)]
struct ModulePresence {
    /// When the module is tried again; 0 while it is taken to be present.
    retry_at_ms: AtomicU64,
}

impl ModulePresence {
    /// The pause before a missing module is tried again.
    const PAUSE_MS: u64 = 5_000;

    /// Whether this call should try the module. While it is missing, one call in each pause does.
    fn is_due(&self, now_ms: u64) -> bool {
        let at = self.retry_at_ms.load(Relaxed);
        let next = now_ms + Self::PAUSE_MS;
        at == 0
            || now_ms >= at && self.retry_at_ms.compare_exchange(at, next, Relaxed, Relaxed).is_ok()
    }

    fn set_missing(&self, now_ms: u64) {
        self.retry_at_ms.store(now_ms + Self::PAUSE_MS, Relaxed);
    }

    fn set_present(&self) {
        self.retry_at_ms.store(0, Relaxed);
    }
}

fn script_command(how: &str, script: &str, question: &Question) -> Cmd {
    let mut command = redis::cmd(how);
    command.arg(script).arg(1).arg(&*question.key).arg(question.verb.name());
    append_words(&mut command, question);
    command
}

/// Redis and Valkey use the same words. A user without the right to call it gets NOPERM instead.
fn is_unknown_command(error: &RedisError) -> bool {
    let unknown = |text: &str| text.starts_with("unknown command");
    error.kind() == ErrorKind::Server(ServerErrorKind::ResponseError)
        && error.detail().is_some_and(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_module_is_tried_by_one_call_every_five_seconds() {
        let module = ModulePresence::default();
        assert!(module.is_due(0) && module.is_due(0), "taken to be present");
        module.set_missing(10);
        assert!(!module.is_due(10) && !module.is_due(5_009));
        assert!(module.is_due(5_010) && !module.is_due(5_010), "one of two at the same time");
        assert!(!module.is_due(10_009) && module.is_due(10_010), "also without any answer");
        module.set_present();
        assert!(module.is_due(10_011) && module.is_due(10_011));
    }
}
