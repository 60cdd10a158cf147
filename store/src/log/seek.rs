//! Starts, found: offsets, times, positions of earlier readers.

use std::sync::Arc;

use netchan_proto::batch::{Batch, BatchHeader};
use netchan_proto::{Offset, Start, Timestamp};

use super::file::read_exactly;
use super::index::Place;
use super::read::{Extent, Hop};
use super::segment::Segment;
use super::{Inner, Resolved, TruncatedAt, locked};
use crate::LogError;

impl Inner {
    pub(super) fn resolve(&self, start: &Start) -> Result<Resolved, LogError> {
        let (first, visible) = {
            let state = locked(&self.state);
            (state.first(), state.visible())
        };
        let at = |start| Resolved { start, gap_from: None, truncated: None };
        let asked = |offset: Offset, truncated| {
            if offset < first {
                Resolved { start: first, gap_from: Some(offset), truncated }
            } else {
                Resolved { start: offset, gap_from: None, truncated }
            }
        };
        match *start {
            Start::Earliest => Ok(at(first)),
            Start::Latest => Ok(at(visible)),
            Start::Offset(offset) if offset > visible => {
                Err(LogError::BeyondEnd { asked: offset, end: visible })
            }
            Start::Offset(offset) => Ok(asked(offset, None)),
            Start::Last(records) => Ok(at(Offset(visible.0.saturating_sub(records)).max(first))),
            Start::Time(time) => Ok(at(self.first_at(time)?)),
            Start::Ago(ago) => {
                let ago = i64::try_from(ago.as_nanos()).unwrap_or(i64::MAX);
                Ok(at(self.first_at(self.now().plus_nanos(ago.saturating_neg()))?))
            }
            Start::Resume(position) if position.log != self.id => {
                Err(LogError::OtherLog { theirs: position.log, ours: self.id })
            }
            Start::Resume(position) => {
                let (last, end) = {
                    let state = locked(&self.state);
                    (state.epochs.last(), state.epochs.end_of(position.epoch, state.visible()))
                };
                if position.epoch > last {
                    // An epoch is durable before a record of it is visible: this log, or this copy of it, never had it.
                    return Err(LogError::OtherLog { theirs: position.log, ours: self.id });
                }
                if position.offset > end {
                    Ok(asked(end, Some(TruncatedAt { epoch: position.epoch, end })))
                } else {
                    Ok(asked(position.offset, None))
                }
            }
            _ => Ok(at(visible)),
        }
    }

    /// The offset of the first visible record at or after `time`, or the visible end.
    fn first_at(&self, time: Timestamp) -> Result<Offset, LogError> {
        loop {
            match self.try_first_at(time) {
                // It was trimmed while it was looked at: look at what is left.
                Err(LogError::Trimmed { .. }) => {}
                done => return done,
            }
        }
    }

    fn try_first_at(&self, time: Timestamp) -> Result<Offset, LogError> {
        let (segments, first, visible) = {
            let state = locked(&self.state);
            (state.segments.clone(), state.first(), state.visible())
        };
        // The last segment whose records all come after one that is older than `time`.
        let mut low = 0;
        let mut high = segments.len();
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if self.previous_time(&segments[middle])? < time {
                low = middle;
            } else {
                high = middle;
            }
        }
        // Damage may hide the end of a segment: then the answer is the start of the next.
        for segment in &segments[low..] {
            // The first segment may begin with records that were truncated.
            if let Some(offset) = self.first_in(&self.extent(segment.base.max(first))?, time)? {
                return Ok(offset.max(first));
            }
        }
        Ok(visible)
    }

    /// The time of the record before a segment's first. A head that is damaged says nothing: the search goes on from
    /// an older one.
    fn previous_time(&self, segment: &Arc<Segment>) -> Result<Timestamp, LogError> {
        let head = segment.head(&*self.env.disk).map_err(|error| self.read_error(segment, error))?;
        Ok(head.map_or(Timestamp(i64::MAX), |head| head.previous_time))
    }

    fn first_in(&self, extent: &Extent, time: Timestamp) -> Result<Option<Offset>, LogError> {
        let file = self.open_segment(&extent.segment)?;
        self.learn_start(extent, &*file)?;
        let mut place = extent.segment.index().before_time(time);
        loop {
            match self.hop(extent, &*file, place, |header| header.last_time() >= time) {
                Ok(Hop::Found(place, header)) => {
                    let stored = read_exactly(&*file, place.pos, header.stored_len()).map_err(|error| {
                        LogError::Io { path: extent.segment.path.clone(), source: Arc::new(error) }
                    })?;
                    return Ok(Some(first_in_batch(header, stored, time)));
                }
                Ok(Hop::End) => return Ok(None),
                Err(LogError::Damaged { to, .. }) => {
                    // Right behind the damage, which may lie far before what the index knows.
                    let next = extent.segment.index().before(to);
                    if next.offset <= place.offset {
                        return Ok(None);
                    }
                    place = next;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The time of the first record, `Timestamp::MIN` if there is none or it cannot be read.
    pub(super) fn first_time(&self, first: Offset, next: Offset) -> Timestamp {
        if first == next {
            return Timestamp::MIN;
        }
        let found = || -> Result<Timestamp, LogError> {
            let extent = self.extent(first)?;
            let file = self.open_segment(&extent.segment)?;
            self.learn_start(&extent, &*file)?;
            let place: Place = extent.segment.index().before(first);
            match self.hop(&extent, &*file, place, |header| header.next_offset() > first)? {
                Hop::Found(_, header) if header.base_offset == first => Ok(header.base_time),
                Hop::Found(place, header) => {
                    let stored = read_exactly(&*file, place.pos, header.stored_len()).map_err(|error| {
                        LogError::Io { path: extent.segment.path.clone(), source: Arc::new(error) }
                    })?;
                    Ok(time_in_batch(header, stored, first))
                }
                Hop::End => Ok(Timestamp::MIN),
            }
        };
        found().unwrap_or(Timestamp::MIN)
    }
}

/// The first record at or after `time` in a batch that has one.
fn first_in_batch(header: BatchHeader, stored: Vec<u8>, time: Timestamp) -> Offset {
    if header.base_time >= time {
        return header.base_offset;
    }
    let Ok(batch) = Batch::verify_body(header, stored.into()) else {
        return header.base_offset; // the receiver finds out
    };
    batch
        .records()
        .map_while(Result::ok)
        .find(|record| record.timestamp >= time)
        .map_or(header.base_offset, |record| record.offset)
}

/// The time of the record at `offset` in a batch that has it; of its first one where it cannot be read.
fn time_in_batch(header: BatchHeader, stored: Vec<u8>, offset: Offset) -> Timestamp {
    let batch = Batch::verify_body(header, stored.into()).ok();
    let records = batch.iter().flat_map(Batch::records).map_while(Result::ok);
    let mut at = records.filter(|record| record.offset == offset);
    at.next().map_or(header.base_time, |record| record.timestamp)
}
