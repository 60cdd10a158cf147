//! WATCH and WATCHED: which channels there are, and which are made from then on (spec/18-patterns.md).

use nom::number::complete::le_u16;

use super::parse::{Parsed, Put, bytes8, flag, invalid, log, text};
use crate::limits::MAX_LIST;
use crate::pattern::Pattern;
use crate::types::{ChannelName, LogId};

/// WATCH: asks for the channels whose names match, those there are and those that are made later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    /// Which.
    pub pattern: Pattern,
}

impl Watch {
    pub(super) fn parse(input: &[u8]) -> Parsed<'_, Watch> {
        let (input, bytes) = bytes8(input)?;
        match Pattern::new(text(bytes, "pattern")?) {
            Ok(pattern) => Ok((input, Watch { pattern })),
            Err(_) => invalid("pattern"),
        }
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.bytes8(self.pattern.as_str().as_bytes());
    }
}

/// A channel that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// Its name.
    pub name: ChannelName,
    /// Its log's identity.
    pub log: LogId,
}

/// WATCHED: some channels, in the order in which they were made, as far as that is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watched {
    /// Whether all that were there when WATCH came have been told, these included.
    pub complete: bool,
    /// At most 128; of more only the first 128 are sent.
    pub made: Vec<Made>,
}

impl Watched {
    /// Bytes of a channel with the shortest name.
    const MIN_LEN: usize = 2 + 16;

    pub(super) fn parse(input: &[u8]) -> Parsed<'_, Watched> {
        let (input, complete) = flag(input, "complete")?;
        let (mut input, count) = le_u16(input)?;
        let count = usize::from(count);
        if count > MAX_LIST {
            return invalid("count");
        }
        let mut made = Vec::with_capacity(count.min(input.len() / Self::MIN_LEN));
        for _ in 0..count {
            let (name, log_id);
            (input, name) = super::parse::name(input)?;
            (input, log_id) = log(input)?;
            made.push(Made { name, log: log_id });
        }
        Ok((input, Watched { complete, made }))
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let made = &self.made[..self.made.len().min(MAX_LIST)];
        out.u8(self.complete.into());
        out.u16(u16::try_from(made.len()).unwrap_or(u16::MAX));
        for made in made {
            out.bytes8(made.name.as_str().as_bytes());
            out.all(&made.log.0);
        }
    }
}
