//! One message to one address.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit as _, Mac as _};
use model::alert::Channel;
use model::spec::is_loopback;
use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::message;

/// What a reference leads to, or why to nothing, without a word of it.
pub type Resolve = Arc<dyn Fn(&str) -> Result<SecretString, String> + Send + Sync>;

/// For one message, answer included.
const DEADLINE: Duration = Duration::from_secs(10);

pub struct Sender {
    resolve: Resolve,
    agent: String,
}

impl Sender {
    /// `version` is what receivers see of this program.
    #[must_use]
    pub fn new(resolve: Resolve, version: &str) -> Self {
        Self { resolve, agent: format!("syncline/{version}") }
    }

    /// A client for one message: they are few, and certificates are those of the moment.
    fn client(&self) -> Result<Client, String> {
        let client = Client::builder()
            .user_agent(&self.agent)
            // An address that leads elsewhere is no address that somebody has written down.
            .redirect(Policy::none())
            .timeout(DEADLINE)
            .build();
        client.map_err(|_| "this machine has no certificates to trust".to_owned())
    }

    /// Posts a message. Sent twice, it has the same id.
    ///
    /// # Errors
    /// Why it was not taken, in words that hold neither address nor secret.
    pub async fn send(&self, channel: &Channel, id: &str, body: &Value) -> Result<(), String> {
        let (url, secret) = match channel {
            Channel::Slack { url } => (url, None),
            Channel::Webhook { url, secret } => (url, secret.as_deref()),
        };
        let url = address((self.resolve)(url)?.expose_secret())?;
        let content = match channel {
            Channel::Slack { .. } => json!({ "text": message::text(body) }),
            Channel::Webhook { .. } => {
                let mut content = body.clone();
                content["id"] = id.into();
                content
            }
        }
        .to_string();
        let mut request = self.client()?.post(url).header("content-type", "application/json");
        if let Some(secret) = secret {
            let secret = (self.resolve)(secret)?;
            request = request.header("x-syncline-signature", signature(&secret, now_s(), &content)?);
        }
        let answer = request.body(content).send().await.map_err(|error| told(&error))?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            status => Err(format!("it answered {}", status.as_u16())),
        }
    }
}

/// Of a server that proves who it is, or of this machine.
fn address(text: &str) -> Result<Url, String> {
    let url = Url::parse(text.trim()).map_err(|_| "the address is no URL".to_owned())?;
    let is_here = url.host_str().is_some_and(|host| is_loopback(host.trim_matches(['[', ']'])));
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_here => Ok(url),
        _ => Err("the address must begin with https://".to_owned()),
    }
}

/// `t=SECONDS,v1=HEX`: HMAC-SHA256 with the secret over the seconds since 1970, a dot and the body.
fn signature(secret: &SecretString, now_s: u64, body: &str) -> Result<String, String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes())
        .map_err(|_| "the secret cannot be used as a key".to_owned())?;
    mac.update(format!("{now_s}.{body}").as_bytes());
    Ok(format!("t={now_s},v1={}", hex::encode(mac.finalize().into_bytes())))
}

#[expect(clippy::disallowed_methods, reason = "a receiver holds it against its own clock")]
fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn told(error: &reqwest::Error) -> String {
    let what = match error {
        error if error.is_timeout() => "no answer in time",
        error if error.is_connect() => "no connection",
        _ => "the connection broke",
    };
    what.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_of_servers_that_prove_who_they_are() {
        for good in
            ["https://hooks.example/a", " https://10.0.0.1/x\n", "http://127.0.0.1:9/x", "http://[::1]:9/x"]
        {
            assert!(address(good).is_ok(), "{good}");
        }
        for bad in ["http://hooks.example/canary", "ftp://127.0.0.1/", "canary", ""] {
            let told = address(bad).expect_err(bad);
            assert!(!told.contains("canary"), "{told}");
        }
    }

    /// By `printf '1700000000.{}' | openssl dgst -sha256 -hmac canary`.
    #[test]
    fn a_signature_is_what_others_compute() {
        let signature = signature(&"canary".to_owned().into(), 1_700_000_000, "{}").expect("signed");
        let expected = "ea5195aae26137c35e0d1339101b5185e44a0eba0ef81fafee8dbd947a22a508";
        assert_eq!(signature, format!("t=1700000000,v1={expected}"));
    }
}
