//! The limiter of these settings, over a connection that may come later and comes back by itself.

mod coalesce;
pub(crate) mod health;
mod lazy;
pub(crate) mod start;
pub(crate) mod target;

use std::time::Duration;

use futures_util::future::BoxFuture;
use ratelimit_client::redis::aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig};
use ratelimit_client::redis::cluster::ClusterClientBuilder;
use ratelimit_client::redis::sentinel::{
    SentinelClient, SentinelNodeConnectionInfo, SentinelServerType,
};
use ratelimit_client::redis::{
    self, AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, RedisError, RedisResult,
    TlsMode,
};
use ratelimit_client::{Builder, Limiter, OnFailure, SentinelConnection};

use crate::settings::{OnRedisFailure, Settings};
use coalesce::Together;
use lazy::Late;
use target::{Sentinels, Target};

/// Longer than a check may take: a new connection has more to do.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// Denied keys that are known here: some 200 bytes each.
const MOST_DENIALS: usize = 100_000;

/// What decides, and what tells whether its Redis is there.
pub(crate) struct Backend {
    pub(crate) limiter: Limiter,
    /// `None` where there is no Redis.
    pub(crate) ping: Option<Ping>,
}

/// Asks Redis, over the limiter's own connection, for a sign of life.
pub(crate) type Ping = Box<dyn Fn() -> BoxFuture<'static, RedisResult<()>>>;

/// `Err`: the settings cannot be used. A server that is not there is no error.
pub(crate) fn open(settings: &Settings) -> Result<Backend, String> {
    let (builder, ping) = match &settings.target {
        Target::Memory => (Limiter::memory(settings.memory_keys), None),
        Target::Server(info) => over(server(info).map(Together::over), settings)?,
        Target::Cluster(nodes) => over(cluster(nodes), settings)?,
        Target::Sentinel(named) => over(sentinel(named).map(Together::over), settings)?,
    };
    let builder = builder.prefix(&settings.key_prefix).suffix_by_algorithm();
    let limiter = match settings.remember_denials {
        Some(longest) => builder.remember_denials(MOST_DENIALS, longest).build(),
        None => builder.build(),
    };
    Ok(Backend { limiter, ping })
}

fn over(
    connection: RedisResult<impl ConnectionLike + Clone + Send + Sync + 'static>,
    settings: &Settings,
) -> Result<(Builder, Option<Ping>), String> {
    let connection = connection.map_err(|error| refused(&error))?;
    let asked = connection.clone();
    let ping: Ping = Box::new(move || {
        let mut connection = asked.clone();
        Box::pin(async move { redis::cmd("PING").query_async(&mut connection).await })
    });
    Ok((Limiter::redis(connection, on_failure(settings)), Some(ping)))
}

fn refused(error: &RedisError) -> String {
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

/// Connects at the first call, and anew at each call after a loss; the circuit breaker bounds how
/// often.
fn server(info: &ConnectionInfo) -> RedisResult<ConnectionManager> {
    let config = ConnectionManagerConfig::new()
        .set_number_of_retries(0)
        .set_connection_timeout(Some(CONNECT_WITHIN))
        // The limiter has a deadline of its own.
        .set_response_timeout(None);
    ConnectionManager::new_lazy_with_config(Client::open(info.clone())?, config)
}

fn cluster(nodes: &[ConnectionInfo]) -> RedisResult<Late<impl ConnectionLike + Clone>> {
    let client = ClusterClientBuilder::new(nodes.to_vec())
        .tcp_settings(target::tcp_settings())
        .connection_timeout(CONNECT_WITHIN)
        .response_timeout(CONNECT_WITHIN)
        .retries(1)
        .build()?;
    Ok(Late::when(move || {
        let client = client.clone();
        async move { client.get_async_connection().await }
    }))
}

fn sentinel(named: &Sentinels) -> RedisResult<SentinelConnection> {
    let master = named.server.redis_settings();
    let tls = match named.server.addr() {
        ConnectionAddr::TcpTls { insecure: true, .. } => Some(TlsMode::Insecure),
        ConnectionAddr::TcpTls { .. } => Some(TlsMode::Secure),
        _ => None,
    };
    let info = SentinelNodeConnectionInfo::default()
        .set_redis_connection_info(master.clone())
        .set_tcp_settings(target::tcp_settings());
    let info = tls.into_iter().fold(info, SentinelNodeConnectionInfo::set_tls_mode);
    let client = SentinelClient::build(
        named.sentinels.clone(),
        named.master.clone(),
        Some(info),
        SentinelServerType::Master,
    )?;
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_WITHIN))
        .set_response_timeout(None);
    Ok(SentinelConnection::new(client, config))
}
