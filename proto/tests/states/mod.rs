//! Every frame in every state of a stream, against the table of the spec.

use super::*;

/// One of each frame, as it would come on `stream`.
pub(crate) fn every_frame() -> Vec<Message> {
    let range = Range { at: 0, bytes: Bytes::from_static(b"x") };
    vec![
        Message::Hello(Hello { versions: vec![1], roles: Roles(0), node: NodeId::NONE, nonce: [0; 16] }),
        Message::Welcome(Welcome {
            version: 1,
            roles: Roles(0),
            node: NodeId::NONE,
            nonce: [0; 16],
            auth: netchan_proto::wire::AuthMethod::None,
            hello: [0; 32],
        }),
        Message::Reject(Reject { code: ErrorCode::VERSION, versions: vec![1], retry_after: Duration::ZERO }),
        Message::Auth(Auth { side: Side::Dialler, proof: [0; 32] }),
        Message::Ping(1),
        Message::Pong(1),
        Message::GoAway(GoAway { code: ErrorCode::GOING_AWAY, drain: Duration::ZERO }),
        Message::Error(ErrorFrame::new(ErrorCode::INTERNAL, "x")),
        Message::Open(open(10)),
        Message::Opened(opened()),
        Message::Credit(100),
        Message::Seek(Seek { seek_id: 1, start: Start::Earliest }),
        Message::Seeked(Seeked { seek_id: 1, opened: opened() }),
        Message::Data(range.clone()),
        Message::Progress(Progress { scanned: Offset(0), next: Offset(0), clock: Timestamp(0) }),
        Message::Gap(Gap { from: Offset(0), to: Offset(1), why: GapReason::Retention, epoch: Epoch(1) }),
        Message::Truncated(Truncated { epoch: Epoch(1), log_epoch: Epoch(2), end: Offset(0) }),
        Message::End(End::Sealed { final_offset: Offset(0) }),
        Message::Close(ErrorCode::NONE),
        Message::Waiting,
        Message::Received(Offset(1)),
        Message::Await(Offset(1)),
        Message::PublishOpen(publish_open()),
        Message::PublishOpened(publish_opened(10)),
        Message::Publish(range),
        Message::PublishAck(PublishAck {
            level: AckLevel::Durable,
            epoch: Epoch(1),
            first_sequence: 0,
            count: 1,
            first_offset: None,
        }),
        Message::PublishNote(PublishNote { next_sequence: 0, note: Note::default() }),
        Message::PublishClose,
        Message::Stat(name()),
        Message::StatReply(info()),
        Message::List(List { after: None, prefix: NamePrefix::new("").unwrap() }),
        Message::ListReply(ListReply { more: false, logs: vec![info()] }),
        Message::Seal(name()),
        Message::Delete(name()),
        Message::Done(Done { final_offset: None }),
        Message::Status,
        Message::StatusReply(NodeStatus::default()),
        Message::Readers(Readers::default()),
        Message::ReadersReply(ReadersReply::default()),
        Message::CursorTake(CursorTake {
            key: cursor_key(),
            start: Start::Earliest,
            make: true,
            wait: true,
            mine: 0,
        }),
        Message::CursorCommit(CursorCommit { key: cursor_key(), generation: 1, position: cursor().position }),
        Message::CursorSet(CursorSet { key: cursor_key(), start: Start::Earliest, make: false }),
        Message::CursorDelete(cursor_key()),
        Message::CursorReply(cursor()),
        Message::Cursors(Cursors::default()),
        Message::CursorsReply(CursorsReply::default()),
        Message::Watch(watch()),
        Message::Watched(Watched::default()),
        Message::Digest(netchan_proto::Digest::START),
        Message::Create(keep()),
        Message::Change(keep()),
        Message::Truncate(truncate()),
        Message::Describe(name()),
        Message::Description(description()),
    ]
}

pub(crate) fn cursor_key() -> CursorKey {
    CursorKey { channel: name(), cursor: CursorName::new("worker").unwrap() }
}

pub(crate) fn cursor() -> CursorInfo {
    CursorInfo {
        key: cursor_key(),
        generation: 2,
        taken: 1,
        created: Timestamp(1),
        moved: Timestamp(2),
        position: Position { log: info().id, epoch: Epoch(1), offset: Offset(1) }.into(),
    }
}

pub(crate) fn keep() -> Keep {
    Keep { name: name(), settings: Settings::default().max_records(Some(7)) }
}

pub(crate) fn truncate() -> Truncate {
    Truncate { name: name(), before: Before::Offset(Offset(3)) }
}

pub(crate) fn description() -> Description {
    let (log, start, settings) = (info().id, Offset(3), keep().settings);
    Description { name: name(), log, start, digest: None, content: None, settings }
}

fn watch() -> Watch {
    Watch { pattern: Pattern::new("logs/**").unwrap() }
}

/// A state: how a fresh pair comes to it, which of its two sides is looked at, and what may come on the stream.
struct State {
    what: &'static str,
    reach: fn() -> (Connection, u32),
    allowed: &'static [FrameType],
}

pub(crate) fn dialler_after(ask: fn(&mut Connection) -> StreamId, answer: &[Message]) -> (Connection, u32) {
    let mut pair = Pair::ready();
    let id = ask(&mut pair.dialler);
    drain(&mut pair.dialler);
    for message in answer {
        feed(&mut pair.dialler, &frame(id.0, message), Instant(0)).unwrap();
    }
    (pair.dialler, id.0)
}

fn listener_after(asked: &Message, answer: fn(&mut Connection)) -> (Connection, u32) {
    let mut pair = Pair::ready();
    feed(&mut pair.listener, &frame(1, asked), Instant(0)).unwrap();
    answer(&mut pair.listener);
    (pair.listener, 1)
}

fn states() -> Vec<State> {
    use FrameType as T;
    vec![
        State {
            what: "reading, opening",
            reach: || dialler_after(|c| c.open(&open(10)).unwrap(), &[]),
            allowed: &[T::OPENED, T::WAITING, T::ERROR],
        },
        State {
            what: "reading",
            reach: || dialler_after(|c| c.open(&open(10)).unwrap(), &[Message::Opened(opened())]),
            allowed: &[T::DATA, T::PROGRESS, T::GAP, T::TRUNCATED, T::DIGEST, T::AWAIT, T::END, T::ERROR],
        },
        State {
            what: "reading, seeking",
            reach: || {
                let (mut dialler, id) =
                    dialler_after(|c| c.open(&open(10)).unwrap(), &[Message::Opened(opened())]);
                dialler.seek(StreamId(id), &Seek { seek_id: 1, start: Start::Earliest });
                (dialler, id)
            },
            allowed: &[
                T::DATA,
                T::PROGRESS,
                T::GAP,
                T::TRUNCATED,
                T::DIGEST,
                T::AWAIT,
                T::END,
                T::ERROR,
                T::SEEKED,
            ],
        },
        State {
            what: "publishing, opening",
            reach: || dialler_after(|c| c.publish_open(&publish_open()).unwrap(), &[]),
            allowed: &[T::PUBLISH_OPENED, T::ERROR],
        },
        State {
            what: "publishing",
            reach: || {
                let opened = Message::PublishOpened(publish_opened(10));
                dialler_after(|c| c.publish_open(&publish_open()).unwrap(), &[opened])
            },
            allowed: &[T::CREDIT, T::PUBLISH_ACK, T::ERROR],
        },
        State {
            what: "publishing, closing",
            reach: || {
                let opened = Message::PublishOpened(publish_opened(10));
                let (mut dialler, id) =
                    dialler_after(|c| c.publish_open(&publish_open()).unwrap(), &[opened]);
                dialler.publish_close(StreamId(id));
                (dialler, id)
            },
            allowed: &[T::CREDIT, T::PUBLISH_ACK, T::ERROR, T::END],
        },
        State {
            what: "asking STAT",
            reach: || dialler_after(|c| c.stat(&name()).unwrap(), &[]),
            allowed: &[T::STAT_REPLY, T::ERROR],
        },
        State {
            what: "asking LIST",
            reach: || {
                let list = |c: &mut Connection| {
                    c.list(&List { after: None, prefix: NamePrefix::new("").unwrap() }).unwrap()
                };
                dialler_after(list, &[])
            },
            allowed: &[T::LIST_REPLY, T::ERROR],
        },
        State {
            what: "asking SEAL",
            reach: || dialler_after(|c| c.seal(&name()).unwrap(), &[]),
            allowed: &[T::DONE, T::ERROR],
        },
        State {
            what: "asking STATUS",
            reach: || dialler_after(|c| c.status().unwrap(), &[]),
            allowed: &[T::STATUS_REPLY, T::ERROR],
        },
        State {
            what: "asking READERS",
            reach: || dialler_after(|c| c.readers(&Readers::default()).unwrap(), &[]),
            allowed: &[T::READERS_REPLY, T::ERROR],
        },
        State {
            what: "asking CURSOR_TAKE",
            reach: || {
                let take =
                    CursorTake { key: cursor_key(), start: Start::Earliest, make: true, wait: true, mine: 0 };
                let mut pair = Pair::ready();
                let id = pair.dialler.cursor_take(&take).unwrap();
                drain(&mut pair.dialler);
                (pair.dialler, id.0)
            },
            allowed: &[T::CURSOR_REPLY, T::ERROR],
        },
        State {
            what: "asking CURSOR_DELETE",
            reach: || dialler_after(|c| c.cursor_delete(&cursor_key()).unwrap(), &[]),
            allowed: &[T::DONE, T::ERROR],
        },
        State {
            what: "asking CURSORS",
            reach: || dialler_after(|c| c.cursors(&Cursors::default()).unwrap(), &[]),
            allowed: &[T::CURSORS_REPLY, T::ERROR],
        },
        State {
            what: "asking CREATE",
            reach: || dialler_after(|c| c.create(&keep()).unwrap(), &[]),
            allowed: &[T::DESCRIPTION, T::ERROR],
        },
        State {
            what: "asking CHANGE",
            reach: || dialler_after(|c| c.change(&keep()).unwrap(), &[]),
            allowed: &[T::DESCRIPTION, T::ERROR],
        },
        State {
            what: "asking TRUNCATE",
            reach: || dialler_after(|c| c.truncate(&truncate()).unwrap(), &[]),
            allowed: &[T::DESCRIPTION, T::ERROR],
        },
        State {
            what: "asking DESCRIBE",
            reach: || dialler_after(|c| c.describe(&name()).unwrap(), &[]),
            allowed: &[T::DESCRIPTION, T::ERROR],
        },
        State {
            what: "asked CREATE",
            reach: || listener_after(&Message::Create(keep()), |_| ()),
            allowed: &[],
        },
        State {
            what: "asked CURSOR_COMMIT",
            reach: || {
                let commit = CursorCommit { key: cursor_key(), generation: 1, position: cursor().position };
                listener_after(&Message::CursorCommit(commit), |_| ())
            },
            allowed: &[],
        },
        State {
            what: "watching",
            reach: || dialler_after(|c| c.watch(&watch()).unwrap(), &[]),
            allowed: &[T::WATCHED, T::ERROR],
        },
        State {
            what: "watching, closing",
            reach: || {
                let (mut dialler, id) = dialler_after(|c| c.watch(&watch()).unwrap(), &[]);
                dialler.close_stream(StreamId(id));
                (dialler, id)
            },
            allowed: &[T::WATCHED, T::ERROR, T::END],
        },
        State {
            what: "watched",
            reach: || listener_after(&Message::Watch(watch()), |_| ()),
            allowed: &[T::CLOSE],
        },
        State {
            what: "serving, opening",
            reach: || listener_after(&Message::Open(open(10)), |_| ()),
            allowed: &[T::CREDIT, T::CLOSE],
        },
        State {
            what: "serving",
            reach: || listener_after(&Message::Open(open(10)), |c| c.opened(StreamId(1), &opened())),
            allowed: &[T::CREDIT, T::SEEK, T::CLOSE],
        },
        State {
            what: "serving, awaiting",
            reach: || {
                listener_after(&Message::Open(open(10)), |c| {
                    c.opened(StreamId(1), &opened());
                    c.await_received(StreamId(1), Offset(1));
                })
            },
            allowed: &[T::CREDIT, T::SEEK, T::CLOSE, T::RECEIVED],
        },
        State {
            what: "accepting, opening",
            reach: || listener_after(&Message::PublishOpen(publish_open()), |_| ()),
            allowed: &[],
        },
        State {
            what: "accepting",
            reach: || {
                listener_after(&Message::PublishOpen(publish_open()), |c| {
                    c.publish_opened(StreamId(1), &publish_opened(10));
                })
            },
            allowed: &[T::PUBLISH, T::PUBLISH_NOTE, T::PUBLISH_CLOSE],
        },
        State { what: "asked", reach: || listener_after(&Message::Stat(name()), |_| ()), allowed: &[] },
        State {
            what: "a stream that is over",
            reach: || {
                listener_after(&Message::Open(open(10)), |c| {
                    c.opened(StreamId(1), &opened());
                    c.end(StreamId(1), End::Closed);
                })
            },
            // What was under way when it ended means nothing; but a number is used once.
            allowed: &[
                T::CREDIT,
                T::SEEK,
                T::CLOSE,
                T::RECEIVED,
                T::AWAIT,
                T::PUBLISH,
                T::PUBLISH_NOTE,
                T::PUBLISH_CLOSE,
                T::OPENED,
                T::SEEKED,
                T::DATA,
                T::PROGRESS,
                T::GAP,
                T::TRUNCATED,
                T::DIGEST,
                T::END,
                T::WAITING,
                T::PUBLISH_OPENED,
                T::PUBLISH_ACK,
                T::STAT_REPLY,
                T::LIST_REPLY,
                T::DONE,
                T::STATUS_REPLY,
                T::READERS_REPLY,
                T::CURSOR_REPLY,
                T::CURSORS_REPLY,
                T::WATCHED,
                T::DESCRIPTION,
                T::ERROR,
            ],
        },
        State {
            what: "a stream that never was",
            reach: || (Pair::ready().listener, 1),
            allowed: &[
                T::OPEN,
                T::PUBLISH_OPEN,
                T::STAT,
                T::LIST,
                T::SEAL,
                T::DELETE,
                T::STATUS,
                T::READERS,
                T::CURSOR_TAKE,
                T::CURSOR_COMMIT,
                T::CURSOR_SET,
                T::CURSOR_DELETE,
                T::CURSORS,
                T::WATCH,
                T::CREATE,
                T::CHANGE,
                T::TRUNCATE,
                T::DESCRIBE,
            ],
        },
    ]
}

/// The table, cell by cell.
/// NC-FRM-009, NC-FRM-010, NC-FRM-011, NC-FRM-019, NC-FRM-021, NC-STR-029, NC-ADM-001
#[test]
fn each_frame_is_taken_where_the_table_allows_it_and_nowhere_else() {
    let mut cells = 0;
    for state in states() {
        for message in every_frame() {
            let (mut connection, id) = (state.reach)();
            drain(&mut connection);
            let on_connection = matches!(
                message.kind(),
                FrameType::HELLO
                    | FrameType::WELCOME
                    | FrameType::REJECT
                    | FrameType::AUTH
                    | FrameType::PING
                    | FrameType::PONG
                    | FrameType::GOAWAY
            );
            if on_connection {
                continue;
            }
            let result = feed(&mut connection, &frame(id, &message), Instant(0));
            let allowed = state.allowed.contains(&message.kind());
            let what = format!("{} in '{}'", message.kind(), state.what);
            match result {
                Ok(_) => assert!(allowed, "{what} was taken"),
                Err(error) => {
                    assert!(!allowed, "{what} was refused: {error}");
                    assert!(matches!(error.code(), Some(ErrorCode::PROTOCOL)), "{what}: {error}");
                    assert!(!drain(&mut connection).is_empty(), "{what}: the peer is told");
                }
            }
            cells += 1;
        }
    }
    assert_eq!(cells, 31 * 47, "states x frames looked at");
}
