//! check key [cost]: 5 calls a minute and 50 an hour, with only the crate `redis`.
use redis::{cluster::ClusterClient, AsyncConnectionConfig, Value};
use std::{env, process::ExitCode, time::Duration};

const DEADLINE: Duration = Duration::from_secs(1);

async fn check(key: &str, cost: &str) -> redis::RedisResult<Vec<Value>> {
    let url = env::var("REDIS_URL").unwrap_or("redis://127.0.0.1:6379".to_owned());
    let mut command = redis::cmd("RATELIMIT.CHECK");
    command.arg(key).arg(&[5, 60, 50, 3600]).arg("COST").arg(cost);
    // For a cluster: REDIS_CLUSTER=1, and the URL of any of its nodes.
    if env::var_os("REDIS_CLUSTER").is_some() {
        // No retries: a call that timed out may have been counted.
        let client = ClusterClient::builder([url])
            .connection_timeout(DEADLINE)
            .response_timeout(DEADLINE)
            .retries(0)
            .build()?;
        return command.query_async(&mut client.get_async_connection().await?).await;
    }
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(DEADLINE))
        .set_response_timeout(Some(DEADLINE));
    let client = redis::Client::open(url)?;
    let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
    command.query_async(&mut connection).await
}

fn unchecked(why: impl std::fmt::Display) -> ExitCode {
    eprintln!("unchecked: {why}"); // let it pass or deny it: your choice
    ExitCode::FAILURE
}

#[tokio::main]
async fn main() -> ExitCode {
    let words: Vec<_> = env::args().collect();
    let cost = words.get(2).map_or("1", String::as_str);
    let reply = match check(&words[1], cost).await {
        Ok(reply) => reply,
        Err(error) => return unchecked(error),
    };
    match &*reply {
        [Value::Int(1), _, Value::Int(remaining), ..] => println!("allowed, {remaining} remaining"),
        [_, _, _, Value::Int(-1), ..] => println!("denied, can never pass"),
        [_, _, _, Value::Int(retry_after_ms), ..] => {
            println!("denied, retry in {retry_after_ms} ms");
        }
        _ => return unchecked("a reply of another form"),
    }
    ExitCode::SUCCESS
}
