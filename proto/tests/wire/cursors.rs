//! Frames about cursors: what is refused of them, and that the largest fit.

use netchan_proto::limits::{MAX_CURSOR_POSITIONS, MAX_CURSORS};
use netchan_proto::wire::*;
use netchan_proto::{CursorName, Epoch, ErrorCode, LogId, Offset, Position, Positions, Timestamp};

use crate::any::{frame, read};

fn key(channel: &str, cursor: &str) -> CursorKey {
    CursorKey { channel: channel.parse().unwrap(), cursor: CursorName::new(cursor).unwrap() }
}

fn at(log: u8) -> Position {
    Position { log: LogId([log; 16]), epoch: Epoch(1), offset: Offset(u64::from(log)) }
}

fn cursor(cursor: &str) -> CursorInfo {
    CursorInfo {
        key: key("c", cursor),
        generation: 2,
        taken: 1,
        created: Timestamp(5),
        moved: Timestamp(6),
        position: at(1).into(),
    }
}

fn reply(more: bool, cursors: Vec<CursorInfo>) -> Message {
    Message::CursorsReply(CursorsReply { more, cursors })
}

/// What comes of a message that is sent.
fn sent(message: &Message) -> Result<Message, ErrorCode> {
    let (header, payload) = frame(message); // checks the length of the frame
    read(header.kind, payload).map_err(DecodeError::code)
}

/// NC-CUR-030, NC-CUR-031
#[test]
fn cursors_come_in_the_order_of_channels_and_names_and_more_follows_some() {
    let other = CursorInfo { key: key("d", "a"), ..cursor("a") };
    for good in [
        reply(false, vec![]),
        reply(true, vec![cursor("a")]),
        reply(false, vec![cursor("a"), cursor("b"), other.clone()]),
    ] {
        assert_eq!(sent(&good), Ok(good));
    }
    for bad in [
        reply(true, vec![]),
        reply(false, vec![cursor("b"), cursor("a")]),
        reply(false, vec![cursor("a"), cursor("a")]),
        reply(false, vec![other, cursor("z")]),
    ] {
        assert_eq!(sent(&bad), Err(ErrorCode::MALFORMED), "{bad:?}");
    }
}

/// NC-CUR-032
#[test]
fn a_page_of_the_most_cursors_with_the_most_positions_fits_a_frame_and_more_is_refused() {
    let position =
        Positions::new((0..MAX_CURSOR_POSITIONS).map(|log| at(u8::try_from(log).unwrap()))).unwrap();
    let longest = |n: usize| CursorInfo {
        key: key(&"n".repeat(255), &format!("{n:064}")),
        position: position.clone(),
        ..cursor("a")
    };
    let most = reply(false, (0..MAX_CURSORS).map(longest).collect());
    assert_eq!(sent(&most), Ok(most.clone()));
    let (header, payload) = frame(&most);
    let mut beyond = payload.to_vec();
    beyond[1..3].copy_from_slice(&u16::try_from(MAX_CURSORS + 1).unwrap().to_le_bytes());
    beyond.extend_from_slice(&frame(&Message::CursorReply(longest(MAX_CURSORS))).1);
    assert_eq!(read(header.kind, beyond).unwrap_err().code(), ErrorCode::MALFORMED);
    // Who has more to tell sends as many as fit, and says so.
    match sent(&reply(false, (0..=MAX_CURSORS).map(longest).collect())) {
        Ok(Message::CursorsReply(reply)) => assert!(reply.more && reply.cursors.len() == MAX_CURSORS),
        other => panic!("{other:?}"),
    }
}

/// NC-CUR-001, NC-CUR-002
#[test]
fn names_and_sets_that_are_none_are_refused() {
    let refused = |kind, payload: Vec<u8>| read(kind, payload).unwrap_err().code();
    let (delete, payload) = frame(&Message::CursorDelete(key("c", "ab")));
    for bad in [b"\x01c\x00".to_vec(), b"\x01c\x02a/".to_vec(), b"\x01c\x02\xc3\xa9".to_vec()] {
        assert_eq!(refused(delete.kind, bad), ErrorCode::MALFORMED);
    }
    let long = [b"\x01c\x41", "x".repeat(65).as_bytes()].concat();
    assert_eq!(refused(delete.kind, long), ErrorCode::MALFORMED);
    assert_eq!(payload, &b"\x01c\x02ab"[..]);

    let commit = |position: Positions| {
        frame(&Message::CursorCommit(CursorCommit { key: key("c", "a"), generation: 1, position })).1.to_vec()
    };
    let kind = FrameType::CURSOR_COMMIT;
    let two = commit(Positions::new([at(1), at(2)]).unwrap());
    assert!(read(kind, two.clone()).is_ok());
    // Both in one log; the wrong way round; one too many; none.
    for (log, first) in [(1_u8, 1_u8), (1, 2)] {
        let mut bad = two.clone();
        let second = bad.len() - 28;
        bad[second..second + 16].fill(log);
        bad[second - 28..second - 12].fill(first);
        assert_eq!(refused(kind, bad), ErrorCode::MALFORMED);
    }
    let mut most = commit(Positions::new((0..64).map(at)).unwrap());
    assert!(read(kind, most.clone()).is_ok());
    let count = most.len() - 64 * 28 - 2;
    most[count] = 65;
    most.extend_from_slice(&[0xFF; 28]);
    assert_eq!(refused(kind, most), ErrorCode::MALFORMED);
    let mut none = two[..two.len() - 56].to_vec();
    *none.iter_mut().nth_back(1).unwrap() = 0;
    assert_eq!(refused(kind, none), ErrorCode::MALFORMED);
}

/// NC-CUR-003
#[test]
fn flags_that_are_not_defined_are_refused() {
    let (start, make) = (Start::Earliest, true);
    let take = |wait| Message::CursorTake(CursorTake { key: key("c", "a"), start, make, wait, mine: 0 });
    let set = Message::CursorSet(CursorSet { key: key("c", "a"), start, make });
    for (message, unknown) in [(take(false), [4, 5, 0x80]), (take(true), [4, 7, 0x80]), (set, [2, 3, 0x80])] {
        let (header, payload) = frame(&message);
        assert_eq!(read(header.kind, payload.clone()), Ok(message));
        for flags in unknown {
            let mut bad = payload.to_vec();
            bad[1] = flags;
            assert_eq!(read(header.kind, bad).unwrap_err().code(), ErrorCode::MALFORMED);
        }
    }
}
