//! The settings: their sources, which source overrides which, and the message for a wrong value.

use ratelimit_harness::eventually;

use crate::service::{server, Settings};

#[test]
fn flags_override_the_environment_and_it_overrides_the_file() {
    let limit = |settings: Settings| {
        let service = settings.start();
        service.get("/").field("ratelimit-policy").to_owned()
    };
    let file = || Settings::memory().file(".env", "RATE_LIMIT=2\nTIME_WINDOW=\"7\"\n# a comment\n");
    assert_eq!(limit(Settings::memory()), r#""default";q=5;w=60"#);
    assert_eq!(limit(file()), r#""default";q=2;w=7"#);
    assert_eq!(limit(file().set("RATE_LIMIT", 3)), r#""default";q=3;w=7"#);
    assert_eq!(limit(file().set("RATE_LIMIT", 3).flag("--rate-limit=4")), r#""default";q=4;w=7"#);
    assert_eq!(limit(file().set("RATE_LIMIT", "")), r#""default";q=5;w=7"#, "empty is not set");
}

#[test]
fn a_dollar_in_the_file_is_kept() {
    let server = server();
    server.connect().must("CONFIG SET requirepass pa$HOME$1");
    let url = format!("redis://:pa$HOME$1@127.0.0.1:{}", server.port());
    let settings = Settings::bare().file(".env", &format!("REDIS_URL={url}\nINSTANCE=\"a$b\"\n"));
    let service = settings.set("PORT", 0).set("LOG_FORMAT", "json").set("REDIS_DEADLINE", "20s");
    let answer = service.start().check(r#"{"key":"k","limit":1,"window":60}"#);
    assert_eq!((&answer["source"], &answer["instance"]), (&"module".into(), &"a$b".into()));
}

#[test]
fn a_host_may_be_an_address_in_brackets() {
    let settings = Settings::bare().set("REDIS_HOST", "[::1]").set("REDIS_PORT", 1).set("PORT", 0);
    let service = settings.set("LOG_FORMAT", "json").set("START_DEADLINE", 0).start();
    assert_eq!(service.log("listening")[0]["backend"], "::1:1");
}

#[test]
fn a_mapped_address_of_a_proxy_is_the_address() {
    for proxies in ["::ffff:127.0.0.1", "::ffff:127.0.0.0/104"] {
        let service =
            Settings::memory().set("TRUSTED_PROXIES", proxies).set("RATE_LIMIT", 1).start();
        let status_of = |client| service.get_with("/", &[("X-Forwarded-For", client)]).status;
        assert_eq!([status_of("192.0.2.1"), status_of("192.0.2.2")], [200, 200], "{proxies}");
    }
}

#[test]
fn secrets_can_come_from_files() {
    let server = server();
    server.connect().must("ACL SETUSER limiter on >hush-hush ~* +@all");
    let address = format!("redis://127.0.0.1:{}", server.port());
    let decides = |settings: Settings| {
        let settings =
            settings.set("PORT", 0).set("REDIS_DEADLINE", "20s").set("LOG_FORMAT", "json");
        let service = settings.start();
        assert_eq!(service.check(r#"{"key":"k","limit":9,"window":60}"#)["source"], "module");
        service
    };
    let with_url = address.replace("//", "//limiter:hush-hush@");
    decides(Settings::bare().file("url", &format!("{with_url}\n")).set("REDIS_URL_FILE", "url"));
    let user = || Settings::bare().set("REDIS_URL", &address).set("REDIS_USER", "limiter");
    decides(user().set("REDIS_PASSWORD", "hush-hush"));
    decides(user().file("password", "hush-hush\r\n").set("REDIS_PASSWORD_FILE", "password"));
    let hashed = || {
        let settings = Settings::memory().set("HASH_KEYS", true).set("RATE_LIMIT", 0);
        let service = settings.file("secret", "s\n").set("HASH_SECRET_FILE", "secret").start();
        service.get("/");
        eventually("a line", || !service.log("denied").is_empty());
        service.log("denied")[0]["key"].clone()
    };
    assert_eq!(hashed(), hashed());

    for (text, why) in [("", "must hold one line"), ("hush\nhush\n", "must hold one line")] {
        let settings = user().file("password", text).set("REDIS_PASSWORD_FILE", "password");
        let (code, message) = settings.refusal();
        assert!(code == 2 && message.contains(why) && !message.contains("hush"), "{message}");
    }
    let twice = user().set("REDIS_PASSWORD", "hush").set("REDIS_PASSWORD_FILE", "password");
    let (code, message) = twice.refusal();
    assert!(code == 2 && message.contains("REDIS_PASSWORD is set too"), "{message}");
    let twice = Settings::bare().set("REDIS_URL", &with_url).set("REDIS_PASSWORD", "other-hush");
    let (code, message) = twice.refusal();
    assert!(code == 2 && message.contains("REDIS_URL has a password"), "{message}");
    assert!(!message.contains("hush"), "{message}");
}

#[test]
fn the_server_can_be_named_by_host_and_port() {
    let server = server();
    let settings = Settings::bare().set("REDIS_HOST", "127.0.0.1").set("REDIS_PORT", server.port());
    let settings = settings.set("PORT", 0).set("LOG_FORMAT", "json").set("REDIS_DEADLINE", "20s");
    let service = settings.set("KEY_PREFIX", "app:").start();
    assert_eq!(service.get("/").status, 200);
    let keys = server
        .connect()
        .must("KEYS *default:*")
        .array()
        .iter()
        .map(|key| key.text())
        .collect::<Vec<_>>();
    assert_eq!(keys, ["app:default:ip:127.0.0.1:fixed"]);
}

#[test]
fn credentials_reach_the_server_and_not_the_log() {
    let server = server();
    server.connect().must("ACL SETUSER limiter on >hush-hush ~* +@all");
    let url = |password| format!("redis://limiter:{password}@127.0.0.1:{}/3", server.port());
    let service = Settings::at(&url("hush-hush")).flag("--log-level=debug").start();
    assert_eq!(service.get("/").status, 200);
    let mut connection = server.connect();
    connection.must("SELECT 3");
    assert_eq!(connection.must("EXISTS ratelimit:default:ip:127.0.0.1:fixed").integer(), 1);

    let wrong = Settings::at(&url("other-hush")).flag("--log-level=debug");
    let wrong = wrong.set("START_DEADLINE", 0).start();
    eventually("the log says so", || !wrong.log("the backend does not decide").is_empty());
    let answers = wrong.get("/readyz").body + &wrong.post("/v1/check", "{}").body;
    for message in [service.raw_log().join("\n"), wrong.raw_log().join("\n"), answers] {
        assert!(!message.contains("hush"), "{message}");
    }
}

#[test]
fn a_wrong_value_stops_the_start_with_variable_and_rule() {
    let integer = "must be an integer between";
    let time = "must be an integer with an optional unit ms, s, m, h or d, between 1ms and 366d";
    let cases = [
        ("BACKEND", "mysql", "must be redis or memory"),
        ("REDIS_HOST", "redis://h", "must be a host name or an IP address"),
        ("REDIS_HOST", "[::1", "must be a host name or an IP address"),
        ("REDIS_HOST", "[h]", "must be a host name or an IP address"),
        ("REDIS_HOST", "h:6380", "must be a host name or an IP address"),
        ("REDIS_HOST", "[::1]:6380", "must be a host name or an IP address"),
        ("REDIS_HOST", "a b", "must be a host name or an IP address"),
        ("REDIS_URL", "rediss://h/#insecure", "must have no #"),
        ("REDIS_URL_FILE", "none", "none: No such file"),
        ("REDIS_USER", "u", "must both be set"),
        ("REDIS_PASSWORD_FILE", "none", "none: No such file"),
        ("REDIS_SENTINEL_PASSWORD", "p", "need a REDIS_URL with sentinels"),
        ("REDIS_CA_FILE", "none", "none: No such file"),
        ("REDIS_CERT_FILE", "none", "need each other"),
        ("REDIS_KEY_FILE", "none", "need each other"),
        ("REDIS_PORT", "0", integer),
        ("REDIS_PORT", "65536", integer),
        ("REDIS_URL", "localhost", "must be redis://"),
        ("REDIS_URL", "redis-sentinel://h", "must be redis://"),
        ("REDIS_DEADLINE", "0", time),
        ("START_DEADLINE", "-1", time),
        ("ON_REDIS_FAILURE", "panic", "must be local or open or closed"),
        ("INSTANCES", "0", integer),
        ("MEMORY_KEYS", "many", integer),
        ("REMEMBER_DENIALS", "-1", time),
        ("BIND", "localhost", "must be an IP address"),
        ("PORT", "-1", integer),
        ("PORT", "+1", integer),
        ("RATE_LIMIT", "five", integer),
        ("RATE_LIMIT", "1000000000001", integer),
        ("TIME_WINDOW", "1w", time),
        ("ALGORITHM", "leaky", "must be FIXED, SLIDING or BUCKET"),
        ("BURST", "0", integer),
        ("BURST", "9", "burst requires ALGORITHM BUCKET"),
        ("KEY_BY", "cookie", "must be address, bearer, api-key or header:NAME"),
        ("KEY_BY", "header:a b", "must be address, bearer, api-key or header:NAME"),
        ("TRUSTED_PROXIES", "10.0.0.0/8,proxy", "must be a list of addresses and networks"),
        ("ALLOWED_HOSTS", "a.example:3000", "must be a list of names without port"),
        ("IPV4_PREFIX", "33", integer),
        ("IPV6_PREFIX", "0", integer),
        ("COUNT_OPTIONS", "no", "must be true or false"),
        ("EXPOSE_FIELDS", "no", "must be true or false"),
        ("PEERS", "https://h", "must be a list of base URLs"),
        ("INSTANCE", "a b", "must be at most 64 printable ASCII characters"),
        ("LOG_FORMAT", "xml", "must be text or json"),
        ("LOG_LEVEL", "loud", "must be error or warn or info or debug"),
        ("HASH_KEYS", "maybe", "must be true or false"),
        ("MAX_CONNECTIONS", "0", integer),
        ("REQUEST_DEADLINE", "soon", time),
        ("SHUTDOWN_DEADLINE", "soon", time),
    ];
    for (variable, value, rule) in cases {
        let (code, message) = Settings::bare().set(variable, value).refusal();
        assert_eq!(code, 2, "{variable}={value}: {message}");
        let named = message.starts_with("error: ") && message.contains(variable);
        assert!(named && message.contains(rule), "{variable}={value}: {message}");
    }
}

#[test]
fn a_wrong_secret_is_not_repeated() {
    let (_, message) = Settings::bare().set("REDIS_URL", "http://u:hush@h").refusal();
    assert!(
        message.starts_with("error: REDIS_URL must be") && !message.contains("hush"),
        "{message}"
    );
    let (_, message) = Settings::bare().file(".env", "REDIS_URL=hush hush 'hush\n").refusal();
    assert!(
        message.starts_with("error: .env line 1 must be NAME=value") && !message.contains("hush"),
        "{message}"
    );
    let help = Settings::bare().set("REDIS_URL", "hush").set("HASH_SECRET", "hush").flag("--help");
    let help = String::from_utf8(help.output().stdout).expect("text");
    assert!(help.contains("REDIS_URL") && !help.contains("hush"));
}

#[test]
fn an_unknown_flag_and_a_taken_port_are_reported() {
    let (code, message) = Settings::bare().flag("--rate-limits=5").refusal();
    assert!(code == 2 && message.contains("--rate-limit"), "{message}");
    let first = Settings::memory().start();
    let (code, message) = Settings::memory().set("PORT", first.port()).refusal();
    assert!(
        code == 1 && message.contains("BIND, PORT 127.0.0.1:") && message.contains("in use"),
        "{message}"
    );
}

#[test]
fn check_validates_settings_and_policies_and_ends() {
    let server = server();
    let policies = "[[policy]]\nname = \"a\"\nlimit = 1\nwindow = 60\n";
    let good = || Settings::on(&server).set("POLICIES", "p.toml").flag("--check");
    let output = good().file("p.toml", policies).output();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(output.stdout, b"the settings and the policies can be used\n");
    // A taken port and a Redis that is gone are no matter of the settings.
    let running = Settings::memory().start();
    let elsewhere = Settings::at("redis://127.0.0.1:1").set("PORT", running.port());
    assert_eq!(elsewhere.flag("--check").output().status.code(), Some(0));
    let (code, message) = good().file("p.toml", &policies.replace("1", "-1")).refusal();
    assert!(code == 2 && message.starts_with("error: POLICIES p.toml: policy[0]"), "{message}");
    let (code, message) = Settings::bare().set("PORT", "x").flag("--check").refusal();
    assert!(code == 2 && message.starts_with("error: PORT must"), "{message}");
}
