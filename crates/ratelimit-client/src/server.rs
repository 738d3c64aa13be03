//! Asking a server: the module's command, or where the server does not know it, the Lua twin.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use redis::aio::ConnectionLike;
use redis::{Cmd, ErrorKind, RedisError, RedisResult, Script, ServerErrorKind, Value};

use crate::call::{Call, Verb};
use crate::error::Unanswered;
use crate::wire::{self, append_words};
use crate::{Answer, Source};

/// Which of the two to ask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Backend {
    /// The module; where the server does not know its command, the Lua twin, and every five seconds
    /// one call tries the module again.
    #[default]
    Auto,
    /// The module alone. A server without it is an error.
    Module,
    /// The Lua twin alone.
    Script,
}

/// The Lua twin, or in a test the same with another clock.
pub(crate) struct Twin {
    text: String,
    digest: String,
}

impl Twin {
    pub(crate) fn new(text: &str) -> Self {
        Self { text: text.to_owned(), digest: Script::new(text).get_hash().to_owned() }
    }
}

impl Default for Twin {
    fn default() -> Self {
        Self::new(include_str!("../lua/ratelimit.lua"))
    }
}

/// Any connection of the crate `redis`, cheap to clone.
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
    which: Backend,
    twin: Twin,
    module: Presence,
}

impl Server {
    pub(crate) fn new(connection: Arc<dyn Connection>, which: Backend, twin: Twin) -> Self {
        Self { connection, which, twin, module: Presence::default() }
    }

    /// `now_ms`: of any clock that does not step back.
    pub(crate) async fn ask(
        &self,
        verb: Verb,
        key: &[u8],
        call: Call<'_>,
        now_ms: u64,
    ) -> Result<Answer, Unanswered> {
        let (reply, source) = match self.which {
            Backend::Module => (self.ask_module(verb, key, call).await?, Source::Module),
            Backend::Script => (self.ask_script(verb, key, call).await?, Source::Script),
            Backend::Auto => self.ask_either(verb, key, call, now_ms).await?,
        };
        Ok(wire::parse(&reply, call.policy, source)?)
    }

    async fn ask_either(
        &self,
        verb: Verb,
        key: &[u8],
        call: Call<'_>,
        now_ms: u64,
    ) -> RedisResult<(Value, Source)> {
        if self.module.is_tried(now_ms) {
            match self.ask_module(verb, key, call).await {
                Err(error) if is_unknown_command(&error) => {
                    self.module.is_missing(now_ms);
                }
                Err(error) => return Err(error),
                Ok(reply) => {
                    self.module.is_there();
                    return Ok((reply, Source::Module));
                }
            }
        }
        Ok((self.ask_script(verb, key, call).await?, Source::Script))
    }

    async fn ask_module(&self, verb: Verb, key: &[u8], call: Call<'_>) -> RedisResult<Value> {
        // Room for the words of one window, so that they grow into it.
        let mut command = Cmd::with_capacity(8, key.len() + 64);
        command.arg(verb.command()).arg(key);
        append_words(&mut command, call.policy, call.cost);
        self.query(command).await
    }

    /// By its digest; where the server does not have it (any more), by its text, which it keeps.
    async fn ask_script(&self, verb: Verb, key: &[u8], call: Call<'_>) -> RedisResult<Value> {
        let by_digest = script_command("EVALSHA", &self.twin.digest, verb, key, call);
        match self.query(by_digest).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                self.query(script_command("EVAL", &self.twin.text, verb, key, call)).await
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

/// Whether the module is there, as far as is known.
#[derive(Default)]
struct Presence {
    /// 0 while it is taken to be there; else when it is tried again.
    again_ms: AtomicU64,
}

impl Presence {
    /// After so long it is tried again where it was missing.
    const PAUSE_MS: u64 = 5_000;

    /// Where it was missing, of those that come when it is to be tried again, one does.
    fn is_tried(&self, now_ms: u64) -> bool {
        let at = self.again_ms.load(Relaxed);
        let next = now_ms + Self::PAUSE_MS;
        at == 0
            || now_ms >= at && self.again_ms.compare_exchange(at, next, Relaxed, Relaxed).is_ok()
    }

    fn is_missing(&self, now_ms: u64) {
        self.again_ms.store(now_ms + Self::PAUSE_MS, Relaxed);
    }

    fn is_there(&self) {
        self.again_ms.store(0, Relaxed);
    }
}

fn script_command(how: &str, script: &str, verb: Verb, key: &[u8], call: Call) -> Cmd {
    let mut command = redis::cmd(how);
    command.arg(script).arg(1).arg(key).arg(verb.name());
    append_words(&mut command, call.policy, call.cost);
    command
}

/// The words of Redis and Valkey alike. A user who may not call it is told NOPERM instead.
fn is_unknown_command(error: &RedisError) -> bool {
    let unknown = |text: &str| text.starts_with("unknown command");
    error.kind() == ErrorKind::Server(ServerErrorKind::ResponseError)
        && error.detail().is_some_and(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_that_is_missing_is_tried_by_one_call_each_five_seconds() {
        let module = Presence::default();
        assert!(module.is_tried(0) && module.is_tried(0), "taken to be there");
        module.is_missing(10);
        assert!(!module.is_tried(10) && !module.is_tried(5_009));
        assert!(module.is_tried(5_010) && !module.is_tried(5_010), "one of those at the same time");
        assert!(
            !module.is_tried(10_009) && module.is_tried(10_010),
            "also if none of it came back"
        );
        module.is_there();
        assert!(module.is_tried(10_011) && module.is_tried(10_011));
    }
}
