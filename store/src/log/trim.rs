//! Retention: the oldest closed segments go, whole, and only when asked. First readers are told that the log begins
//! later, then the file goes, and its entry's end is made durable before the next one's turn: so what is left is
//! always a run without a hole.

use std::sync::Arc;

use netchan_proto::{LogInfo, Offset, Timestamp};

use super::segment::Segment;
use super::writer::wake_all;
use super::{Inner, locked};
use crate::Retention;

impl Inner {
    /// Trims what `retention` lets go at `now`. The caller holds the writer's lock.
    pub(super) fn trim(&self, retention: &Retention, now: Timestamp) {
        if *retention == Retention::default() {
            return;
        }
        loop {
            let (oldest, next, closed) = {
                let state = locked(&self.state);
                let [oldest, next, ..] = &state.segments[..] else { return };
                (Arc::clone(oldest), Arc::clone(next), state.segments[..state.segments.len() - 1].to_vec())
            };
            let too_old = retention.max_age.is_some_and(|age| {
                let age = i64::try_from(age.as_nanos()).unwrap_or(i64::MAX);
                // The last record of a segment is the one before the next segment's first.
                matches!(next.head(&*self.env.disk),
                    Ok(Some(head)) if head.previous_time < now.plus_nanos(age.saturating_neg()))
            });
            let too_large = || {
                retention.max_bytes.is_some_and(|max| {
                    let active = locked(&self.state).visible_pos;
                    self.bytes_of(&closed).saturating_add(active) > max
                })
            };
            if !(too_old || too_large()) {
                return;
            }
            if !self.remove_oldest(&oldest) {
                return;
            }
        }
    }

    /// Removes every segment before the one that holds `offset`. For the state log.
    pub(super) fn trim_before(&self, offset: Offset) {
        loop {
            let oldest = {
                let state = locked(&self.state);
                match &state.segments[..] {
                    [oldest, next, ..] if next.base <= offset => Arc::clone(oldest),
                    _ => return,
                }
            };
            if !self.remove_oldest(&oldest) {
                return;
            }
        }
    }

    /// False if its file, or that of one before it, could not be removed for sure: then nothing newer may go.
    fn remove_oldest(&self, oldest: &Arc<Segment>) -> bool {
        let mut owed = locked(&self.owed);
        if owed.as_ref().is_some_and(|segment| !self.remove_file(segment)) {
            return false;
        }
        *owed = None;
        let mut wake = Vec::new();
        let mut state = locked(&self.state);
        if !state.segments.first().is_some_and(|first| Arc::ptr_eq(first, oldest)) {
            return false;
        }
        state.segments.remove(0);
        let first = state.first();
        state.change(&mut wake);
        drop(state);
        wake_all(wake);
        tracing::info!(channel = %self.name, from = oldest.base.0, to = first.0, "trimmed");
        let is_gone = self.remove_file(oldest);
        self.close_segment(oldest); // or its room on the volume stays taken
        if !is_gone {
            *owed = Some(Arc::clone(oldest));
        }
        is_gone
    }

    fn remove_file(&self, segment: &Segment) -> bool {
        let removed = match self.env.disk.remove_file(&segment.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => self.env.disk.sync_dir(&self.dir),
        };
        if let Err(error) = &removed {
            // It is tried again before the next one goes, and comes back when the log is opened before that.
            tracing::warn!(channel = %self.name, path = segment.path, %error, "a trimmed segment stays");
        }
        removed.is_ok()
    }

    pub(super) fn bytes_of(&self, closed: &[Arc<Segment>]) -> u64 {
        closed.iter().map(|segment| segment.closed_len(&*self.env.disk).unwrap_or(0)).sum()
    }

    pub(super) fn info(&self) -> LogInfo {
        let (segments, mut info) = {
            let state = locked(&self.state);
            let (first, next) = (state.first(), state.visible());
            let info = LogInfo {
                name: self.name.clone(),
                id: self.id,
                epoch: state.epochs.last(),
                durability: state.durability,
                sealed: state.sealed_at.is_some(),
                first,
                next,
                durable: state.durable,
                first_time: Timestamp::MIN,
                last_time: if next > first { state.written_time } else { Timestamp::MIN },
                created: self.created,
                bytes: state.visible_pos,
                segments: state.segments.len() as u64,
            };
            (state.segments.clone(), info)
        };
        if let Some((_, closed)) = segments.split_last() {
            info.bytes = info.bytes.saturating_add(self.bytes_of(closed));
        }
        info.first_time = self.first_time(info.first, info.next);
        info
    }
}
