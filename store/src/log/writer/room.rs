//! The active segment's file: open or not, the room that is reserved in it, what is cut off its end, and which file follows.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use netchan_proto::Timestamp;

use super::{Failed, Writer, failing, short_of, wake_all};
use crate::WhenFull;
use crate::disk::{DiskFile, Open};
use crate::error::is_shortage;
use crate::log::segment::{self, NewHead};
use crate::log::state::{Lack, Refusal};
use crate::log::{Inner, locked};
use crate::warm::Cooling;

/// The first step of preallocation; the steps grow with the segment.
pub(in crate::log) const FIRST_STEP: u64 = 64 << 10;
/// The largest step of preallocation: larger ones stall for long on fragmented volumes.
const LARGEST_STEP: u64 = 8 << 20;
/// Preallocation ends at multiples of this.
const PAGE: u64 = 4096;

impl Writer {
    /// The active segment's file, opened again if the log has rested.
    pub(super) fn file(&mut self, log: &Inner) -> Result<Arc<dyn DiskFile>, Failed> {
        if let Some(file) = &self.file {
            return Ok(Arc::clone(file));
        }
        let file = log.env.disk.open(&self.segment.path, Open::Write).map_err(short_of("opening"))?;
        self.segment.keep(Some(Arc::clone(&file)));
        self.file = Some(Arc::clone(&file));
        log.warm_up();
        Ok(file)
    }

    /// Closes the file, and makes durable what went through it before. False if there is work to do first.
    pub(in crate::log) fn let_go(&mut self, log: &Inner, how: Cooling, now: Timestamp) -> bool {
        if !self.is_dead {
            if how == Cooling::Idle && self.stalled.is_none() && locked(&log.state).has_queue() {
                return false;
            }
            if let Err(failed) = self.write(log, &mut Vec::new(), true, now) {
                self.fail(log, &failed, now);
            } else if how == Cooling::Idle {
                self.cut_room(log);
            }
        }
        self.file = None;
        self.segment.keep(None);
        true
    }

    /// Gives back the room that was reserved. What is written is durable before and stays so, and zeros after it harm
    /// nobody: a failure is no reason to give up the log.
    pub(super) fn cut_room(&mut self, log: &Inner) {
        if self.allocated == self.pos || self.torn.is_some() {
            return;
        }
        let cut = self.file(log).and_then(|file| {
            file.set_len(self.pos).map_err(failing("cutting"))?;
            file.sync().map_err(failing("syncing"))
        });
        match cut {
            Ok(()) => self.allocated = self.pos,
            Err(failed) => {
                tracing::warn!(channel = %log.name, error = %failed.source, "preallocation not cut");
            }
        }
    }

    /// Has nothing stand after the end any more, should opening have left something there. Before anything is written.
    pub(super) fn clear_end(&mut self, log: &Inner) -> Result<(), Failed> {
        if self.torn.is_none() {
            return Ok(());
        }
        let file = self.file(log)?;
        if let Some(torn) = &self.torn {
            let done = torn.set_aside(&*log.env.disk, &log.dir, &*file);
            done.map_err(short_of("setting aside what stands after the end of"))?;
        }
        file.sync().map_err(failing("syncing"))?;
        self.torn = None;
        self.allocated = self.pos;
        Ok(())
    }

    /// The log was opened, and cannot be written before there is room: see [`Writer::clear_end`].
    pub(in crate::log) fn wait_for_room(&mut self, log: &Inner, why: io::Error, now: Timestamp) {
        let short = short_of("setting aside what stands after the end of")(why);
        self.fail(log, &short, now);
    }

    /// Opens the file and reserves room on disk, in growing steps; stops appends when the volume gets full. What is
    /// queued by then is still written, as long as there is room for it. After this a write is short of nothing, so
    /// what it takes from the queue is taken for good.
    pub(super) fn make_room(&mut self, log: &Inner, end: u64) -> Result<(), Failed> {
        let file = self.file(log)?;
        if end <= self.allocated {
            return Ok(());
        }
        let step = self.allocated.clamp(FIRST_STEP, LARGEST_STEP);
        let least = end.next_multiple_of(PAGE);
        let mut target = (end + step).min(self.options.segment_bytes.max(end)).next_multiple_of(PAGE);
        let retention = self.options.retention;
        let mut lacking = log.lacking(&retention, self.allocated, target - self.allocated);
        if let Some((_, bytes)) = lacking
            && retention.when_full == WhenFull::TrimOldest
            && log.trim_for_room(&retention, bytes)
        {
            lacking = log.lacking(&retention, self.allocated, target - self.allocated);
        }
        if lacking.is_some() {
            target = least;
            lacking = log.lacking(&retention, self.allocated, least - self.allocated);
        }
        if let Some((lack, _)) = lacking {
            let mut wake = Vec::new();
            locked(&log.state).refuse(Refusal::NoSpace(lack), &mut wake);
            wake_all(wake);
            if let Lack::Ceiling(bytes) = lack {
                tracing::warn!(channel = %log.name, bytes, "the channel is at its ceiling: it takes no more");
            } else if !log.env.nearly_full.swap(true, Ordering::Relaxed) {
                tracing::warn!(channel = %log.name, "the volume is nearly full: it takes no more");
            }
            self.look_again(log, log.now());
        }
        let mut reserved = file.allocate(target);
        if target > least && reserved.as_ref().is_err_and(is_shortage) {
            target = least;
            reserved = file.allocate(least);
        }
        match reserved {
            Ok(()) => {}
            Err(error) if is_shortage(&error) => {
                // What it has got is of use to others.
                if file.set_len(self.pos).is_ok() {
                    self.allocated = self.pos;
                }
                return Err(short_of("making room in")(error));
            }
            // A file system that cannot reserve will tell at the write itself, where it counts.
            Err(error) => tracing::debug!(channel = %log.name, %error, "no room reserved"),
        }
        self.allocated = target;
        Ok(())
    }

    /// Closes the segment, which is durable, and begins the next.
    pub(super) fn roll(&mut self, log: &Inner, now: Timestamp) -> Result<(), Failed> {
        self.clear_end(log)?;
        if self.allocated > self.pos {
            let file = self.file(log)?;
            file.set_len(self.pos).map_err(short_of("cutting the preallocated end of"))?;
            // Or a power cut could bring back room in a segment that is closed.
            file.sync().map_err(failing("syncing"))?;
            self.allocated = self.pos;
        }
        let epochs = locked(&log.state).epochs.clone();
        let head = NewHead {
            log: log.id,
            name: &log.name,
            base: self.written,
            previous_crc: self.previous_crc,
            previous_time: self.last_time,
            created: now,
            epochs: &epochs,
            producers: &self.producers,
            digest: self.digest,
            lost_to: None,
        };
        let made = segment::create(&*log.env.disk, &log.dir, &head, self.must_roll);
        let (segment, file, data_start) = made.map_err(|not_made| {
            self.must_roll = not_made.begun;
            let (source, may_retry) = (not_made.source, not_made.may_retry);
            Failed { action: "creating the file after", source, may_retry }
        })?;
        self.must_roll = false;
        let segment = Arc::new(segment);
        let before = std::mem::replace(&mut self.segment, Arc::clone(&segment));
        before.set_len(self.pos);
        self.file = Some(file);
        self.data_start = data_start;
        self.begun = now;
        self.pos = data_start;
        self.last_batch = 0;
        self.allocated = data_start;
        self.synced_epoch = epochs.last();
        {
            let mut state = locked(&log.state);
            state.segments.push(segment);
            state.visible_pos = data_start;
        }
        tracing::info!(
            channel = %log.name, path = before.path, next = self.segment.path, "a segment is full: another begins"
        );
        log.warm_up();
        log.note_read(&before);
        log.trim(&self.options.retention, now);
        Ok(())
    }

    /// Begins a new segment, if the active one has anything in it.
    pub(in crate::log) fn roll_now(&mut self, log: &Inner, now: Timestamp) {
        let rolled = |writer: &mut Writer| {
            writer.write(log, &mut Vec::new(), true, now)?;
            if writer.pos > writer.data_start { writer.roll(log, now) } else { Ok(()) }
        };
        if self.is_dead {
            return;
        }
        match rolled(self) {
            Err(failed) if failed.may_retry => {
                tracing::debug!(channel = %log.name, error = %failed.source, "no new segment for now");
            }
            Err(failed) => self.poison(log, &failed),
            Ok(()) => {}
        }
    }
}
