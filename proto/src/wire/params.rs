//! Parameters: what later versions add to a frame without breaking this one (spec/15-extending.md).
//!
//! Owns their form, `{u16 id, u16 len, bytes}*` up to the end of the payload, and the rule for ids nobody here knows:
//! with bit 15 the frame is refused, without it the parameter is skipped and nothing of it is kept. Version 1 knows
//! none.

use nom::bytes::complete::take;
use nom::number::complete::le_u16;

use super::parse::{Fault, Parsed, Put, fail};

/// The bit of an id that says: refuse the frame if you don't know me.
const CRITICAL: u16 = 1 << 15;

/// Walks through all parameters, and so to the end of the payload.
pub(super) fn params(mut input: &[u8]) -> Parsed<'_, ()> {
    while !input.is_empty() {
        let (rest, id) = le_u16(input)?;
        let (rest, len) = le_u16(rest)?;
        let (rest, _) = take(len)(rest)?;
        if id & CRITICAL != 0 {
            return fail(Fault::Param(id));
        }
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
