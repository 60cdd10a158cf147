//! The side of a log that writes: takes the queue in groups, writes and syncs them, rolls segments, seals, closes.
//!
//! There is one per log, under its own lock, so a log is committed by one thread at a time. It takes the state's
//! lock for moments and never holds it over an operation of the disk. After a failed write or sync it is dead:
//! nothing is tried again on the same file.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::task::Waker;

use netchan_proto::batch::{BatchBuilder, Stamp, header_crc, seal_batch};
use netchan_proto::{Durability, Epoch, Offset, Timestamp};

use super::producers::Producers;
use super::segment::{self, NewHead, Segment};
use super::state::{Refusal, State, Stored};
use super::{Inner, locked};
use crate::LogOptions;
use crate::committer::Timer;
use crate::disk::DiskFile;

/// Bytes of batches that are written, and synced, at once.
const GROUP_BYTES: usize = 4 << 20;
/// The first step of preallocation; the steps grow with the segment.
const FIRST_STEP: u64 = 64 << 10;
/// The largest step of preallocation: larger ones stall for long on fragmented volumes.
const LARGEST_STEP: u64 = 8 << 20;
/// Preallocation ends at multiples of this.
const PAGE: u64 = 4096;

#[derive(Debug)]
pub(super) struct Writer {
    pub(super) options: LogOptions,
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) segment: Arc<Segment>,
    pub(super) data_start: u64,
    /// When the segment was made.
    pub(super) begun: Timestamp,
    /// Where the next batch goes.
    pub(super) pos: u64,
    /// Up to here the file has room on disk.
    pub(super) allocated: u64,
    pub(super) previous_crc: u32,
    pub(super) last_time: Timestamp,
    pub(super) written: Offset,
    pub(super) durable: Offset,
    /// The producers as of `written`.
    pub(super) producers: Producers,
    /// The newest epoch that a sync has covered: no record of a later one is visible before its first sync.
    pub(super) synced_epoch: Epoch,
    /// Since when something written waits for its sync.
    pub(super) unsynced_since: Option<Timestamp>,
    /// When the committer will tick this log.
    pub(super) timer: Option<Timer>,
    pub(super) is_dead: bool,
    pub(super) has_written: bool,
}

/// What failed, for the log that is poisoned by it.
pub(super) struct Failed {
    action: &'static str,
    source: io::Error,
}

fn failing(action: &'static str) -> impl FnOnce(io::Error) -> Failed {
    move |source| Failed { action, source }
}

impl Writer {
    /// Commits one group of what is queued. Syncs it if the mode, an epoch's beginning, a waiter or `force` wants
    /// that. Poisons the log if the disk fails.
    pub(super) fn commit(&mut self, log: &Inner, now: Timestamp, force: bool) {
        if self.is_dead {
            return;
        }
        if let Err(failed) = self.try_commit(log, now, force) {
            self.poison(log, &failed);
        }
    }

    fn try_commit(&mut self, log: &Inner, now: Timestamp, force: bool) -> Result<(), Failed> {
        let mut group = Vec::new();
        let (bytes, epoch, wanted) = {
            let mut state = locked(&log.state);
            let bytes = state.take_group(GROUP_BYTES, &mut group);
            (bytes, state.epochs.last(), state.sync_wanted)
        };
        let mut run = Vec::with_capacity(group.len());
        let mut run_bytes = 0;
        for batch in group {
            let len = batch.byte_len().next_multiple_of(8) as u64;
            let end = self.pos + run_bytes;
            if end + len > self.options.segment_bytes && end > self.data_start {
                self.write(log, &mut run, true, now)?;
                self.roll(log, now)?;
                run_bytes = 0;
            }
            run_bytes += len;
            run.push(self.finish(log, batch, epoch));
        }
        let sync = force
            || self.options.durability == Durability::Sync
            || epoch > self.synced_epoch
            || wanted > self.durable;
        self.write(log, &mut run, sync, now)?;
        let mut wake = Vec::new();
        locked(&log.state).release(bytes, &mut wake);
        wake_all(wake);
        Ok(())
    }

    fn finish(&mut self, log: &Inner, batch: BatchBuilder, epoch: Epoch) -> Stored {
        let (header, bytes) = batch.finish(Stamp {
            seed: &log.id.0,
            epoch,
            durable_offset: self.durable,
            previous_crc: self.previous_crc,
        });
        self.previous_crc = header_crc(&bytes);
        Stored { header, bytes }
    }

    /// Writes `run`, syncs if asked, and moves the marks.
    fn write(
        &mut self,
        log: &Inner,
        run: &mut Vec<Stored>,
        sync: bool,
        now: Timestamp,
    ) -> Result<(), Failed> {
        if let Some(last) = run.last() {
            let (end, epoch, time) = (last.header.next_offset(), last.header.epoch, last.header.last_time());
            let parts: Vec<IoSlice<'_>> = run.iter().map(|stored| IoSlice::new(&stored.bytes)).collect();
            let len: u64 = parts.iter().map(|part| part.len() as u64).sum();
            self.make_room(log, self.pos + len);
            self.file.write_all_at(&parts, self.pos).map_err(failing("writing"))?;
            log.env.counts.wrote(end.0 - self.written.0, len);
            tracing::trace!(
                channel = %log.name, batches = run.len(), bytes = len, pos = self.pos, next = end.0, "written"
            );
            let mut index = self.segment.index();
            for stored in &*run {
                index.note(&stored.header, self.pos);
                self.producers.note_batch(&stored.header, &stored.bytes);
                self.pos += stored.bytes.len() as u64;
            }
            drop(index);
            self.written = end;
            self.last_time = time;
            self.has_written = true;
            self.unsynced_since.get_or_insert(now);
            if !sync {
                self.arm(log, now);
            } else if self.options.durability != Durability::Sync && epoch <= self.synced_epoch {
                // It may be seen already, before the sync that somebody asked for.
                self.publish(log, run);
            } else {
                self.tell_written(log);
            }
        }
        if sync && self.unsynced_since.is_some() {
            let counts = &log.env.counts;
            counts.time_sync(&*log.env.options.clock, || self.file.sync()).map_err(failing("syncing"))?;
            self.unsynced_since = None;
            self.durable = self.written;
            tracing::trace!(channel = %log.name, durable = self.durable.0, "synced");
            self.synced_epoch = self.synced_epoch.max(locked(&log.state).epochs.last());
        }
        self.publish(log, run);
        Ok(())
    }

    /// Moves the written mark before the sync, if somebody waits for just that.
    fn tell_written(&self, log: &Inner) {
        let mut wake = Vec::new();
        let mut state = locked(&log.state);
        if self.options.durability == Durability::Sync && !state.waiters.written.is_empty() {
            state.set_written(self.written, self.last_time, &mut wake);
        }
        drop(state);
        wake_all(wake);
    }

    fn publish(&self, log: &Inner, run: &mut Vec<Stored>) {
        let mut wake = Vec::new();
        let mut state = locked(&log.state);
        state.set_written(self.written, self.last_time, &mut wake);
        state.set_durable(self.durable, &mut wake);
        state.visible_pos = self.pos;
        if !run.is_empty() {
            state.push_tail(run);
            state.change(&mut wake);
        }
        drop(state);
        wake_all(wake);
    }

    /// Reserves room on disk in growing steps, and stops appends when the volume gets full. What is queued by then
    /// is still written.
    fn make_room(&mut self, log: &Inner, end: u64) {
        if end <= self.allocated {
            return;
        }
        let step = self.allocated.clamp(FIRST_STEP, LARGEST_STEP);
        let mut target = (end + step).min(self.options.segment_bytes.max(end)).next_multiple_of(PAGE);
        if log.env.is_short_of_space(target - self.allocated) {
            target = end.next_multiple_of(PAGE);
            let mut wake = Vec::new();
            locked(&log.state).refuse(Refusal::NoSpace, &mut wake);
            wake_all(wake);
            tracing::warn!(channel = %log.name, "the volume is nearly full: appends are refused");
        }
        // A file system that cannot reserve will tell at the write itself, where it counts.
        if let Err(error) = self.file.allocate(target) {
            tracing::debug!(channel = %log.name, %error, "no room reserved");
        }
        self.allocated = target;
    }

    /// Closes the segment, which is durable, and begins the next.
    fn roll(&mut self, log: &Inner, now: Timestamp) -> Result<(), Failed> {
        if self.allocated > self.pos {
            self.file.set_len(self.pos).map_err(failing("cutting the preallocated end of"))?;
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
        };
        let (segment, file, data_start) =
            segment::create(&*log.env.disk, &log.dir, &head).map_err(failing("creating the file after"))?;
        let segment = Arc::new(segment);
        let before = std::mem::replace(&mut self.segment, Arc::clone(&segment));
        self.file = file;
        self.data_start = data_start;
        self.begun = now;
        self.pos = data_start;
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
        log.note_read(&before);
        log.trim(&self.options.retention, now);
        Ok(())
    }

    /// Begins a new segment, if the active one has anything in it.
    pub(super) fn roll_now(&mut self, log: &Inner, now: Timestamp) {
        let rolled = |writer: &mut Writer| {
            writer.write(log, &mut Vec::new(), true, now)?;
            if writer.pos > writer.data_start { writer.roll(log, now) } else { Ok(()) }
        };
        if !self.is_dead
            && let Err(failed) = rolled(self)
        {
            self.poison(log, &failed);
        }
    }

    /// Writes the seal after everything that was queued.
    pub(super) fn seal(&mut self, log: &Inner, now: Timestamp) {
        while !self.is_dead && locked(&log.state).has_queue() {
            self.commit(log, now, true);
        }
        if self.is_dead {
            return;
        }
        let (epoch, time) = {
            let mut state = locked(&log.state);
            if matches!(state.refusal, Some(Refusal::Deleted)) {
                return; // with what was queued
            }
            (state.epochs.last(), state.take_time(&*log.env.options.clock))
        };
        let stamp =
            Stamp { seed: &log.id.0, epoch, durable_offset: self.durable, previous_crc: self.previous_crc };
        let (_, bytes) = seal_batch(self.written, time, stamp);
        self.previous_crc = header_crc(&bytes);
        self.unsynced_since = Some(now);
        let done = self
            .file
            .write_all_at(&[IoSlice::new(&bytes)], self.pos)
            .map_err(failing("writing"))
            .and_then(|()| self.file.sync().map_err(failing("syncing")));
        if let Err(failed) = done {
            return self.poison(log, &failed);
        }
        self.pos += bytes.len() as u64;
        self.unsynced_since = None;
        self.durable = self.written;
        let mut wake = Vec::new();
        let mut state = locked(&log.state);
        state.set_durable(self.durable, &mut wake);
        state.sealed_at = Some(self.written);
        state.change(&mut wake);
        state.waiters.take_all(&mut wake);
        drop(state);
        wake_all(wake);
        tracing::info!(channel = %log.name, offset = self.written.0, "sealed");
    }

    /// Commits everything, cuts the preallocation, and takes nothing more.
    pub(super) fn close(&mut self, log: &Inner, now: Timestamp) {
        while !self.is_dead && locked(&log.state).has_queue() {
            self.commit(log, now, true);
        }
        self.commit(log, now, true);
        if self.is_dead {
            return;
        }
        self.is_dead = true;
        tracing::debug!(channel = %log.name, durable = self.durable.0, "the log is closed");
        if self.allocated > self.pos
            && let Err(error) = self.file.set_len(self.pos).and_then(|()| self.file.sync())
        {
            // The records are durable; zeros after them harm nobody.
            tracing::warn!(channel = %log.name, %error, "preallocation not cut");
        }
    }

    /// What is due at `now`: the sync of an interval, the trimming of what has aged.
    pub(super) fn tick(&mut self, log: &Inner, timer: Timer, now: Timestamp) {
        // One that was replaced while it went off leaves the other in its place.
        self.timer = self.timer.filter(|armed| *armed != timer);
        if self.is_dead {
            return;
        }
        if self.sync_due().is_some_and(|due| due <= now)
            && let Err(failed) = self.write(log, &mut Vec::new(), true, now)
        {
            return self.poison(log, &failed);
        }
        // A log that fills its segments slowly begins new ones for its age, or nothing could ever go.
        let half_age = self.options.retention.max_age.map(|age| nanos(age / 2));
        // The seal stays the last thing in the newest segment: that is where it is looked for.
        let is_sealed = locked(&log.state).sealed_at.is_some();
        if !is_sealed && half_age.is_some_and(|half| self.begun.plus_nanos(half) <= now) {
            self.roll_now(log, now);
        }
        log.trim(&self.options.retention, now);
        self.arm(log, now);
    }

    fn sync_due(&self) -> Option<Timestamp> {
        let since = self.unsynced_since.filter(|_| self.options.durability == Durability::Interval)?;
        Some(since.plus_nanos(nanos(self.options.interval)))
    }

    /// Has the committer come back when something is due.
    pub(super) fn arm(&mut self, log: &Inner, now: Timestamp) {
        let trim_due = self.options.retention.max_age.map(|age| {
            now.plus_nanos(
                nanos(age / 8).clamp(1_000_000_000, 60_000_000_000), // every 1 to 60 s
            )
        });
        let due = [self.sync_due(), trim_due].into_iter().flatten().min();
        if let Some(due) = due
            && self.timer.is_none_or(|timer| timer.when > due)
            && let Some(log) = log.this.upgrade()
        {
            self.timer = Some(log.env.committer.tick_at(due, self.timer, &log));
        }
    }

    fn poison(&mut self, log: &Inner, failed: &Failed) {
        self.is_dead = true;
        log.env.counts.log_failed();
        let why: Arc<str> = format!("{} {}: {}", failed.action, self.segment.path, failed.source).into();
        tracing::error!(channel = %log.name, why = &*why, "the log has failed and takes nothing more");
        let mut wake = Vec::new();
        let mut state = locked(&log.state);
        state.drop_queue();
        state.refuse(Refusal::Poisoned(why), &mut wake);
        drop(state);
        wake_all(wake);
    }
}

impl Inner {
    /// Commits a group; says whether more is queued. Called by who took the log from the committer's queue.
    pub(crate) fn commit(&self, now: Timestamp) -> bool {
        locked(&self.writer).commit(self, now, false);
        let mut state: std::sync::MutexGuard<'_, State> = locked(&self.state);
        state.scheduled =
            state.has_queue() || (state.sync_wanted > state.durable && state.failure().is_none());
        state.scheduled
    }

    /// Does what is due.
    pub(crate) fn tick(&self, timer: Timer, now: Timestamp) {
        locked(&self.writer).tick(self, timer, now);
    }
}

pub(super) fn wake_all(wakers: Vec<Waker>) {
    for waker in wakers {
        waker.wake();
    }
}

fn nanos(time: std::time::Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::SimDisk;
    use crate::{Commit, Retention, Store, StoreOptions};
    use netchan_proto::{AsRecord, ChannelName};
    use std::time::Duration;

    #[test]
    fn a_log_has_one_timer_however_often_it_syncs_and_trims() {
        let options = StoreOptions { commit: Commit::Manual, min_free_percent: 0, ..StoreOptions::default() };
        let store = Store::open(Arc::new(SimDisk::new(1)), options).unwrap();
        let retention = Retention { max_age: Some(Duration::from_secs(1000)), max_bytes: None };
        let interval = Duration::from_millis(1);
        let kept =
            LogOptions { durability: Durability::Interval, interval, retention, ..LogOptions::default() };
        let log = store.create_or_open(&ChannelName::new("a").unwrap(), &kept).unwrap();
        let mut now = log.0.now();
        for _ in 0..50 {
            log.append(&"record".as_record()).unwrap();
            store.run_commits(now);
            log.set_retention(retention).unwrap();
            now = now.plus_nanos(1_000_000);
            store.run_commits(now);
            assert!(log.durable() == log.queued() && log.0.env.committer.timers() == 1);
        }
    }

    // The other half of the deletion waits for the writer, which whoever syncs or seals holds.
    #[test]
    fn who_syncs_or_seals_a_log_that_is_being_deleted_is_told_so() {
        let options = StoreOptions { commit: Commit::Manual, min_free_percent: 0, ..StoreOptions::default() };
        let store = Store::open(Arc::new(SimDisk::new(1)), options).unwrap();
        let log = store.create_or_open(&ChannelName::new("a").unwrap(), &LogOptions::default()).unwrap();
        log.append(&"record".as_record()).unwrap();
        {
            let mut state = locked(&log.0.state);
            state.refuse(Refusal::Deleted, &mut Vec::new());
            state.drop_queue();
        }
        assert!(matches!(log.sync(), Err(crate::LogError::Deleted)));
        locked(&log.0.writer).seal(&log.0, Timestamp(0));
        assert_eq!(log.sealed_at(), None);
        assert!(matches!(log.seal(), Err(crate::LogError::Deleted)));
    }
}
