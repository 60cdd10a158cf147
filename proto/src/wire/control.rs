//! Frames that any side may send once the handshake is done, beside its streams (spec/03-frames.md, spec/11-errors.md).

use std::fmt;
use std::time::Duration;

use nom::number::complete::le_u16;

use super::parse::{Parsed, Put, bytes16, cut, flag, maybe_offset, millis, text, zeros};
use crate::error_code::ErrorCode;
use crate::limits::MAX_ERROR_TEXT;
use crate::types::Offset;

/// GOAWAY: open nothing more here, and be gone in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoAway {
    /// Why.
    pub code: ErrorCode,
    /// How long open streams are still served, in whole milliseconds.
    pub drain: Duration,
}

impl GoAway {
    pub(super) fn parse(input: &[u8]) -> Parsed<'_, GoAway> {
        let (input, code) = le_u16(input)?;
        let (input, drain) = millis(input)?;
        Ok((input, GoAway { code: ErrorCode(code), drain }))
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.u16(self.code.0);
        out.millis(self.drain);
    }
}

/// ERROR: the end of a stream, or on stream 0 of the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorFrame {
    /// What went wrong.
    pub code: ErrorCode,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// The offset it is about.
    pub at: Option<Offset>,
    /// What happened, for people: at most 512 bytes, of which no more are sent.
    pub text: String,
}

impl ErrorFrame {
    /// An error about no offset, to be tried again if its code says so.
    #[must_use]
    pub fn new(code: ErrorCode, text: impl Into<String>) -> ErrorFrame {
        ErrorFrame { code, retryable: code.is_retryable(), at: None, text: text.into() }
    }

    pub(super) fn parse(input: &[u8]) -> Parsed<'_, ErrorFrame> {
        let (input, code) = le_u16(input)?;
        let (input, retryable) = flag(input, "retryable")?;
        let (input, ()) = zeros::<1>(input)?;
        let (input, at) = maybe_offset(input)?;
        let (input, bytes) = bytes16(input, MAX_ERROR_TEXT, "text")?;
        let text = text(bytes, "text")?.to_owned();
        Ok((input, ErrorFrame { code: ErrorCode(code), retryable, at, text }))
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.u16(self.code.0);
        out.u8(self.retryable.into());
        out.zeros::<1>();
        out.offset(self.at.unwrap_or(Offset::NONE));
        out.bytes16(cut(&self.text, MAX_ERROR_TEXT).as_bytes());
    }
}

impl fmt::Display for ErrorFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if !self.text.is_empty() {
            write!(f, ": {}", self.text.escape_debug())?;
        }
        match self.at {
            Some(offset) => write!(f, " (at offset {offset})"),
            None => Ok(()),
        }
    }
}
