//! Requests to the HTTP API, by curl: a client that owes the product nothing.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::syncline::Background;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Header lines, as they came.
    pub headers: String,
    pub text: String,
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Panics
    /// It is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The answer, which must have this status.
    ///
    /// # Panics
    /// It has another.
    #[must_use]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }
}

/// Asks curl; `more` are its options.
///
/// # Panics
/// Curl cannot be started, or nobody answers.
#[must_use]
pub fn curl(method: &str, url: &str, more: &[&str]) -> Answer {
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--include", "--max-time", "20", "--request", method])
        .args(more)
        .arg(url)
        .output()
        .expect("curl is there");
    let all = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let (headers, text) = all.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{method} {url}: {all}{said}"));
    let status = headers.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    Answer { status, headers: headers.to_owned(), text: text.to_owned() }
}

/// Where a `serve` in the background listens, once its log says so.
///
/// # Panics
/// It does not within a minute.
pub async fn address(serve: &Background) -> String {
    let place = told(|| serve.log()).await;
    format!("http://{place}")
}

/// The same as `127.0.0.1:port`, of a log that is read again and again.
///
/// # Panics
/// It does not say so within a minute.
pub async fn told(log: impl Fn() -> String) -> String {
    let soon = Duration::from_secs(60);
    crate::wait_until("the API listens", soon, async || place_in(&log()).is_some()).await;
    place_in(&log()).expect("it was there")
}

fn place_in(log: &str) -> Option<String> {
    let line = log.lines().find(|line| line.contains("the API listens"))?;
    let rest = line.split("127.0.0.1:").nth(1)?;
    let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some(format!("127.0.0.1:{port}"))
}
