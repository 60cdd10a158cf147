//! Truncation: the oldest records go because somebody says so, to the record.
//!
//! First the new start is durable in the channel's meta, then readers are told, then the segments go that hold nothing
//! else. A power cut leaves the log with the old start or with the new one. Files that stay though all in them was
//! truncated go when the log is opened again. What is before the start in a segment that stays is not served any more, and
//! goes with its segment.
//!
//! The newest records are never truncated: they were acknowledged, a receiver may have them, and offsets would be given
//! twice. Who wants to begin anew deletes the channel: another log has another identity, and every receiver is told.

use netchan_proto::{Offset, Timestamp};

use super::writer::wake_all;
use super::{Inner, locked};
use crate::{LogError, StoreError};

impl Inner {
    /// Lets everything before `before` go, at most all that is durable. Says where the log begins then.
    pub(super) fn truncate(&self, before: Offset) -> Result<Offset, StoreError> {
        // What a power cut could take is not what may be counted from.
        if before > locked(&self.state).durable {
            let _ = self.sync();
        }
        let now = self.now();
        let mut writer = locked(&self.writer);
        if writer.is_dead {
            return Err(StoreError::Closed);
        }
        let (first, durable) = {
            let state = locked(&self.state);
            (state.first(), state.durable.min(state.visible()))
        };
        let before = before.min(durable);
        if before <= first {
            return Ok(first);
        }
        self.write_meta(writer.options, before)?;
        let mut wake = Vec::new();
        let is_sealed = {
            let mut state = locked(&self.state);
            state.start = before;
            state.change(&mut wake);
            state.sealed_at.is_some()
        };
        wake_all(wake);
        tracing::info!(channel = %self.name, from = first.0, to = before.0, "truncated");
        // An active segment of which all was truncated is closed, and goes. A seal stays.
        if before == writer.written && !is_sealed {
            writer.roll_now(self, now);
        }
        self.trim_before(before);
        Ok(before)
    }

    /// The offset of the first record at or after `time`, or the visible end.
    pub(super) fn first_since(&self, time: Timestamp) -> Result<Offset, LogError> {
        let start = netchan_proto::Start::Time(time);
        self.resolve(&start).map(|found| found.start)
    }
}
