//! Retention: the oldest closed segments go, whole, and only when asked. First readers are told that the log begins
//! later, then the file goes, and its entry's end is made durable before the next one's turn: so what is left is
//! always a run without a hole.
//!
//! How old a segment is, is told by the time of its last record. Times never go back in a log, so those that a clock
//! which was ahead has given stay ahead; a segment that seems to be of the future is as old as the first segment after
//! it that was made in the past.
//!
//! What cursors hold stays, up to a size that is said (see `holds`); but not where records go for want of room.

use std::sync::Arc;
use std::time::Duration;

use netchan_proto::{LogInfo, Offset, Position, Timestamp};

use super::segment::Segment;
use super::writer::wake_all;
use super::{Inner, locked};
use crate::Retention;

/// A log whose oldest segment may go.
struct Look<'a> {
    /// The segments after it.
    later: &'a [Arc<Segment>],
    /// Bytes of all segments with it; 0 unless they were asked for.
    bytes: u64,
    /// Records with it.
    records: u64,
    /// Bytes that went before it.
    removed: u64,
}

impl Inner {
    /// Trims what `retention` lets go at `now`. The caller holds the writer's lock.
    pub(super) fn trim(&self, retention: &Retention, now: Timestamp) {
        let Retention { max_age, max_bytes, max_records, min_free, .. } = retention;
        if max_age.is_none() && max_bytes.is_none() && max_records.is_none() && min_free.is_none() {
            return;
        }
        let free = retention.min_free.and_then(|least| Some(least.saturating_sub(self.env.free()?)));
        let lacking = free.unwrap_or(0);
        let with_bytes = retention.max_bytes.is_some() || lacking > 0;
        self.remove_while(retention, with_bytes, retention.hold_cursors, |look| {
            retention.max_age.is_some_and(|age| self.is_older(look.later, age, now))
                || retention.max_bytes.is_some_and(|most| look.bytes > most)
                || retention.max_records.is_some_and(|most| look.records > most)
                // Not until there is room: others may take it, and readers hold what was removed.
                || look.removed < lacking
        });
    }

    /// Lets the oldest segments go until `lacking` bytes have come free, or the floor is reached. Says whether any went.
    pub(super) fn trim_for_room(&self, retention: &Retention, lacking: u64) -> bool {
        let went = self.remove_while(retention, true, None, |look| look.removed < lacking);
        if went > 0 {
            tracing::warn!(channel = %self.name, segments = went, lacking, "full: the oldest records went");
        }
        went > 0
    }

    /// Removes the oldest segments while they are wanted to go, the floor holds, no cursor holds them (as long as the log
    /// takes at most `hold` bytes) and it is not the active one's turn. Says how many went.
    fn remove_while(
        &self,
        retention: &Retention,
        with_bytes: bool,
        hold: Option<u64>,
        mut wanted: impl FnMut(&Look<'_>) -> bool,
    ) -> usize {
        let (segments, first, visible, active) = {
            let state = locked(&self.state);
            (state.segments.clone(), state.first(), state.visible(), state.visible_pos)
        };
        let Some((_, closed)) = segments.split_last() else { return 0 };
        let with_bytes = with_bytes || retention.keep_bytes.is_some() || hold.is_some();
        let len = |segment: &Segment| segment.closed_len(&*self.env.disk).unwrap_or(0);
        let mut bytes = if with_bytes { self.bytes_of(closed).saturating_add(active) } else { 0 };
        let mut removed = 0;
        for (at, oldest) in closed.iter().enumerate() {
            let later = &segments[at + 1..];
            let len = if with_bytes { len(oldest) } else { 0 };
            let records = |from: Offset| visible.0.saturating_sub(from.max(first).0);
            let look = Look { later, bytes, records: records(oldest.base), removed };
            let left = later.first().map_or(0, |next| records(next.base));
            let keeps = retention.keep_records.is_none_or(|least| left >= least)
                && retention.keep_bytes.is_none_or(|least| bytes.saturating_sub(len) >= least);
            if !keeps || !wanted(&look) {
                return at;
            }
            if let (Some(hold), Some(next)) = (hold, later.first())
                && self.is_held(next.base)
            {
                if bytes <= hold {
                    tracing::debug!(channel = %self.name, before = next.base.0, bytes, "held for cursors");
                    return at;
                }
                tracing::warn!(
                    channel = %self.name, before = next.base.0, bytes, hold, "records go that cursors hold"
                );
            }
            if !self.remove_oldest(oldest) {
                return at;
            }
            bytes = bytes.saturating_sub(len);
            removed += len;
        }
        closed.len()
    }

    /// Whether cursors hold anything before `before`. If so, the log is looked at again when they do not.
    fn is_held(&self, before: Offset) -> bool {
        self.this.upgrade().is_some_and(|this| self.env.holds.is_held(&this, before))
    }

    /// Where a reader goes on that stands at `position` in this log: not behind where its epoch ended.
    pub(crate) fn goes_on_at(&self, position: &Position) -> Offset {
        let state = locked(&self.state);
        position.offset.min(state.epochs.end_of(position.epoch, state.visible()))
    }

    /// Whether all records before the segments `later` are older than `age`.
    fn is_older(&self, later: &[Arc<Segment>], age: Duration, now: Timestamp) -> bool {
        let age = i64::try_from(age.as_nanos()).unwrap_or(i64::MAX);
        let limit = now.plus_nanos(age.saturating_neg());
        // A head that is damaged says nothing: the next one says it a little later.
        let mut heads = later.iter().filter_map(|segment| segment.head(&*self.env.disk).ok().flatten());
        let Some(head) = heads.next() else { return false };
        // The last record of a segment is the one before the next segment's first.
        if head.previous_time <= now {
            return head.previous_time < limit;
        }
        let made = std::iter::once(head).chain(heads).map(|head| head.created);
        made.into_iter().find(|made| *made <= now).is_some_and(|made| made < limit)
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
