//! Any message there can be, for property tests; and one of each kind, for tests that go byte by byte.

use std::time::Duration;

use bytes::Bytes;
use netchan_proto::auth::Side;
use netchan_proto::limits::{MAX_ERROR_TEXT, MAX_NOTE, MAX_PARTITIONS};
use netchan_proto::settings::Setting;
use netchan_proto::wire::*;
use netchan_proto::{
    ChannelName, Content, CursorName, Digest, Durability, Epoch, ErrorCode, Filter, LogId, NodeId, Offset,
    Partitions, Pattern, Position, Positions, ProducerId, Settings, Timestamp,
};
use proptest::prelude::*;
use proptest::strategy::ValueTree;

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![any::<u64>(), 0..3u64, Just(u64::MAX), Just(u64::MAX - 1), Just(1 << 63)]
}

fn offset() -> impl Strategy<Value = Offset> {
    number().prop_map(Offset)
}

fn maybe_offset() -> impl Strategy<Value = Option<Offset>> {
    prop::option::of((0..u64::MAX).prop_map(Offset))
}

fn time() -> impl Strategy<Value = Timestamp> {
    number().prop_map(|nanos| Timestamp(nanos.cast_signed()))
}

fn epoch() -> impl Strategy<Value = Epoch> {
    any::<u32>().prop_map(Epoch)
}

fn log() -> impl Strategy<Value = LogId> {
    any::<[u8; 16]>().prop_map(LogId)
}

fn code() -> impl Strategy<Value = ErrorCode> {
    any::<u16>().prop_map(ErrorCode)
}

fn millis() -> impl Strategy<Value = Duration> {
    any::<u32>().prop_map(|millis| Duration::from_millis(millis.into()))
}

pub(crate) fn name() -> impl Strategy<Value = ChannelName> {
    prop_oneof![
        "[a-zé_-]{1,20}(/[a-z0-9]{1,9}){0,3}".prop_map(|name| ChannelName::new(&name).unwrap()),
        Just(ChannelName::new(&"n".repeat(255)).unwrap()),
        "[a-z]{1,9}(/[a-z]{1,9})?@([0-9]|[1-9][0-9]{1,2})".prop_map(|name| ChannelName::new(&name).unwrap()),
    ]
}

fn durability() -> impl Strategy<Value = Durability> {
    prop_oneof![Just(Durability::Sync), Just(Durability::Interval), Just(Durability::Os)]
}

fn note() -> impl Strategy<Value = Note> {
    prop::collection::vec(any::<u8>(), 0..=MAX_NOTE).prop_map(|note| Note::new(note).unwrap())
}

fn start() -> impl Strategy<Value = Start> {
    prop_oneof![
        Just(Start::Earliest),
        Just(Start::Latest),
        offset().prop_map(Start::Offset),
        time().prop_map(Start::Time),
        number().prop_map(|nanos| Start::Ago(Duration::from_nanos(nanos))),
        number().prop_map(Start::Last),
        (log(), epoch(), offset()).prop_map(|(log, epoch, offset)| Start::Resume(Position {
            log,
            epoch,
            offset
        })),
    ]
}

fn filter() -> impl Strategy<Value = Option<Filter>> {
    const TEXTS: &[&str] =
        &["key ^= 'user.'", "json.a[0].'é' in (1, null) or not (time > 2026-01-01T00:00:00Z)", " size<5 "];
    prop::option::of(prop::sample::select(TEXTS).prop_map(|text| Filter::parse(text).unwrap()))
}

fn opened() -> impl Strategy<Value = Opened> {
    (
        log(),
        epoch(),
        durability(),
        any::<bool>(),
        [offset(), offset(), offset()],
        time(),
        content(),
        partitions(),
    )
        .prop_map(
            |(log, epoch, durability, sealed, [first, next, start], clock, content, partitions)| Opened {
                log,
                epoch,
                durability,
                sealed,
                first,
                next,
                start,
                clock,
                content,
                partitions,
            },
        )
}

fn partitions() -> impl Strategy<Value = Option<Partitions>> {
    prop::option::of((1..=MAX_PARTITIONS).prop_map(|count| Partitions::new(count).unwrap()))
}

fn content() -> impl Strategy<Value = Option<Content>> {
    prop::option::of("[a-z0-9._-]{1,30}(\\+[a-z0-9._-]{1,30}){0,2}".prop_map(|names| names.parse().unwrap()))
}

fn range() -> impl Strategy<Value = Range> {
    (number(), prop::collection::vec(any::<u8>(), 1..300))
        .prop_map(|(at, bytes)| Range { at, bytes: bytes.into() })
}

fn info() -> impl Strategy<Value = LogInfo> {
    (
        (name(), log(), epoch(), durability(), any::<bool>()),
        [offset(), offset(), offset()],
        [time(), time(), time()],
        [number(), number()],
    )
        .prop_map(
            |(
                (name, id, epoch, durability, sealed),
                [first, next, durable],
                [first_time, last_time, created],
                [bytes, segments],
            )| LogInfo {
                name,
                id,
                epoch,
                durability,
                sealed,
                first,
                next,
                durable,
                first_time,
                last_time,
                created,
                bytes,
                segments,
            },
        )
}

fn handshake() -> BoxedStrategy<Message> {
    let versions = |least| prop::collection::vec(any::<u16>(), least..=MAX_VERSIONS);
    let hash = any::<[u8; 32]>;
    let side = prop_oneof![Just(Side::Dialler), Just(Side::Listener)];
    let auth = prop_oneof![Just(AuthMethod::None), Just(AuthMethod::Token)];
    prop_oneof![
        (versions(1), any::<u16>(), any::<[u8; 16]>(), any::<[u8; 16]>()).prop_map(
            |(versions, roles, node, nonce)| Message::Hello(Hello {
                versions,
                roles: Roles(roles),
                node: NodeId(node),
                nonce
            })
        ),
        (any::<u16>(), any::<u16>(), any::<[u8; 16]>(), any::<[u8; 16]>(), auth, hash()).prop_map(
            |(version, roles, node, nonce, auth, hello)| Message::Welcome(Welcome {
                version,
                roles: Roles(roles),
                node: NodeId(node),
                nonce,
                auth,
                hello
            })
        ),
        (code(), versions(0), millis()).prop_map(|(code, versions, retry_after)| Message::Reject(Reject {
            code,
            versions,
            retry_after
        })),
        (side, hash()).prop_map(|(side, proof)| Message::Auth(Auth { side, proof })),
    ]
    .boxed()
}

fn control() -> BoxedStrategy<Message> {
    let text = prop_oneof!["[a-zé ]{0,40}", Just("x".repeat(MAX_ERROR_TEXT))];
    prop_oneof![
        number().prop_map(Message::Ping),
        number().prop_map(Message::Pong),
        (code(), millis()).prop_map(|(code, drain)| Message::GoAway(GoAway { code, drain })),
        (code(), any::<bool>(), maybe_offset(), text)
            .prop_map(|(code, retryable, at, text)| Message::Error(ErrorFrame { code, retryable, at, text })),
        any::<[u8; 16]>().prop_map(|bytes| Message::grease(&bytes)),
    ]
    .boxed()
}

fn reading() -> BoxedStrategy<Message> {
    let why = prop_oneof![Just(GapReason::Retention), Just(GapReason::Damaged)];
    prop_oneof![
        (name(), start(), any::<bool>(), number(), filter()).prop_map(
            |(name, start, wait, credit, filter)| {
                Message::Open(Open { name, start, wait, credit, filter })
            }
        ),
        opened().prop_map(Message::Opened),
        number().prop_map(Message::Credit),
        (any::<u32>(), start()).prop_map(|(seek_id, start)| Message::Seek(Seek { seek_id, start })),
        (any::<u32>(), opened()).prop_map(|(seek_id, opened)| Message::Seeked(Seeked { seek_id, opened })),
        range().prop_map(Message::Data),
        (offset(), offset(), time()).prop_map(|(scanned, next, clock)| Message::Progress(Progress {
            scanned,
            next,
            clock
        })),
        (0..1000u64, 1..1000u64, why, epoch()).prop_map(|(from, len, why, epoch)| Message::Gap(Gap {
            from: Offset(from),
            to: Offset(from + len),
            why,
            epoch
        })),
        (1..=u64::MAX).prop_filter_map("none", |number| Digest::from_number(number).map(Message::Digest)),
        (epoch(), epoch(), offset()).prop_map(|(epoch, log_epoch, end)| Message::Truncated(Truncated {
            epoch,
            log_epoch,
            end
        })),
        (0..u64::MAX).prop_map(|end| Message::End(End::Sealed { final_offset: Offset(end) })),
        Just(Message::End(End::Closed)),
        code().prop_map(Message::Close),
        Just(Message::Waiting),
        (0..u64::MAX).prop_map(|end| Message::Received(Offset(end))),
        (0..u64::MAX).prop_map(|end| Message::Await(Offset(end))),
    ]
    .boxed()
}

fn publishing() -> BoxedStrategy<Message> {
    let level = prop_oneof![Just(AckLevel::Written), Just(AckLevel::Durable)];
    prop_oneof![
        (name(), any::<bool>(), prop::option::of(durability()), any::<[u8; 16]>(), content(), partitions())
            .prop_map(|(name, create, durability, producer, content, partitions)| Message::PublishOpen(
                PublishOpen {
                    partitions: partitions.filter(|_| name.partition().is_some()),
                    name,
                    create,
                    durability,
                    producer: ProducerId(producer),
                    content
                }
            )),
        (log(), epoch(), durability(), number(), number(), note(), partitions()).prop_map(
            |(log, epoch, durability, next_sequence, credit, note, partitions)| Message::PublishOpened(
                PublishOpened { partitions, log, epoch, durability, next_sequence, credit, note }
            )
        ),
        range().prop_map(Message::Publish),
        (level, epoch(), 0..1u64 << 60, 1..1u64 << 60, maybe_offset()).prop_map(
            |(level, epoch, first_sequence, count, first_offset)| Message::PublishAck(PublishAck {
                level,
                epoch,
                first_sequence,
                count,
                first_offset
            })
        ),
        (number(), note())
            .prop_map(|(next_sequence, note)| Message::PublishNote(PublishNote { next_sequence, note })),
        Just(Message::PublishClose),
    ]
    .boxed()
}

fn status() -> BoxedStrategy<Message> {
    let counters = prop::collection::vec((any::<prop::sample::Index>(), number()), 0..30).prop_map(|told| {
        told.into_iter()
            .map(|(which, value)| (Counter::ALL[which.index(Counter::ALL.len())], value))
            .collect::<Counters>()
    });
    let node = || any::<[u8; 16]>().prop_map(NodeId);
    let status = (node(), "[ -~é]{0,40}", time(), time(), counters).prop_map(
        |(node, version, started, now, counters)| NodeStatus { node, version, started, now, counters },
    );
    let asked = (number(), prop::option::of(name())).prop_map(|(after, channel)| Readers { after, channel });
    let kind = prop_oneof![Just(ReaderKind::Reads), Just(ReaderKind::Publishes)];
    let info = (
        (1..u64::MAX, kind, node(), name(), "[ -~é]{0,40}"),
        [maybe_offset(), maybe_offset()],
        [time(), time()],
        [number(), number(), number(), number()],
    )
        .prop_map(
            |(
                (id, kind, node, channel, peer),
                [offset, next],
                [since, time],
                [behind, credit, records, bytes],
            )| ReaderInfo {
                id,
                kind,
                node,
                since,
                offset,
                next,
                time,
                behind,
                credit,
                records,
                bytes,
                channel,
                peer,
            },
        );
    let reply =
        (any::<bool>(), time(), prop::collection::vec(info, 0..8)).prop_map(|(more, now, mut readers)| {
            readers.sort_by_key(|reader| reader.id);
            readers.dedup_by_key(|reader| reader.id);
            ReadersReply { more: more && !readers.is_empty(), now, readers }
        });
    prop_oneof![
        Just(Message::Status),
        status.prop_map(Message::StatusReply),
        asked.prop_map(Message::Readers),
        reply.prop_map(Message::ReadersReply),
    ]
    .boxed()
}

fn cursors() -> BoxedStrategy<Message> {
    let cursor = || "[a-zA-Z0-9._-]{1,64}".prop_map(|cursor| CursorName::new(&cursor).unwrap());
    let key = move || (name(), cursor()).prop_map(|(channel, cursor)| CursorKey { channel, cursor });
    let position = || {
        (any::<[u8; 16]>(), epoch(), number()).prop_map(|(log, epoch, offset)| Position {
            log: LogId(log),
            epoch,
            offset: Offset(offset),
        })
    };
    let positions = move |least: usize| {
        prop::collection::btree_map(any::<[u8; 16]>(), position(), least..5).prop_map(|map| {
            let positions = map.into_iter().map(|(log, at)| Position { log: LogId(log), ..at });
            Positions::new(positions).unwrap()
        })
    };
    let info = move || {
        (key(), number(), number(), time(), time(), positions(0)).prop_map(
            |(key, generation, taken, created, moved, position)| CursorInfo {
                key,
                generation,
                taken,
                created,
                moved,
                position,
            },
        )
    };
    let reply = (any::<bool>(), prop::collection::vec(info(), 0..8)).prop_map(|(more, mut cursors)| {
        cursors.sort_by(|a, b| a.key.cmp(&b.key));
        cursors.dedup_by(|a, b| a.key == b.key);
        CursorsReply { more: more && !cursors.is_empty(), cursors }
    });
    let commit = (key(), number(), positions(1)).prop_map(|(key, generation, position)| CursorCommit {
        key,
        generation,
        position,
    });
    prop_oneof![
        (key(), start(), any::<[bool; 2]>(), number()).prop_map(|(key, start, [make, wait], mine)| {
            Message::CursorTake(CursorTake { key, start, make, wait, mine })
        }),
        commit.prop_map(Message::CursorCommit),
        (key(), start(), any::<bool>()).prop_map(|(key, start, make)| Message::CursorSet(CursorSet {
            key,
            start,
            make
        })),
        key().prop_map(Message::CursorDelete),
        info().prop_map(Message::CursorReply),
        (prop::option::of(name()), prop::option::of(key()))
            .prop_map(|(channel, after)| Message::Cursors(Cursors { channel, after })),
        reply.prop_map(Message::CursorsReply),
    ]
    .boxed()
}

fn administration() -> BoxedStrategy<Message> {
    let settings = || {
        let numbers = prop::collection::vec((any::<prop::sample::Index>(), number()), 0..20);
        numbers.prop_map(|said| {
            let mut settings = Settings::default();
            for (which, value) in said {
                let setting = Setting::ALL[which.index(Setting::ALL.len())];
                // Of some only small numbers mean anything.
                let _ = settings.say(setting, value) || settings.say(setting, value % 3);
            }
            settings
        })
    };
    let keep = move || (name(), settings()).prop_map(|(name, settings)| Keep { name, settings });
    let before =
        prop_oneof![(0..u64::MAX).prop_map(|at| Before::Offset(Offset(at))), time().prop_map(Before::Time),];
    let description = ((name(), log(), offset()), number(), content(), settings()).prop_map(
        |((name, log, start), digest, content, settings)| {
            let digest = Digest::from_number(digest);
            Message::Description(Description { name, log, start, digest, content, settings })
        },
    );
    prop_oneof![
        keep().prop_map(Message::Create),
        keep().prop_map(Message::Change),
        (name(), before).prop_map(|(name, before)| Message::Truncate(Truncate { name, before })),
        name().prop_map(Message::Describe),
        description,
    ]
    .boxed()
}

fn request() -> BoxedStrategy<Message> {
    let list = (prop::option::of(name()), "[a-z/]{0,30}")
        .prop_map(|(after, prefix)| List { after, prefix: NamePrefix::new(&prefix).unwrap() });
    let reply = (any::<bool>(), prop::collection::vec(info(), 0..8)).prop_map(|(more, mut logs)| {
        logs.sort_by(|a, b| a.name.cmp(&b.name));
        logs.dedup_by(|a, b| a.name == b.name);
        ListReply { more: more && !logs.is_empty(), logs }
    });
    let watch = prop::sample::select(vec!["**", "logs/*", "a/**/b*c", "one"])
        .prop_map(|pattern| Message::Watch(Watch { pattern: Pattern::new(pattern).unwrap() }));
    let made = (name(), log()).prop_map(|(name, log)| Made { name, log });
    let watched = (any::<bool>(), prop::collection::vec(made, 0..8))
        .prop_map(|(complete, made)| Message::Watched(Watched { complete, made }));
    prop_oneof![
        watch,
        watched,
        name().prop_map(Message::Stat),
        info().prop_map(Message::StatReply),
        list.prop_map(Message::List),
        reply.prop_map(Message::ListReply),
        name().prop_map(Message::Seal),
        name().prop_map(Message::Delete),
        maybe_offset().prop_map(|final_offset| Message::Done(Done { final_offset })),
    ]
    .boxed()
}

pub(crate) fn message() -> impl Strategy<Value = Message> {
    prop_oneof![
        handshake(),
        control(),
        reading(),
        publishing(),
        request(),
        status(),
        cursors(),
        administration()
    ]
}

/// One message of every type, with a value in every field that can have one.
pub(crate) fn one_of_each() -> Vec<Message> {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut found = Vec::<Message>::new();
    while found.len() < FrameType::ALL.len() + 1 {
        let message = message().new_tree(&mut runner).unwrap().current();
        let ignorable = |message: &Message| matches!(message, Message::Ignorable { .. });
        let known =
            |other: &Message| other.kind() == message.kind() || (ignorable(other) && ignorable(&message));
        if !found.iter().any(known) {
            found.push(message);
        }
    }
    found
}

/// A stream that `kind` may travel on.
pub(crate) fn stream_for(kind: FrameType) -> StreamId {
    match kind.scope() {
        Scope::Connection => StreamId::CONNECTION,
        _ => StreamId(7),
    }
}

/// The frame of `message` as it goes over the wire, and its payload.
pub(crate) fn frame(message: &Message) -> (FrameHeader, Bytes) {
    let mut out = Vec::new();
    message.encode(stream_for(message.kind()), &mut out);
    if let Message::Data(range) | Message::Publish(range) = message {
        out.extend_from_slice(&range.bytes);
    }
    let header = FrameHeader::decode(out.first_chunk().unwrap()).unwrap();
    assert_eq!(header.len as usize, out.len() - FRAME_HEADER_LEN);
    (header, Bytes::from(out).slice(FRAME_HEADER_LEN..))
}

/// Reads `payload` as a frame of type `kind`.
pub(crate) fn read(kind: FrameType, payload: impl Into<Bytes>) -> Result<Message, DecodeError> {
    let payload = payload.into();
    let header = FrameHeader { len: payload.len().try_into().unwrap(), kind, stream: stream_for(kind) };
    Message::decode(&header, payload)
}

/// Whether frames of this type end in parameters.
pub(crate) fn has_params(kind: FrameType) -> bool {
    [
        FrameType::HELLO,
        FrameType::WELCOME,
        FrameType::OPEN,
        FrameType::OPENED,
        FrameType::SEEKED,
        FrameType::PUBLISH_OPEN,
        FrameType::PUBLISH_OPENED,
    ]
    .contains(&kind)
}
