//! `POST /v1/check`, `/v1/peek` and `/v1/check/batch`: decisions for any program.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, Response};
use futures_util::future::join_all;
use ratelimit_client::{Answer, Call, Error, Failure, Policy, Quota, Retry, MAX_LIMIT, MAX_PAIRS};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::body::{self, few};
use super::problem::Problem;
use crate::app::App;
use crate::budget::Room;
use crate::policies::words::{Object, PairWords, PolicyWords, Word, Wrong};
use crate::policies::V1;
use crate::units::millis;

const MAX_CHECKS: usize = 100;
const MAX_KEY_BYTES: usize = 1024;

/// The body of a batch.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct BatchWords {
    #[serde(deserialize_with = "few::<_, _, { MAX_CHECKS + 1 }>")]
    checks: Option<Vec<Object<CheckWords>>>,
}

/// The body of a check or a peek: key and cost, and the words of the policy.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct CheckWords {
    key: Word,
    limit: Word,
    window: Word,
    #[serde(deserialize_with = "few::<_, _, { MAX_PAIRS + 1 }>")]
    windows: Option<Vec<Object<PairWords>>>,
    algorithm: Word,
    burst: Word,
    cost: Word,
}

/// A check or a peek, valid.
#[derive(Debug)]
struct CheckRequest {
    key: String,
    policy: Policy,
    cost: u64,
}

impl CheckRequest {
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
        let (words, _room) = read::<CheckWords>(&app, &headers, body).await?;
        Ok(words.validate()?.check(&app).await?)
    };
    respond(decided.await.map(|answer| Decided::new(&answer, &app.instance)))
}

pub(crate) async fn peek(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Body,
) -> Response<Body> {
    let decided = async {
        let (words, _room) = read::<CheckWords>(&app, &headers, body).await?;
        let answer = app.limiter.peek_call(words.validate()?.call()).await;
        app.fallbacks.note(&answer, V1, &app.limiter);
        Ok(answer.inspect_err(|error| app.note_error(error, V1))?)
    };
    respond(decided.await.map(|answer| Decided::new(&answer, &app.instance)))
}

/// All checks are validated before the first is decided; each is decided for itself.
pub(crate) async fn batch(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Body,
) -> Response<Body> {
    let decided = async {
        let (words, _room) = read::<BatchWords>(&app, &headers, body).await?;
        let checks = words.validate()?;
        let answers = join_all(checks.iter().map(|request| request.check(&app))).await;
        let result = |answer: Result<Answer, Error>| match answer {
            Ok(answer) => BatchResult::Decided(Decided::new(&answer, &app.instance)),
            Err(error) => BatchResult::Failed { problem: error.into() },
        };
        Ok(Results { results: answers.into_iter().map(result).collect() })
    };
    respond(decided.await)
}

async fn read<'a, T>(
    app: &'a App,
    headers: &HeaderMap,
    body: Body,
) -> Result<(T, Room<'a>), Problem>
where
    T: DeserializeOwned,
{
    body::read(headers, body, app.settings.request_deadline, &app.bodies).await
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

/// A decision in JSON.
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

/// The numbers of the command's reply.
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
            answer.standings.iter().map(|window| Standing::new(&window.quota, window.retry));
        Self {
            allowed: answer.is_allowed(),
            binding: Standing::new(answer.quota(), answer.retry()),
            source: answer.source.as_str(),
            instance,
            failure: answer.source.failure().map(Failure::as_str),
            windows: windows.collect(),
        }
    }
}

impl Standing {
    fn new(quota: &Quota, retry: Retry) -> Self {
        Self {
            limit: quota.limit,
            remaining: quota.remaining,
            retry_after_ms: retry.to_wire(),
            reset_after_ms: millis(quota.reset_after),
        }
    }
}

#[derive(Serialize)]
struct Results<'a> {
    results: Vec<BatchResult<'a>>,
}

/// The result of one check in a batch.
#[derive(Serialize)]
#[serde(untagged)]
enum BatchResult<'a> {
    Decided(Decided<'a>),
    Failed { problem: Problem },
}

impl BatchWords {
    fn validate(self) -> Result<Vec<CheckRequest>, Wrong> {
        let checks = self.checks.unwrap_or_default();
        if !(1..=MAX_CHECKS).contains(&checks.len()) {
            let message = format!("checks must be a list of 1 to {MAX_CHECKS} checks");
            return Err(Wrong::new("checks", message));
        }
        let inside = |(i, Object(words)): (usize, Object<CheckWords>)| {
            words.validate().map_err(|wrong| wrong.inside(&format!("checks[{i}]")))
        };
        checks.into_iter().enumerate().map(inside).collect()
    }
}

impl CheckWords {
    fn validate(self) -> Result<CheckRequest, Wrong> {
        let Self { key, limit, window, windows, algorithm, burst, cost } = self;
        let key = match key {
            Word::Text(key) => valid_key(key)?,
            _ => valid_key(String::new())?,
        };
        let policy = PolicyWords { limit, window, windows, algorithm, burst }.validate()?;
        let cost = match cost {
            Word::Missing => 1,
            cost => cost.integer("cost", 1..=MAX_LIMIT)?,
        };
        Ok(CheckRequest { key, policy, cost })
    }
}

pub(super) fn valid_key(key: String) -> Result<String, Wrong> {
    if !(1..=MAX_KEY_BYTES).contains(&key.len()) {
        let message = format!("key must be a text of 1 to {MAX_KEY_BYTES} bytes");
        return Err(Wrong::new("key", message));
    }
    Ok(key)
}
