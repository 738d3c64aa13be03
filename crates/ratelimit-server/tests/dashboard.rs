//! The live page in a real browser, on two instances and one real server.

use std::path::PathBuf;

use ratelimit_harness::{eventually, servers, Server, Setup, ALGORITHMS};
use serde_json::Value;

use crate::browser::{Browser, ENTER, SPACE};
use crate::service::{agent, free_port, Service, Settings};

const SIMULATION: &str = "/dashboard/simulation";
/// A simulation of two minutes.
const LONG: &str = r#"{"algorithms":["fixed"],"limit":5,"window":"1s","clients":2,"traffic":"steady","rate":10,"seconds":120}"#;

/// A server on a socket, which stays the same after a restart, and two instances, api-1 and api-2.
struct Stage {
    server: Server,
    a: Service,
    b: Service,
}

impl Stage {
    fn start() -> Self {
        let server = Setup::module(&servers()[0]).with("unixsocket ./socket").start();
        let url = format!("redis+unix://{}", server.dir().join("socket").display());
        // Redis makes every decision, so that its count of calls can be compared.
        let settings = || Settings::at(&url).set("REMEMBER_DENIALS", 0).set("INSTANCES", 2);
        let b = settings().set("INSTANCE", "api-2").start();
        let port = free_port();
        let peers = format!("http://127.0.0.1:{port},http://127.0.0.1:{}", b.port());
        let a = settings().set("INSTANCE", "api-1").set("PORT", port).set("PEERS", peers).start();
        Self { server, a, b }
    }

    fn page(&self) -> String {
        format!("http://127.0.0.1:{}/dashboard", self.a.port())
    }

    fn open(&self) -> Browser {
        let browser = Browser::open(1360, 1240);
        browser.go(&self.page());
        browser
    }

    fn decisions(&self, outcome: &str) -> u64 {
        let series = format!(r#"ratelimit_decisions_total{{policy="v1",outcome="{outcome}"}}"#);
        (self.a.metric(&series) + self.b.metric(&series)) as u64
    }
}

fn running(service: &Service) -> u64 {
    service.get("/dashboard/simulations").json()["running"].as_u64().expect("a number")
}

fn figure(algorithm: &str, name: &str) -> String {
    format!("[data-algorithm={algorithm}] [data-figure={name}]")
}

#[test]
fn a_simulation_by_keyboard_has_the_counts_of_the_server() {
    let mut stage = Stage::start();
    let browser = stage.open();
    browser.tab_to("[name=algorithms][value=bucket]");
    browser.press(SPACE);
    for (field, value) in [("limit", "3"), ("window", "1s")] {
        browser.tab_to(&format!("[name={field}]"));
        browser.type_over(value);
    }
    // Tab stops once at the radio buttons; the arrow moves from the last to the first.
    browser.tab_to("[name=traffic]");
    browser.press('\u{e014}');
    for (field, value) in [("clients", "2"), ("rate", "5"), ("seconds", "4")] {
        browser.tab_to(&format!("[name={field}]"));
        browser.type_over(value);
    }
    browser.press(ENTER);
    browser.shows("#state", "Finished");

    let (mut allowed, mut denied) = (0, 0);
    for algorithm in ALGORITHMS.map(str::to_lowercase) {
        let count = |name| browser.number(&figure(&algorithm, name));
        assert_eq!(count("allowed") + count("denied"), 2 * 5 * 4, "{algorithm}");
        // Two clients. Each gets its burst at once, and at least two thirds of the refill.
        assert!((2 * 3..=2 * 3 * 5).contains(&count("allowed")), "{algorithm}");
        allowed += count("allowed");
        denied += count("denied");
    }
    assert_eq!((stage.decisions("allowed"), stage.decisions("denied")), (allowed, denied));
    // The probes of the instances are calls of the server too, but no answers.
    let by_module =
        |service: &Service| service.metric(r#"ratelimit_answers_total{source="module"}"#) as u64;
    assert_eq!(by_module(&stage.a) + by_module(&stage.b), allowed + denied);

    let rows = "return document.querySelectorAll('#log tbody tr').length";
    assert_eq!(browser.run(rows), denied.min(100), "the log has every denial, to its bound");
    let served = |name: &str| browser.number(&format!("[data-instance={name}] :last-child"));
    assert_eq!(served("api-1") + served("api-2"), allowed + denied);
    assert!(served("api-1").abs_diff(served("api-2")) <= 12, "they take turns");
    assert_eq!(browser.errors(), [] as [Value; 0]);
    stage.server.kill();
}

#[test]
fn at_the_edge_of_a_window_only_fixed_allows_twice_the_limit() {
    let stage = Stage::start();
    let browser = stage.open();
    browser.tab_to("[data-preset=boundary]");
    browser.press(ENTER);
    let picture = "return document.querySelector('.rates').toDataURL()";
    browser.shows("#state", "Running");
    let early = browser.run(picture);
    eventually("FIXED allows more", || browser.number(&figure("fixed", "most")) >= 15);
    browser.shows(&figure("fixed", "verdict"), "times the limit");
    browser.shows("#log tbody", "Sliding");
    assert!(browser.number(&figure("sliding", "most")) <= 11);
    assert_ne!(browser.run(picture), early, "the chart moves");
    for name in ["api-1", "api-2"] {
        assert!(browser.number(&format!("[data-instance={name}] :last-child")) > 0);
    }
    keep_picture(&browser);
    browser.run("document.querySelector('#start').focus()");
    browser.press(ENTER);
    browser.shows("#state", "Stopped");
    eventually("it ends with the page's wish", || running(&stage.a) == 0);
}

/// Saves a picture under target/. RATELIMIT_SCREENSHOT names a second place, for a fuller picture.
fn keep_picture(browser: &Browser) {
    let mut places = vec![PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("live-page.png")];
    if let Some(place) = std::env::var_os("RATELIMIT_SCREENSHOT") {
        eventually("two cycles are seen", || browser.number(&figure("fixed", "allowed")) > 120);
        places.push(place.into());
    }
    let picture = browser.screenshot();
    for place in places {
        std::fs::write(&place, from_base64(&picture)).expect("a file");
    }
}

fn from_base64(text: &str) -> Vec<u8> {
    const DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits: Vec<_> = text.chars().filter_map(|digit| DIGITS.find(digit)).collect();
    let bytes = |four: &[usize]| {
        let bits = four.iter().fold(0, |bits, digit| bits << 6 | digit) << (6 * (4 - four.len()));
        let bytes = [(bits >> 16) as u8, (bits >> 8) as u8, bits as u8];
        bytes[..four.len() - 1].to_vec()
    };
    digits.chunks(4).flat_map(bytes).collect()
}

#[test]
fn the_page_shows_that_the_server_is_gone_and_is_back() {
    let mut stage = Stage::start();
    let browser = stage.open();
    browser.run("document.querySelector('[data-preset=shared]').click()");
    browser.shows("#instances", "api-2");
    assert_eq!(browser.text("#trouble"), "");
    stage.server.kill();
    browser.shows("#trouble", "Redis does not answer: every instance decides alone");
    browser.shows("#moments", "Redis gone");
    let server = stage.server.restart();
    browser.shows("#state", "All is well again");
    browser.shows("#moments", "has Redis");
    assert_eq!(browser.text("#trouble"), "");
    drop(server);
}

#[test]
fn the_page_names_an_instance_that_is_gone_and_marks_the_moment() {
    let Stage { server, a, b } = Stage::start();
    let again = Settings::at(&format!("redis+unix://{}", server.dir().join("socket").display()))
        .set("INSTANCE", "api-2")
        .set("PORT", b.port());
    let browser = Browser::open(1360, 1240);
    browser.go(&format!("http://127.0.0.1:{}/dashboard", a.port()));
    browser.run("document.querySelector('[data-preset=bucket]').click()");
    browser.shows("#instances", "api-2");
    // The colour in which moments are drawn, and nothing else of the chart.
    let marked = "const chart = document.querySelector('.rates');
        const { data } = chart.getContext('2d').getImageData(0, 0, chart.width, chart.height);
        const hex = getComputedStyle(chart).getPropertyValue('--denied-text').trim().slice(1);
        const colour = [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16));
        let pixels = 0;
        for (let i = 0; i < data.length; i += 4)
            if (colour.every((part, at) => data[i + at] === part)) pixels += 1;
        return pixels";
    assert_eq!(browser.run(marked), 0);
    drop(b);
    browser.shows("#trouble", "api-2 does not answer.");
    let trouble = browser.text("#trouble");
    assert!(!trouble.contains("Redis") && !trouble.contains("alone"), "{trouble}");
    browser.shows("#instances [data-instance=api-2]", "does not answer");
    browser.shows("#moments", "api-2 gone");
    eventually("the chart marks it", || browser.run(marked).as_u64() > Some(20));
    let again = again.start();
    browser.shows("#moments", "api-2 back");
    eventually("nothing is wrong", || browser.text("#trouble").is_empty());
    drop(again);
}

#[test]
fn one_instance_without_redis_is_not_every_instance() {
    let [server, mut other] = [(); 2].map(|()| Setup::module(&servers()[0]).start());
    let b = Settings::on(&other).set("REMEMBER_DENIALS", 0).set("INSTANCE", "api-2").start();
    let port = free_port();
    let peers = format!("http://127.0.0.1:{port},http://127.0.0.1:{}", b.port());
    let a = Settings::on(&server).set("PORT", port).set("PEERS", peers);
    let a = a.set("REMEMBER_DENIALS", 0).set("INSTANCE", "api-1").start();
    let browser = Browser::open(1360, 1240);
    browser.go(&format!("http://127.0.0.1:{}/dashboard", a.port()));
    browser.run("document.querySelector('[data-preset=bucket]').click()");
    browser.shows("#instances", "api-2");
    other.kill();
    browser.shows("#trouble", "api-2 gets no answer of Redis, and decides alone.");
    assert!(!browser.text("#trouble").contains("every"));
    browser.shows("#moments", "api-2 without Redis");
}

#[test]
fn two_instances_hold_one_limit() {
    let stage = Stage::start();
    let browser = stage.open();
    browser.run("document.querySelector('[data-preset=shared]').click()");
    eventually("two cycles are seen", || browser.number(&figure("fixed", "denied")) > 79);
    browser.shows(&figure("fixed", "verdict"), "Never more than the limit of 20 within 5 s.");
    assert_eq!(browser.text(&figure("fixed", "most")), "20 of 20");
    assert_eq!(browser.run("return document.querySelectorAll('.over').length"), 0);
    for name in ["api-1", "api-2"] {
        browser.shows(&format!("[data-instance={name}]"), " calls");
    }
}

#[test]
fn one_call_is_not_one_calls() {
    let stage = Stage::start();
    let browser = stage.open();
    for field in ["clients", "rate", "seconds"] {
        browser.run(&format!("document.querySelector('[name={field}]').value = 1"));
    }
    browser.run("document.querySelector('[name=traffic][value=steady]').click()");
    browser.run("document.querySelector('[name=algorithms][value=sliding]').click()");
    browser.run("document.querySelector('#start').click()");
    browser.shows("#state", "Finished");
    assert_eq!(browser.text("[data-instance=api-1] :last-child"), "1 call");
}

#[test]
fn charts_side_by_side_have_one_scale() {
    let stage = Stage::start();
    let browser = stage.open();
    browser.run("document.querySelector('[data-preset=boundary]').click()");
    eventually("SLIDING denies", || browser.number(&figure("sliding", "denied")) > 20);
    browser.run("document.querySelector('#start').click()");
    browser.shows("#state", "Stopped");
    // The lowest dark line is the axis of time. FIXED denies nothing, so alone it would be the bottom.
    let axis = "return [...document.querySelectorAll('.rates')].map((chart) => {
        const x = chart.width - 3;
        const { data } = chart.getContext('2d').getImageData(x, 0, 1, chart.height);
        return Array.from({ length: chart.height }, (_, y) => data[4 * y + 3]).findIndex(Boolean);
    })";
    let mut axes = Vec::new();
    eventually("both are drawn", || {
        axes = browser.run(axis).as_array().expect("a list").clone();
        axes[0] == axes[1]
    });
    assert!(axes[0].as_u64().is_some_and(|y| (20..120).contains(&y)), "{axes:?}");
}

#[test]
fn the_first_view_shows_what_a_simulation_would() {
    let stage = Stage::start();
    let browser = stage.open();
    browser.shows("#instances", "api-2");
    browser.shows("#welcome", "Nothing is running yet");
    let panels = || browser.run("return document.querySelectorAll('#panels .panel canvas').length");
    assert_eq!(panels(), 4);
    browser.run("document.querySelector('[name=algorithms][value=bucket]').click()");
    assert_eq!(panels(), 6);
    assert_eq!(running(&stage.a), 0);
}

#[test]
fn the_second_view_shows_what_the_service_does_now() {
    let mut stage = Stage::start();
    for path in ["/"; 7] {
        stage.a.get(path);
    }
    stage.b.check(r#"{"key":"k","limit":1,"window":60}"#);
    let browser = stage.open();
    browser.run("document.querySelector('nav a[href=\"#now\"]').click()");
    browser.shows("#now-instances", "api-2");
    let rows = |id: &str| browser.text(&format!("{id} tbody")).replace('\t', " ");
    eventually("the counts are shown", || {
        rows("#now-policies") == "default * 5/1m 5 2 0\nv1 /v1/check of each call 1 0 0"
    });
    assert_eq!(rows("#now-denied"), "default:ip:127.0.0.1 2");
    assert!(rows("#now-instances").contains("decides 5 2\n"), "{}", rows("#now-instances"));
    assert_eq!(browser.text("#simulation"), "");
    stage.server.kill();
    browser.shows("#now-instances", "does not decide");
    browser.shows("#now-instances", "each instance allows its share of each limit");
    drop(stage.b);
    browser.shows("#now-instances", "api-2\tdoes not answer");
    drop(stage.a);
    browser.shows("#now-lost", "The service does not answer");
}

#[test]
fn the_second_view_shows_policies_of_the_file_and_keys_as_the_log_does() {
    let file = "[[policy]]\nname = \"login\"\nroute = \"/login\"\nmethods = [\"POST\"]\n\
                algorithm = \"sliding\"\nlimit = 1\nwindow = \"1m\"\n";
    let settings = Settings::memory().file("policies.toml", file).set("POLICIES", "policies.toml");
    let service = settings.set("HASH_KEYS", "true").set("HASH_SECRET", "s").start();
    for _ in 0..3 {
        let fields = [("x-original-uri", "/login"), ("x-original-method", "POST")];
        service.get_with("/v1/auth", &fields);
    }
    let now = service.get("/dashboard/now").json()["instances"][0]["now"].clone();
    let login = &now["policies"][0];
    assert_eq!((&login["name"], &login["limit"]), (&"login".into(), &"1/1m sliding".into()));
    assert_eq!(login["requests"], "POST /login");
    assert_eq!((&login["allowed"], &login["denied"]), (&1.into(), &2.into()));
    let denied = &now["denied_most"][0];
    let key = denied["key"].as_str().expect("a key");
    assert_eq!((key.as_bytes()[0], &denied["count"]), (b'#', &2.into()));
    assert_eq!(service.log("denied")[0]["key"], key, "as in the log");
}

#[test]
fn axe_finds_nothing() {
    let axe = std::env::var("RATELIMIT_AXE").expect("RATELIMIT_AXE: run `make test`");
    let axe = std::fs::read_to_string(axe).expect("the rules");
    let stage = Stage::start();
    let browser = stage.open();
    let check = |what: &str| {
        let script = format!(
            "{axe};
             return axe.run().then(({{ violations }}) =>
                violations.flatMap(({{ id, nodes }}) =>
                    nodes.map(({{ html, failureSummary }}) => `${{id}}: ${{html}}: ${{failureSummary}}`)))"
        );
        assert_eq!(browser.run(&script), Value::Array(Vec::new()), "{what}");
    };
    for scheme in ["light", "dark"] {
        browser.prefer("prefers-color-scheme", scheme);
        browser.go("about:blank");
        browser.go(&stage.page());
        browser.shows("#instances", "api-2");
        check(&format!("{scheme}, nothing runs"));
        browser.run("document.querySelector('[data-preset=boundary]').click()");
        browser.shows("#log tbody", "Sliding");
        check(&format!("{scheme}, it runs"));
        browser.resize(390, 800);
        check(&format!("{scheme}, on a phone"));
        browser.resize(1360, 1240);
        browser.run("location.hash = '#now'");
        browser.shows("#now-denied", "sliding");
        check(&format!("{scheme}, what the service does now"));
    }
}

#[test]
fn reduced_motion_is_respected() {
    let stage = Stage::start();
    let browser = stage.open();
    let pictures = "const chart = document.querySelector('.rates'), seen = new Set();
        return new Promise((resolve) => {
            const look = setInterval(() => seen.add(chart.toDataURL()), 50);
            setTimeout(() => { clearInterval(look); resolve(seen.size); }, 1500);
        })";
    let transition =
        "return getComputedStyle(document.querySelector('#progress')).transitionDuration";
    browser.run("document.querySelector('[data-preset=bucket]').click()");
    browser.shows("#state", "Running");
    assert!(browser.run(pictures).as_u64() > Some(4));
    assert_ne!(browser.run(transition), "0s");
    browser.prefer("prefers-reduced-motion", "reduce");
    assert_eq!(browser.run(transition), "0s");
    assert!(browser.run(pictures).as_u64() <= Some(3));
}

#[test]
fn the_page_goes_on_after_a_restart_of_its_instance() {
    let Stage { server, a, b } = Stage::start();
    let peers = format!("http://127.0.0.1:{},http://127.0.0.1:{}", a.port(), b.port());
    let url = format!("redis+unix://{}", server.dir().join("socket").display());
    let again =
        Settings::at(&url).set("INSTANCE", "api-3").set("PORT", a.port()).set("PEERS", peers);
    let browser = Browser::open(1360, 1240);
    browser.go(&format!("http://127.0.0.1:{}/dashboard", a.port()));
    browser.run("document.querySelector('[data-preset=shared]').click()");
    browser.shows("#instances", "api-1");
    drop(a);
    browser.shows("#state", "does not answer");
    let again = again.start();
    browser.shows("#moments", "Running again");
    browser.shows("#instances", "api-3");
    assert!(browser.text("#instances").contains("api-1"), "what was counted before is kept");
    assert_eq!(running(&again), 1);
}

#[test]
fn a_simulation_ends_with_its_page_and_with_its_instance() {
    let mut stage = Stage::start();
    let browser = stage.open();
    browser.run("document.querySelector('[data-preset=shared]').click()");
    eventually("it runs", || running(&stage.a) == 1);
    drop(browser);
    eventually("it ends with the page", || running(&stage.a) == 0);

    let stream = stage.a.connect();
    begin(&stream, LONG);
    eventually("it runs", || running(&stage.a) == 1);
    stage.a.signal("-TERM");
    assert!(stage.a.ended().success(), "an open stream does not hold up the end");
}

#[test]
fn at_most_eight_simulations_run_at_a_time() {
    let service = Settings::memory().start();
    let streams: Vec<_> = (0..8).map(|_| service.connect()).collect();
    for stream in &streams {
        begin(stream, LONG);
    }
    eventually("all run", || running(&service) == 8);
    assert_eq!(service.post(SIMULATION, LONG).status, 503);
    drop(streams);
    eventually("none runs", || running(&service) == 0);
}

fn begin(mut stream: &std::net::TcpStream, body: &str) {
    use std::io::Write;
    let head = "Host: localhost\r\nContent-Type: application/json";
    let length = body.len();
    write!(
        stream,
        "POST {SIMULATION} HTTP/1.1\r\n{head}\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .expect("sent");
}

#[test]
fn hostile_parameters_are_answered_by_field_and_rule() {
    let service = Settings::memory().start();
    let cases = [
        (
            r#""limit":5"#,
            r#""limit":-5"#,
            "limit",
            "limit must be an integer between 0 and 1000000000000",
        ),
        (
            r#""seconds":120"#,
            r#""seconds":121"#,
            "seconds",
            "seconds must be an integer between 1 and 120",
        ),
        (
            r#""clients":2"#,
            r#""clients":"2""#,
            "clients",
            "clients must be an integer between 1 and 20",
        ),
        (
            r#""rate":10"#,
            r#""rate":501"#,
            "rate",
            "rate x clients x algorithms with steady traffic must be at most 1000",
        ),
        (r#""seconds":120"#, r#""seconds":1,"seconds":1"#, "seconds", "seconds is given twice"),
        (r#""1s""#, r#""\u0000""#, "window", "window must be an integer with an optional unit"),
        (r#"["fixed"]"#, r#""fixed""#, "algorithms", "expected a list"),
        (r#""limit":5"#, r#""limits":5"#, "limits", "unknown field; expected one of"),
    ];
    for (usual, hostile, field, rule) in cases {
        let answer = service.post(SIMULATION, &LONG.replace(usual, hostile));
        let problem = answer.json();
        assert_eq!((answer.status, &problem["field"]), (400, &field.into()), "{hostile}");
        let detail = problem["detail"].as_str().expect("text");
        assert!(detail.starts_with(rule), "{detail}");
    }
    for body in ["", "{", "[]", "\"\"", &"[".repeat(3000)] {
        let answer = service.post(SIMULATION, body);
        assert_eq!(answer.status, 400, "{body}");
    }
    assert_eq!(running(&service), 0);
}

#[test]
fn only_a_post_of_json_from_the_own_origin_starts_a_simulation() {
    let service = Settings::memory().start();
    let url = format!("http://127.0.0.1:{}{SIMULATION}", service.port());
    let status = |fields: &[(&str, &str)]| {
        let mut request = agent().post(&url);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.send(LONG).expect("an answer").status().as_u16()
    };
    assert_eq!(service.get(SIMULATION).status, 405);
    const JSON: (&str, &str) = ("content-type", "application/json");
    for simple in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
        assert_eq!(status(&[("content-type", simple)]), 415, "{simple}");
    }
    for foreign in ["http://evil.example", "http://127.0.0.1:1", "https://127.0.0.1", "null"] {
        assert_eq!(status(&[JSON, ("origin", foreign)]), 403, "{foreign}");
    }
    for site in ["cross-site", "same-site", "none"] {
        assert_eq!(status(&[JSON, ("sec-fetch-site", site)]), 403, "{site}");
    }
    assert_eq!(running(&service), 0);
    let own = format!("http://127.0.0.1:{}", service.port());
    assert_eq!(status(&[JSON, ("origin", &own)]), 200);
}

/// The page of an attacker tries everything that a browser lets it send.
const ATTACK: &str = r#"
    const address = `${service}/dashboard/simulation`;
    const query = 'algorithms=fixed&limit=5&window=1s&clients=2&traffic=steady&rate=10&seconds=120';
    const body = JSON.stringify({ algorithms: ['fixed'], limit: 5, window: '1s', clients: 2,
        traffic: 'steady', rate: 10, seconds: 120 });
    new Image().src = `${address}?${query}`;
    new EventSource(`${address}?${query}`);
    const attempts = [];
    const attempt = (options) => attempts.push(fetch(address, { method: 'POST', body, ...options }));
    attempt({ mode: 'no-cors' });
    attempt({ mode: 'no-cors', headers: { 'Content-Type': 'application/json' } });
    attempt({ headers: { 'Content-Type': 'application/json' } });
    attempt({ headers: { 'Content-Type': 'text/plain' } });
    attempt({ mode: 'no-cors', body: new Blob([body], { type: 'text/plain;application/json' }) });
    navigator.sendBeacon(address, new Blob([body], { type: 'application/json' }));
    navigator.sendBeacon(address, body);
    for (const [method, enctype] of [['get', ''], ['post', 'text/plain'],
        ['post', 'application/x-www-form-urlencoded'], ['post', 'multipart/form-data']]) {
        const frame = Object.assign(document.createElement('iframe'), { name: `${method} ${enctype}` });
        const form = Object.assign(document.createElement('form'),
            { action: `${address}?${query}`, method, enctype, target: frame.name });
        // As text/plain this is JSON: {"...", "=": ""}
        form.append(Object.assign(document.createElement('input'),
            { name: body.slice(0, -1) + ',"', value: '":""}' }));
        document.body.append(frame, form);
        form.submit();
    }
    window.open(`${address}?${query}`);
    return Promise.allSettled(attempts).then((all) => all.map(({ status }) => status).join());
"#;

#[test]
fn no_page_of_another_site_starts_a_simulation() {
    let service = Settings::memory().set("ALLOWED_HOSTS", "service.example").start();
    let attacker = Settings::memory().start();
    // A name is no secure context, and the browser then sends no Sec-Fetch-Site; an address of this
    // machine is one.
    let browser = Browser::open_with(1000, 800, &["--host-resolver-rules=MAP *.example 127.0.0.1"]);
    for (host, visited) in [("127.0.0.1", "evil.example"), ("service.example", "evil.example")] {
        browser.go(&format!("http://{visited}:{}/healthz", attacker.port()));
        let target = format!("const service = 'http://{host}:{}';", service.port());
        let attempts = browser.run(&format!("{target}{ATTACK}"));
        assert!(attempts.as_str().expect("a list").contains("rejected"), "{attempts}");
        std::thread::sleep(std::time::Duration::from_millis(500));
        assert_eq!(running(&service), 0, "{host}");
        browser.go(&format!("http://{host}:{}{SIMULATION}", service.port()));
        assert_eq!(running(&service), 0, "by navigation to {host}");
    }
    let started = service.metric(r#"ratelimit_decisions_total{policy="v1",outcome="allowed"}"#);
    assert_eq!(started, 0.0, "nothing was simulated");
}

#[test]
fn a_wrong_value_is_named_on_the_page() {
    let service = Settings::memory().start();
    let browser = Browser::open(1360, 900);
    browser.go(&format!("http://127.0.0.1:{}/dashboard", service.port()));
    browser.tab_to("[name=clients]");
    browser.type_over("21");
    browser.press(ENTER);
    browser.shows("#error", "clients must be an integer between 1 and 20");
    let focus = "return document.activeElement.matches('[name=clients][aria-invalid=true]')";
    assert_eq!(browser.run(focus), true);
    browser.type_over("2");
    browser.press(ENTER);
    browser.shows("#state", "Running");
    browser.shows("#trouble", "No Redis (BACKEND=memory)");
    assert_eq!(browser.text("#error"), "");
}

#[test]
fn the_page_fits_a_phone_turns_dark_and_labels_controls() {
    let service = Settings::memory().start();
    let browser = Browser::open(1360, 900);
    browser.go(&format!("http://127.0.0.1:{}/dashboard", service.port()));
    let ground = "return getComputedStyle(document.documentElement).backgroundColor";
    let light = browser.run(ground);
    browser.prefer("prefers-color-scheme", "dark");
    assert_ne!(browser.run(ground), light);
    browser.run("document.querySelector('[data-preset=bucket]').click()");
    browser.shows("#state", "Running");
    for width in [320, 390, 768] {
        browser.resize(width, 800);
        let wide = browser.run("return document.documentElement.scrollWidth");
        assert_eq!(wide, width, "nothing stands out at the side");
    }
    let unlabelled = "return [...document.querySelectorAll('input, button')]
        .filter((control) => !control.labels?.length && !control.innerText.trim()).length";
    assert_eq!(browser.run(unlabelled), 0);
}

#[test]
fn the_page_loads_nothing_from_elsewhere() {
    let service = Settings::memory().start();
    let files = ["page.css", "page.js", "chart.js", "stream.js", "watch.js", "now.js"];
    let files = files.map(|name| format!("/dashboard/{name}"));
    for path in std::iter::once("/dashboard").chain(files.iter().map(String::as_str)) {
        let answer = service.get(path);
        assert_eq!(answer.status, 200);
        assert!(answer.field("content-security-policy").starts_with("default-src 'self'"));
        let text = answer.body.replace("http://www.w3.org/2000/svg", "");
        assert!(!text.contains("://") && !text.contains("@import"), "{path}");
    }
}
