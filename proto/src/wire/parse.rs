//! How fields are read and written: the small parsers that every payload is made of.
//!
//! Owns nom's place in the crate: nothing of nom leaves `wire`. A parser allocates only after the bytes it will copy
//! are there.

use std::time::Duration;

use nom::bytes::complete::take;
use nom::error::{ErrorKind, ParseError};
use nom::number::complete::{le_u8, le_u16, le_u32, le_u64};

use crate::filter::FilterError;
use crate::types::{ChannelName, Durability, Epoch, LogId, Offset, Timestamp};

/// What a parser of one payload gives.
pub(super) type Parsed<'a, T> = nom::IResult<&'a [u8], T, Fault>;

/// Why a payload cannot be read, before it is known whose payload it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The payload ends inside a field.
    Short,
    /// A field has a value that it cannot have.
    Invalid(&'static str),
    /// A parameter that is unknown and critical.
    Param(u16),
    /// A filter that cannot be read.
    Filter(FilterError),
}

impl<'a> ParseError<&'a [u8]> for Fault {
    fn from_error_kind(_: &'a [u8], _: ErrorKind) -> Fault {
        Fault::Short // the only way in which the parsers used here fail by themselves
    }

    fn append(_: &'a [u8], _: ErrorKind, other: Fault) -> Fault {
        other
    }
}

pub(super) fn fail<T>(fault: Fault) -> Parsed<'static, T> {
    Err(nom::Err::Error(fault))
}

pub(super) fn invalid<'a, T>(field: &'static str) -> Parsed<'a, T> {
    fail(Fault::Invalid(field))
}

pub(super) fn array<const N: usize>(input: &[u8]) -> Parsed<'_, [u8; N]> {
    match input.split_first_chunk::<N>() {
        Some((array, rest)) => Ok((rest, *array)),
        None => fail(Fault::Short),
    }
}

/// Bytes that must be zero.
pub(super) fn zeros<const N: usize>(input: &[u8]) -> Parsed<'_, ()> {
    let (input, bytes) = array::<N>(input)?;
    if bytes == [0; N] { Ok((input, ())) } else { invalid("reserved") }
}

/// A byte that is 0 or 1.
pub(super) fn flag<'a>(input: &'a [u8], field: &'static str) -> Parsed<'a, bool> {
    match le_u8(input)? {
        (input, 0) => Ok((input, false)),
        (input, 1) => Ok((input, true)),
        _ => invalid(field),
    }
}

pub(super) fn bytes8(input: &[u8]) -> Parsed<'_, &[u8]> {
    let (input, len) = le_u8(input)?;
    take(len)(input)
}

pub(super) fn bytes16<'a>(input: &'a [u8], limit: usize, field: &'static str) -> Parsed<'a, &'a [u8]> {
    let (input, len) = le_u16(input)?;
    if usize::from(len) > limit {
        return invalid(field);
    }
    take(len)(input)
}

pub(super) fn text<'a>(bytes: &'a [u8], field: &'static str) -> Result<&'a str, nom::Err<Fault>> {
    std::str::from_utf8(bytes).map_err(|_| nom::Err::Error(Fault::Invalid(field)))
}

pub(super) fn name(input: &[u8]) -> Parsed<'_, ChannelName> {
    let (input, bytes) = bytes8(input)?;
    match ChannelName::new(text(bytes, "name")?) {
        Ok(name) => Ok((input, name)),
        Err(_) => invalid("name"),
    }
}

/// A name, or a zero byte for none.
pub(super) fn maybe_name(input: &[u8]) -> Parsed<'_, Option<ChannelName>> {
    match input {
        [0, rest @ ..] => Ok((rest, None)),
        _ => name(input).map(|(input, name)| (input, Some(name))),
    }
}

pub(super) fn durability(input: &[u8]) -> Parsed<'_, Durability> {
    let (input, code) = le_u8(input)?;
    match Durability::from_code(code) {
        Some(durability) => Ok((input, durability)),
        None => invalid("durability"),
    }
}

pub(super) fn log(input: &[u8]) -> Parsed<'_, LogId> {
    array(input).map(|(input, id)| (input, LogId(id)))
}

pub(super) fn epoch(input: &[u8]) -> Parsed<'_, Epoch> {
    le_u32(input).map(|(input, epoch)| (input, Epoch(epoch)))
}

pub(super) fn offset(input: &[u8]) -> Parsed<'_, Offset> {
    le_u64(input).map(|(input, offset)| (input, Offset(offset)))
}

/// An offset, or "none".
pub(super) fn maybe_offset(input: &[u8]) -> Parsed<'_, Option<Offset>> {
    offset(input).map(|(input, offset)| (input, (offset != Offset::NONE).then_some(offset)))
}

pub(super) fn timestamp(input: &[u8]) -> Parsed<'_, Timestamp> {
    le_u64(input).map(|(input, nanos)| (input, Timestamp(nanos.cast_signed())))
}

pub(super) fn millis(input: &[u8]) -> Parsed<'_, Duration> {
    le_u32(input).map(|(input, millis)| (input, Duration::from_millis(millis.into())))
}

/// As many whole characters of `text` as fit `limit` bytes.
pub(super) fn cut(text: &str, limit: usize) -> &str {
    let mut end = text.len().min(limit);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Writing, the other way round. All of it appends.
pub(super) trait Put {
    fn u8(&mut self, value: u8);
    fn u16(&mut self, value: u16);
    fn u32(&mut self, value: u32);
    fn u64(&mut self, value: u64);
    fn all(&mut self, bytes: &[u8]);

    fn zeros<const N: usize>(&mut self) {
        self.all(&[0; N]);
    }

    fn offset(&mut self, offset: Offset) {
        self.u64(offset.0);
    }

    fn timestamp(&mut self, time: Timestamp) {
        self.u64(time.0.cast_unsigned());
    }

    /// Milliseconds, and the most there can be for what is longer.
    fn millis(&mut self, duration: Duration) {
        self.u32(u32::try_from(duration.as_millis()).unwrap_or(u32::MAX));
    }

    /// A length of one byte and what fits it: the types of what is written keep to 255 bytes.
    fn bytes8(&mut self, bytes: &[u8]) {
        let len = u8::try_from(bytes.len()).unwrap_or(u8::MAX);
        self.u8(len);
        self.all(&bytes[..usize::from(len)]);
    }

    /// A name, or a zero byte for none.
    fn maybe_name(&mut self, name: Option<&ChannelName>) {
        self.bytes8(name.map_or("", ChannelName::as_str).as_bytes());
    }

    /// A length of one byte and as many whole characters as fit `limit` bytes.
    fn text8(&mut self, text: &str, limit: usize) {
        self.bytes8(cut(text, limit).as_bytes());
    }

    /// A length of two bytes and what fits it.
    fn bytes16(&mut self, bytes: &[u8]) {
        let len = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        self.u16(len);
        self.all(&bytes[..usize::from(len)]);
    }
}

impl Put for Vec<u8> {
    fn u8(&mut self, value: u8) {
        self.push(value);
    }

    fn u16(&mut self, value: u16) {
        self.all(&value.to_le_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.all(&value.to_le_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.all(&value.to_le_bytes());
    }

    fn all(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}
