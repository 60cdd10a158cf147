//! How often a peer may send what makes this side work without bringing data.

use crate::limits::MAX_CONTROL_RATE;
use crate::types::Instant;
use crate::wire::{FrameType, Message};

/// Frames that make the receiving side work, other than by data: those have a rate.
pub(super) fn costs_allowance(message: &Message) -> bool {
    matches!(
        message.kind(),
        FrameType::PING
            | FrameType::PONG
            | FrameType::OPEN
            | FrameType::SEEK
            | FrameType::CLOSE
            | FrameType::PUBLISH_OPEN
            | FrameType::PUBLISH_NOTE
            | FrameType::PUBLISH_CLOSE
            | FrameType::STAT
            | FrameType::LIST
            | FrameType::SEAL
            | FrameType::DELETE
            | FrameType::STATUS
            | FrameType::READERS
            | FrameType::CURSOR_TAKE
            | FrameType::CURSOR_SET
            | FrameType::CURSOR_DELETE
            | FrameType::CURSORS
            | FrameType::WATCH
            | FrameType::CREATE
            | FrameType::CHANGE
            | FrameType::TRUNCATE
            | FrameType::DESCRIBE
    ) || message.kind().is_ignorable()
}

/// Control frames that the peer may still send: refilled by time, full after four seconds.
#[derive(Debug)]
pub(super) struct Allowance {
    nanos: u64,
    at: Instant,
}

impl Allowance {
    const FULL: u64 = 4_000_000_000;
    const COST: u64 = 1_000_000_000 / MAX_CONTROL_RATE as u64;

    pub(super) fn full(now: Instant) -> Allowance {
        Allowance { nanos: Self::FULL, at: now }
    }

    pub(super) fn take(&mut self, now: Instant) -> bool {
        let gained = now.0.saturating_sub(self.at.0);
        self.at = self.at.max(now);
        self.nanos = self.nanos.saturating_add(gained).min(Self::FULL);
        match self.nanos.checked_sub(Self::COST) {
            Some(left) => {
                self.nanos = left;
                true
            }
            None => false,
        }
    }
}
