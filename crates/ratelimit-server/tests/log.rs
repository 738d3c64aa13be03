//! The log: a line for each denial, fewer in a flood, readable by machines, with keys hidden on demand.

use ratelimit_harness::eventually;

use crate::service::Settings;

#[test]
fn each_denial_is_a_line_with_time_key_policy_and_wait() {
    let service = Settings::memory().set("RATE_LIMIT", 2).start();
    service.statuses(4);
    eventually("two lines", || service.log("denied").len() == 2);
    let line = &service.log("denied")[0];
    assert_eq!(
        (&line["key"], &line["policy"]),
        (&"default:ip:127.0.0.1".into(), &"default".into())
    );
    assert!(
        (1..=60_000).contains(&line["retry_after_ms"].as_u64().expect("milliseconds")),
        "{line}"
    );
    let time = line["timestamp"].as_str().expect("a time");
    assert!(time.starts_with("20") && time.ends_with('Z'), "{time}");

    service.check(r#"{"key":"user:42","limit":1,"window":60,"cost":2}"#);
    eventually("the third line", || service.log("denied").len() == 3);
    let line = &service.log("denied")[2];
    assert_eq!((&line["key"], &line["policy"]), (&"user:42".into(), &"v1".into()));
    assert_eq!(line["retry_after_ms"], -1, "it never passes");
}

#[test]
fn in_a_flood_lines_are_left_out_and_counted() {
    let service = Settings::memory().set("RATE_LIMIT", 0).start();
    let number = 300;
    assert_eq!(service.statuses(number), vec![429; number]);
    let count_of = |message| -> u64 {
        let lines = service.log(message);
        lines.iter().filter_map(|line| line["left_out"].as_u64()).sum()
    };
    eventually("all denials are counted", || {
        let lines = service.log("denied").len() as u64;
        lines + count_of("denied") + count_of("denials left out") == number as u64
    });
    let left_out = service.metric("ratelimit_denial_logs_left_out_total");
    assert_eq!(left_out as usize, number - service.log("denied").len());
    // Ten a second; on a slow machine the flood takes several seconds.
    assert!(left_out > 0.0, "300 denials within 30 seconds are a flood");
}

#[test]
fn digests_of_keys_are_the_same_for_the_same_secret() {
    let digest = |secret: &str| {
        let settings = Settings::memory().set("RATE_LIMIT", 0).set("HASH_KEYS", "true");
        let service = settings.set("HASH_SECRET", secret).start();
        service.statuses(2);
        eventually("two lines", || service.log("denied").len() == 2);
        let lines = service.log("denied");
        assert_eq!(lines[0]["key"], lines[1]["key"]);
        let everything = service.raw_log().join("\n") + &service.get("/metrics").body;
        assert!(!everything.contains("ip:127"), "{everything}");
        let key = lines[0]["key"].as_str().expect("text").to_owned();
        assert_eq!(service.metric(&format!("ratelimit_denied_top{{key=\"{key}\"}}")), 2.0);
        key
    };
    assert_eq!(digest("a"), digest("a"));
    assert_ne!(digest("a"), digest("b"));
}

#[test]
fn a_key_cannot_forge_a_line() {
    let check = r#"{"key":"a\nforged level=ERROR \u001b[31m\" x=\"","limit":0,"window":1}"#;
    let json = Settings::memory().start();
    json.check(check);
    eventually("a line", || json.log("denied").len() == 1);
    assert_eq!(json.log("denied")[0]["key"], "a\nforged level=ERROR \u{1b}[31m\" x=\"");

    let metrics = json.get("/metrics").body;
    let top: Vec<_> =
        metrics.lines().filter(|line| line.starts_with("ratelimit_denied_top{")).collect();
    assert_eq!(
        top,
        ["ratelimit_denied_top{key=\"a\\nforged level=ERROR \u{1b}[31m\\\" x=\\\"\"} 1"]
    );

    let text = Settings::memory().set("LOG_FORMAT", "text").start();
    text.check(check);
    eventually("a line", || text.raw_log().iter().any(|line| line.contains("denied")));
    let lines = text.raw_log();
    assert!(
        lines.iter().all(|line| line.starts_with("20") && !line.contains('\u{1b}')),
        "{lines:?}"
    );
    let line = lines.iter().find(|line| line.contains("denied")).expect("a line");
    let key = r#"key="a\nforged level=ERROR \u{1b}[31m\" x=\"" policy="v1" retry_after_ms=-1"#;
    assert!(line.contains(key), "{line}");
}

#[test]
fn a_rejected_call_is_described_only_in_the_log() {
    let server = crate::service::server();
    server.connect().must("ACL SETUSER weak on >x ~nothing +@all");
    let weak = Settings::at(&format!("redis://weak:x@127.0.0.1:{}", server.port()));
    let weak = weak.set("ON_REDIS_FAILURE", "closed").start();
    let answer = weak.post("/v1/check", r#"{"key":"k","limit":1,"window":1}"#);
    assert_eq!(answer.status, 503);
    assert!(!answer.body.contains("weak") && !answer.body.contains("NOPERM"), "{}", answer.body);
    let ready = weak.get("/readyz").body;
    assert!(!ready.contains("weak") && !ready.contains("NOPERM"), "{ready}");
    eventually("a line", || weak.log("decided without Redis").len() == 1);
    let line = &weak.log("decided without Redis")[0];
    assert_eq!(line["level"], "ERROR");
    assert!(line["why"].as_str().expect("text").contains("NOPERM"), "{line}");

    server.connect().must("LPUSH ratelimit:list:fixed x");
    let strong = Settings::on(&server).start();
    let check = r#"{"key":"list","limit":1,"window":1}"#;
    for _ in 0..100 {
        assert_eq!(strong.post("/v1/check", check).status, 409);
    }
    let lines = strong.log("not decided");
    assert!((1..100).contains(&lines.len()), "a flood is thinned out");
    assert_eq!(lines[0]["level"], "ERROR");
}
