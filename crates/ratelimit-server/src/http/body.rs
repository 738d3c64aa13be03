//! The body of a request: a JSON object, of bounded size, in bounded time.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use serde::de::{DeserializeOwned, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::error::Category;

use super::problem::Problem;
use crate::budget::{Budget, Room};
use crate::policies::words::{Object, Wrong};

/// Room for a hundred checks with the longest keys.
pub(crate) const MAX_BYTES: usize = 1024 * 1024;

/// Of a body that is too long, as much as this is read and discarded.
const MAX_DISCARDED: u64 = 8 * 1024 * 1024;
/// The name of an unknown field may be as long as the body.
const MAX_PATH_CHARS: usize = 100;

/// A body up to this size takes no part of what larger bodies hold together, so that no flood of them
/// holds up the usual checks.
const MAX_SMALL_BYTES: usize = 4 * 1024;
/// Reads a JSON object, whole. It keeps its room until the caller has decided.
pub(crate) async fn read<'a, T: DeserializeOwned>(
    headers: &HeaderMap,
    body: Body,
    deadline: Duration,
    bodies: &'a Budget,
) -> Result<(T, Room<'a>), Problem> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = content_type.and_then(|text| text.split(';').next()).unwrap_or("").trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        let message = "content-type must be application/json";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    }
    if body.size_hint().lower() > MAX_DISCARDED {
        return Err(too_long());
    }
    let (mut bytes, mut room) = (Vec::new(), None);
    let is_small = body.size_hint().upper().is_some_and(|most| most <= MAX_SMALL_BYTES as u64);
    let collected = async {
        if !is_small {
            let size = body.size_hint().exact().unwrap_or(MAX_BYTES as u64);
            let size = size.min(MAX_BYTES as u64);
            room = bodies.room_for(u32::try_from(size).expect("a megabyte is less")).await;
        }
        collect(body, &mut bytes).await
    };
    match tokio::time::timeout(deadline, collected).await {
        _ if bytes.len() > MAX_BYTES => return Err(too_long()),
        Err(_) if room.is_none() && !is_small => {
            return Err(Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "too many large bodies at once; try again later",
            ));
        }
        Ok(Ok(())) => {}
        Ok(Err(_)) => {
            return Err(Problem::new(
                StatusCode::BAD_REQUEST,
                "the body did not arrive completely",
            ));
        }
        Err(_) => {
            return Err(Problem::new(
                StatusCode::REQUEST_TIMEOUT,
                "the body took too long to arrive",
            ));
        }
    }
    Ok((parse(&bytes)?, room))
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let not_json = |error: &serde_json::Error| {
        Problem::new(StatusCode::BAD_REQUEST, format!("the body must be JSON: {error}"))
    };
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let object = serde_path_to_error::deserialize(&mut json);
    let Object(value) = object.map_err(|error| match error.inner().classify() {
        Category::Data => wrong(&error).into(),
        _ => not_json(error.inner()),
    })?;
    json.end().map_err(|error| not_json(&error))?;
    Ok(value)
}

/// Which field is wrong, and why. serde gives the reason only as text, which may repeat any part of the
/// body. Kept are what was expected, and the name of an unknown field, cut.
fn wrong(error: &serde_path_to_error::Error<serde_json::Error>) -> Wrong {
    let path = match error.path().to_string() {
        path if path == "." => String::new(),
        path => path.chars().take(MAX_PATH_CHARS).collect(),
    };
    let text = error.inner().to_string();
    if let Some((name, _)) = text.strip_prefix("duplicate field `").and_then(|t| t.split_once('`'))
    {
        let wrong = Wrong::new(name, format!("{name} is given twice"));
        return if path.is_empty() { wrong } else { wrong.inside(&path) };
    }
    let what = if text.starts_with("unknown field") { "unknown field; " } else { "" };
    let expected = text.rsplit_once("expected ").map_or("", |(_, expected)| expected);
    let expected = expected.rsplit_once(" at line ").map_or(expected, |(expected, _)| expected);
    // What JSON calls an array, our other texts call a list.
    let expected = if expected == "a sequence" { "a list" } else { expected };
    Wrong::new(path, format!("{what}expected {expected}"))
}

/// Keeps at most a chunk more than [`MAX_BYTES`]. Reads and discards what follows, because a client
/// that is still sending may miss an answer that comes with the end of the connection.
async fn collect(mut body: Body, bytes: &mut Vec<u8>) -> Result<(), axum::Error> {
    let mut discarded = 0;
    while let Some(frame) = body.frame().await {
        let Ok(chunk) = frame?.into_data() else { continue };
        if bytes.len() <= MAX_BYTES {
            bytes.extend_from_slice(&chunk);
            continue;
        }
        discarded += chunk.len() as u64;
        if discarded > MAX_DISCARDED {
            break;
        }
    }
    Ok(())
}

fn too_long() -> Problem {
    let message = format!("the body must have at most {MAX_BYTES} bytes");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, message)
}

/// A list that is there. Of a longer one only the first `N` items are kept: a short item of JSON can
/// become a hundred times as large in memory.
pub(crate) fn few<'de, D, T, const N: usize>(deserializer: D) -> Result<Option<Vec<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    deserializer.deserialize_seq(Few::<T, N>(PhantomData)).map(Some)
}

struct Few<T, const N: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const N: usize> Visitor<'de> for Few<T, N> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a sequence")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
        let mut few = Vec::new();
        while few.len() < N {
            match items.next_element()? {
                Some(item) => few.push(item),
                None => return Ok(few),
            }
        }
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(few)
    }
}
