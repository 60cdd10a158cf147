//! Cursors and their replies (spec/17-cursors.md).

use nom::number::complete::{le_u16, le_u64};

use super::parse::{
    Parsed, Put, bytes8, epoch, flag, invalid, log, maybe_name, name, offset, text, timestamp,
};
use super::start::Start;
use crate::cursor::{CursorName, Positions};
use crate::limits::{MAX_CURSOR_POSITIONS, MAX_CURSORS};
use crate::types::{ChannelName, Position, Timestamp};

/// Which cursor: that of a name, of a channel. CURSOR_DELETE is nothing more.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CursorKey {
    /// The channel.
    pub channel: ChannelName,
    /// The cursor's name.
    pub cursor: CursorName,
}

impl CursorKey {
    /// Bytes of the shortest on the wire.
    const MIN_LEN: usize = 2 + 2;

    pub(super) fn parse(input: &[u8]) -> Parsed<'_, CursorKey> {
        let (input, channel) = name(input)?;
        let (input, cursor) = cursor_name(input)?;
        Ok((input, CursorKey { channel, cursor }))
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.bytes8(self.channel.as_str().as_bytes());
        out.bytes8(self.cursor.as_str().as_bytes());
    }
}

fn cursor_name(input: &[u8]) -> Parsed<'_, CursorName> {
    let (input, bytes) = bytes8(input)?;
    match CursorName::new(text(bytes, "cursor")?) {
        Ok(cursor) => Ok((input, cursor)),
        Err(_) => invalid("cursor"),
    }
}

/// Bytes of one position on the wire.
const POSITION_LEN: usize = 16 + 4 + 8;

fn positions(input: &[u8]) -> Parsed<'_, Positions> {
    let (mut input, count) = le_u16(input)?;
    if usize::from(count) > MAX_CURSOR_POSITIONS {
        return invalid("count");
    }
    let room = usize::from(count).min(input.len() / POSITION_LEN);
    let mut positions: Vec<Position> = Vec::with_capacity(room);
    for _ in 0..count {
        let position;
        (input, position) = one_position(input)?;
        if positions.last().is_some_and(|before| before.log >= position.log) {
            return invalid("order");
        }
        positions.push(position);
    }
    match Positions::new(positions) {
        Ok(positions) => Ok((input, positions)),
        Err(_) => invalid("positions"),
    }
}

fn one_position(input: &[u8]) -> Parsed<'_, Position> {
    let (input, log) = log(input)?;
    let (input, epoch) = epoch(input)?;
    let (input, offset) = offset(input)?;
    Ok((input, Position { log, epoch, offset }))
}

fn put_positions(positions: &Positions, out: &mut Vec<u8>) {
    out.u16(u16::try_from(positions.len()).unwrap_or(u16::MAX)); // a set has far fewer
    for position in positions.iter() {
        out.all(&position.log.0);
        out.u32(position.epoch.0);
        out.offset(position.offset);
    }
}

/// Bit 0 of the flags of CURSOR_TAKE and CURSOR_SET.
const MAKE: u8 = 1;
/// Bit 1 of those of CURSOR_TAKE.
const WAIT: u8 = 2;

fn put_start(start: &Start, flags: u8, out: &mut Vec<u8>) {
    out.u8(start.code());
    out.u8(flags);
    out.zeros::<2>();
    start.put_rest(out);
}

/// The start, and the flags, of which `known` may be set.
fn parse_start(input: &[u8], known: u8) -> Parsed<'_, (Start, u8)> {
    let (input, (start, flags)) = Start::parse(input)?;
    if flags & !known == 0 { Ok((input, (start, flags))) } else { invalid("flags") }
}

/// CURSOR_TAKE: from now on the cursor is moved by who asks, and by nobody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CursorTake {
    /// Which.
    pub key: CursorKey,
    /// Where it is to stand if it is made.
    pub start: Start,
    /// Whether to make it if there is none.
    pub make: bool,
    /// Whether to make it also where there is no channel yet.
    pub wait: bool,
    /// Only if the last to take it was told this generation; 0: whoever was.
    pub mine: u64,
}

impl CursorTake {
    pub(super) fn parse(input: &[u8]) -> Parsed<'_, CursorTake> {
        let (input, (start, flags)) = parse_start(input, MAKE | WAIT)?;
        let (make, wait) = (flags & MAKE != 0, flags & WAIT != 0);
        let (input, mine) = le_u64(input)?;
        let (input, key) = CursorKey::parse(input)?;
        Ok((input, CursorTake { key, start, make, wait, mine }))
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let flags = (u8::from(self.make) * MAKE) | (u8::from(self.wait) * WAIT);
        put_start(&self.start, flags, out);
        out.u64(self.mine);
        self.key.put(out);
    }
}

/// CURSOR_COMMIT: what is before the position is done with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CursorCommit {
    /// Which.
    pub key: CursorKey,
    /// What the CURSOR_REPLY to CURSOR_TAKE told.
    pub generation: u64,
    /// The first records that are not done with.
    pub position: Positions,
}

impl CursorCommit {
    pub(super) fn parse(input: &[u8]) -> Parsed<'_, CursorCommit> {
        let (input, generation) = le_u64(input)?;
        let (input, key) = CursorKey::parse(input)?;
        let (input, position) = positions(input)?;
        if position.is_empty() {
            return invalid("count");
        }
        Ok((input, CursorCommit { key, generation, position }))
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.u64(self.generation);
        self.key.put(out);
        put_positions(&self.position, out);
    }
}

/// CURSOR_SET: moves a cursor to wherever, whoever has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CursorSet {
    /// Which.
    pub key: CursorKey,
    /// Where to.
    pub start: Start,
    /// Whether to make it if there is none.
    pub make: bool,
}

impl CursorSet {
    pub(super) fn parse(input: &[u8]) -> Parsed<'_, CursorSet> {
        let (input, (start, flags)) = parse_start(input, MAKE)?;
        let (input, key) = CursorKey::parse(input)?;
        Ok((input, CursorSet { key, start, make: flags & MAKE != 0 }))
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        put_start(&self.start, u8::from(self.make) * MAKE, out);
        self.key.put(out);
    }
}

/// CURSOR_REPLY: how a cursor is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CursorInfo {
    /// Which.
    pub key: CursorKey,
    /// Grows whenever it is taken or set; no two such changes of a node's cursors have the same.
    pub generation: u64,
    /// What it was told who took it last; 0 if nobody has.
    pub taken: u64,
    /// When it was made, by the node's clock.
    pub created: Timestamp,
    /// When its position was last changed, by the node's clock.
    pub moved: Timestamp,
    /// The first records that are not done with.
    pub position: Positions,
}

impl CursorInfo {
    /// Bytes of the shortest on the wire.
    const MIN_LEN: usize = CursorKey::MIN_LEN + 4 * 8 + 2;

    pub(super) fn parse(input: &[u8]) -> Parsed<'_, CursorInfo> {
        let (input, key) = CursorKey::parse(input)?;
        let (input, generation) = le_u64(input)?;
        let (input, taken) = le_u64(input)?;
        let (input, created) = timestamp(input)?;
        let (input, moved) = timestamp(input)?;
        let (input, position) = positions(input)?;
        Ok((input, CursorInfo { key, generation, taken, created, moved, position }))
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        self.key.put(out);
        out.u64(self.generation);
        out.u64(self.taken);
        out.timestamp(self.created);
        out.timestamp(self.moved);
        put_positions(&self.position, out);
    }
}

/// CURSORS: asks for cursors, in the order of channels and names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursors {
    /// Only those of this channel.
    pub channel: Option<ChannelName>,
    /// Only those after this one.
    pub after: Option<CursorKey>,
}

impl Cursors {
    pub(super) fn parse(input: &[u8]) -> Parsed<'_, Cursors> {
        let (input, channel) = maybe_name(input)?;
        match input {
            [0, input @ ..] => Ok((input, Cursors { channel, after: None })),
            _ => {
                let (input, after) = CursorKey::parse(input)?;
                Ok((input, Cursors { channel, after: Some(after) }))
            }
        }
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.maybe_name(self.channel.as_ref());
        match &self.after {
            Some(after) => after.put(out),
            None => out.u8(0),
        }
    }
}

/// CURSORS_REPLY: some cursors, in the order of channels and names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CursorsReply {
    /// Whether there are more after the last of these.
    pub more: bool,
    /// At most 24, each after the one before. If there are more of them, only the first 24 are sent.
    pub cursors: Vec<CursorInfo>,
}

impl CursorsReply {
    pub(super) fn parse(input: &[u8]) -> Parsed<'_, CursorsReply> {
        let (input, more) = flag(input, "more")?;
        let (mut input, count) = le_u16(input)?;
        let count = usize::from(count);
        if count > MAX_CURSORS || (more && count == 0) {
            return invalid("count");
        }
        let mut cursors: Vec<CursorInfo> = Vec::with_capacity(count.min(input.len() / CursorInfo::MIN_LEN));
        for _ in 0..count {
            let info;
            (input, info) = CursorInfo::parse(input)?;
            if cursors.last().is_some_and(|before| before.key >= info.key) {
                return invalid("order");
            }
            cursors.push(info);
        }
        Ok((input, CursorsReply { more, cursors }))
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let cursors = &self.cursors[..self.cursors.len().min(MAX_CURSORS)];
        out.u8((self.more || cursors.len() < self.cursors.len()).into());
        out.u16(u16::try_from(cursors.len()).unwrap_or(u16::MAX));
        cursors.iter().for_each(|info| info.put(out));
    }
}
