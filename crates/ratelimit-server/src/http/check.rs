//! `POST /v1/check`, `/v1/peek` and `/v1/check/batch`: decisions for any program.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, Response};
use futures_util::future::join_all;
use ratelimit_client::{Algorithm, Answer, Call, Error, Failure, Policy, Quota, Retry, Source};
use serde::Serialize;

use crate::app::App;
use crate::http::body::{self, Json};
use crate::http::problem::Problem;
use crate::policies::window;
use crate::policies::words::{self, Wrong, ALGORITHM_RULE};
use crate::policies::V1;
use crate::settings::MAX_LIMIT;
use crate::telemetry::metrics::source_name;

const MOST_CHECKS: usize = 100;
pub(super) const MAX_KEY_BYTES: usize = 1024;

/// A call, judged.
#[derive(Debug)]
struct Asked {
    key: String,
    policy: Policy,
    cost: u64,
}

impl Asked {
    fn call(&self) -> Call<'_> {
        Call::new(&self.key, &self.policy).cost(self.cost)
    }

    async fn check(&self, app: &App) -> Result<Answer, Error> {
        app.check(self.call(), &self.key, V1, &app.v1).await
    }
}

pub(crate) async fn check(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Body,
) -> Response<Body> {
    let decided = async {
        let asked = asked(read(&app, &headers, body).await?)?;
        Ok(asked.check(&app).await?)
    };
    respond(decided.await.map(|answer| Decided::new(&answer, &app.instance)))
}

pub(crate) async fn peek(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Body,
) -> Response<Body> {
    let decided = async {
        let asked = asked(read(&app, &headers, body).await?)?;
        let answer = app.limiter.peek_call(asked.call()).await;
        Ok(answer.inspect_err(|error| app.note_error(error, V1))?)
    };
    respond(decided.await.map(|answer| Decided::new(&answer, &app.instance)))
}

/// All are judged before the first is asked; each is decided for itself.
pub(crate) async fn batch(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Body,
) -> Response<Body> {
    let decided = async {
        let checks = checks(read(&app, &headers, body).await?)?;
        let answers = join_all(checks.iter().map(|asked| asked.check(&app))).await;
        let result = |answer: Result<Answer, Error>| match answer {
            Ok(answer) => BatchResult::Decided(Decided::new(&answer, &app.instance)),
            Err(error) => BatchResult::Failed { problem: error.into() },
        };
        Ok(Results { results: answers.into_iter().map(result).collect() })
    };
    respond(decided.await)
}

async fn read(app: &App, headers: &HeaderMap, body: Body) -> Result<Json, Problem> {
    body::read(headers, body, app.settings.request_deadline).await
}

fn respond(decided: Result<impl Serialize, Problem>) -> Response<Body> {
    let mut response = match decided {
        Ok(value) => {
            let text = serde_json::to_string(&value).expect("numbers and names are JSON");
            let mut response = Response::new(Body::from(text));
            let content_type = HeaderValue::from_static("application/json");
            response.headers_mut().insert(CONTENT_TYPE, content_type);
            response
        }
        Err(problem) => problem.response(),
    };
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The decision as it is written.
#[derive(Serialize)]
struct Decided<'a> {
    allowed: bool,
    #[serde(flatten)]
    binding: Standing,
    source: &'static str,
    instance: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    windows: Vec<Standing>,
}

/// As in the reply of the command: a wait of −1 where waiting does not help.
#[derive(Serialize)]
struct Standing {
    limit: u64,
    remaining: u64,
    retry_after_ms: i64,
    reset_after_ms: u64,
}

impl<'a> Decided<'a> {
    fn new(answer: &Answer, instance: &'a str) -> Self {
        let windows =
            answer.windows.iter().map(|window| Standing::new(&window.quota, window.retry));
        Self {
            allowed: answer.is_allowed(),
            binding: Standing::new(answer.quota(), answer.retry()),
            source: source_name(answer.source),
            instance,
            failure: match answer.source {
                Source::Local(failure) | Source::FailedOpen(failure) => Some(failure_name(failure)),
                _ => None,
            },
            windows: windows.collect(),
        }
    }
}

impl Standing {
    fn new(quota: &Quota, retry: Retry) -> Self {
        Self {
            limit: quota.limit,
            remaining: quota.remaining,
            retry_after_ms: match retry {
                Retry::Now => 0,
                Retry::After(wait) => wait.as_millis() as i64,
                Retry::Never => -1,
            },
            reset_after_ms: quota.reset_after.as_millis() as u64,
        }
    }
}

#[derive(Serialize)]
struct Results<'a> {
    results: Vec<BatchResult<'a>>,
}

/// Of one check in a batch.
#[derive(Serialize)]
#[serde(untagged)]
enum BatchResult<'a> {
    Decided(Decided<'a>),
    Failed { problem: Problem },
}

fn failure_name(failure: Failure) -> &'static str {
    match failure {
        Failure::Deadline => "deadline",
        Failure::Connection => "connection",
        Failure::Server => "server",
        Failure::CircuitOpen => "circuit_open",
    }
}

fn checks(json: Json) -> Result<Vec<Asked>, Wrong> {
    let [checks] = fields(json, ["checks"])?;
    let rule =
        || Wrong::new("checks", format!("checks must be a list of 1 to {MOST_CHECKS} checks"));
    let Some(Json::List(checks)) = checks else { return Err(rule()) };
    if checks.is_empty() || checks.len() > MOST_CHECKS {
        return Err(rule());
    }
    let at = |(i, check)| asked(check).map_err(|wrong| wrong.inside(&format!("checks[{i}]")));
    checks.into_iter().enumerate().map(at).collect()
}

fn asked(json: Json) -> Result<Asked, Wrong> {
    let names = ["key", "limit", "window", "windows", "algorithm", "burst", "cost"];
    let [key, limit, window, windows, algorithm, burst, cost] = fields(json, names)?;
    let key = self::key(key)?;
    let pairs = match (limit, window, windows) {
        (limit, window, None) => vec![pair(limit, window)?],
        (None, None, Some(windows)) => pairs(windows)?,
        _ => return Err(Wrong::new("windows", "windows stands instead of limit and window")),
    };
    let algorithm = match algorithm {
        None => Algorithm::Fixed,
        Some(Json::Text(name)) => words::algorithm(&name).ok_or_else(unknown_algorithm)?,
        Some(_) => return Err(unknown_algorithm()),
    };
    let burst = burst.map(|burst| integer("burst", Some(burst), 1)).transpose()?;
    let cost = cost.map_or(Ok(1), |cost| integer("cost", Some(cost), 1))?;
    Ok(Asked { key, policy: words::policy(algorithm, &pairs, burst)?, cost })
}

fn unknown_algorithm() -> Wrong {
    Wrong::new("algorithm", ALGORITHM_RULE)
}

pub(super) fn has_good_length(key: &str) -> bool {
    (1..=MAX_KEY_BYTES).contains(&key.len())
}

fn key(key: Option<Json>) -> Result<String, Wrong> {
    match key {
        Some(Json::Text(key)) if has_good_length(&key) => Ok(key),
        _ => {
            let rule = format!("key must be a text of 1 to {MAX_KEY_BYTES} bytes");
            Err(Wrong::new("key", rule))
        }
    }
}

fn pairs(windows: Json) -> Result<Vec<(u64, Duration)>, Wrong> {
    let rule = || Wrong::new("windows", "windows must be a list of 1 to 8 of {limit, window}");
    let Json::List(windows) = windows else { return Err(rule()) };
    if windows.is_empty() {
        return Err(rule());
    }
    let one = |window| {
        let [limit, window] = fields(window, ["limit", "window"])?;
        pair(limit, window)
    };
    let at =
        |(i, window)| one(window).map_err(|wrong: Wrong| wrong.inside(&format!("windows[{i}]")));
    windows.into_iter().enumerate().map(at).collect()
}

fn pair(limit: Option<Json>, window: Option<Json>) -> Result<(u64, Duration), Wrong> {
    let limit = integer("limit", limit, 0)?;
    let window = match window {
        Some(Json::Text(text)) => window::parse(&text),
        Some(Json::Number(number)) => number.as_u64().and_then(window::from_seconds),
        _ => None,
    };
    Ok((limit, window.ok_or_else(|| Wrong::new("window", words::window_rule()))?))
}

fn integer(field: &str, json: Option<Json>, least: u64) -> Result<u64, Wrong> {
    let number = match json {
        Some(Json::Number(number)) => number.as_u64(),
        _ => None,
    };
    let rule = || format!("{field} must be an integer between {least} and {MAX_LIMIT}");
    number
        .filter(|number| (least..=MAX_LIMIT).contains(number))
        .ok_or_else(|| Wrong::new(field, rule()))
}

/// The fields of an object by these names; another name, or one twice, is wrong.
fn fields<const N: usize>(json: Json, names: [&str; N]) -> Result<[Option<Json>; N], Wrong> {
    let Json::Object(entries) = json else {
        return Err(Wrong::new("", format!("an object is expected, of {}", names.join(", "))));
    };
    let mut found = [const { None }; N];
    for (name, value) in entries {
        let Some(i) = names.iter().position(|known| *known == name) else {
            let rule = format!("unknown field; known are {}", names.join(", "));
            return Err(Wrong::new(shortened(name), rule));
        };
        if found[i].replace(value).is_some() {
            return Err(Wrong::new(names[i], format!("{} is given twice", names[i])));
        }
    }
    Ok(found)
}

/// A stranger's name for a field may be as long as it likes.
fn shortened(name: String) -> String {
    name.chars().take(64).collect()
}
