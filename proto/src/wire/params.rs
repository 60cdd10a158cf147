//! Parameters: what later versions add to a frame without breaking this one (spec/15-extending.md).
//!
//! Owns their form, `{u16 id, u16 len, bytes}*` up to the end of the payload, and the rule for ids nobody here knows:
//! with bit 15 the frame is refused, without it the parameter is skipped and nothing of it is kept. Version 1 knows
//! two, [`CONTENT`] and [`PARTITIONS`], in the frames that have them.

use nom::bytes::complete::take;
use nom::number::complete::le_u16;

use super::parse::{Fault, Parsed, Put, fail, text};
use crate::partition::Partitions;
use crate::types::Content;

/// The bit of an id that says: refuse the frame if you don't know me.
const CRITICAL: u16 = 1 << 15;

/// What the channel's payloads are: in OPENED and SEEKED, where it is known, and in PUBLISH_OPEN.
const CONTENT: u16 = 0x0010;

/// How many partitions the channel has: in OPENED, SEEKED, PUBLISH_OPEN and PUBLISH_OPENED of one of them.
const PARTITIONS: u16 = 0x0011;

/// What a frame says of its channel in parameters.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// What its payloads are.
    pub(super) content: Option<Content>,
    /// How many partitions it has.
    pub(super) partitions: Option<Partitions>,
}

/// Walks through all parameters, and so to the end of the payload.
pub(super) fn params(input: &[u8]) -> Parsed<'_, ()> {
    walk(input, |_, _| Ok(()))
}

/// As [`params`], in a frame that may say what the channel's payloads are, and how many partitions it has.
pub(super) fn params_with_content(input: &[u8]) -> Parsed<'_, Said> {
    let mut said = Said::default();
    let (input, ()) = walk(input, |id, bytes| match id {
        CONTENT => {
            let content =
                text(bytes, "content")?.parse().map_err(|_| nom::Err::Error(Fault::Invalid("content")))?;
            once(&mut said.content, content, "content")
        }
        PARTITIONS => once(&mut said.partitions, count(bytes)?, "partitions"),
        _ => Ok(()),
    })?;
    Ok((input, said))
}

/// As [`params`], in a frame that may say how many partitions the channel has.
pub(super) fn params_with_partitions(input: &[u8]) -> Parsed<'_, Option<Partitions>> {
    let mut partitions = None;
    let (input, ()) = walk(input, |id, bytes| match id {
        PARTITIONS => once(&mut partitions, count(bytes)?, "partitions"),
        _ => Ok(()),
    })?;
    Ok((input, partitions))
}

fn count(bytes: &[u8]) -> Result<Partitions, nom::Err<Fault>> {
    let count =
        <[u8; 2]>::try_from(bytes).ok().and_then(|bytes| Partitions::new(u16::from_le_bytes(bytes)).ok());
    count.ok_or(nom::Err::Error(Fault::Invalid("partitions")))
}

/// Keeps a parameter that may come once.
fn once<T>(place: &mut Option<T>, said: T, field: &'static str) -> Result<(), nom::Err<Fault>> {
    match place.replace(said) {
        None => Ok(()),
        Some(_) => Err(nom::Err::Error(Fault::Invalid(field))),
    }
}

/// Writes how many partitions the channel has, if it has some.
pub(super) fn put_partitions(partitions: Option<Partitions>, out: &mut Vec<u8>) {
    if let Some(partitions) = partitions {
        out.u16(PARTITIONS);
        out.u16(2);
        out.u16(partitions.get());
    }
}

/// Writes what the channel's payloads are, if it is known.
pub(super) fn put_content(content: Option<&Content>, out: &mut Vec<u8>) {
    if let Some(content) = content {
        out.u16(CONTENT);
        out.bytes16(content.as_str().as_bytes());
    }
}

fn walk(mut input: &[u8], mut see: impl FnMut(u16, &[u8]) -> Result<(), nom::Err<Fault>>) -> Parsed<'_, ()> {
    while !input.is_empty() {
        let (rest, id) = le_u16(input)?;
        let (rest, len) = le_u16(rest)?;
        let (rest, bytes) = take(len)(rest)?;
        if id & CRITICAL != 0 {
            return fail(Fault::Param(id));
        }
        see(id, bytes)?;
        input = rest;
    }
    Ok((input, ()))
}

/// Writes one parameter that means nothing, drawn from the nonce: `id & 0x8F0F` is `0x0A0A`, 0 to 7 bytes.
pub(super) fn put_grease(nonce: &[u8; 16], out: &mut Vec<u8>) {
    let id = 0x0A0A | u16::from(nonce[0] & 0x70) << 8 | u16::from(nonce[1] & 0xF0);
    let len = nonce[2] & 7;
    out.u16(id);
    out.u16(len.into());
    out.all(&nonce[3..3 + usize::from(len)]);
}
