//! Listens in on one direction of a connection, and tells the frames that the oracle and the trace want.
//!
//! It sees what a side wrote, whether or not it ever arrives.

use bytes::Bytes;
use netchan_proto::wire::{FRAME_HEADER_LEN, FrameHeader, FrameType, Message, PREFACE};

/// Bytes of a long payload that are looked at: a range's place and a batch's header.
const LOOK: usize = 8 + 64;

/// A frame that went by.
#[derive(Debug)]
pub struct Heard {
    /// Its header.
    pub header: FrameHeader,
    /// Its payload; of DATA and PUBLISH only the beginning.
    pub payload: Bytes,
}

impl Heard {
    /// The frame as a value; `None` for DATA and PUBLISH, and for what cannot be read.
    pub fn message(&self) -> Option<Message> {
        if is_range(self.header.kind) {
            return None;
        }
        Message::decode(&self.header, self.payload.clone()).ok()
    }

    /// The base offset (of PUBLISH: the sequence) of the batch that begins with this range, if one does.
    pub fn base_offset(&self) -> Option<u64> {
        let batch = self.payload.get(8..)?;
        if !batch.starts_with(b"NCB1") {
            return None;
        }
        batch.get(16..24)?.try_into().ok().map(u64::from_le_bytes)
    }
}

/// Whether a frame carries a range of batches.
pub fn is_range(kind: FrameType) -> bool {
    kind == FrameType::DATA || kind == FrameType::PUBLISH
}

/// One direction's listener.
#[derive(Debug, Default)]
pub struct Tap {
    preface: usize,
    header: Option<FrameHeader>,
    /// Bytes of the header, or of the payload's beginning.
    partial: Vec<u8>,
    /// Bytes of the payload still to come.
    left: usize,
    heard: Vec<Heard>,
    is_lost: bool,
}

impl Tap {
    /// Bytes were written.
    pub fn listen(&mut self, mut bytes: &[u8]) {
        let skip = (PREFACE.len() - self.preface).min(bytes.len());
        self.preface += skip;
        bytes = &bytes[skip..];
        while !bytes.is_empty() && !self.is_lost {
            match self.header {
                None => {
                    let part = (FRAME_HEADER_LEN - self.partial.len()).min(bytes.len());
                    self.partial.extend_from_slice(&bytes[..part]);
                    bytes = &bytes[part..];
                    if let Some(whole) = self.partial.first_chunk::<FRAME_HEADER_LEN>() {
                        match FrameHeader::decode(whole) {
                            Ok(header) => {
                                self.header = Some(header);
                                self.left = header.len as usize;
                            }
                            Err(_) => self.is_lost = true,
                        }
                        self.partial.clear();
                        self.finish();
                    }
                }
                Some(header) => {
                    let part = self.left.min(bytes.len());
                    let limit = if is_range(header.kind) { LOOK } else { usize::MAX };
                    let look = part.min(limit.saturating_sub(self.partial.len()));
                    self.partial.extend_from_slice(&bytes[..look]);
                    self.left -= part;
                    bytes = &bytes[part..];
                    self.finish();
                }
            }
        }
    }

    /// Whether something that is no frame was written.
    pub fn is_lost(&self) -> bool {
        self.is_lost
    }

    /// The frames since the last call.
    pub fn heard(&mut self) -> Vec<Heard> {
        std::mem::take(&mut self.heard)
    }

    fn finish(&mut self) {
        if self.left == 0
            && let Some(header) = self.header.take()
        {
            let payload = Bytes::copy_from_slice(&self.partial);
            self.partial.clear();
            self.heard.push(Heard { header, payload });
        }
    }
}
