//! What each frame means on each kind of stream (the stream half of the table in spec/03-frames.md).
//!
//! A frame that the table does not allow is the peer's fault and ends the connection.

use super::streams::{Inbound, Stream};
use super::{Event, Outcome};
use crate::error_code::ErrorCode;
use crate::wire::{FrameType, Message, StreamId};

/// A frame that may not come here.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) code: ErrorCode,
    pub(super) text: &'static str,
}

const NOT_HERE: Fault = Fault { code: ErrorCode::PROTOCOL, text: "not allowed in this state of the stream" };

/// The event of a frame that opened a stream.
pub(super) fn opening_event(id: StreamId, message: Message) -> Option<Event> {
    Some(match message {
        Message::Open(open) => Event::OpenRequest(id, open),
        Message::PublishOpen(open) => Event::PublishRequest(id, open),
        Message::Stat(name) => Event::StatRequest(id, name),
        Message::List(list) => Event::ListRequest(id, list),
        Message::Seal(name) => Event::SealRequest(id, name),
        Message::Delete(name) => Event::DeleteRequest(id, name),
        Message::Status => Event::StatusRequest(id),
        Message::Readers(readers) => Event::ReadersRequest(id, readers),
        Message::CursorTake(take) => Event::CursorTakeRequest(id, take),
        Message::CursorCommit(commit) => Event::CursorCommitRequest(id, commit),
        Message::CursorSet(set) => Event::CursorSetRequest(id, set),
        Message::CursorDelete(key) => Event::CursorDeleteRequest(id, key),
        Message::Cursors(cursors) => Event::CursorsRequest(id, cursors),
        Message::Watch(watch) => Event::WatchRequest(id, watch),
        Message::Create(keep) => Event::CreateRequest(id, keep),
        Message::Change(keep) => Event::ChangeRequest(id, keep),
        Message::Truncate(truncate) => Event::TruncateRequest(id, truncate),
        Message::Describe(name) => Event::DescribeRequest(id, name),
        _ => return None,
    })
}

impl Stream {
    /// Takes a frame that came on this stream.
    pub(super) fn on_message(&mut self, id: StreamId, message: Message) -> Result<Outcome, Fault> {
        match self {
            Stream::Reading { flow, opened, closing, seeks } => {
                reading(id, message, flow, opened, *closing, seeks)
            }
            Stream::Publishing { flow, opened, closing } => match message {
                Message::PublishOpened(publish_opened) if !*opened => {
                    *opened = true;
                    flow.allow(publish_opened.credit);
                    tell(Event::PublishOpened(id, publish_opened))
                }
                Message::Credit(total) if *opened => {
                    flow.allow(total);
                    tell(Event::Credit(id))
                }
                Message::PublishAck(ack) if *opened => tell(Event::PublishAck(id, ack)),
                Message::End(end) if *closing => over(Event::End(id, end)),
                Message::Error(error) => over(Event::StreamError(id, error)),
                _ => Err(NOT_HERE),
            },
            Stream::Asking { reply } => match message {
                Message::Error(error) => over(Event::StreamError(id, error)),
                Message::StatReply(info) if *reply == FrameType::STAT_REPLY => {
                    over(Event::StatReply(id, info))
                }
                Message::ListReply(list) if *reply == FrameType::LIST_REPLY => {
                    over(Event::ListReply(id, list))
                }
                Message::Done(done) if *reply == FrameType::DONE => over(Event::Done(id, done)),
                Message::StatusReply(status) if *reply == FrameType::STATUS_REPLY => {
                    over(Event::StatusReply(id, status))
                }
                Message::ReadersReply(readers) if *reply == FrameType::READERS_REPLY => {
                    over(Event::ReadersReply(id, readers))
                }
                Message::CursorReply(info) if *reply == FrameType::CURSOR_REPLY => {
                    over(Event::CursorReply(id, info))
                }
                Message::CursorsReply(cursors) if *reply == FrameType::CURSORS_REPLY => {
                    over(Event::CursorsReply(id, cursors))
                }
                Message::Description(description) if *reply == FrameType::DESCRIPTION => {
                    over(Event::Description(id, description))
                }
                _ => Err(NOT_HERE),
            },
            Stream::Watching { closing } => match message {
                Message::Watched(_) if *closing => Ok(Outcome::default()),
                Message::Watched(watched) => tell(Event::Watched(id, watched)),
                Message::End(end) if *closing => over(Event::End(id, end)),
                Message::Error(error) => over(Event::StreamError(id, error)),
                _ => Err(NOT_HERE),
            },
            Stream::Serving { flow, opened, awaits } => match message {
                Message::Credit(total) => {
                    flow.allow(total);
                    tell(Event::Credit(id))
                }
                Message::Seek(seek) if *opened => tell(Event::SeekRequest(id, seek)),
                Message::Received(offset) if *awaits > 0 => {
                    *awaits -= 1;
                    tell(Event::Received(id, offset))
                }
                Message::Close(_) => tell(Event::CloseRequest(id)),
                _ => Err(NOT_HERE),
            },
            Stream::Accepting { flow, opened, closing } => match message {
                Message::Publish(range) if *opened && !*closing => {
                    let bytes = flow.take(range.at, range.bytes.len())?;
                    tell(Event::PublishData(id, range.bytes)).inspect(|_| *flow = bytes)
                }
                Message::PublishNote(note) if *opened && !*closing => tell(Event::NoteRequest(id, note)),
                Message::PublishClose if *opened && !*closing => {
                    *closing = true;
                    tell(Event::PublishCloseRequest(id))
                }
                _ => Err(NOT_HERE),
            },
            Stream::Watched => match message {
                Message::Close(_) => tell(Event::CloseRequest(id)),
                _ => Err(NOT_HERE),
            },
            Stream::Asked => Err(NOT_HERE),
        }
    }
}

fn reading(
    id: StreamId,
    message: Message,
    flow: &mut Inbound,
    opened: &mut bool,
    closing: bool,
    seeks: &mut u32,
) -> Result<Outcome, Fault> {
    let outcome = match message {
        Message::Waiting if !*opened => tell(Event::Waiting(id)),
        Message::Opened(told) if !*opened => {
            *opened = true;
            tell(Event::Opened(id, told))
        }
        Message::Seeked(seeked) if *opened && *seeks > 0 => {
            *seeks -= 1;
            flow.at = 0;
            tell(Event::Seeked(id, seeked))
        }
        Message::Data(range) if *opened => {
            *flow = flow.take(range.at, range.bytes.len())?;
            tell(Event::Data(id, range.bytes))
        }
        Message::Progress(progress) if *opened => tell(Event::Progress(id, progress)),
        Message::Gap(gap) if *opened => tell(Event::Gap(id, gap)),
        Message::Truncated(truncated) if *opened => tell(Event::Truncated(id, truncated)),
        Message::Digest(digest) if *opened => tell(Event::Digest(id, digest)),
        // What was asked before SEEKED is about the old place.
        Message::Await(_) if *opened && *seeks > 0 => Ok(Outcome::default()),
        Message::Await(offset) if *opened => tell(Event::Await(id, offset)),
        Message::End(end) if *opened || closing => return over(Event::End(id, end)),
        Message::Error(error) => return over(Event::StreamError(id, error)),
        _ => return Err(NOT_HERE),
    };
    if closing { Ok(Outcome::default()) } else { outcome }
}

impl Inbound {
    /// This flow after `len` more bytes at `at`.
    fn take(&self, at: u64, len: usize) -> Result<Inbound, Fault> {
        let received = self.received.saturating_add(len as u64);
        if len == 0 {
            return Err(Fault { code: ErrorCode::PROTOCOL, text: "a range without bytes" });
        }
        if at != self.at {
            return Err(Fault {
                code: ErrorCode::FLOW,
                text: "the range does not continue where the last one ended",
            });
        }
        if received > self.granted {
            return Err(Fault { code: ErrorCode::FLOW, text: "more bytes than credit allows" });
        }
        Ok(Inbound { granted: self.granted, received, at: at.saturating_add(len as u64) })
    }
}

fn tell(event: Event) -> Result<Outcome, Fault> {
    Ok(Outcome { event: Some(event), over: false })
}

fn over(event: Event) -> Result<Outcome, Fault> {
    Ok(Outcome { event: Some(event), over: true })
}
