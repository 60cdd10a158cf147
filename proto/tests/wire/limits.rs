//! Lengths and counts at their limits and beyond: no number in a payload makes the reader take more memory than a small
//! multiple of the payload. Measured, by counting what the allocator has given out, at its highest.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bytes::Bytes;
use netchan_proto::LogId;
use netchan_proto::limits::{MAX_DATA, MAX_ERROR_TEXT, MAX_LIST, MAX_NOTE};
use netchan_proto::wire::*;
use proptest::prelude::*;

use crate::any::{frame, message, one_of_each, read, stream_for};

struct Counting;

thread_local! {
    static TAKEN: Cell<isize> = const { Cell::new(0) };
    static HIGHEST: Cell<isize> = const { Cell::new(0) };
}

fn count(change: isize) {
    let _ = TAKEN.try_with(|taken| {
        taken.set(taken.get() + change);
        HIGHEST.try_with(|highest| highest.set(highest.get().max(taken.get())))
    });
}

#[allow(unsafe_code)] // an allocator cannot be counted otherwise
// SAFETY: every call goes to `System` with the arguments it came with.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: `at` came from `System` by `alloc`, with this layout.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Reads `payload`, and holds the reader to four bytes of memory for each of its bytes.
fn read_frugally(kind: FrameType, payload: Vec<u8>) -> Result<Message, DecodeError> {
    let allowed = 4 * payload.len() + 64;
    let payload = Bytes::from(payload);
    let header = FrameHeader { len: payload.len().try_into().unwrap(), kind, stream: stream_for(kind) };
    let before = TAKEN.get();
    HIGHEST.set(before);
    let message = Message::decode(&header, payload);
    let taken = usize::try_from(HIGHEST.get() - before).unwrap();
    assert!(taken <= allowed, "{kind}: {taken} bytes for a payload that allows {allowed}");
    message
}

/// NC-LIM-001
#[test]
fn counts_and_lengths_that_lie_allocate_nothing() {
    for message in one_of_each() {
        let (header, payload) = frame(&message);
        for at in 0..payload.len() {
            for lie in [&[0][..], &[0xff], &[0, 1], &[0xff, 0xff], &[0xff; 4], &[0xff; 8], &[0, 0, 0, 0x80]] {
                let mut changed = payload.to_vec();
                let end = payload.len().min(at + lie.len());
                changed[at..end].copy_from_slice(&lie[..end - at]);
                let _ = read_frugally(header.kind, changed);
            }
        }
    }
}

fn short_text(len: u16) -> Vec<u8> {
    let mut payload = vec![0x02, 0x01, 0, 0];
    payload.extend_from_slice(&[0xff; 8]);
    payload.extend_from_slice(&len.to_le_bytes());
    payload.resize(payload.len() + usize::from(len), b'x');
    payload
}

fn note(len: u16) -> Vec<u8> {
    let mut payload = vec![0; 8];
    payload.extend_from_slice(&len.to_le_bytes());
    payload.resize(payload.len() + usize::from(len), b'x');
    payload
}

/// NC-LIM-002, NC-LIM-003, NC-HSK-008, NC-PUB-027, NC-FRM-018: 0, 1, the limit, one more, and the most the field can say.
#[test]
fn each_length_is_held_to_its_limit() {
    let max_text = u16::try_from(MAX_ERROR_TEXT).unwrap();
    let max_note = u16::try_from(MAX_NOTE).unwrap();
    for (len, good) in [(0, true), (1, true), (max_text, true), (max_text + 1, false), (u16::MAX, false)] {
        assert_eq!(read_frugally(FrameType::ERROR, short_text(len)).is_ok(), good, "text of {len}");
    }
    for (len, good) in [(0, true), (1, true), (max_note, true), (max_note + 1, false), (u16::MAX, false)] {
        assert_eq!(read_frugally(FrameType::PUBLISH_NOTE, note(len)).is_ok(), good, "note of {len}");
    }
    for (len, good) in [(0, false), (1, true), (MAX_DATA, true), (MAX_DATA + 1, false)] {
        assert_eq!(read_frugally(FrameType::DATA, vec![7; 8 + len]).is_ok(), good, "range of {len}");
    }
    for (len, good) in [(0u8, false), (1, true), (255, true)] {
        let payload = [&[len][..], &vec![b'n'; len.into()]].concat();
        assert_eq!(read_frugally(FrameType::STAT, payload).is_ok(), good, "name of {len}");
    }
    for (count, good) in [(0u8, false), (1, true), (8, true), (9, false), (255, false)] {
        let payload = [&[count][..], &vec![1; 2 * usize::from(count) + 2 + 16 + 16]].concat();
        assert_eq!(read_frugally(FrameType::HELLO, payload).is_ok(), good, "{count} versions");
    }
}

/// NC-LIM-004
#[test]
fn a_list_of_the_most_channels_with_the_longest_names_fits_a_frame_and_one_more_is_refused() {
    let sample = one_of_each().into_iter().find(|message| message.kind() == FrameType::STAT_REPLY);
    let Some(Message::StatReply(sample)) = sample else { panic!("no STAT_REPLY") };
    let named = |n: usize| LogInfo { name: format!("{n:0255}").parse().unwrap(), ..sample.clone() };
    let most = Message::ListReply(ListReply { more: false, logs: (0..MAX_LIST).map(named).collect() });
    let (header, payload) = frame(&most); // checks the length of the frame
    assert_eq!(Message::decode(&header, payload.clone()), Ok(most));
    let mut more = payload.to_vec();
    more[1..3].copy_from_slice(&u16::try_from(MAX_LIST + 1).unwrap().to_le_bytes());
    more.extend_from_slice(&frame(&Message::StatReply(named(MAX_LIST))).1);
    assert!(read_frugally(FrameType::LIST_REPLY, more).is_err());
    let all = (0..MAX_LIST + 1).map(named).collect();
    match read(FrameType::LIST_REPLY, frame(&Message::ListReply(ListReply { more: false, logs: all })).1) {
        Ok(Message::ListReply(reply)) => assert!(reply.more && reply.logs.len() == MAX_LIST),
        other => panic!("{other:?}"),
    }
}

/// NC-PAT-009, NC-LIM-002, NC-LIM-004: a WATCHED of the most channels with the longest names fits a frame; one more is refused.
#[test]
fn patterns_and_what_matches_them_have_their_limits_on_the_wire() {
    let made = |n: usize| Made { name: format!("{n:0255}").parse().unwrap(), log: LogId([7; 16]) };
    let most = Message::Watched(Watched { complete: true, made: (0..MAX_LIST).map(made).collect() });
    let (header, payload) = frame(&most); // checks the length of the frame
    assert_eq!(Message::decode(&header, payload.clone()), Ok(most));
    let mut more = payload.to_vec();
    more[1..3].copy_from_slice(&u16::try_from(MAX_LIST + 1).unwrap().to_le_bytes());
    more.extend_from_slice(&[&[1, b'n'][..], &[0; 16]].concat());
    assert!(read_frugally(FrameType::WATCHED, more).is_err());
    for (pattern, good) in [
        (&b"logs/*"[..], true),
        (b"**", true),
        (b"", false),
        (b"a**", false),
        (b"a/", false),
        (b"\xff", false),
        (&[b'*'; 2], true),
    ] {
        let payload = [&[u8::try_from(pattern.len()).unwrap()], pattern].concat();
        assert_eq!(read_frugally(FrameType::WATCH, payload).is_ok(), good, "{pattern:?}");
    }
    let longest = [&[255][..], "*a".repeat(127).as_bytes(), b"*"].concat();
    assert!(read_frugally(FrameType::WATCH, longest).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn reading_costs_no_more_memory_than_the_payload_is_worth(
        message in message(), at in any::<prop::sample::Index>(), bytes in any::<[u8; 4]>()
    ) {
        let (header, payload) = frame(&message);
        let mut changed = payload.to_vec();
        if changed.len() >= 4 {
            let at = at.index(changed.len() - 3);
            changed[at..at + 4].copy_from_slice(&bytes);
        }
        let _ = read_frugally(header.kind, changed);
    }
}
