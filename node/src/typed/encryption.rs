//! Values that only who has the key can read, or make.
//!
//! What is sealed, with what nonce, bound to what, and what it does not protect from is argued in spec/16-values.md.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};

use super::{Beside, CodecError, Transform};

/// Bytes of a key.
const KEY_LEN: usize = 32;
/// Bytes of a nonce: 16 of a sealer's own, then its count of values.
const NONCE_LEN: usize = 24;
/// What the associated data begins with.
const DOMAIN: &[u8] = b"netchan value 1\0";
/// The key length that says "no key".
const NO_KEY: u32 = u32::MAX;

/// A secret of 32 bytes, that both sides hold. It is made of randomness, not of a password.
#[derive(Clone)]
pub struct EncryptionKey([u8; KEY_LEN]);

impl EncryptionKey {
    /// These bytes.
    #[must_use]
    pub fn new(bytes: [u8; KEY_LEN]) -> EncryptionKey {
        EncryptionKey(bytes)
    }

    /// A new one, of the operating system's randomness.
    ///
    /// # Errors
    /// It gives none.
    pub fn random() -> Result<EncryptionKey, CodecError> {
        let mut bytes = [0; KEY_LEN];
        getrandom::fill(&mut bytes).map_err(no_randomness)?;
        Ok(EncryptionKey(bytes))
    }

    /// Its bytes, to be kept somewhere safe.
    #[must_use]
    pub fn bytes(&self) -> &[u8; KEY_LEN] {
        &self.0
    }
}

impl fmt::Debug for EncryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EncryptionKey(..)")
    }
}

/// Authenticated encryption of each value with XChaCha20-Poly1305. Who stores and carries the channel needs no key. Name
/// `xchacha20poly1305`.
///
/// A value is bound to the channel's name and to the key and headers of its record, which stay readable. With another key, or
/// changed in any bit, or moved to another record's key or channel, it is not delivered: an error with its offset is. That
/// values are left out, repeated or put in another order by who stores them is not noticed by this.
pub struct Encryption {
    cipher: XChaCha20Poly1305,
    /// What this sealer's nonces begin with, drawn when the first is wanted.
    own: OnceLock<[u8; 16]>,
    sealed: AtomicU64,
}

impl Encryption {
    /// With this key.
    #[must_use]
    pub fn new(key: &EncryptionKey) -> Encryption {
        let cipher = XChaCha20Poly1305::new(&key.0.into());
        Encryption { cipher, own: OnceLock::new(), sealed: AtomicU64::new(0) }
    }

    /// A nonce that no value had under this key.
    fn nonce(&self) -> Result<[u8; NONCE_LEN], CodecError> {
        let own = match self.own.get() {
            Some(own) => own,
            None => {
                let mut own = [0; 16];
                getrandom::fill(&mut own).map_err(no_randomness)?;
                self.own.get_or_init(|| own)
            }
        };
        let mut nonce = [0; NONCE_LEN];
        nonce[..16].copy_from_slice(own);
        nonce[16..].copy_from_slice(&self.sealed.fetch_add(1, Ordering::Relaxed).to_le_bytes());
        Ok(nonce)
    }
}

impl Transform for Encryption {
    fn name(&self) -> &str {
        "xchacha20poly1305"
    }

    fn apply(&self, beside: &Beside<'_>, bytes: &mut Vec<u8>) -> Result<(), CodecError> {
        let nonce = self.nonce()?;
        let sealed = self.cipher.encrypt_in_place(&XNonce::from(nonce), &bound_to(beside), bytes);
        sealed.map_err(|_| CodecError::new("it is too long to be encrypted"))?;
        bytes.extend_from_slice(&nonce);
        Ok(())
    }

    fn undo(&self, beside: &Beside<'_>, bytes: &mut Vec<u8>) -> Result<(), CodecError> {
        let (sealed, nonce) =
            bytes.split_last_chunk::<NONCE_LEN>().ok_or(CodecError::new("it is cut short"))?;
        let (len, nonce) = (sealed.len(), XNonce::from(*nonce));
        bytes.truncate(len);
        self.cipher.decrypt_in_place(&nonce, &bound_to(beside), bytes).map_err(|_| {
            CodecError::new("it was encrypted with another key, or for another place, or has changed")
        })
    }
}

impl fmt::Debug for Encryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encryption").finish_non_exhaustive()
    }
}

/// What a value is sealed together with, so that it cannot be taken elsewhere.
fn bound_to(beside: &Beside<'_>) -> Vec<u8> {
    let name = beside.channel.as_str().as_bytes();
    let key = beside.key.unwrap_or_default();
    let mut bytes = Vec::with_capacity(DOMAIN.len() + 5 + name.len() + key.len() + beside.headers.len());
    bytes.extend_from_slice(DOMAIN);
    bytes.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
    bytes.extend_from_slice(name);
    let key_len = beside.key.map_or(NO_KEY, |key| u32::try_from(key.len()).unwrap_or(NO_KEY - 1));
    bytes.extend_from_slice(&key_len.to_le_bytes());
    bytes.extend_from_slice(key);
    bytes.extend_from_slice(beside.headers);
    bytes
}

fn no_randomness(error: getrandom::Error) -> CodecError {
    CodecError::new(format_args!("the operating system gives no randomness: {error}"))
}
