//! A cursor as the state log has it: its key and its value (spec/08-disk.md).

use netchan_proto::limits::MAX_CURSOR_POSITIONS;
use netchan_proto::wire::{CursorInfo, CursorKey};
use netchan_proto::{ChannelName, CursorName, Epoch, LogId, Offset, Position, Positions, Timestamp};

/// What the keys of all cursors begin with.
pub(super) const PREFIX: &[u8] = b"cursor/";

/// What the keys of all cursors of a channel begin with.
pub(crate) fn prefix_of(channel: &ChannelName) -> Vec<u8> {
    [PREFIX, channel.as_str().as_bytes(), &[0]].concat()
}

/// Whether a key of the state log is a cursor's.
pub(crate) fn is_key(key: &[u8]) -> bool {
    key.starts_with(PREFIX)
}

/// Whose cursor a key is.
pub(crate) fn channel_of(key: &[u8]) -> Option<ChannelName> {
    Some(parse_key(key)?.channel)
}

/// Where a cursor stands, by what the state log has.
pub(crate) fn position(key: &[u8], value: &[u8]) -> Option<Positions> {
    Some(decode(parse_key(key)?, value)?.position)
}

/// The key of a cursor.
pub(super) fn key_of(key: &CursorKey) -> Vec<u8> {
    [&prefix_of(&key.channel), key.cursor.as_str().as_bytes()].concat()
}

/// Which cursor a key is of.
pub(super) fn parse_key(key: &[u8]) -> Option<CursorKey> {
    let text = std::str::from_utf8(key.strip_prefix(PREFIX)?).ok()?;
    let (channel, cursor) = text.split_once('\0')?;
    Some(CursorKey { channel: ChannelName::new(channel).ok()?, cursor: CursorName::new(cursor).ok()? })
}

/// The value of a cursor.
pub(super) fn encode(info: &CursorInfo) -> Vec<u8> {
    let numbers = [
        info.generation,
        info.taken,
        info.created.0.cast_unsigned(),
        info.moved.0.cast_unsigned(),
        info.position.len() as u64,
    ];
    let mut value: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    for position in info.position.iter() {
        value.extend_from_slice(&position.log.0);
        value.extend_from_slice(&position.epoch.0.to_le_bytes());
        value.extend_from_slice(&position.offset.0.to_le_bytes());
    }
    value
}

/// `None`: no cursor that this version knows, which counts as none.
pub(super) fn decode(key: CursorKey, value: &[u8]) -> Option<CursorInfo> {
    let mut rest = value;
    let generation = number(&mut rest)?;
    let taken = number(&mut rest)?;
    let created = Timestamp(number(&mut rest)?.cast_signed());
    let moved = Timestamp(number(&mut rest)?.cast_signed());
    let count = usize::try_from(number(&mut rest)?).ok().filter(|count| *count <= MAX_CURSOR_POSITIONS)?;
    let mut positions = Vec::with_capacity(count);
    for _ in 0..count {
        let log = LogId(*taken_off(&mut rest)?);
        let epoch = Epoch(u32::from_le_bytes(*taken_off(&mut rest)?));
        positions.push(Position { log, epoch, offset: Offset(number(&mut rest)?) });
    }
    let position = Positions::new(positions).ok()?;
    Some(CursorInfo { key, generation, taken, created, moved, position })
}

fn number(rest: &mut &[u8]) -> Option<u64> {
    taken_off(rest).map(|bytes| u64::from_le_bytes(*bytes))
}

fn taken_off<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (chunk, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(chunk)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_of_a_cursor_is_read_again_and_what_is_cut_short_is_none() {
        let key = CursorKey {
            channel: ChannelName::new("a/b").unwrap(),
            cursor: CursorName::new("worker").unwrap(),
        };
        assert_eq!(parse_key(&key_of(&key)).as_ref(), Some(&key));
        let at = |log| Position { log: LogId([log; 16]), epoch: Epoch(3), offset: Offset(4) };
        for position in [Positions::default(), Positions::new([at(1), at(2)]).unwrap()] {
            let (created, moved) = (Timestamp(-5), Timestamp(6));
            let info = CursorInfo { key: key.clone(), generation: 9, taken: 8, created, moved, position };
            let value = encode(&info);
            assert_eq!(decode(key.clone(), &value), Some(info));
            for cut in 0..value.len() {
                assert_eq!(decode(key.clone(), &value[..cut]), None, "{cut} bytes");
            }
        }
    }
}
