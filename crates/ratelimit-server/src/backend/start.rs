//! The start: waits for Redis, up to a deadline.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use crate::backend::Ping;
use crate::settings::Settings;

const PING_EVERY: Duration = Duration::from_millis(100);
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// Words by which an error is recognised as a login failure. The cluster's client passes a node's
/// error on as text only, so the text is searched.
const LOGIN_FAILURES: [&str; 3] = ["AuthenticationFailed", "NOAUTH", "WRONGPASS"];
/// This error still proves that Redis is up; missing rights show at the first check.
const NO_PERMISSION: &str = "NOPERM";

/// `Err`: Redis has not answered by the deadline, or it rejects user and password, which waiting does
/// not change.
pub(crate) async fn wait_for_redis(settings: &Settings, ping: Option<Ping>) -> Result<(), String> {
    let (Some(ping), Some(within)) = (ping, settings.start_deadline) else { return Ok(()) };
    let name = settings.target.name();
    let why = RefCell::new("no answer yet".to_owned());
    tokio::select! {
        answered = answers(&ping, &why) => {
            answered.map_err(|error| format!("{name} rejects the user or the password: {error}"))
        }
        () = report(&name, &why, within) => {
            let why = why.borrow();
            Err(format!("{name} has not answered within {within:?} (START_DEADLINE): {why}"))
        }
    }
}

/// Until it answers. `Err`: it rejects user and password.
async fn answers(ping: &Ping, why: &RefCell<String>) -> Result<(), String> {
    loop {
        let Err(error) = ping().await else { return Ok(()) };
        // Whatever answers at this address may send any bytes.
        let message = error.to_string().replace(char::is_control, "?");
        if LOGIN_FAILURES.iter().any(|word| message.contains(word)) {
            return Err(message);
        }
        if error.code() == Some(NO_PERMISSION) {
            return Ok(());
        }
        why.replace(message);
        tokio::time::sleep(PING_EVERY).await;
    }
}

/// Logs a line each second, until the deadline.
async fn report(server: &str, why: &RefCell<String>, within: Duration) {
    let start = Instant::now();
    loop {
        let left = within.saturating_sub(start.elapsed());
        tokio::time::sleep(left.min(REPORT_EVERY)).await;
        let left = within.saturating_sub(start.elapsed());
        if left.is_zero() {
            return;
        }
        let (why, left_s) =
            (why.borrow().clone(), left.as_secs() + u64::from(left.subsec_nanos() > 0));
        tracing::warn!(server, why, left_s, "waiting for Redis");
    }
}
