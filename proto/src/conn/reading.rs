//! What is said of a stream: by who reads it, by the side with the logs, and what either says of one that is published.

use bytes::{Buf, Bytes};

use super::streams::{Inbound, Stream, send_ranges};
use super::{Connection, Full};
use crate::digest::Digest;
use crate::error_code::ErrorCode;
use crate::types::Offset;
use crate::wire::{
    End, ErrorFrame, FrameType, Gap, Message, Open, Opened, Progress, Seek, Seeked, StreamId, Truncated,
};

impl Connection {
    /// Asks to read a channel.
    ///
    /// # Errors
    /// [`Full`].
    pub fn open(&mut self, open: &Open) -> Result<StreamId, Full> {
        let flow = Inbound { granted: open.credit, ..Inbound::default() };
        let stream = Stream::Reading { flow, opened: false, closing: false, seeks: 0 };
        let id = self.streams.open(stream).ok_or(Full)?;
        self.send(id, &Message::Open(open.clone()));
        Ok(id)
    }

    /// Asks to read on from elsewhere.
    pub fn seek(&mut self, id: StreamId, seek: &Seek) {
        if let Some(Stream::Reading { seeks, closing: false, .. }) = self.streams.get_mut(id) {
            *seeks += 1;
            self.send(id, &Message::Seek(*seek));
        }
    }

    /// Allows `total` bytes in all on a stream that we read or that is published to us.
    pub fn grant(&mut self, id: StreamId, total: u64) {
        if let Some(Stream::Reading { flow, closing: false, .. } | Stream::Accepting { flow, .. }) =
            self.streams.get_mut(id)
            && total > flow.granted
        {
            flow.granted = total;
            self.send(id, &Message::Credit(total));
        }
    }

    /// All before `offset` has reached the user, as the sender has asked to be told by AWAIT: one for each of those at most, and
    /// none while a seek is not answered.
    pub fn tell_received(&mut self, id: StreamId, offset: Offset) {
        if let Some(Stream::Reading { opened: true, closing: false, seeks: 0, .. }) = self.streams.get(id) {
            self.send(id, &Message::Received(offset));
        }
    }

    /// Enough of a stream that we read, or watch. Nothing of it is told any more but its END.
    pub fn close_stream(&mut self, id: StreamId) {
        if let Some(Stream::Reading { closing, .. } | Stream::Watching { closing }) = self.streams.get_mut(id)
            && !std::mem::replace(closing, true)
        {
            self.send(id, &Message::Close(ErrorCode::NONE));
        }
    }

    /// Reading begins.
    pub fn opened(&mut self, id: StreamId, opened: &Opened) {
        if let Some(Stream::Serving { opened: is_open, .. }) = self.streams.get_mut(id) {
            *is_open = true;
            self.send(id, &Message::Opened(opened.clone()));
        }
    }

    /// The channel does not exist yet.
    pub fn waiting(&mut self, id: StreamId) {
        self.send_on(id, &Message::Waiting);
    }

    /// Reading goes on elsewhere.
    pub fn seeked(&mut self, id: StreamId, seeked: &Seeked) {
        if let Some(Stream::Serving { flow, awaits, .. }) = self.streams.get_mut(id) {
            (flow.at, *awaits) = (0, 0);
            self.send(id, &Message::Seeked(seeked.clone()));
        }
    }

    /// Bytes that may be given to [`data`](Self::data) or [`publish`](Self::publish) now: what credit and the room
    /// in the output allow.
    pub fn room(&self, id: StreamId) -> usize {
        match self.streams.get(id) {
            Some(
                Stream::Serving { flow, opened: true, .. } | Stream::Publishing { flow, opened: true, .. },
            ) => self.space().min(usize::try_from(flow.credit()).unwrap_or(usize::MAX)),
            _ => 0,
        }
    }

    /// Bytes of data that the output has room for, whatever the streams' credit.
    pub fn space(&self) -> usize {
        self.most_out.saturating_sub(self.out.remaining())
    }

    /// Sends a range of the run of batches, at most [`room`](Self::room).
    pub fn data(&mut self, id: StreamId, range: Bytes) {
        if let Some(Stream::Serving { flow, opened: true, .. }) = self.streams.get_mut(id) {
            self.traffic.frames_out += send_ranges(&mut self.out, FrameType::DATA, id, flow, range);
        }
    }

    /// Asks to be told when the receiver's user has received all before `offset`. Only of who [tells](crate::wire::Roles::TELLS).
    pub fn await_received(&mut self, id: StreamId, offset: Offset) {
        if let Some(Stream::Serving { opened: true, awaits, .. }) = self.streams.get_mut(id) {
            *awaits = awaits.saturating_add(1);
            self.send(id, &Message::Await(offset));
        }
    }

    /// How far this side is.
    pub fn progress(&mut self, id: StreamId, progress: &Progress) {
        self.send_on(id, &Message::Progress(*progress));
    }

    /// Records are gone.
    pub fn gap(&mut self, id: StreamId, gap: &Gap) {
        self.send_on(id, &Message::Gap(*gap));
    }

    /// The log was rolled back behind the receiver.
    pub fn truncated(&mut self, id: StreamId, truncated: &Truncated) {
        self.send_on(id, &Message::Truncated(*truncated));
    }

    /// What the sealed channel comes to. To be followed by its end.
    pub fn digest(&mut self, id: StreamId, digest: Digest) {
        self.send_on(id, &Message::Digest(digest));
    }

    /// Ends a stream that the peer reads or publishes on.
    pub fn end(&mut self, id: StreamId, end: End) {
        self.send_on(id, &Message::End(end));
        self.streams.remove(id);
    }

    /// Ends a stream of the peer's, or answers its request, with an error.
    pub fn stream_error(&mut self, id: StreamId, error: ErrorFrame) {
        if self.streams.get(id).is_some() {
            self.send(id, &Message::Error(error));
            self.streams.remove(id);
        }
    }
}
