//! One value for any frame, and the way between it and bytes.

use bytes::{Buf, Bytes};
use nom::number::complete::{le_u16, le_u64};

use super::admin::{Description, Keep, Truncate};
use super::control::{ErrorFrame, GoAway};
use super::cursor::{CursorCommit, CursorInfo, CursorKey, CursorSet, CursorTake, Cursors, CursorsReply};
use super::frame::{FRAME_HEADER_LEN, FrameHeader, FrameType, Scope, StreamId};
use super::handshake::{Auth, Hello, Reject, Welcome};
use super::parse::{Fault, Parsed, Put, invalid, name, offset};
use super::publish::{PublishAck, PublishNote, PublishOpen, PublishOpened};
use super::request::{Done, List, ListReply, LogInfo};
use super::status::{NodeStatus, Readers, ReadersReply};
use super::stream::{End, Gap, Open, Opened, Progress, Range, Seek, Seeked, Truncated};
use super::watch::{Watch, Watched};
use crate::digest::Digest;
use crate::error_code::ErrorCode;
use crate::filter::FilterError;
use crate::limits::MAX_DATA;
use crate::types::{ChannelName, Offset};

/// Bytes before the range in a DATA or PUBLISH frame: header and position.
pub const DATA_PREFIX_LEN: usize = FRAME_HEADER_LEN + 8;

macro_rules! messages {
    ($($(#[$doc:meta])* $name:ident $(($field:ty))? = $kind:ident;)*) => {
        /// A frame without its header.
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Message {
            $($(#[$doc])* $name $(($field))?,)*
            /// A type that this version does not know and may ignore. Who gets one drops it.
            Ignorable {
                /// Its type; bit 7 is set.
                kind: FrameType,
                /// Whatever it holds.
                payload: Bytes,
            },
        }

        impl Message {
            /// The type of its frame.
            #[must_use]
            pub fn kind(&self) -> FrameType {
                match self {
                    $(Message::$name { .. } => FrameType::$kind,)*
                    Message::Ignorable { kind, .. } => *kind,
                }
            }
        }
    };
}

messages! {
    /// The dialler's first frame.
    Hello(Hello) = HELLO;
    /// The listener's answer.
    Welcome(Welcome) = WELCOME;
    /// The listener's other answer.
    Reject(Reject) = REJECT;
    /// A proof of the token.
    Auth(Auth) = AUTH;
    /// Asks for a PONG with the same token.
    Ping(u64) = PING;
    /// The answer to a PING.
    Pong(u64) = PONG;
    /// No new streams, please.
    GoAway(GoAway) = GOAWAY;
    /// The end of a stream or of the connection, for a reason.
    Error(ErrorFrame) = ERROR;
    /// Asks to read a channel.
    Open(Open) = OPEN;
    /// Reading begins.
    Opened(Opened) = OPENED;
    /// Bytes that may come, in all, since the stream was opened.
    Credit(u64) = CREDIT;
    /// Read on from elsewhere.
    Seek(Seek) = SEEK;
    /// Reading goes on from there.
    Seeked(Seeked) = SEEKED;
    /// A range of the run of batches.
    Data(Range) = DATA;
    /// How far the sender has got.
    Progress(Progress) = PROGRESS;
    /// Records that are gone.
    Gap(Gap) = GAP;
    /// The position lay past the end of its epoch.
    Truncated(Truncated) = TRUNCATED;
    /// Nothing more follows.
    End(End) = END;
    /// Enough, and why.
    Close(ErrorCode) = CLOSE;
    /// The channel does not exist yet.
    Waiting = WAITING;
    /// All records before this offset have reached the receiver's user.
    Received(Offset) = RECEIVED;
    /// Asks to be told when that is so.
    Await(Offset) = AWAIT;
    /// Asks to publish to a channel.
    PublishOpen(PublishOpen) = PUBLISH_OPEN;
    /// Publishing begins.
    PublishOpened(PublishOpened) = PUBLISH_OPENED;
    /// A range of the run of published batches.
    Publish(Range) = PUBLISH;
    /// Published records are in the log.
    PublishAck(PublishAck) = PUBLISH_ACK;
    /// A note to keep beside the sequence.
    PublishNote(PublishNote) = PUBLISH_NOTE;
    /// Enough, after the acknowledgements.
    PublishClose = PUBLISH_CLOSE;
    /// Asks about one channel.
    Stat(ChannelName) = STAT;
    /// Tells about it.
    StatReply(LogInfo) = STAT_REPLY;
    /// Asks for channels.
    List(List) = LIST;
    /// Tells them.
    ListReply(ListReply) = LIST_REPLY;
    /// Asks to seal a channel.
    Seal(ChannelName) = SEAL;
    /// Asks to delete a channel.
    Delete(ChannelName) = DELETE;
    /// It is done.
    Done(Done) = DONE;
    /// Asks how the node is.
    Status = STATUS;
    /// Tells it.
    StatusReply(NodeStatus) = STATUS_REPLY;
    /// Asks who reads and publishes.
    Readers(Readers) = READERS;
    /// Tells it.
    ReadersReply(ReadersReply) = READERS_REPLY;
    /// Takes a cursor.
    CursorTake(CursorTake) = CURSOR_TAKE;
    /// Moves it on.
    CursorCommit(CursorCommit) = CURSOR_COMMIT;
    /// Moves it anywhere.
    CursorSet(CursorSet) = CURSOR_SET;
    /// Removes it.
    CursorDelete(CursorKey) = CURSOR_DELETE;
    /// How it is then.
    CursorReply(CursorInfo) = CURSOR_REPLY;
    /// Asks which cursors there are.
    Cursors(Cursors) = CURSORS;
    /// Tells it.
    CursorsReply(CursorsReply) = CURSORS_REPLY;
    /// Asks for the channels that match a pattern, now and from now on.
    Watch(Watch) = WATCH;
    /// Tells some.
    Watched(Watched) = WATCHED;
    /// What a sealed channel comes to.
    Digest(Digest) = DIGEST;
    /// Makes a channel.
    Create(Keep) = CREATE;
    /// Keeps it otherwise.
    Change(Keep) = CHANGE;
    /// Lets its oldest records go.
    Truncate(Truncate) = TRUNCATE;
    /// Asks how it is kept.
    Describe(ChannelName) = DESCRIBE;
    /// Tells it.
    Description(Description) = DESCRIPTION;
}

impl Message {
    /// Appends the whole frame to `out`. Of DATA and PUBLISH only the header and the position are written, as
    /// [`data_prefix`] gives them: the range goes after it, untouched.
    pub fn encode(&self, stream: StreamId, out: &mut Vec<u8>) {
        let at = out.len();
        out.extend_from_slice(&[0; FRAME_HEADER_LEN]);
        self.put(out);
        let range = match self {
            Message::Data(range) | Message::Publish(range) => range.bytes.len(),
            _ => 0,
        };
        let len = out.len() - at - FRAME_HEADER_LEN + range;
        let len = u32::try_from(len).unwrap_or(u32::MAX); // payloads are far smaller; a peer refuses what isn't
        let header = FrameHeader { len, kind: self.kind(), stream }.encode();
        out[at..at + FRAME_HEADER_LEN].copy_from_slice(&header);
    }

    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Message::Hello(hello) => hello.put(out),
            Message::Welcome(welcome) => welcome.put(out),
            Message::Reject(reject) => reject.put(out),
            Message::Auth(auth) => auth.put(out),
            Message::Ping(number) | Message::Pong(number) | Message::Credit(number) => out.u64(*number),
            Message::GoAway(go_away) => go_away.put(out),
            Message::Error(error) => error.put(out),
            Message::Open(open) => open.put(out),
            Message::Opened(opened) => opened.put(out),
            Message::Seek(seek) => seek.put(out),
            Message::Seeked(seeked) => seeked.put(out),
            Message::Data(range) | Message::Publish(range) => out.u64(range.at),
            Message::Progress(progress) => progress.put(out),
            Message::Gap(gap) => gap.put(out),
            Message::Truncated(truncated) => truncated.put(out),
            Message::End(end) => end.put(out),
            Message::Close(code) => out.u16(code.0),
            Message::Received(offset) | Message::Await(offset) => out.offset(*offset),
            Message::Waiting | Message::PublishClose | Message::Status => {}
            Message::PublishOpen(open) => open.put(out),
            Message::PublishOpened(opened) => opened.put(out),
            Message::PublishAck(ack) => ack.put(out),
            Message::PublishNote(note) => note.put(out),
            Message::Stat(name) | Message::Seal(name) | Message::Delete(name) | Message::Describe(name) => {
                out.bytes8(name.as_str().as_bytes());
            }
            Message::StatReply(info) => info.put(out),
            Message::List(list) => list.put(out),
            Message::ListReply(reply) => reply.put(out),
            Message::Done(done) => done.put(out),
            Message::StatusReply(status) => status.put(out),
            Message::Readers(readers) => readers.put(out),
            Message::ReadersReply(reply) => reply.put(out),
            Message::CursorTake(take) => take.put(out),
            Message::CursorCommit(commit) => commit.put(out),
            Message::CursorSet(set) => set.put(out),
            Message::CursorDelete(key) => key.put(out),
            Message::CursorReply(info) => info.put(out),
            Message::Cursors(cursors) => cursors.put(out),
            Message::CursorsReply(reply) => reply.put(out),
            Message::Watch(watch) => watch.put(out),
            Message::Watched(watched) => watched.put(out),
            Message::Digest(digest) => out.u64(digest.get()),
            Message::Create(keep) | Message::Change(keep) => keep.put(out),
            Message::Truncate(truncate) => truncate.put(out),
            Message::Description(description) => description.put(out),
            Message::Ignorable { payload, .. } => out.all(payload),
        }
    }

    /// Reads the payload that `header` announced.
    ///
    /// # Errors
    /// [`DecodeError`] says what is wrong, which code to answer, and whether the connection ends.
    pub fn decode(header: &FrameHeader, payload: Bytes) -> Result<Message, DecodeError> {
        let kind = header.kind;
        let misplaced = match kind.scope() {
            Scope::Connection => header.stream != StreamId::CONNECTION,
            Scope::Stream => header.stream == StreamId::CONNECTION,
            Scope::Any => false,
        };
        if misplaced {
            return Err(DecodeError::Misplaced { kind });
        }
        if payload.len() != header.len as usize {
            return Err(DecodeError::Short { kind });
        }
        let all = &payload[..];
        match kind {
            FrameType::HELLO => whole(kind, all, Hello::parse, Message::Hello),
            FrameType::WELCOME => whole(kind, all, Welcome::parse, Message::Welcome),
            FrameType::REJECT => whole(kind, all, Reject::parse, Message::Reject),
            FrameType::AUTH => whole(kind, all, Auth::parse, Message::Auth),
            FrameType::PING => whole(kind, all, le_u64, Message::Ping),
            FrameType::PONG => whole(kind, all, le_u64, Message::Pong),
            FrameType::GOAWAY => whole(kind, all, GoAway::parse, Message::GoAway),
            FrameType::ERROR => whole(kind, all, ErrorFrame::parse, Message::Error),
            FrameType::OPEN => whole(kind, all, Open::parse, Message::Open),
            FrameType::OPENED => whole(kind, all, Opened::parse, Message::Opened),
            FrameType::CREDIT => whole(kind, all, le_u64, Message::Credit),
            FrameType::SEEK => whole(kind, all, Seek::parse, Message::Seek),
            FrameType::SEEKED => whole(kind, all, Seeked::parse, Message::Seeked),
            FrameType::DATA => range(kind, payload).map(Message::Data),
            FrameType::PROGRESS => whole(kind, all, Progress::parse, Message::Progress),
            FrameType::GAP => whole(kind, all, Gap::parse, Message::Gap),
            FrameType::TRUNCATED => whole(kind, all, Truncated::parse, Message::Truncated),
            FrameType::END => whole(kind, all, End::parse, Message::End),
            FrameType::CLOSE => whole(kind, all, le_u16, |code| Message::Close(ErrorCode(code))),
            FrameType::WAITING => whole(kind, all, nothing, |()| Message::Waiting),
            FrameType::RECEIVED => whole(kind, all, some_offset, Message::Received),
            FrameType::AWAIT => whole(kind, all, some_offset, Message::Await),
            FrameType::PUBLISH_OPEN => whole(kind, all, PublishOpen::parse, Message::PublishOpen),
            FrameType::PUBLISH_OPENED => whole(kind, all, PublishOpened::parse, Message::PublishOpened),
            FrameType::PUBLISH => range(kind, payload).map(Message::Publish),
            FrameType::PUBLISH_ACK => whole(kind, all, PublishAck::parse, Message::PublishAck),
            FrameType::PUBLISH_NOTE => whole(kind, all, PublishNote::parse, Message::PublishNote),
            FrameType::PUBLISH_CLOSE => whole(kind, all, nothing, |()| Message::PublishClose),
            FrameType::STAT => whole(kind, all, name, Message::Stat),
            FrameType::STAT_REPLY => whole(kind, all, LogInfo::parse, Message::StatReply),
            FrameType::LIST => whole(kind, all, List::parse, Message::List),
            FrameType::LIST_REPLY => whole(kind, all, ListReply::parse, Message::ListReply),
            FrameType::SEAL => whole(kind, all, name, Message::Seal),
            FrameType::DELETE => whole(kind, all, name, Message::Delete),
            FrameType::DONE => whole(kind, all, Done::parse, Message::Done),
            FrameType::STATUS => whole(kind, all, nothing, |()| Message::Status),
            FrameType::STATUS_REPLY => whole(kind, all, NodeStatus::parse, Message::StatusReply),
            FrameType::READERS => whole(kind, all, Readers::parse, Message::Readers),
            FrameType::READERS_REPLY => whole(kind, all, ReadersReply::parse, Message::ReadersReply),
            FrameType::CURSOR_TAKE => whole(kind, all, CursorTake::parse, Message::CursorTake),
            FrameType::CURSOR_COMMIT => whole(kind, all, CursorCommit::parse, Message::CursorCommit),
            FrameType::CURSOR_SET => whole(kind, all, CursorSet::parse, Message::CursorSet),
            FrameType::CURSOR_DELETE => whole(kind, all, CursorKey::parse, Message::CursorDelete),
            FrameType::CURSOR_REPLY => whole(kind, all, CursorInfo::parse, Message::CursorReply),
            FrameType::CURSORS => whole(kind, all, Cursors::parse, Message::Cursors),
            FrameType::CURSORS_REPLY => whole(kind, all, CursorsReply::parse, Message::CursorsReply),
            FrameType::WATCH => whole(kind, all, Watch::parse, Message::Watch),
            FrameType::WATCHED => whole(kind, all, Watched::parse, Message::Watched),
            FrameType::DIGEST => whole(kind, all, digest, Message::Digest),
            FrameType::CREATE => whole(kind, all, Keep::parse, Message::Create),
            FrameType::CHANGE => whole(kind, all, Keep::parse, Message::Change),
            FrameType::TRUNCATE => whole(kind, all, Truncate::parse, Message::Truncate),
            FrameType::DESCRIBE => whole(kind, all, name, Message::Describe),
            FrameType::DESCRIPTION => whole(kind, all, Description::parse, Message::Description),
            _ if kind.is_ignorable() => Ok(Message::Ignorable { kind, payload }),
            _ => Err(DecodeError::UnknownType { kind }),
        }
    }

    /// A frame that means nothing, drawn from `bytes`: both sides send one after the handshake, so that no
    /// implementation forgets to ignore what it does not know.
    #[must_use]
    pub fn grease(bytes: &[u8; 16]) -> Message {
        let kind = FrameType::GREASE[usize::from(bytes[0] & 7)];
        Message::Ignorable { kind, payload: Bytes::copy_from_slice(&bytes[..usize::from(bytes[1] & 15)]) }
    }
}

fn nothing(input: &[u8]) -> Parsed<'_, ()> {
    Ok((input, ()))
}

/// An offset that is one.
fn some_offset(input: &[u8]) -> Parsed<'_, Offset> {
    match offset(input)? {
        (_, Offset::NONE) => invalid("offset"),
        parsed => Ok(parsed),
    }
}

fn digest(input: &[u8]) -> Parsed<'_, Digest> {
    let (input, number) = le_u64(input)?;
    match Digest::from_number(number) {
        Some(digest) => Ok((input, digest)),
        None => invalid("digest"),
    }
}

/// Reads one value that fills the payload.
fn whole<'a, T>(
    kind: FrameType,
    payload: &'a [u8],
    parse: impl FnOnce(&'a [u8]) -> Parsed<'a, T>,
    make: impl FnOnce(T) -> Message,
) -> Result<Message, DecodeError> {
    match parse(payload) {
        Ok(([], value)) => Ok(make(value)),
        Ok(_) => Err(DecodeError::Trailing { kind }),
        Err(nom::Err::Error(fault) | nom::Err::Failure(fault)) => Err(DecodeError::of(kind, fault)),
        Err(nom::Err::Incomplete(_)) => Err(DecodeError::Short { kind }),
    }
}

/// A position and the rest, which stays where it was read.
fn range(kind: FrameType, mut payload: Bytes) -> Result<Range, DecodeError> {
    let at = payload.try_get_u64_le().map_err(|_| DecodeError::Short { kind })?;
    if payload.is_empty() {
        return Err(DecodeError::Short { kind });
    }
    if payload.len() > MAX_DATA {
        return Err(DecodeError::Invalid { kind, field: "range" });
    }
    Ok(Range { at, bytes: payload })
}

/// What stands before `len` bytes of a run of batches in a frame of type `kind` (DATA or PUBLISH), of which `at`
/// bytes came before.
#[must_use]
pub fn data_prefix(kind: FrameType, stream: StreamId, at: u64, len: usize) -> [u8; DATA_PREFIX_LEN] {
    let len = u32::try_from(8 + len).unwrap_or(u32::MAX); // callers cut at MAX_DATA; a peer refuses what isn't
    let mut prefix = [0; DATA_PREFIX_LEN];
    prefix[..FRAME_HEADER_LEN].copy_from_slice(&FrameHeader { len, kind, stream }.encode());
    prefix[FRAME_HEADER_LEN..].copy_from_slice(&at.to_le_bytes());
    prefix
}

/// Why a payload is not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// A type that is unknown and may not be ignored.
    #[error("unknown frame {kind}")]
    UnknownType {
        /// The type.
        kind: FrameType,
    },
    /// A frame of the connection on a stream, or the other way round.
    #[error("{kind} is on a stream it cannot be on")]
    Misplaced {
        /// The type.
        kind: FrameType,
    },
    /// The payload ends before its fields do.
    #[error("{kind} is cut short")]
    Short {
        /// The type.
        kind: FrameType,
    },
    /// The payload goes on after its last field.
    #[error("{kind} is too long for what it holds")]
    Trailing {
        /// The type.
        kind: FrameType,
    },
    /// A field has a value that it cannot have.
    #[error("{kind} has an impossible value: {field}")]
    Invalid {
        /// The type.
        kind: FrameType,
        /// Which field.
        field: &'static str,
    },
    /// A parameter or a setting that is unknown and may not be ignored.
    #[error("{kind} has the unknown parameter {id:#06x}")]
    UnknownParam {
        /// The type.
        kind: FrameType,
        /// The parameter.
        id: u16,
    },
    /// OPEN has a filter that cannot be read.
    #[error("the filter cannot be read: {0}")]
    Filter(FilterError),
}

impl DecodeError {
    fn of(kind: FrameType, fault: Fault) -> DecodeError {
        match fault {
            Fault::Short => DecodeError::Short { kind },
            Fault::Invalid(field) => DecodeError::Invalid { kind, field },
            Fault::Param(id) => DecodeError::UnknownParam { kind, id },
            Fault::Filter(error) => DecodeError::Filter(error),
        }
    }

    /// The code to tell the peer.
    #[must_use]
    pub fn code(self) -> ErrorCode {
        match self {
            DecodeError::UnknownType { .. } | DecodeError::UnknownParam { .. } => ErrorCode::UNKNOWN_CRITICAL,
            DecodeError::Misplaced { .. } => ErrorCode::PROTOCOL,
            DecodeError::Short { .. } | DecodeError::Trailing { .. } | DecodeError::Invalid { .. } => {
                ErrorCode::MALFORMED
            }
            DecodeError::Filter(_) => ErrorCode::FILTER,
        }
    }

    /// What to tell the peer in `at_offset`.
    #[must_use]
    pub fn at(self) -> Option<Offset> {
        match self {
            DecodeError::Filter(error) => Some(Offset(error.at as u64)),
            _ => None,
        }
    }

    /// Whether only the stream that the frame would have opened is refused, because it merely asks for what this
    /// version has not. The stream's number counts as used then.
    #[must_use]
    pub fn ends_stream_only(self) -> bool {
        match self {
            DecodeError::UnknownParam { kind, .. } => {
                let asking = [FrameType::OPEN, FrameType::PUBLISH_OPEN, FrameType::CREATE, FrameType::CHANGE];
                asking.contains(&kind)
            }
            DecodeError::Filter(_) => true,
            _ => false,
        }
    }
}
