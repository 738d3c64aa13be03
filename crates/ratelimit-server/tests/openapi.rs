//! `/openapi.json` matches the service in each path, method, status and field.

use std::collections::BTreeSet;
use std::io::{BufReader, Read, Write};

use ratelimit_harness::{error_text, ALGORITHMS};
use serde_json::{json, Value};

use crate::service::{agent, server, Answer, Service, Settings};

const CHECK: &str = r#"{"key":"k","limit":1,"window":60}"#;
const BATCH: &str =
    r#"{"checks":[{"key":"a","limit":1,"window":60},{"key":"foreign","limit":1,"window":1}]}"#;

/// What the proxies say of the request that they ask for.
const VISITOR: &[(&str, &str)] =
    &[("X-Original-URI", "/a"), ("X-Original-URL", "http://h/a"), ("X-Forwarded-Uri", "/a")];

#[test]
fn the_description_matches_every_answer_of_the_service() {
    let server = server();
    let mut redis = server.connect();
    redis.must("SET ratelimit:foreign:fixed hello");
    redis.must("ACL SETUSER weak on nopass ~nothing +ping");
    let service = Settings::on(&server).set("REQUEST_DEADLINE", "500ms");
    let service = service.set("REMEMBER_DENIALS", 0).start();
    let weak = format!("redis://weak:x@127.0.0.1:{}", server.port());
    let weak = Settings::at(&weak).start();
    let closed = Settings::nowhere().set("ON_REDIS_FAILURE", "closed").start();
    let document = service.get("/openapi.json").json();
    let mut seen = Seen::new(&document);

    for path in ["/v1/auth", "/v1/auth/ingress", "/v1/auth/forwarded", "/v1/auth/envoy/{path}"] {
        let auth = |from: &Service| from.get_with(path, VISITOR);
        redis.must("DEL ratelimit:default:ip:127.0.0.1:fixed");
        for from in [&service, &weak, &closed] {
            seen.check(path, "get", &auth(from));
        }
        (0..5).for_each(|_| drop(service.get("/")));
        seen.check(path, "get", &auth(&service));
        redis.must("SET ratelimit:default:ip:127.0.0.1:fixed hello");
        let fresh = Settings::on(&server).start();
        let refused = auth(&fresh);
        match path {
            "/v1/auth/ingress" => assert_eq!(refused.status, 403),
            _ => seen.check(path, "get", &refused),
        }
        redis.must("DEL ratelimit:default:ip:127.0.0.1:fixed");
    }
    seen.check("/v1/auth/forwarded", "get", &service.get("/v1/auth/forwarded"));
    for _ in 0..6 {
        seen.check("/", "get", &service.get("/"));
    }
    seen.check("/", "get", &closed.get("/"));
    let by_key = Settings::memory().set("KEY_BY", "api-key").start();
    let two_keys = by_key.get_with("/", &[("X-API-Key", "a"), ("X-API-Key", "b")]);
    seen.check("/", "get", &two_keys);
    for path in ["/v1/check", "/v1/peek"] {
        for body in
            [CHECK, CHECK, "{}", r#"{"key":"foreign","limit":1,"window":1}"#, WINDOWS, NEVER]
        {
            seen.check(path, "post", &service.post(path, body));
        }
        seen.check(path, "post", &weak.post(path, CHECK));
        seen.check(path, "post", &closed.post(path, CHECK));
    }
    seen.check("/v1/check/batch", "post", &service.post("/v1/check/batch", BATCH));
    seen.check("/v1/check/batch", "post", &service.post("/v1/check/batch", "[]"));
    for path in ["/v1/check", "/v1/peek", "/v1/check/batch"] {
        seen.check(path, "post", &service.post(path, &"x".repeat(1_100_000)));
        seen.check(path, "post", &raw(&service, path, "text/plain", 2));
        seen.check(path, "post", &raw(&service, path, "application/json", 9));
    }
    let local = Settings::nowhere().start();
    seen.check("/v1/check", "post", &local.post("/v1/check", CHECK));
    seen.check("/v1/auth", "get", &service.get("/v1/auth"));
    let host = [("host", "elsewhere.example")];
    seen.check("/metrics", "get", &service.get_with("/metrics", &host));
    for path in ["/v1/check", "/v1/peek", "/v1/check/batch"] {
        let url = format!("http://127.0.0.1:{}{path}", service.port());
        let answer = agent().post(url).header(host[0].0, host[0].1).send("{}").expect("an answer");
        seen.check(path, "post", &Answer::read(answer));
    }
    for path in ["/metrics", "/healthz", "/readyz", "/openapi.json"] {
        seen.check(path, "get", &service.get(path));
    }
    seen.check("/readyz", "get", &closed.get("/readyz"));
    seen.assert_complete();
}

const WINDOWS: &str = r#"{"key":"w","windows":[{"limit":1,"window":1},{"limit":2,"window":"1m"}]}"#;
const NEVER: &str = r#"{"key":"n","limit":1,"window":1,"cost":2}"#;

/// Sends a body of two bytes, and may announce a longer one.
fn raw(service: &Service, path: &str, content_type: &str, length: usize) -> Answer {
    let mut stream = service.connect();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {content_type}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{{}}"
    );
    stream.write_all(head.as_bytes()).expect("it listens");
    let mut text = String::new();
    BufReader::new(stream).read_to_string(&mut text).expect("an answer");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let mut headers = ureq::http::HeaderMap::new();
    for line in head.lines().skip(1) {
        let (name, value) = line.split_once(": ").expect("a field");
        let name = ureq::http::HeaderName::try_from(name).expect("a name");
        headers.insert(name, value.parse().expect("a value"));
    }
    Answer { status: head[9..12].parse().expect("a status"), headers, body: body.to_owned() }
}

/// The document, and the answers that were seen so far.
struct Seen<'a> {
    document: &'a Value,
    answers: BTreeSet<(String, String, String)>,
}

impl<'a> Seen<'a> {
    fn new(document: &'a Value) -> Self {
        assert_eq!(document["openapi"], "3.1.0");
        assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
        Self { document, answers: BTreeSet::new() }
    }

    #[track_caller]
    fn check(&mut self, path: &str, method: &str, answer: &Answer) {
        let status = answer.status.to_string();
        let described = self.resolve(&self.document["paths"][path][method]["responses"][&status]);
        assert!(described.is_object(), "{method} {path} answered {status}: {}", answer.body);
        for (name, _) in described["headers"].as_object().into_iter().flatten() {
            assert_ne!(answer.field(&name.to_lowercase()), "", "{method} {path} {status}: {name}");
        }
        match described["content"].as_object() {
            None => assert_eq!(answer.body, "", "{method} {path} {status}"),
            Some(content) => {
                let kind = answer.field("content-type").split(';').next().expect("a type");
                let content = content.get(kind);
                let content = content.unwrap_or_else(|| panic!("{method} {path} {status}: {kind}"));
                if kind.ends_with("json") {
                    let wrong = self.wrong(&content["schema"], &answer.json());
                    assert_eq!(wrong, None, "{method} {path} {status}: {}", answer.body);
                }
            }
        }
        self.answers.insert((path.to_owned(), method.to_owned(), status));
    }

    fn assert_complete(&self) {
        for (path, methods) in self.document["paths"].as_object().expect("paths") {
            for (method, operation) in methods.as_object().expect("methods") {
                for status in operation["responses"].as_object().expect("responses").keys() {
                    let answer = (path.clone(), method.clone(), status.clone());
                    assert!(self.answers.contains(&answer), "never seen: {answer:?}");
                }
            }
        }
    }

    fn resolve(&self, value: &'a Value) -> &'a Value {
        match value["$ref"].as_str() {
            Some(path) => self.document.pointer(path.trim_start_matches('#')).expect("a reference"),
            None => value,
        }
    }

    /// Which rule of a schema a value breaks. Knows only the rules that the document uses.
    fn wrong(&self, schema: &'a Value, value: &Value) -> Option<String> {
        let schema = self.resolve(schema);
        let rules = schema.as_object().expect("a schema");
        rules.iter().find_map(|(rule, expected)| self.breaks(schema, rule, expected, value))
    }

    fn breaks(
        &self,
        schema: &'a Value,
        rule: &str,
        expected: &'a Value,
        value: &Value,
    ) -> Option<String> {
        let broken = |is_broken: bool| is_broken.then(|| format!("{rule} {expected}: {value}"));
        match rule {
            "type" => broken(!is_of_type(expected.as_str().expect("a type"), value)),
            "enum" => broken(!expected.as_array().expect("a list").contains(value)),
            "minimum" => broken(value.as_i64() < expected.as_i64()),
            "required" => {
                let names = expected.as_array().expect("names").iter().filter_map(Value::as_str);
                broken(names.into_iter().any(|name| value.get(name).is_none()))
            }
            "additionalProperties" => {
                assert_eq!(expected, &json!(false));
                let mut names = value.as_object().into_iter().flatten();
                broken(names.any(|(name, _)| schema["properties"].get(name).is_none()))
            }
            "properties" => {
                let mut fields = value.as_object().into_iter().flatten();
                fields.find_map(|(name, field)| self.wrong(expected.get(name)?, field))
            }
            "items" => value.as_array()?.iter().find_map(|item| self.wrong(expected, item)),
            "oneOf" => {
                let schemas = expected.as_array().expect("schemas").iter();
                broken(schemas.filter(|schema| self.wrong(schema, value).is_none()).count() != 1)
            }
            "description" => None,
            other => panic!("the test does not know the rule {other}"),
        }
    }
}

fn is_of_type(name: &str, value: &Value) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        other => panic!("the test does not know the type {other}"),
    }
}

#[test]
fn the_bounds_of_requests_are_those_of_the_service() {
    let service = Settings::memory().start();
    let document = service.get("/openapi.json").json();
    let check = &document["components"]["schemas"]["Check"]["properties"];
    let names: Vec<_> =
        check.as_object().expect("properties").keys().map(|name| format!("`{name}`")).collect();
    let refused = service.post("/v1/check", r#"{"unknown":1}"#).json();
    let detail = refused["detail"].as_str().expect("text");
    let mut known: Vec<_> = detail.rsplit_once("one of ").expect("names").1.split(", ").collect();
    known.sort_unstable();
    assert_eq!(names, known);
    assert_eq!(check["algorithm"]["enum"], json!(ALGORITHMS.map(str::to_lowercase)));
    let (_, bounds) = error_text("Window").rsplit_once(", ").expect("the bounds");
    let window = document["components"]["schemas"]["Window"]["description"].as_str().expect("text");
    assert!(window.contains(bounds), "{window:?} lacks {bounds:?}");

    for name in ["limit", "burst", "cost"] {
        for (bound, step) in [("minimum", -1), ("maximum", 1)] {
            let edge = check[name][bound].as_i64().expect("a bound");
            for (number, status) in [(edge, 200), (edge + step, 400)] {
                let mut body = json!({"key": format!("{name}{bound}"), "limit": 1_000_000_000_000u64,
                    "window": 1, "algorithm": "bucket"});
                body[name] = json!(number);
                let answer = service.post("/v1/check", &body.to_string());
                assert_eq!(answer.status, status, "{body}: {}", answer.body);
            }
        }
    }
    let most = &document["components"]["schemas"]["Batch"]["properties"]["checks"]["maxItems"];
    assert_eq!(most, 100);
}
