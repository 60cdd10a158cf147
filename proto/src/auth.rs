//! The token that both sides hold, and the proof of it (spec/04-handshake.md).
//!
//! Owns the secret and the one computation on it. The token itself never goes over the wire: each side shows that it
//! holds it by an HMAC over what both have seen of the handshake, the dialler first.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::limits::MAX_TOKEN;

/// Who called and who was called. Says nothing about who has logs and who reads them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Opened the byte stream; its streams have odd numbers.
    Dialler,
    /// Accepted it; its streams have even numbers.
    Listener,
}

impl Side {
    /// The side across.
    #[must_use]
    pub fn other(self) -> Side {
        match self {
            Side::Dialler => Side::Listener,
            Side::Listener => Side::Dialler,
        }
    }

    /// What a proof of this side is made over first, so that one side's proof is never the other's.
    fn label(self) -> &'static [u8] {
        match self {
            Side::Dialler => b"netchan/1 dialler",
            Side::Listener => b"netchan/1 listener",
        }
    }
}

/// A secret that both sides hold: 1 to 1024 bytes. Never printed.
#[derive(Clone)]
pub struct Token(Box<[u8]>);

impl Token {
    /// Keeps `secret`.
    ///
    /// # Errors
    /// [`InvalidToken`] if it is empty or longer than 1024 bytes.
    pub fn new(secret: impl AsRef<[u8]>) -> Result<Token, InvalidToken> {
        let secret = secret.as_ref();
        if secret.is_empty() || secret.len() > MAX_TOKEN {
            return Err(InvalidToken { len: secret.len() });
        }
        Ok(Token(secret.into()))
    }

    /// Whether `given` is what `side` must send if it holds this token. Takes the same time wherever it differs.
    #[must_use]
    pub fn verify(&self, side: Side, hello: &Hash, welcome: &Hash, given: &Hash) -> bool {
        self.mac(side, hello, welcome).verify_slice(given).is_ok()
    }

    fn mac(&self, side: Side, hello: &Hash, welcome: &Hash) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(side.label());
        mac.update(hello);
        mac.update(welcome);
        mac
    }
}

/// For settings; a peer's is looked at with [`verify`](Token::verify).
impl PartialEq for Token {
    fn eq(&self, other: &Token) -> bool {
        self.0 == other.0
    }
}

impl Eq for Token {}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// A SHA-256 hash, or an HMAC made with it.
pub type Hash = [u8; 32];

/// The hash of a HELLO's or WELCOME's payload.
#[must_use]
pub fn payload_hash(payload: &[u8]) -> Hash {
    Sha256::digest(payload).into()
}

/// What `side` sends in AUTH to show that it holds `token`, after these two payloads.
#[must_use]
pub fn proof(token: &Token, side: Side, hello: &Hash, welcome: &Hash) -> Hash {
    token.mac(side, hello, welcome).finalize().into_bytes().into()
}

/// A token that is empty or too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a token has 1 to {MAX_TOKEN} bytes, not {len}")]
pub struct InvalidToken {
    /// The length given, in bytes.
    pub len: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: Hash = [1; 32];
    const WELCOME: Hash = [2; 32];

    /// NC-HSK-018, NC-HSK-019
    #[test]
    fn only_the_holder_of_the_token_gives_a_proof_that_holds() {
        let token = Token::new("secret").unwrap();
        let given = proof(&token, Side::Dialler, &HELLO, &WELCOME);
        assert!(token.verify(Side::Dialler, &HELLO, &WELCOME, &given));
        assert!(!Token::new("Secret").unwrap().verify(Side::Dialler, &HELLO, &WELCOME, &given));
        for bit in 0..256 {
            let mut wrong = given;
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert!(!token.verify(Side::Dialler, &HELLO, &WELCOME, &wrong), "bit {bit}");
        }
    }

    #[test]
    fn a_proof_serves_one_side_and_one_handshake_only() {
        let token = Token::new([0xff; 1024]).unwrap();
        let given = proof(&token, Side::Dialler, &HELLO, &WELCOME);
        assert!(!token.verify(Side::Listener, &HELLO, &WELCOME, &given));
        assert!(!token.verify(Side::Dialler, &WELCOME, &HELLO, &given));
        assert!(!token.verify(Side::Dialler, &HELLO, &[3; 32], &given));
    }

    /// NC-HSK-016
    #[test]
    fn a_token_has_its_limits_and_is_never_printed() {
        assert_eq!(Token::new("").unwrap_err(), InvalidToken { len: 0 });
        assert_eq!(Token::new([0; 1025]).unwrap_err(), InvalidToken { len: 1025 });
        assert_eq!(format!("{:?}", Token::new("secret").unwrap()), "Token(..)");
    }
}
