//! The limiter of the settings, over a connection to Redis that is made again after a loss.

mod coalesce;
pub(crate) mod health;
pub(crate) mod start;
pub(crate) mod target;

use futures_util::future::BoxFuture;
use ratelimit_client::redis::aio::ConnectionLike;
use ratelimit_client::redis::{self, RedisError, RedisResult};
use ratelimit_client::{Builder, Connection, ConnectionOptions, Limiter, OnFailure};

use crate::settings::{OnRedisFailure, Settings};
use coalesce::Coalesced;
use target::{Sentinels, Target};

/// Denied keys to remember: about 200 bytes each.
const MAX_DENIALS: usize = 100_000;

/// The limiter of the settings, and the way to see whether its Redis is up.
pub(crate) struct Backend {
    pub(crate) limiter: Limiter,
    /// `None` without a Redis.
    pub(crate) ping: Option<Ping>,
}

/// Sends PING to Redis over the limiter's own connection.
pub(crate) type Ping = Box<dyn Fn() -> BoxFuture<'static, RedisResult<()>>>;

/// `Err`: the settings cannot be used. A server that is not up yet is no error.
pub(crate) fn open(settings: &Settings) -> Result<Backend, String> {
    let certificates = settings.certificates.clone();
    let options =
        certificates.into_iter().fold(ConnectionOptions::new(), ConnectionOptions::certificates);
    let (builder, ping) = match &settings.target {
        Target::Memory => (Limiter::memory(settings.memory_keys), None),
        Target::Server(info) => {
            let connection = Connection::single((**info).clone(), options);
            limiter_over(connection.map(Coalesced::over), settings)?
        }
        Target::Cluster(nodes) => {
            limiter_over(Connection::cluster(nodes.clone(), options), settings)?
        }
        Target::Sentinel(named) => {
            let Sentinels { sentinels, master, server } = &**named;
            let connection =
                Connection::sentinel(sentinels.clone(), master, server.clone(), options);
            limiter_over(connection.map(Coalesced::over), settings)?
        }
    };
    let builder = builder.prefix(&settings.key_prefix).suffix_by_algorithm();
    let limiter = match settings.remember_denials {
        Some(longest) => builder.remember_denials(MAX_DENIALS, longest).build(),
        None => builder.build(),
    };
    Ok(Backend { limiter, ping })
}

fn limiter_over(
    connection: RedisResult<impl ConnectionLike + Clone + Send + Sync + 'static>,
    settings: &Settings,
) -> Result<(Builder, Option<Ping>), String> {
    let connection = connection.map_err(|error| unusable(&error))?;
    let to_ping = connection.clone();
    let ping: Ping = Box::new(move || {
        let mut connection = to_ping.clone();
        Box::pin(async move { redis::cmd("PING").query_async(&mut connection).await })
    });
    Ok((Limiter::redis(connection, on_failure(settings)), Some(ping)))
}

fn unusable(error: &RedisError) -> String {
    format!("REDIS_URL cannot be used: {:?}", error.kind())
}

fn on_failure(settings: &Settings) -> OnFailure {
    let deadline = settings.redis_deadline;
    match settings.on_failure {
        OnRedisFailure::Open => OnFailure::open_after(deadline),
        OnRedisFailure::Closed => OnFailure::closed_after(deadline),
        OnRedisFailure::Local => {
            OnFailure::local_after(deadline, settings.instances, settings.memory_keys)
        }
    }
}
