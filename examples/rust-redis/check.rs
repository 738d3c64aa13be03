//! check key [cost]: 5 calls a minute, with the crate `redis` alone.
use redis::AsyncConnectionConfig;
use std::{env, process::ExitCode, time::Duration};

async fn check(key: &str, cost: &str) -> redis::RedisResult<[i64; 5]> {
    let url = env::var("REDIS_URL").unwrap_or("redis://127.0.0.1:6379".to_owned());
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(Duration::from_secs(1)))
        .set_response_timeout(Some(Duration::from_secs(1)));
    let client = redis::Client::open(url)?;
    let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
    let mut command = redis::cmd("RATELIMIT.CHECK");
    command.arg(key).arg(5).arg(60).arg("COST").arg(cost).query_async(&mut connection).await
}

#[tokio::main]
async fn main() -> ExitCode {
    let words: Vec<_> = env::args().collect();
    let cost = words.get(2).map_or("1", String::as_str);
    match check(&words[1], cost).await {
        Ok([1, _limit, remaining, ..]) => println!("allowed, {remaining} remaining"),
        Ok([_, _, _, -1, _]) => println!("denied, can never pass"),
        Ok([_, _, _, retry_after_ms, _]) => println!("denied, retry in {retry_after_ms} ms"),
        Err(error) => {
            eprintln!("unchecked: {error}"); // let it pass or deny it: your choice
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
