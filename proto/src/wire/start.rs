//! Where reading begins (spec/09-position.md).

use std::time::Duration;

use nom::number::complete::{le_u8, le_u64};

use super::parse::{Parsed, Put, epoch, invalid, log};
use crate::types::{Epoch, LogId, Offset, Position, Timestamp};

/// Where reading begins. The side that has the log finds the offset, by its own clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Start {
    /// The oldest record there is.
    Earliest,
    /// The next record to come.
    #[default]
    Latest,
    /// The record of this offset.
    Offset(Offset),
    /// The first record at or after this time.
    Time(Timestamp),
    /// The first record at or after the time this long ago; at most 584 years, to the nanosecond.
    Ago(Duration),
    /// As many records before the end.
    Last(u64),
    /// Where an earlier reader of the same log had got to.
    Resume(Position),
}

impl Start {
    /// The first byte of a start: which kind it is. A flag byte and two zeros follow before [`Start::put_rest`].
    pub(super) fn code(&self) -> u8 {
        match self {
            Start::Earliest => 0,
            Start::Latest => 1,
            Start::Offset(_) => 2,
            Start::Time(_) => 3,
            Start::Ago(_) => 4,
            Start::Last(_) => 5,
            Start::Resume(_) => 6,
        }
    }

    /// Value, log and epoch: zero where the kind has none.
    pub(super) fn put_rest(&self, out: &mut Vec<u8>) {
        let (value, log, epoch) = match *self {
            Start::Earliest | Start::Latest => (0, LogId::NONE, Epoch(0)),
            Start::Offset(offset) => (offset.0, LogId::NONE, Epoch(0)),
            Start::Time(time) => (time.0.cast_unsigned(), LogId::NONE, Epoch(0)),
            Start::Ago(ago) => (u64::try_from(ago.as_nanos()).unwrap_or(u64::MAX), LogId::NONE, Epoch(0)),
            Start::Last(records) => (records, LogId::NONE, Epoch(0)),
            Start::Resume(position) => (position.offset.0, position.log, position.epoch),
        };
        out.u64(value);
        out.all(&log.0);
        out.u32(epoch.0);
    }

    /// Reads the kind, a byte for the caller, two zeros, value, log and epoch.
    pub(super) fn parse(input: &[u8]) -> Parsed<'_, (Start, u8)> {
        let (input, kind) = le_u8(input)?;
        let (input, flags) = le_u8(input)?;
        let (input, ()) = super::parse::zeros::<2>(input)?;
        let (input, value) = le_u64(input)?;
        let (input, log) = log(input)?;
        let (input, epoch) = epoch(input)?;
        let start = match kind {
            0 => Start::Earliest,
            1 => Start::Latest,
            2 => Start::Offset(Offset(value)),
            3 => Start::Time(Timestamp(value.cast_signed())),
            4 => Start::Ago(Duration::from_nanos(value)),
            5 => Start::Last(value),
            6 => Start::Resume(Position { log, epoch, offset: Offset(value) }),
            _ => return invalid("start"),
        };
        let value_unused = matches!(start, Start::Earliest | Start::Latest) && value != 0;
        let position_unused = !matches!(start, Start::Resume(_)) && (log != LogId::NONE || epoch != Epoch(0));
        if value_unused || position_unused {
            return invalid("start");
        }
        Ok((input, (start, flags)))
    }
}
