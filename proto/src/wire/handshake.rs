//! The frames of the handshake (spec/04-handshake.md).
//!
//! Owns their fields and bytes. What is agreed upon, and when a side is believed, is the connection's business.

use std::time::Duration;

use nom::number::complete::{le_u8, le_u16};

use super::params::{params, put_grease};
use super::parse::{Parsed, Put, array, invalid, millis};
use crate::auth::{Hash, Side};
use crate::error_code::ErrorCode;
use crate::types::NodeId;

/// The version of the protocol that this crate speaks.
pub const VERSION: u16 = 1;
/// Versions that one HELLO or REJECT names at most.
pub const MAX_VERSIONS: usize = 8;

/// What a node does on a connection: a set of bits. Bits that version 1 does not name are ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Roles(pub u16);

impl Roles {
    /// It has logs, and serves them.
    pub const SENDS: Roles = Roles(1);
    /// It reads.
    pub const RECEIVES: Roles = Roles(2);
    /// It publishes.
    pub const PUBLISHES: Roles = Roles(4);
    /// It tells what its users have received, when it is asked.
    pub const TELLS: Roles = Roles(8);

    /// Whether all of `roles` are among these.
    #[must_use]
    pub fn has(self, roles: Roles) -> bool {
        self.0 & roles.0 == roles.0
    }

    /// These and those.
    #[must_use]
    pub fn and(self, roles: Roles) -> Roles {
        Roles(self.0 | roles.0)
    }
}

/// HELLO: who calls, and what it can speak.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The versions it speaks, the one it likes best first: 1 to 8. Only the first 8 are sent.
    pub versions: Vec<u16>,
    /// What it does.
    pub roles: Roles,
    /// Who it is.
    pub node: NodeId,
    /// Random bytes, new for each connection.
    pub nonce: [u8; 16],
}

impl Hello {
    pub(super) fn parse(input: &[u8]) -> Parsed<'_, Hello> {
        let (input, versions) = versions(input)?;
        if versions.is_empty() {
            return invalid("versions");
        }
        let (input, roles) = le_u16(input)?;
        let (input, node) = array(input)?;
        let (input, nonce) = array(input)?;
        let (input, ()) = params(input)?;
        Ok((input, Hello { versions, roles: Roles(roles), node: NodeId(node), nonce }))
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        put_versions(&self.versions, out);
        out.u16(self.roles.0);
        out.all(&self.node.0);
        out.all(&self.nonce);
        put_grease(&self.nonce, out);
    }
}

fn versions(input: &[u8]) -> Parsed<'_, Vec<u16>> {
    let (mut input, count) = le_u8(input)?;
    if usize::from(count) > MAX_VERSIONS {
        return invalid("versions");
    }
    let mut versions = Vec::with_capacity(count.into());
    for _ in 0..count {
        let version;
        (input, version) = le_u16(input)?;
        versions.push(version);
    }
    Ok((input, versions))
}

fn put_versions(versions: &[u16], out: &mut Vec<u8>) {
    let versions = &versions[..versions.len().min(MAX_VERSIONS)];
    out.u8(u8::try_from(versions.len()).unwrap_or(u8::MAX));
    versions.iter().for_each(|&version| out.u16(version));
}

/// How the dialler is to show that it may be here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AuthMethod {
    /// Not at all.
    None,
    /// By a proof of the token.
    Token,
}

/// WELCOME: the connection is in this version, and who answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// One of the HELLO's versions.
    pub version: u16,
    /// What the listener does.
    pub roles: Roles,
    /// Who the listener is; [`NodeId::NONE`] where a proof is asked for.
    pub node: NodeId,
    /// Random bytes, new for each connection.
    pub nonce: [u8; 16],
    /// Which proof is asked for.
    pub auth: AuthMethod,
    /// The hash of the HELLO's payload as it arrived.
    pub hello: Hash,
}

impl Welcome {
    pub(super) fn parse(input: &[u8]) -> Parsed<'_, Welcome> {
        let (input, version) = le_u16(input)?;
        let (input, roles) = le_u16(input)?;
        let (input, node) = array(input)?;
        let (input, nonce) = array(input)?;
        let (input, auth) = match le_u8(input)? {
            (input, 0) => (input, AuthMethod::None),
            (input, 1) => (input, AuthMethod::Token),
            _ => return invalid("auth"),
        };
        let (input, hello) = array(input)?;
        let (input, ()) = params(input)?;
        Ok((input, Welcome { version, roles: Roles(roles), node: NodeId(node), nonce, auth, hello }))
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.u16(self.version);
        out.u16(self.roles.0);
        out.all(&self.node.0);
        out.all(&self.nonce);
        out.u8(match self.auth {
            AuthMethod::None => 0,
            AuthMethod::Token => 1,
        });
        out.all(&self.hello);
        put_grease(&self.nonce, out);
    }
}

/// REJECT: there will be no connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// Why.
    pub code: ErrorCode,
    /// The versions the listener speaks: at most 8. Only the first 8 are sent.
    pub versions: Vec<u16>,
    /// How long to wait before calling again, in whole milliseconds; zero for no advice.
    pub retry_after: Duration,
}

impl Reject {
    pub(super) fn parse(input: &[u8]) -> Parsed<'_, Reject> {
        let (input, code) = le_u16(input)?;
        let (input, versions) = versions(input)?;
        let (input, retry_after) = millis(input)?;
        Ok((input, Reject { code: ErrorCode(code), versions, retry_after }))
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.u16(self.code.0);
        put_versions(&self.versions, out);
        out.millis(self.retry_after);
    }
}

/// AUTH: a side's proof of the token. The dialler's is step 1, the listener's step 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Auth {
    /// Whose proof it is.
    pub side: Side,
    /// What [`proof`](crate::auth::proof) gives.
    pub proof: Hash,
}

const METHOD_TOKEN: u8 = 1;

impl Auth {
    pub(super) fn parse(input: &[u8]) -> Parsed<'_, Auth> {
        let (input, method) = le_u8(input)?;
        if method != METHOD_TOKEN {
            return invalid("method");
        }
        let (input, side) = match le_u8(input)? {
            (input, 1) => (input, Side::Dialler),
            (input, 2) => (input, Side::Listener),
            _ => return invalid("step"),
        };
        let (input, len) = le_u16(input)?;
        if usize::from(len) != size_of::<Hash>() {
            return invalid("proof");
        }
        let (input, proof) = array(input)?;
        Ok((input, Auth { side, proof }))
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.u8(METHOD_TOKEN);
        out.u8(match self.side {
            Side::Dialler => 1,
            Side::Listener => 2,
        });
        out.bytes16(&self.proof);
    }
}
