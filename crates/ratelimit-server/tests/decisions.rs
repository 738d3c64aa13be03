//! `/v1/check`, `/v1/peek`, `/v1/check/batch`: the decisions and the errors of the command.

use ratelimit_harness::{error_text, servers, Setup, ALGORITHMS};
use serde_json::{json, Value};

use crate::service::{server, Service, Settings};

#[test]
fn a_decision_has_the_numbers_of_the_command() {
    let server = server();
    let service = Settings::on(&server).set("INSTANCE", "one").set("REMEMBER_DENIALS", 0).start();
    let cases = [
        (json!({"limit": 2, "window": 60}), "2 60"),
        (json!({"limit": 3, "window": "500s", "algorithm": "SLIDING"}), "3 500 ALGORITHM SLIDING"),
        (
            json!({"limit": 2, "window": "1h", "algorithm": "bucket", "burst": 4, "cost": 3}),
            "2 1h ALGORITHM BUCKET BURST 4 COST 3",
        ),
        (json!({"limit": 2, "window": 60, "cost": 3}), "2 60 COST 3"),
        (json!({"limit": 0, "window": "1d"}), "0 1d"),
        (
            json!({"windows": [{"limit": 1, "window": "1m"}, {"limit": 5, "window": "1h"}]}),
            "1 1m 5 1h",
        ),
    ];
    for (i, (mut check, words)) in cases.into_iter().enumerate() {
        check["key"] = json!(format!("k{i}"));
        let mut connection = server.connect();
        for _ in 0..3 {
            let decided = service.check(&check.to_string());
            let peeked = service.post("/v1/peek", &check.to_string()).json();
            assert_eq!(
                (&decided["source"], &decided["instance"]),
                (&json!("module"), &json!("one"))
            );
            let reply = connection.must(&format!("RATELIMIT.CHECK direct-{i} {words}"));
            let numbers = reply.array().iter().take(5).map(|n| n.integer()).collect::<Vec<_>>();
            assert_eq!(decided["allowed"], numbers[0] == 1, "{words}");
            assert_eq!(decided["limit"], numbers[1], "{words}");
            assert_eq!(decided["remaining"], numbers[2], "{words}");
            assert_near(&decided["retry_after_ms"], numbers[3], words);
            assert_near(&decided["reset_after_ms"], numbers[4], words);
            assert_eq!(decided.get("windows").is_some(), reply.array().len() == 6, "{words}");
            assert_eq!(peeked["remaining"], decided["remaining"], "a peek counts nothing: {words}");
        }
    }
}

/// A wait gets shorter between two calls; −1 and 0 stay.
fn assert_near(number: &Value, expected: i64, words: &str) {
    let number = number.as_i64().expect("an integer");
    let same_kind = number.signum() == expected.signum();
    assert!(same_kind && (number - expected).abs() < 30_000, "{words}: {number}, {expected}");
}

#[test]
fn a_wrong_request_gets_the_field_and_the_rule() {
    let service = Settings::memory().start();
    let text = |name| error_text(name).strip_prefix("ERR ").expect("a code").to_owned();
    let key = "key must be a text of 1 to 1024 bytes".to_owned();
    let cost = text("Cost");
    let cases: Vec<(Value, &str, String)> = vec![
        (json!({"limit": 1, "window": 1}), "key", key.clone()),
        (json!({"key": "", "limit": 1, "window": 1}), "key", key.clone()),
        (json!({"key": 7, "limit": 1, "window": 1}), "key", key.clone()),
        (json!({"key": "k".repeat(1025), "limit": 1, "window": 1}), "key", key),
        (json!({"key": "k"}), "limit", text("Limit")),
        (json!({"key": "k", "limit": -1, "window": 1}), "limit", text("Limit")),
        (json!({"key": "k", "limit": 1.5, "window": 1}), "limit", text("Limit")),
        (json!({"key": "k", "limit": "5", "window": 1}), "limit", text("Limit")),
        (json!({"key": "k", "limit": 1_000_000_000_001u64, "window": 1}), "limit", text("Limit")),
        (json!({"key": "k", "limit": 1}), "window", text("Window")),
        (json!({"key": "k", "limit": 1, "window": 0}), "window", text("Window")),
        (json!({"key": "k", "limit": 1, "window": "1w"}), "window", text("Window")),
        (json!({"key": "k", "limit": 1, "window": "367d"}), "window", text("Window")),
        (
            json!({"key": "k", "limit": 1, "window": 1, "algorithm": "x"}),
            "algorithm",
            text("Algorithm"),
        ),
        (
            json!({"key": "k", "limit": 1, "window": 1, "algorithm": null}),
            "algorithm",
            text("Algorithm"),
        ),
        (json!({"key": "k", "limit": 1, "window": 1, "cost": 0}), "cost", cost.clone()),
        (json!({"key": "k", "limit": 1, "window": 1, "cost": 1_000_000_000_001u64}), "cost", cost),
        (json!({"key": "k", "limit": 1, "window": 1, "burst": 1}), "burst", text("BurstAlgorithm")),
        (
            json!({"key": "k", "limit": 1, "window": 1, "burst": 0, "algorithm": "bucket"}),
            "burst",
            text("Burst"),
        ),
        (
            json!({"key": "k", "limit": 1, "window": "366d", "burst": 99, "algorithm": "bucket"}),
            "burst",
            text("BurstRefill"),
        ),
        (
            json!({"key": "k", "algorithm": "bucket", "burst": 2,
                "windows": [{"limit": 1, "window": 1}, {"limit": 1, "window": 2}]}),
            "burst",
            text("BurstPairs"),
        ),
        (
            json!({"key": "k", "windows": [{"limit": 1, "window": 60}, {"limit": 2, "window": "1m"}]}),
            "windows[1].window",
            text("SameWindow"),
        ),
        (
            json!({"key": "k", "windows": [{"limit": 1, "window": 60}, {"limit": -2, "window": 61}]}),
            "windows[1].limit",
            text("Limit"),
        ),
        (
            json!({"key": "k", "windows": (1..10).map(|n| json!({"limit": n, "window": n})).collect::<Vec<_>>()}),
            "windows[8]",
            text("TooManyPairs"),
        ),
        (
            json!({"key": "k", "windows": []}),
            "windows",
            "windows must be a list of 1 to 8 of {limit, window}".to_owned(),
        ),
        (
            json!({"key": "k", "limit": 1, "windows": [{"limit": 1, "window": 1}]}),
            "windows",
            "windows stands instead of limit and window".to_owned(),
        ),
        (
            json!({"key": "k", "limit": 1, "window": 1, "lmit": 1}),
            "lmit",
            format!("unknown field; expected one of {KNOWN}"),
        ),
        (
            json!({"key": "k", "windows": [{"limit": 1, "window": 1}, {"window": 2, "lmit": 1}]}),
            "windows[1].lmit",
            "unknown field; expected `limit` or `window`".to_owned(),
        ),
        (
            json!({"key": "k", "windows": [{"limit": 1, "window": 1}, [2, 2]]}),
            "windows[1]",
            "expected an object".to_owned(),
        ),
        (json!({"key": "k", "windows": null}), "windows", "expected a list".to_owned()),
        (json!({"key": "k", "windows": "hush"}), "windows", "expected a list".to_owned()),
    ];
    for (body, field, rule) in cases {
        for path in ["/v1/check", "/v1/peek"] {
            assert_rejected(&service, path, &body.to_string(), field, &rule);
        }
        let batch = json!({"checks": [{"key": "k", "limit": 1, "window": 1}, body]}).to_string();
        assert_rejected(&service, "/v1/check/batch", &batch, &format!("checks[1].{field}"), &rule);
    }
    let decided = service.check(r#"{"key":"k","limit":1,"window":1}"#);
    assert_eq!(decided["allowed"], true, "nothing of a rejected batch was counted");
}

const KNOWN: &str = "`key`, `limit`, `window`, `windows`, `algorithm`, `burst`, `cost`";

#[track_caller]
fn assert_rejected(service: &Service, path: &str, body: &str, field: &str, rule: &str) {
    let answer = service.post(path, body);
    let problem = answer.json();
    assert_eq!(answer.status, 400, "{path} {body}: {problem}");
    assert_eq!(answer.field("content-type"), "application/problem+json");
    assert_eq!((&problem["field"], &problem["detail"]), (&json!(field), &json!(rule)), "{body}");
    assert_eq!((&problem["status"], &problem["title"]), (&json!(400), &json!("Bad Request")));
}

#[test]
fn only_an_object_of_known_fields_is_accepted() {
    let service = Settings::memory().start();
    let deep = "[".repeat(100_000);
    for body in ["", "{", "[]", "null", "1", "\"k\"", r#"{"key":"k"} x"#, &deep] {
        let answer = service.post("/v1/check", body);
        assert_eq!(answer.status, 400, "{body:.20}: {}", answer.body);
        assert!(answer.body.len() < 500, "{}", answer.body);
    }
    for (body, field) in [
        (r#"{"key":"a","key":"b","limit":1,"window":1}"#, "key"),
        (r#"{"key":"a","windows":[{"limit":1,"limit":1,"window":1}]}"#, "windows[0].limit"),
    ] {
        let name = field.rsplit('.').next().expect("a name");
        let rule = format!("{name} is given twice");
        assert_rejected(&service, "/v1/check", body, field, &rule);
        let batch = format!(r#"{{"checks":[{{"key":"k","limit":1,"window":1}},{body}]}}"#);
        let field = format!("checks[1].{field}");
        assert_rejected(&service, "/v1/check/batch", &batch, &field, &rule);
    }
    let long = "x".repeat(1000);
    let unknown = format!(r#"{{"{long}":1}}"#);
    let rule = format!("unknown field; expected one of {KNOWN}");
    assert_rejected(&service, "/v1/check", &unknown, &long[..100], &rule);
    let list = r#"["k",1,1]"#;
    assert!(service.post("/v1/check", list).json()["detail"] == "expected an object");
    let batch = format!(r#"{{"checks":[{list}]}}"#);
    assert_rejected(&service, "/v1/check/batch", &batch, "checks[0]", "expected an object");
    let request =
        crate::service::agent().post(format!("http://127.0.0.1:{}/v1/check", service.port()));
    let answer = request.content_type("text/plain").send("{}").expect("an answer");
    assert_eq!(answer.status(), 415);
}

#[test]
fn a_batch_decides_each_check_for_itself_in_order() {
    let server = server();
    server.connect().must("SET ratelimit:foreign:fixed hello");
    let service = Settings::on(&server).start();
    let check = |key: &str| json!({"key": key, "limit": 1, "window": 60});
    let checks = json!({"checks": [check("a"), check("b"), check("a"), check("foreign")]});
    let results = service.post("/v1/check/batch", &checks.to_string()).json();
    let allowed: Vec<_> =
        results["results"].as_array().expect("a list").iter().map(|r| &r["allowed"]).collect();
    assert_eq!(allowed, [&json!(true), &json!(true), &json!(false), &Value::Null]);
    assert_eq!(results["results"][3]["problem"]["status"], 409);

    let many = |number| json!({"checks": vec![check("many"); number]}).to_string();
    assert_eq!(service.post("/v1/check/batch", &many(100)).status, 200);
    let rule = "checks must be a list of 1 to 100 checks";
    for number in [0, 101] {
        assert_rejected(&service, "/v1/check/batch", &many(number), "checks", rule);
    }
}

#[test]
fn simultaneous_callers_each_get_their_own_answer() {
    for setup in [Setup::module(&servers()[0]), Setup::plain(&servers()[0])] {
        let server = setup.start();
        server.connect().must("SET ratelimit:foreign:fixed hello");
        let service = Settings::on(&server).start();
        std::thread::scope(|threads| {
            for limit in 11..19 {
                let service = &service;
                threads.spawn(move || {
                    let check = format!(r#"{{"key":"k{limit}","limit":{limit},"window":3600}}"#);
                    for remaining in (0..limit).rev() {
                        let decided = service.check(&check);
                        let numbers = (&decided["limit"], &decided["remaining"]);
                        assert_eq!(numbers, (&json!(limit), &json!(remaining)));
                    }
                    // An error reaches only its own caller.
                    let foreign = r#"{"key":"foreign","limit":1,"window":1}"#;
                    assert_eq!(service.post("/v1/check", foreign).status, 409);
                });
            }
        });
    }
}

#[test]
fn a_foreign_key_is_a_conflict_and_stays_unchanged() {
    let server = server();
    let mut connection = server.connect();
    connection.must("SET ratelimit:text:fixed hello EX 100");
    connection.must("LPUSH ratelimit:list:fixed 1");
    let service = Settings::on(&server).start();
    for (key, detail) in [
        ("text", error_text("Foreign").strip_prefix("ERR ").expect("a code").to_owned()),
        ("list", "key holds another type of value".to_owned()),
    ] {
        let check = json!({"key": key, "limit": 1, "window": 60}).to_string();
        let answer = service.post("/v1/check", &check);
        assert_eq!((answer.status, &answer.json()["detail"]), (409, &json!(detail)));
    }
    assert_eq!(connection.must("GET ratelimit:text:fixed").text(), "hello");
}

#[test]
fn each_algorithm_has_its_own_key() {
    let service = Settings::memory().start();
    for algorithm in ALGORITHMS {
        let check = json!({"key": "k", "limit": 1, "window": 60, "algorithm": algorithm});
        assert_eq!(service.check(&check.to_string())["allowed"], true, "{algorithm}");
        assert_eq!(service.check(&check.to_string())["allowed"], false, "{algorithm}");
    }
}
