//! What a publisher says of a stream that it fills, and what the side with the log does.

use bytes::Bytes;

use super::streams::{Outflow, Stream, send_ranges};
use super::{Connection, Full};
use crate::wire::{FrameType, Message, PublishAck, PublishNote, PublishOpen, PublishOpened, StreamId};

impl Connection {
    /// Asks to publish to a channel.
    ///
    /// # Errors
    /// [`Full`].
    pub fn publish_open(&mut self, open: &PublishOpen) -> Result<StreamId, Full> {
        let stream = Stream::Publishing { flow: Outflow::default(), opened: false, closing: false };
        let id = self.streams.open(stream).ok_or(Full)?;
        self.send(id, &Message::PublishOpen(open.clone()));
        Ok(id)
    }

    /// Sends a range of the run of published batches, at most [`room`](Self::room).
    pub fn publish(&mut self, id: StreamId, range: Bytes) {
        if let Some(Stream::Publishing { flow, opened: true, closing: false }) = self.streams.get_mut(id) {
            self.traffic.frames_out += send_ranges(&mut self.out, FrameType::PUBLISH, id, flow, range);
        }
    }

    /// Sends a note to keep beside the sequence, ahead of what is published after it. Means nothing before
    /// PUBLISH_OPENED or after [`publish_close`](Self::publish_close).
    pub fn publish_note(&mut self, id: StreamId, note: &PublishNote) {
        if let Some(Stream::Publishing { opened: true, closing: false, .. }) = self.streams.get(id) {
            self.send(id, &Message::PublishNote(note.clone()));
        }
    }

    /// Nothing more will be published; END follows the last acknowledgement. Before PUBLISH_OPENED it is kept, and
    /// told after it.
    pub fn publish_close(&mut self, id: StreamId) {
        if let Some(Stream::Publishing { opened, closing, .. }) = self.streams.get_mut(id)
            && !std::mem::replace(closing, true)
            && *opened
        {
            self.send(id, &Message::PublishClose);
        }
    }

    /// Publishing begins.
    pub fn publish_opened(&mut self, id: StreamId, publish_opened: &PublishOpened) {
        if let Some(Stream::Accepting { flow, opened, .. }) = self.streams.get_mut(id) {
            *opened = true;
            flow.granted = publish_opened.credit;
            self.send(id, &Message::PublishOpened(publish_opened.clone()));
        }
    }

    /// Records are written, or durable.
    pub fn publish_ack(&mut self, id: StreamId, ack: &PublishAck) {
        self.send_on(id, &Message::PublishAck(*ack));
    }
}
