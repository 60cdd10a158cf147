//! Parameters: what later versions add to a frame without breaking this one (spec/15-extending.md).
//!
//! Owns their form, `{u16 id, u16 len, bytes}*` up to the end of the payload, and the rule for ids nobody here knows:
//! with bit 15 the frame is refused, without it the parameter is skipped and nothing of it is kept. Version 1 knows
//! one, [`CONTENT`], in the frames that have it.

use nom::bytes::complete::take;
use nom::number::complete::le_u16;

use super::parse::{Fault, Parsed, Put, fail, invalid, text};
use crate::types::Content;

/// The bit of an id that says: refuse the frame if you don't know me.
const CRITICAL: u16 = 1 << 15;

/// What the channel's payloads are: in OPENED and SEEKED, where it is known, and in PUBLISH_OPEN.
const CONTENT: u16 = 0x0010;

/// Walks through all parameters, and so to the end of the payload.
pub(super) fn params(input: &[u8]) -> Parsed<'_, ()> {
    walk(input, |_, _| Ok(()))
}

/// As [`params`], in a frame that may say what the channel's payloads are.
pub(super) fn params_with_content(input: &[u8]) -> Parsed<'_, Option<Content>> {
    let mut content = None;
    let (input, ()) = walk(input, |id, bytes| {
        if id == CONTENT {
            let said =
                text(bytes, "content")?.parse().map_err(|_| nom::Err::Error(Fault::Invalid("content")))?;
            if content.replace(said).is_some() {
                return invalid("content").map(|(_, nothing)| nothing);
            }
        }
        Ok(())
    })?;
    Ok((input, content))
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
