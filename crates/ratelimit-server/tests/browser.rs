//! A real Chromium without a window, driven by ChromeDriver over the WebDriver protocol (JSON over
//! HTTP). Dropping the handle ends it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use ratelimit_harness::eventually;
use serde_json::{json, Value};

use crate::service::agent;

pub const TAB: char = '\u{e004}';
pub const ENTER: char = '\u{e007}';
pub const SPACE: char = '\u{e00d}';

/// The last flags keep Chromium from requests of its own, which a test would see.
const FLAGS: [&str; 10] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
];

pub struct Browser {
    driver: Child,
    session: String,
}

impl Browser {
    /// With a window of this size in pixels.
    #[track_caller]
    pub fn open(width: u32, height: u32) -> Self {
        Self::open_with(width, height, &[])
    }

    /// With further flags of Chromium.
    #[track_caller]
    pub fn open_with(width: u32, height: u32, flags: &[&str]) -> Self {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("chromedriver: {error}: run `make test`"));
        let lines = BufReader::new(driver.stdout.take().expect("piped")).lines();
        let port = lines.map_while(Result::ok).find_map(|line| port_in(&line));
        let base = format!("http://127.0.0.1:{}", port.expect("chromedriver tells its port"));
        let mut browser = Self { driver, session: base };
        let arguments = [&FLAGS, flags].concat();
        let capabilities = json!({
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        });
        let request = json!({ "capabilities": { "alwaysMatch": capabilities } });
        let opened = browser.post("/session", request);
        let id = opened["sessionId"].as_str().expect("a session");
        browser.session = format!("{}/session/{id}", browser.session);
        browser.resize(width, height);
        browser
    }

    /// Sets the inner size, without the frame of the window.
    pub fn resize(&self, width: u32, height: u32) {
        let metrics =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", metrics);
    }

    /// Sets a preference of the user, such as `prefers-color-scheme` to `dark`. It replaces the last.
    pub fn prefer(&self, feature: &str, value: &str) {
        let feature = json!({ "name": feature, "value": value });
        self.devtools("Emulation.setEmulatedMedia", json!({ "features": [feature] }));
    }

    pub fn go(&self, url: &str) {
        self.post("/url", json!({ "url": url }));
    }

    /// Runs JavaScript and returns its result.
    #[track_caller]
    pub fn run(&self, script: &str) -> Value {
        self.post("/execute/sync", json!({ "script": script, "args": [] }))
    }

    /// Presses and releases a key, wherever the focus is.
    pub fn press(&self, key: char) {
        let key = key.to_string();
        let stroke =
            json!([{ "type": "keyDown", "value": key }, { "type": "keyUp", "value": key }]);
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": stroke });
        self.post("/actions", json!({ "actions": [keyboard] }));
    }

    /// Replaces the text of the field that has the focus.
    pub fn type_over(&self, text: &str) {
        self.run("document.activeElement.select()");
        text.chars().for_each(|key| self.press(key));
    }

    /// Presses Tab until the focus is on the element of the selector.
    #[track_caller]
    pub fn tab_to(&self, selector: &str) {
        let is_there = format!("return document.activeElement.matches({})", json!(selector));
        for _ in 0..60 {
            self.press(TAB);
            if self.run(&is_there) == true {
                return;
            }
        }
        panic!("no way by Tab to {selector}");
    }

    /// The text of the first element of a selector; empty if there is none or it is hidden.
    pub fn text(&self, selector: &str) -> String {
        let script = format!(
            "const found = document.querySelector({});
             return found?.checkVisibility() ? found.innerText : ''",
            json!(selector)
        );
        self.run(&script).as_str().expect("a text").to_owned()
    }

    /// The number that the text of an element begins with.
    #[track_caller]
    pub fn number(&self, selector: &str) -> u64 {
        let text = self.text(selector);
        let number = text.split_whitespace().next().and_then(|word| word.parse().ok());
        number.unwrap_or_else(|| panic!("no number in {selector}: {text}"))
    }

    #[track_caller]
    pub fn shows(&self, selector: &str, text: &str) {
        let mut shown = String::new();
        eventually(&format!("{selector} shows `{text}`"), || {
            shown = self.text(selector);
            shown.contains(text)
        });
    }

    /// A picture of the window, as a PNG in base64.
    pub fn screenshot(&self) -> String {
        let answer = agent().get(format!("{}/screenshot", self.session)).call();
        let picture: Value = parsed(answer.expect("chromedriver answers"));
        picture.as_str().expect("base64").to_owned()
    }

    /// The warnings and errors on the console of the page.
    pub fn errors(&self) -> Vec<Value> {
        let log = self.post("/se/log", json!({ "type": "browser" }));
        let lines = log.as_array().expect("a list").iter();
        lines.filter(|line| line["level"] != "INFO").cloned().collect()
    }

    fn devtools(&self, command: &str, parameters: Value) {
        self.post("/goog/cdp/execute", json!({ "cmd": command, "params": parameters }));
    }

    #[track_caller]
    fn post(&self, path: &str, body: Value) -> Value {
        let request = agent().post(format!("{}{path}", self.session));
        let request = request.content_type("application/json");
        parsed(request.send(body.to_string()).expect("chromedriver answers"))
    }
}

#[track_caller]
fn parsed(mut answer: ureq::http::Response<ureq::Body>) -> Value {
    let limit = 16 * 1024 * 1024;
    let text = answer.body_mut().with_config().limit(limit).read_to_string().expect("text");
    assert!(answer.status().is_success(), "{text}");
    let mut answer: Value = serde_json::from_str(&text).expect("JSON");
    answer["value"].take()
}

/// `ChromeDriver was started successfully on port 39121.`
fn port_in(line: &str) -> Option<u16> {
    let (_, port) = line.split_once("successfully on port ")?;
    port.trim_end_matches('.').parse().ok()
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Ends the browser too; killing the driver alone would leave it running.
        let _ = agent().delete(&self.session).call();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
