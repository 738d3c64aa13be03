//! The two that decide on a server: the module and the Lua script.

use super::{page, Connection, Reply};

#[derive(Clone)]
pub enum Limiter {
    Module,
    /// Loaded under this digest.
    Script {
        sha: String,
    },
}

pub(crate) fn script_source() -> String {
    page("crates/ratelimit-client/lua/ratelimit.lua")
}

impl Limiter {
    /// The script as released.
    #[track_caller]
    pub fn script(connection: &mut Connection) -> Self {
        Self::load(connection, &script_source())
    }

    /// Another text of the script.
    #[track_caller]
    pub fn load(connection: &mut Connection, source: &str) -> Self {
        let loaded = connection.call(&["SCRIPT", "LOAD", source]);
        assert!(matches!(loaded, Reply::Bytes(_)), "the script does not compile: {loaded:?}");
        Self::Script { sha: loaded.text() }
    }

    pub fn name(&self) -> &'static str {
        match self {
            Self::Module => "the module",
            Self::Script { .. } => "the script",
        }
    }

    /// Sends a call and returns the reply. The verb is CHECK or PEEK; the words stand after the
    /// key.
    #[track_caller]
    pub fn send(
        &self,
        connection: &mut Connection,
        verb: &str,
        key: &[u8],
        words: &[impl AsRef<[u8]>],
    ) -> Reply {
        connection.call(&self.call(verb, key, words))
    }

    /// All words of such a call.
    pub fn call(&self, verb: &str, key: &[u8], words: &[impl AsRef<[u8]>]) -> Vec<Vec<u8>> {
        let command = format!("RATELIMIT.{verb}");
        let mut call: Vec<Vec<u8>> = match self {
            Self::Module => vec![command.into(), key.into()],
            Self::Script { sha } => {
                vec!["EVALSHA".into(), sha.as_str().into(), "1".into(), key.into(), verb.into()]
            }
        };
        call.extend(words.iter().map(|word| word.as_ref().to_vec()));
        call
    }
}
