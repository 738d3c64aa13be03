//! The start: a Redis that is not there yet is waited for, within a deadline.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use ratelimit_client::redis::RedisError;

use crate::backend::Ping;
use crate::settings::Settings;

/// How soon Redis is asked again.
const ASK_EVERY: Duration = Duration::from_millis(100);
const TELL_EVERY: Duration = Duration::from_secs(1);
/// Of these says an error that it is about user or password. The cluster's client hands on a node's
/// error as text alone, so that text is what is looked at.
const OF_PASSWORDS: [&str; 3] = ["AuthenticationFailed", "NOAUTH", "WRONGPASS"];
/// A Redis that answers so does answer: what the user may not do is told by what it does.
const NO_PERMISSION: &str = "NOPERM";

/// `Err`: it has not come within the deadline, or it refuses user and password, which waiting does
/// not change.
pub(crate) async fn wait_for_redis(settings: &Settings, ping: Option<Ping>) -> Result<(), String> {
    let (Some(ping), Some(within)) = (ping, settings.start_deadline) else { return Ok(()) };
    let name = settings.target.name();
    let why = RefCell::new("no answer yet".to_owned());
    tokio::select! {
        answered = answers(&ping, &why) => {
            answered.map_err(|error| format!("{name} refuses this service (REDIS_URL has user and password): {error}"))
        }
        () = tell(&name, &why, within) => {
            let why = why.borrow();
            Err(format!("{name} has not answered within {within:?} (START_DEADLINE): {why}"))
        }
    }
}

/// Until it answers. `Err`: it refuses user and password.
async fn answers(ping: &Ping, why: &RefCell<String>) -> Result<(), RedisError> {
    loop {
        let Err(error) = ping().await else { return Ok(()) };
        let said = error.to_string();
        if OF_PASSWORDS.iter().any(|word| said.contains(word)) {
            return Err(error);
        }
        if error.code() == Some(NO_PERMISSION) {
            return Ok(());
        }
        why.replace(said);
        tokio::time::sleep(ASK_EVERY).await;
    }
}

/// A line each second, until the deadline.
async fn tell(server: &str, why: &RefCell<String>, within: Duration) {
    let start = Instant::now();
    loop {
        let left = within.saturating_sub(start.elapsed());
        tokio::time::sleep(left.min(TELL_EVERY)).await;
        let left = within.saturating_sub(start.elapsed());
        if left.is_zero() {
            return;
        }
        let (why, left_s) = (why.borrow().clone(), left.as_secs_f64().ceil() as u64);
        tracing::warn!(server, why, left_s, "waiting for Redis");
    }
}
