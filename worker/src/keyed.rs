//! Steps that take a key: what comes out, only its owner can read, or tell from a guess.

use aes_siv::KeyInit as _;
use aes_siv::siv::Aes256Siv;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use connectors::{Connections, Error, Result};
use hmac::{Hmac, Mac as _};
use model::convert::{ConvertError, refusal};
use model::fields::{Step, encryption_key};
use model::{Engine, ErrorKind};
use secrecy::{ExposeSecret as _, SecretBox};
use sha2::Sha256;

/// A step with its key. The column, `table.column`, goes in with each value, so that equal values of two columns do not look
/// equal; the table's schema does not: a spec may name it or not. Prints nothing of its key.
pub(crate) enum Keyed {
    Hash(Hmac<Sha256>),
    /// AES-256-SIV, <https://www.rfc-editor.org/rfc/rfc5297>: equal values become equal texts, so that a row which has not
    /// changed is seen not to have.
    Encrypt {
        key: SecretBox<[u8; 64]>,
        column: String,
    },
}

impl Keyed {
    /// The first of these steps that takes a key, ready for a column.
    ///
    /// # Errors
    /// `Authentication` if the key cannot be found, `Refused` if it is none.
    pub(crate) fn find(steps: &[Step], column: &str, connections: &Connections) -> Result<Option<Self>> {
        for step in steps {
            if let Step::Hash(reference) = step {
                let key = connections.secret(reference)?;
                return Ok(Some(Self::hash(key.expose_secret(), column)));
            }
            if let Step::Encrypt(reference) = step {
                let key = connections.secret(reference)?;
                let keyed = Self::encrypt(key.expose_secret(), column).ok_or_else(|| {
                    Error::new(ErrorKind::Refused, Engine::Memory, format!("encrypt {column}"))
                        .with_object("a key that is not of 128 hexadecimal digits")
                });
                return keyed.map(Some);
            }
        }
        Ok(None)
    }

    fn hash(key: &str, column: &str) -> Self {
        let mac = Hmac::<Sha256>::new_from_slice(key.trim().as_bytes());
        // A byte that no name has ends the column.
        Self::Hash(mac.expect("HMAC takes a key of any length").chain_update(column).chain_update([0]))
    }

    fn encrypt(key: &str, column: &str) -> Option<Self> {
        let key = SecretBox::new(Box::new(encryption_key(key)?));
        Some(Self::Encrypt { key, column: column.to_owned() })
    }

    /// The digest in hexadecimal digits, or the cipher text in Base64.
    pub(crate) fn apply(&self, value: &[u8]) -> std::result::Result<String, ConvertError> {
        match self {
            Self::Hash(mac) => {
                let mac = mac.clone().chain_update(value).finalize().into_bytes();
                Ok(mac.iter().map(|byte| format!("{byte:02x}")).collect())
            }
            Self::Encrypt { key, column } => {
                let mut cipher = Aes256Siv::new(key.expose_secret().into());
                let sealed = cipher
                    .encrypt([column.as_bytes()], value)
                    .map_err(|_| refusal(ErrorKind::TooLong, "too long to be encrypted"))?;
                Ok(STANDARD.encode(sealed))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_of_its_column_and_shows_nothing() {
        let of = |value: &[u8]| Keyed::hash("key\n", "t.c").apply(value).expect("hashed");
        // printf 't.c\0a' | openssl dgst -sha256 -hmac key
        assert_eq!(of(b"a"), "ef05b3fe7627d710fdefa2f9f7c8f03772ce5ad2b1249fadab885a9bb04f14e2");
        assert_ne!(of(b"b"), of(b"a"));
    }

    #[test]
    fn a_cipher_text_is_of_its_column_and_its_key() {
        let key = "0123456789abcdef".repeat(8);
        let of = |key: &str, column: &str, value: &[u8]| {
            Keyed::encrypt(key, column).expect("a key").apply(value).expect("encrypted")
        };
        // python3: b64encode(AESSIV(bytes.fromhex(key)).encrypt(b"a", [b"t.c"]))
        assert_eq!(of(&key, "t.c", b"a"), "c+sry6doK8dcGfUmZt7PV1M=");
        assert_eq!(of(&format!(" {key}\n"), "t.c", b"a"), of(&key, "t.c", b"a"));
        let others = [of(&key, "t.d", b"a"), of(&key, "t.c", b"b"), of(&"f".repeat(128), "t.c", b"a")];
        assert!(!others.contains(&of(&key, "t.c", b"a")));
        assert!(Keyed::encrypt("short", "t.c").is_none() && Keyed::encrypt(&"é".repeat(64), "t.c").is_none());
    }
}
