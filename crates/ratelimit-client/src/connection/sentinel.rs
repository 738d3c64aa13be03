//! The way to the master that the sentinels name, and the watch over whether they name another.

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use redis::{
    Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, FromRedisValue, Pipeline, RedisError,
    RedisResult, ServerErrorKind, Value,
};

use super::address::{Address, Opened};
use super::gather::gather;
use super::renewed::{Open, Renewed};
use super::request::Batch;
use super::stream::StreamState;
use super::ConnectionOptions;

/// How often the sentinels are asked whether the master is still the master.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// The sentinels of a master, and how to connect to it.
#[derive(Clone)]
pub(super) struct Sentinels(Arc<Inner>);

struct Inner {
    sentinels: Vec<Renewed>,
    /// The commands that ask one of them.
    question: Pipeline,
    /// The login and the kind of address of the master.
    master: ConnectionInfo,
    options: Arc<ConnectionOptions>,
}

/// The master, as one sentinel knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Named {
    host: String,
    port: u16,
    /// The number of the failover that made it the master. The highest is the latest.
    epoch: u64,
}

impl Sentinels {
    pub(super) fn new(
        sentinels: Vec<ConnectionInfo>,
        name: &str,
        master: ConnectionInfo,
        options: ConnectionOptions,
    ) -> RedisResult<Self> {
        let options = Arc::new(options);
        let address = |info| Address { info, options: Arc::clone(&options) };
        let sentinels: Vec<_> = sentinels.into_iter().map(address).collect();
        sentinels.iter().try_for_each(Address::validate)?;
        address(master.clone()).validate()?;
        let sentinels = sentinels.into_iter().map(Renewed::new).collect();
        Ok(Self(Arc::new(Inner { sentinels, question: question(name), master, options })))
    }

    async fn open_master(self) -> RedisResult<Opened> {
        let named = self.named().await?;
        let address = Address {
            info: self.0.master.clone().set_addr(named.address(self.0.master.addr())),
            options: Arc::clone(&self.0.options),
        };
        let mut opened = address.open_in_time().await?;
        verify_role(&mut opened).await?;
        tokio::spawn(self.watch(named, Arc::downgrade(&opened.state)));
        Ok(opened)
    }

    /// The master by the sentinel that knows of the latest failover. During a failover they know of it
    /// one after the other.
    async fn named(&self) -> RedisResult<Named> {
        let questions = self.0.sentinels.iter().map(|sentinel| self.ask(sentinel));
        let answers = gather(questions, self.0.options.connect_within).await?;
        answers.into_iter().max_by_key(|named| named.epoch).ok_or_else(unknown_master)
    }

    async fn ask(&self, sentinel: &Renewed) -> RedisResult<Named> {
        let batch = Batch { pipeline: &self.0.question, offset: 0, count: 2 };
        let replies = sentinel.send(&batch).await.map_err(RedisError::from)?;
        let [address, details] = <[Value; 2]>::try_from(replies).map_err(|_| unknown_master())?;
        let address: Option<(String, u16)> = redis::from_redis_value(address.extract_error()?)?;
        let (host, port) = address.ok_or_else(unknown_master)?;
        // A sentinel may forbid this command, or be another program that does not know it.
        let epoch = details.extract_error().ok().and_then(|details| epoch(&details)).unwrap_or(0);
        Ok(Named { host, port, epoch })
    }

    /// Gives the connection up as soon as the sentinels name another master. After a failover on
    /// command the old master takes writes for ten more seconds, and then forgets them.
    async fn watch(self, mut named: Named, state: Weak<StreamState>) {
        loop {
            tokio::time::sleep(ASK_EVERY).await;
            // Not held while waiting, so that the connection can end.
            if state.upgrade().is_none_or(|state| state.is_lost()) {
                return;
            }
            let Ok(latest) = self.named().await else { continue };
            if latest.is_at(&named) {
                named.epoch = named.epoch.max(latest.epoch);
            } else if latest.epoch >= named.epoch {
                if let Some(state) = state.upgrade() {
                    state.give_up((ErrorKind::Io, "the sentinels name another master").into());
                }
                return;
            }
        }
    }
}

impl Open for Sentinels {
    fn open(&self) -> BoxFuture<'static, RedisResult<Opened>> {
        self.clone().open_master().boxed()
    }
}

impl Named {
    fn address(&self, like: &ConnectionAddr) -> ConnectionAddr {
        super::address::at(like, &self.host, self.port)
    }

    fn is_at(&self, other: &Self) -> bool {
        (&self.host, self.port) == (&other.host, other.port)
    }
}

/// The address and the details. While a failover is going on, the sentinel that leads it answers the
/// first with the new master already.
fn question(name: &str) -> Pipeline {
    let mut question = Pipeline::with_capacity(2);
    question.cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(name);
    question.cmd("SENTINEL").arg("MASTER").arg(name);
    question
}

fn unknown_master() -> RedisError {
    (ErrorKind::InvalidClientConfig, "the sentinels do not know a master of this name").into()
}

/// The value that follows the name in a list of names and values, or that the map has for it.
fn epoch(details: &Value) -> Option<u64> {
    let of_pair = |(name, value): (&Value, &Value)| {
        let name = String::from_redis_value_ref(name).ok()?;
        let is_epoch = name == "config-epoch";
        is_epoch.then(|| u64::from_redis_value_ref(value).ok())?
    };
    match details {
        Value::Array(values) => {
            values.chunks_exact(2).find_map(|pair| of_pair((&pair[0], &pair[1])))
        }
        Value::Map(pairs) => pairs.iter().find_map(|(name, value)| of_pair((name, value))),
        _ => None,
    }
}

/// A sentinel may name a server that is not yet, or no longer, a master.
async fn verify_role(opened: &mut Opened) -> RedisResult<()> {
    let role = opened.connection.send_packed_command(&Cmd::new().arg("ROLE").take()).await;
    match role.and_then(Value::extract_error) {
        Ok(Value::Array(role)) if role.first().is_some_and(is_master) => Ok(()),
        // A user without the right to ask sees READONLY at the first call.
        Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm) => Ok(()),
        Ok(_) => Err((ErrorKind::Io, "the server that the sentinels name is no master").into()),
        Err(error) => Err(error),
    }
}

fn is_master(role: &Value) -> bool {
    String::from_redis_value_ref(role).is_ok_and(|role| role == "master")
}
