//! The body of a request: JSON, of bounded size, in bounded time, no name given twice.

use std::fmt;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

use crate::http::problem::Problem;

/// A hundred checks with the longest keys, and some.
pub(crate) const MOST_BYTES: usize = 1024 * 1024;

const MOST_DISCARDED: u64 = 8 * 1024 * 1024;

/// A JSON value whose objects keep what they were given, in order.
#[derive(Debug)]
pub(crate) enum Json {
    Null,
    Bool,
    Number(Number),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// Reads it whole.
pub(crate) async fn read(
    headers: &HeaderMap,
    body: Body,
    within: Duration,
) -> Result<Json, Problem> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = content_type.and_then(|text| text.split(';').next()).unwrap_or("").trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        let rule = "content-type must be application/json";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, rule));
    }
    if body.size_hint().lower() > MOST_DISCARDED {
        return Err(too_long());
    }
    let mut bytes = Vec::new();
    match tokio::time::timeout(within, collect(body, &mut bytes)).await {
        _ if bytes.len() > MOST_BYTES => return Err(too_long()),
        Ok(Ok(())) => {}
        Ok(Err(_)) => {
            return Err(Problem::new(StatusCode::BAD_REQUEST, "the body did not arrive whole"));
        }
        Err(_) => {
            return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "the body came too slowly"));
        }
    };
    serde_json::from_slice(&bytes).map_err(|error| {
        let detail = format!("the body must be JSON: {error}");
        Problem::new(StatusCode::BAD_REQUEST, detail)
    })
}

/// At most a chunk more than [`MOST_BYTES`]; what comes then is discarded, because a client that is
/// still sending may not see an answer before which the connection ends.
async fn collect(mut body: Body, bytes: &mut Vec<u8>) -> Result<(), axum::Error> {
    let mut discarded = 0;
    while let Some(frame) = body.frame().await {
        let Ok(chunk) = frame?.into_data() else { continue };
        if bytes.len() <= MOST_BYTES {
            bytes.extend_from_slice(&chunk);
            continue;
        }
        discarded += chunk.len() as u64;
        if discarded > MOST_DISCARDED {
            break;
        }
    }
    Ok(())
}

fn too_long() -> Problem {
    let rule = format!("the body must have at most {MOST_BYTES} bytes");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, rule)
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Json, E> {
        Ok(Json::Bool)
    }

    fn visit_u64<E>(self, number: u64) -> Result<Json, E> {
        Ok(Json::Number(number.into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Json, E> {
        Ok(Json::Number(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Json, E> {
        Ok(Number::from_f64(number).map_or(Json::Null, Json::Number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Json, A::Error> {
        let mut object = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            object.push(entry);
        }
        Ok(Json::Object(object))
    }
}
