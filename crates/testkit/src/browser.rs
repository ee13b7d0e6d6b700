//! A headless Chromium that a test controls through ChromeDriver.
//!
//! The client is ours: WebDriver is HTTP with JSON, a test needs ten of its calls, and [`crate::http`] is there already.
//! The usual crates (`fantoccini`, `thirtyfour`) would add a second HTTP stack. ChromeDriver passes calls of the DevTools
//! protocol on (`goog/cdp/execute`), so the emulation of themes and devices needs no further connection.
//!
//! A browser start takes some seconds and 300 MB. A test therefore starts one browser and opens several windows.

use crate::backend::{Chromedriver, chromedriver};
use crate::http::Client;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

/// Timeout of one call: opening a page on a busy machine takes longest.
const CALL_TIME_MAX: Duration = Duration::from_mins(2);
/// Options of Chromium. Timers of windows in the background run as those in front, because several windows are watched.
const OPTIONS: [&str; 12] = [
    "--headless=new",
    // The sandbox refuses to run as root, as tests in containers do.
    "--no-sandbox",
    "--disable-gpu",
    // Shared memory would outlive a killed browser.
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
    "--hide-scrollbars",
];

/// The colours that the reader's system asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Dark text on a light background.
    Light,
    /// Light text on a dark background.
    Dark,
    /// Only the system's colours (`forced-colors: active`).
    Forced,
}

/// The part of a page that a picture shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// What the window shows.
    Window,
    /// Everything, also what is below the window.
    Page,
}

/// Whether pages may run scripts. A test's own scripts always run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scripts {
    /// As usual.
    Run,
    /// None runs.
    Blocked,
}

/// A window of a [`Browser`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window(String);

/// A running browser. When it is dropped, its processes have ended and its files are gone, also if the test panics.
#[derive(Debug)]
pub struct Browser {
    driver: Chromedriver,
    session: String,
}

impl Browser {
    /// Starts a browser with one window.
    ///
    /// # Panics
    /// If none is installed, with a sentence that says what to install, or if it does not start.
    pub fn start() -> Self {
        let driver = chromedriver();
        let profile = format!("--user-data-dir={}", driver.profile().display());
        let options: Vec<&str> =
            OPTIONS.into_iter().chain([profile.as_str(), "--window-size=1440,900"]).collect();
        let timeouts_ms = CALL_TIME_MAX.as_millis();
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "timeouts": { "script": timeouts_ms, "pageLoad": timeouts_ms },
            "goog:chromeOptions": { "binary": driver.browser(), "args": options },
        } } });
        let begun = call(&driver, "POST", "/session", &wanted);
        let session = begun["sessionId"].as_str().expect("a session has an id").to_owned();
        eprintln!(
            "testkit: {} {}",
            begun["capabilities"]["browserName"], begun["capabilities"]["browserVersion"]
        );
        Self { driver, session }
    }

    /// The directory of its profile. Everything that the browser writes is in the parent of that directory.
    pub fn profile(&self) -> &Path {
        self.driver.profile()
    }

    // --- windows ------------------------------------------------------------------------------------

    /// The window that later calls are about.
    pub fn window(&self) -> Window {
        window(&self.get("window"))
    }

    /// Opens another window. Later calls are still about the present one.
    pub fn new_window(&self) -> Window {
        window(&self.post("window/new", &json!({ "type": "window" }))["handle"])
    }

    /// Later calls are about this window.
    pub fn switch_to(&self, window: &Window) {
        self.post("window", &json!({ "handle": window.0 }));
    }

    // --- pages --------------------------------------------------------------------------------------

    /// Opens a page; returns when it has loaded.
    pub fn open(&self, url: &str) {
        self.post("url", &json!({ "url": url }));
    }

    /// Runs a script in the page, as the body of a function with `arguments`, and returns what it returns. It may return a
    /// promise.
    pub fn run(&self, script: &str, arguments: &[Value]) -> Value {
        self.post("execute/sync", &json!({ "script": script, "args": arguments }))
    }

    /// Presses and releases a key, such as `Tab`, `Enter` or `ArrowLeft`.
    ///
    /// # Panics
    /// If the key is not in the list here.
    pub fn press(&self, key: &str) {
        let code = match key {
            "Tab" => 9,
            "Enter" => 13,
            "PageUp" => 33,
            "PageDown" => 34,
            "End" => 35,
            "Home" => 36,
            "ArrowLeft" => 37,
            "ArrowUp" => 38,
            "ArrowRight" => 39,
            "ArrowDown" => 40,
            other => panic!("{other} has no code here yet"),
        };
        for kind in ["keyDown", "keyUp"] {
            // Enter activates a link through the character that it enters.
            let text = if (key, kind) == ("Enter", "keyDown") { "\r" } else { "" };
            let event =
                json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text });
            self.devtools("Input.dispatchKeyEvent", &event);
        }
    }

    /// A PNG of that part of the page.
    ///
    /// # Panics
    /// If the driver returns none.
    pub fn screenshot(&self, extent: Extent) -> Vec<u8> {
        let parameters = match extent {
            Extent::Window => json!({ "captureBeyondViewport": false }),
            Extent::Page => {
                let size = self.devtools("Page.getLayoutMetrics", &json!({}));
                let size = &size["cssContentSize"];
                let whole =
                    json!({ "x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1 });
                json!({ "captureBeyondViewport": true, "clip": whole })
            }
        };
        let shot = self.devtools("Page.captureScreenshot", &parameters);
        STANDARD.decode(shot["data"].as_str().unwrap_or_default()).expect("an image in base64")
    }

    // --- emulation: of the present window -----------------------------------------------------------

    /// Lays the page out for a window of this size.
    pub fn resize(&self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", &size);
    }

    /// Shows the page as a system with this scheme and with reduced motion does.
    pub fn prefer(&self, scheme: Scheme) {
        let (colours, forced) = match scheme {
            Scheme::Light => ("light", "none"),
            Scheme::Dark => ("dark", "none"),
            Scheme::Forced => ("light", "active"),
        };
        let features = json!({ "features": [
            { "name": "prefers-color-scheme", "value": colours },
            { "name": "forced-colors", "value": forced },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ] });
        self.devtools("Emulation.setEmulatedMedia", &features);
    }

    /// Lets the pages that are opened from now on run scripts, or not.
    pub fn scripts(&self, scripts: Scripts) {
        let blocked = json!({ "value": scripts == Scripts::Blocked });
        self.devtools("Emulation.setScriptExecutionDisabled", &blocked);
    }

    /// Runs a script in every page that is opened from now on, before its own scripts.
    pub fn run_first(&self, script: &str) {
        self.devtools("Page.enable", &json!({}));
        self.devtools("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": script }));
    }

    /// A call of the DevTools protocol.
    pub fn devtools(&self, name: &str, parameters: &Value) -> Value {
        self.post("goog/cdp/execute", &json!({ "cmd": name, "params": parameters }))
    }

    fn get(&self, path: &str) -> Value {
        call(&self.driver, "GET", &format!("/session/{}/{path}", self.session), &Value::Null)
    }

    #[track_caller]
    fn post(&self, path: &str, body: &Value) -> Value {
        call(&self.driver, "POST", &format!("/session/{}/{path}", self.session), body)
    }
}

fn window(handle: &Value) -> Window {
    Window(handle.as_str().expect("a window has a handle").to_owned())
}

/// The value of an answer. An error of the driver or of a script fails the test.
#[track_caller]
fn call(driver: &Chromedriver, method: &str, path: &str, body: &Value) -> Value {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let client = Client::new(driver.address(), CALL_TIME_MAX);
    let answer = client.send(method, path, &[("Content-Type", "application/json; charset=utf-8")], &body);
    let answer = answer.unwrap_or_else(|error| panic!("ChromeDriver, {method} {path}: {error}"));
    let value = &answer.json()["value"];
    assert_eq!(answer.status, 200, "ChromeDriver, {method} {path} {body:.2000}: {}", value["message"]);
    value.clone()
}
