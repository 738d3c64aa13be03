//! The limiter of these settings, over a connection that may come later and comes back by itself.

use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ratelimit_client::redis::aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig};
use ratelimit_client::redis::cluster::ClusterClientBuilder;
use ratelimit_client::redis::sentinel::{
    SentinelClient, SentinelNodeConnectionInfo, SentinelServerType,
};
use ratelimit_client::redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, Pipeline,
    RedisError, RedisFuture, RedisResult, TlsMode, Value,
};
use ratelimit_client::{Limiter, OnFailure, SentinelConnection};

use crate::settings::{OnRedisFailure, Settings};
use crate::target::{self, Sentinels, Target};

/// Longer than a check may take: a new connection has more to do.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// Denied keys that are known here: some 200 bytes each.
const MOST_DENIALS: usize = 100_000;

/// `Err`: the settings cannot be used. A server that is not there is no error.
pub(crate) fn limiter(settings: &Settings) -> Result<Limiter, String> {
    let builder = match &settings.target {
        Target::Memory => Limiter::memory(settings.memory_keys),
        Target::Server(info) => {
            let connection = server(info).map_err(|error| refused(&error))?;
            Limiter::redis(connection, on_failure(settings))
        }
        Target::Cluster(nodes) => {
            Limiter::redis(cluster(nodes).map_err(|error| refused(&error))?, on_failure(settings))
        }
        Target::Sentinel(named) => {
            Limiter::redis(sentinel(named).map_err(|error| refused(&error))?, on_failure(settings))
        }
    };
    let builder = builder.prefix(&settings.key_prefix).suffix_by_algorithm();
    Ok(match settings.remember_denials {
        Some(longest) => builder.remember_denials(MOST_DENIALS, longest).build(),
        None => builder.build(),
    })
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

/// A connection that cannot be made without its server: until it is there every call fails at once.
#[derive(Clone)]
struct Late<C>(Arc<OnceLock<C>>);

impl<C: Send + Sync + 'static> Late<C> {
    fn when<F, Connecting>(connect: F) -> Self
    where
        F: Fn() -> Connecting + Send + 'static,
        Connecting: Future<Output = RedisResult<C>> + Send,
    {
        let late = Self(Arc::default());
        let slot = Arc::clone(&late.0);
        tokio::spawn(async move {
            loop {
                match connect().await {
                    Ok(connection) => return drop(slot.set(connection)),
                    Err(_) => tokio::time::sleep(TRY_AGAIN_AFTER).await,
                }
            }
        });
        late
    }
}

impl<C: ConnectionLike + Clone + Send + Sync> ConnectionLike for Late<C> {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            let mut connection = self.0.get().cloned().ok_or_else(not_yet)?;
            connection.req_packed_command(command).await
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            let mut connection = self.0.get().cloned().ok_or_else(not_yet)?;
            connection.req_packed_commands(pipeline, offset, count).await
        })
    }

    fn get_db(&self) -> i64 {
        self.0.get().map_or(0, C::get_db)
    }
}

fn not_yet() -> RedisError {
    (ErrorKind::Io, "not connected yet").into()
}
