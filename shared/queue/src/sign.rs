//! The signed envelope a job travels in.
//!
//! Whoever can write to Redis must not be able to make a worker do anything: every envelope carries an
//! HMAC-SHA256 over length-prefixed fields. A replayed envelope is harmless, because the claim in the ledger
//! is compare-and-set. Refuses unknown fields, versions and keys.

use std::fmt;
use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretSlice};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use uuid::Uuid;

use crate::error::{Error, ErrorKind};
use crate::job::{ChunkJob, VERSION, is_plain_id};

/// Longer payloads are refused unread; ours have about 300 bytes.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 512;

/// As many bytes as the digest has: fewer would be the weakest part, more add nothing.
const SECRET_BYTES_MIN: usize = 32;

/// Separates these signatures from any other use of the same secret.
const DOMAIN: &[u8] = b"syncline chunk job";

/// The secret that signs jobs, and a second one that is still (or already) accepted while keys are rotated.
///
/// To rotate without losing a job: first add the new key with [`SigningKey::and_accept`] everywhere, then swap the
/// two everywhere, then drop the old one.
#[derive(Clone)]
pub struct SigningKey {
    current: Key,
    accepted: Option<Key>,
}

#[derive(Clone)]
struct Key {
    kid: String,
    secret: Arc<SecretSlice<u8>>,
}

/// Why a payload was not believed. Never retried: the payload goes to the dead-letter list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    #[error("longer than 512 bytes")]
    TooLong,
    #[error("not an envelope")]
    Malformed,
    #[error("unknown version")]
    UnknownVersion,
    #[error("signed with an unknown key")]
    UnknownKey,
    #[error("bad signature")]
    BadMac,
    #[error("signed for another install")]
    WrongInstall,
    #[error("queued under another job's id")]
    WrongId,
}

/// The wire form. Field order is the order on the wire; the sample in the tests is never edited.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope {
    v: u8,
    install: String,
    run: String,
    chunk: String,
    attempt_seen: u32,
    kid: String,
    mac: String,
}

impl SigningKey {
    /// A key with a public name (`kid`) and a secret of at least 32 bytes.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if the secret is shorter, or the kid is not a plain id.
    pub fn new(kid: impl Into<String>, secret: &[u8]) -> Result<Self, Error> {
        Ok(Self { current: Key::new(kid.into(), secret)?, accepted: None })
    }

    /// Also accepts what was signed with this second key; signing stays with the first. A later call replaces it.
    ///
    /// # Errors
    /// As [`SigningKey::new`], and if both keys have the same kid.
    pub fn and_accept(mut self, kid: impl Into<String>, secret: &[u8]) -> Result<Self, Error> {
        let key = Key::new(kid.into(), secret)?;
        if key.kid == self.current.kid {
            return Err(Error::new(ErrorKind::Config, "use two signing keys of one name"));
        }
        self.accepted = Some(key);
        Ok(self)
    }

    /// A random key that dies with the process: enough for the in-process queue.
    pub fn ephemeral() -> Self {
        let secret: Vec<u8> =
            [Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4()].iter().flat_map(|id| *id.as_bytes()).collect();
        Self { current: Key { kid: "ephemeral".into(), secret: Arc::new(secret.into()) }, accepted: None }
    }

    /// The signed envelope as JSON. The same job gives the same bytes.
    pub fn encode(&self, job: &ChunkJob) -> Vec<u8> {
        let key = &self.current;
        let envelope = Envelope {
            v: job.v,
            install: job.install.clone(),
            run: job.run.clone(),
            chunk: job.chunk.clone(),
            attempt_seen: job.attempt_seen,
            kid: key.kid.clone(),
            mac: hex::encode(key.mac(job).finalize().into_bytes()),
        };
        serde_json::to_vec(&envelope).expect("strings and integers always serialize")
    }

    /// The job in an envelope, if one of our keys signed it. Compares in constant time.
    ///
    /// # Errors
    /// Why it was not believed; [`Rejected::WrongInstall`] and [`Rejected::WrongId`] are left to the queue.
    pub fn decode(&self, bytes: &[u8]) -> Result<ChunkJob, Rejected> {
        if bytes.len() > PAYLOAD_BYTES_MAX {
            return Err(Rejected::TooLong);
        }
        let Envelope { v, install, run, chunk, attempt_seen, kid, mac } =
            serde_json::from_slice(bytes).map_err(|_| Rejected::Malformed)?;
        if v != VERSION {
            return Err(Rejected::UnknownVersion);
        }
        let mut keys = std::iter::once(&self.current).chain(&self.accepted);
        let key = keys.find(|key| key.kid == kid).ok_or(Rejected::UnknownKey)?;
        let job = ChunkJob { v, install, run, chunk, attempt_seen };
        let mac = hex::decode(mac).map_err(|_| Rejected::BadMac)?;
        key.mac(&job).verify_slice(&mac).map_err(|_| Rejected::BadMac)?;
        Ok(job)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let accepted = self.accepted.as_ref().map(|key| &key.kid);
        f.debug_struct("SigningKey")
            .field("kid", &self.current.kid)
            .field("also", &accepted)
            .finish_non_exhaustive()
    }
}

impl Key {
    fn new(kid: String, secret: &[u8]) -> Result<Self, Error> {
        if secret.len() < SECRET_BYTES_MIN {
            return Err(Error::new(ErrorKind::Config, "use a signing secret of less than 32 bytes"));
        }
        // 16 keeps the largest envelope below its limit.
        if kid.len() > 16 || !is_plain_id(&kid) {
            return Err(Error::new(ErrorKind::Config, "use a signing key with such a name"));
        }
        Ok(Self { kid, secret: Arc::new(secret.to_vec().into()) })
    }

    fn mac(&self, job: &ChunkJob) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secret.expose_secret())
            .expect("HMAC takes a key of any length");
        for field in [
            DOMAIN,
            &[job.v],
            self.kid.as_bytes(),
            job.install.as_bytes(),
            job.run.as_bytes(),
            job.chunk.as_bytes(),
        ] {
            // Length first, so that no two different jobs have the same bytes.
            mac.update(&(field.len() as u64).to_be_bytes());
            mac.update(field);
        }
        mac.update(&job.attempt_seen.to_be_bytes());
        mac
    }
}

/// The run a payload says it belongs to; believed by nobody, used to find the keys of a finished run.
pub(crate) fn claimed_run(payload: &[u8]) -> Option<String> {
    serde_json::from_slice::<Envelope>(payload).ok().map(|envelope| envelope.run)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
    /// Written by version 1. Never edit: a running fleet holds jobs of this form.
    const SAMPLE: &str = include_str!("../samples/job-v1.json");

    fn job() -> ChunkJob {
        ChunkJob::new(
            "prod-1",
            "0193a1f0-0000-7000-8000-000000000001",
            "0193a1f0-0000-7000-8000-000000000002",
            3,
        )
    }

    #[test]
    fn the_stored_sample_still_decodes_and_encodes() {
        let key = SigningKey::new("2026-11", SECRET).unwrap();
        assert_eq!(String::from_utf8(key.encode(&job())).unwrap(), SAMPLE.trim_end());
        assert_eq!(key.decode(SAMPLE.trim_end().as_bytes()), Ok(job()));
    }

    #[test]
    fn the_largest_job_fits_the_limit() {
        let id = "x".repeat(64);
        let job = ChunkJob::new(&id, &id, &id, u32::MAX);
        job.check().unwrap();
        let key = SigningKey::new("k".repeat(16), SECRET).unwrap();
        assert!(key.encode(&job).len() <= PAYLOAD_BYTES_MAX);
    }

    #[test]
    fn no_flipped_bit_and_no_truncation_is_believed() {
        let key = SigningKey::new("k1", SECRET).unwrap();
        let good = key.encode(&job());
        for at in 0..good.len() {
            assert!(key.decode(&good[..at]).is_err(), "truncated at {at}");
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                // Hex digits have two spellings; flipping the case of one leaves the signature as it was.
                assert!(key.decode(&bad).is_err() || bad.eq_ignore_ascii_case(&good), "byte {at} bit {bit}");
            }
        }
    }

    #[test]
    fn two_keys_are_accepted_while_one_replaces_the_other() {
        let old = SigningKey::new("old", SECRET).unwrap();
        let other = b"fedcba9876543210fedcba9876543210";
        let both = SigningKey::new("new", other).unwrap().and_accept("old", SECRET).unwrap();
        let new = SigningKey::new("new", other).unwrap();
        assert_eq!(both.decode(&old.encode(&job())), Ok(job()));
        assert_eq!(new.decode(&both.encode(&job())), Ok(job()));
        assert_eq!(new.decode(&old.encode(&job())), Err(Rejected::UnknownKey));
        assert!(SigningKey::new("new", other).unwrap().and_accept("new", SECRET).is_err());
    }

    #[test]
    fn a_key_shows_its_name_and_never_its_secret() {
        let shown = format!("{:?}", SigningKey::new("k1", SECRET).unwrap());
        assert!(shown.contains("k1") && !shown.contains("0123"), "{shown}");
        assert!(SigningKey::new("k1", b"short").is_err());
    }

    #[test]
    fn ids_that_could_carry_anything_else_are_refused() {
        for bad in ["", "a b", "a{b", "x*", "ключ", "a\n", "'; DROP", &"x".repeat(65)] {
            assert!(ChunkJob::new("i", bad, "c", 0).check().is_err(), "{bad:?}");
        }
        let old = ChunkJob { v: 2, ..job() };
        assert!(old.check().is_err());
    }
}
