//! The side of a log that writes: takes the queue in groups, writes and syncs them, rolls segments, seals, closes.
//!
//! There is one per log, under its own lock, so a log is committed by one thread at a time. It takes the state's
//! lock for moments and never holds it over an operation of the disk. After a failed write or sync it is dead:
//! nothing is tried again on the same file.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use netchan_proto::batch::{BatchBuilder, HEADER_LEN, Stamp, header_crc, seal_batch};
use netchan_proto::{Digest, Durability, Epoch, Offset, Timestamp};

use super::producers::Producers;
use super::segment::Segment;
use super::state::{Refusal, State, Stored};
use super::torn::Torn;
use super::{Inner, locked};
use crate::committer::Timer;
use crate::disk::DiskFile;
use crate::error::{is_short_of_files, is_shortage};
use crate::{LogOptions, Retention, WhenFull};

mod room;

pub(super) use room::FIRST_STEP;

/// Bytes of batches that are written, and synced, at once.
const GROUP_BYTES: usize = 4 << 20;
/// Bytes of a seal.
const SEAL_LEN: u64 = HEADER_LEN as u64 + 8;
/// How long a log that is short of something waits before it tries again.
const RETRY: Duration = Duration::from_secs(1);
/// What has aged is trimmed at least so often, and at most every [`RETRY`].
const LONGEST_TRIM: Duration = Duration::from_secs(60);
/// How often a log that is to leave the volume room looks at it.
const FREE_SPACE_LOOK: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Writer {
    pub(super) options: LogOptions,
    /// The active segment's file, while it is open.
    pub(super) file: Option<Arc<dyn DiskFile>>,
    pub(super) segment: Arc<Segment>,
    pub(super) data_start: u64,
    /// When the segment was made.
    pub(super) begun: Timestamp,
    /// Where the next batch goes.
    pub(super) pos: u64,
    /// Where the last batch of records begins in the segment; 0 if there is none in it.
    pub(super) last_batch: u64,
    /// Up to here the file has room on disk.
    pub(super) allocated: u64,
    pub(super) previous_crc: u32,
    /// What all batches come to, if that is known.
    pub(super) digest: Option<Digest>,
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
    /// What is short, while the log cannot go on for it.
    pub(super) stalled: Option<Arc<str>>,
    /// When it is tried again.
    pub(super) retry_at: Option<Timestamp>,
    /// A segment after the active one was begun: nothing may follow in the active one.
    pub(super) must_roll: bool,
    /// What stands after the end: nothing is written before it is gone.
    pub(super) torn: Option<Torn>,
}

/// What failed.
pub(super) struct Failed {
    action: &'static str,
    source: io::Error,
    /// Nothing was written, and it may be tried again when there is more of what is short. Others poison the log.
    may_retry: bool,
}

impl Failed {
    /// Whether it may be tried again with more room on the volume.
    fn wants_room(&self) -> bool {
        self.may_retry && is_shortage(&self.source) && !is_short_of_files(&self.source)
    }
}

fn failing(action: &'static str) -> impl FnOnce(io::Error) -> Failed {
    move |source| Failed { action, source, may_retry: false }
}

/// For what is done before anything is written.
fn short_of(action: &'static str) -> impl FnOnce(io::Error) -> Failed {
    move |source| Failed { action, may_retry: is_shortage(&source), source }
}

impl Writer {
    /// Commits one group of what is queued. Syncs it if the mode, an epoch's beginning, a waiter or `force` wants
    /// that. Poisons the log if the disk fails.
    pub(super) fn commit(&mut self, log: &Inner, now: Timestamp, force: bool) {
        if self.is_dead {
            return;
        }
        log.place.touch();
        loop {
            match self.try_commit(log, now, force) {
                Ok(()) => return self.go_on(log),
                // One segment less each time.
                Err(failed) if failed.wants_room() && self.trim_one(log) => {}
                Err(failed) => return self.fail(log, &failed, now),
            }
        }
    }

    /// Lets the oldest segment go for what is queued, where that is what a full disk shall do.
    fn trim_one(&self, log: &Inner) -> bool {
        let retention = &self.options.retention;
        retention.when_full == WhenFull::TrimOldest && log.trim_for_room(retention, 1)
    }

    fn try_commit(&mut self, log: &Inner, now: Timestamp, force: bool) -> Result<(), Failed> {
        let mut group = Vec::new();
        let (epoch, wanted) = {
            let mut state = locked(&log.state);
            state.take_group(GROUP_BYTES, &mut group);
            (state.epochs.last(), state.sync_wanted)
        };
        let sync = force
            || self.options.durability == Durability::Sync
            || epoch > self.synced_epoch
            || wanted > self.durable;
        let mut group = group.into_iter();
        let done = self.write_group(log, &mut group, epoch, sync, now);
        if done.is_err() {
            locked(&log.state).put_back(group);
        }
        done
    }

    /// Writes as much of `group` as there is room for; what is left of it after a failure was not touched.
    fn write_group(
        &mut self,
        log: &Inner,
        group: &mut std::vec::IntoIter<BatchBuilder>,
        epoch: Epoch,
        sync: bool,
        now: Timestamp,
    ) -> Result<(), Failed> {
        self.clear_end(log)?;
        loop {
            if self.must_roll {
                self.roll(log, now)?;
            }
            let (count, len) = self.fitting(group.as_slice());
            if count > 0 {
                self.make_room(log, self.pos + len)?;
            }
            let mut bytes = 0;
            let mut run = Vec::with_capacity(count);
            for batch in group.by_ref().take(count) {
                bytes += batch.byte_len();
                run.push(self.finish(log, batch, epoch));
            }
            let is_full = !group.as_slice().is_empty();
            self.write(log, &mut run, sync || is_full, now)?;
            let mut wake = Vec::new();
            locked(&log.state).release(bytes, &mut wake);
            wake_all(wake);
            if !is_full {
                return Ok(());
            }
            self.roll(log, now)?;
        }
    }

    /// Whether what is queued goes into the open file, in which it has room, and nothing asks for a sync.
    fn needs_only_to_write(&self, state: &State) -> bool {
        let end = self.pos + (state.queued_bytes() as u64).next_multiple_of(8);
        !self.is_dead
            && self.file.is_some()
            && self.stalled.is_none()
            && !self.must_roll
            && self.torn.is_none()
            && end <= self.allocated.min(self.options.segment_bytes)
            && state.epochs.last() <= self.synced_epoch
            && state.sync_wanted <= self.durable
    }

    /// How many of `batches` go into the active segment, and how long they are together. A batch larger than a segment
    /// has one of its own.
    fn fitting(&self, batches: &[BatchBuilder]) -> (usize, u64) {
        let (mut count, mut len) = (0, 0);
        for batch in batches {
            let stored = batch.byte_len().next_multiple_of(8) as u64;
            let end = self.pos + len;
            if end + stored > self.options.segment_bytes && end > self.data_start {
                break;
            }
            len += stored;
            count += 1;
        }
        (count, len)
    }

    fn finish(&mut self, log: &Inner, batch: BatchBuilder, epoch: Epoch) -> Stored {
        let stamp =
            Stamp { seed: &log.id.0, epoch, durable_offset: self.durable, previous_crc: self.previous_crc };
        let (header, bytes) = batch.finish_as(stamp, self.options.compression);
        self.previous_crc = header_crc(&bytes);
        self.digest = self.digest.map(|digest| digest.with(&header, &bytes));
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
            self.file(log)?.write_all_at(&parts, self.pos).map_err(failing("writing"))?;
            log.env.counts.wrote(end.0 - self.written.0, len);
            tracing::trace!(
                channel = %log.name, batches = run.len(), bytes = len, pos = self.pos, next = end.0, "written"
            );
            let mut index = self.segment.index();
            for stored in &*run {
                index.note(&stored.header, self.pos);
                self.producers.note_batch(&stored.header, &stored.bytes);
                self.last_batch = self.pos;
                self.pos += stored.bytes.len() as u64;
            }
            drop(index);
            self.written = end;
            self.last_time = time;
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
            // It is open: a log lets go of its file only when it is clean.
            let file = self.file.as_ref().ok_or_else(|| io::Error::other("it was closed before"));
            let (counts, clock) = (&log.env.counts, &*log.env.options.clock);
            file.and_then(|file| counts.time_sync(clock, || file.sync())).map_err(failing("syncing"))?;
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
        let tail_limit = log.env.warm.tail_limit();
        let mut state = locked(&log.state);
        state.set_written(self.written, self.last_time, &mut wake);
        state.set_durable(self.durable, &mut wake);
        state.visible_pos = self.pos;
        if !run.is_empty() {
            state.push_tail(run, tail_limit);
            state.change(&mut wake);
        }
        drop(state);
        wake_all(wake);
    }

    /// Writes the seal after everything that was queued.
    pub(super) fn seal(&mut self, log: &Inner, now: Timestamp) {
        self.commit_queue(log, now);
        if self.is_dead || self.stalled.is_some() {
            return;
        }
        let ready = self.clear_end(log).and_then(|()| match self.must_roll {
            true => self.roll(log, now),
            false => Ok(()),
        });
        if let Err(failed) = ready.and_then(|()| self.make_room(log, self.pos + SEAL_LEN)) {
            return self.fail(log, &failed, now);
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
        let (_, bytes) = seal_batch(self.written, time, self.digest, stamp);
        self.previous_crc = header_crc(&bytes);
        self.unsynced_since = Some(now);
        let done = self.file(log).and_then(|file| {
            file.write_all_at(&[IoSlice::new(&bytes)], self.pos).map_err(failing("writing"))?;
            file.sync().map_err(failing("syncing"))
        });
        if let Err(failed) = done {
            return self.fail(log, &failed, now);
        }
        self.pos += bytes.len() as u64;
        self.unsynced_since = None;
        self.durable = self.written;
        let mut wake = Vec::new();
        let mut state = locked(&log.state);
        state.set_durable(self.durable, &mut wake);
        state.visible_pos = self.pos;
        state.sealed_at = Some(self.written);
        state.digest = self.digest;
        state.change(&mut wake);
        state.waiters.take_all(&mut wake);
        drop(state);
        wake_all(wake);
        tracing::info!(channel = %log.name, offset = self.written.0, "sealed");
    }

    /// Commits everything, cuts the preallocation, and takes nothing more.
    pub(super) fn close(&mut self, log: &Inner, now: Timestamp) {
        self.commit_queue(log, now);
        self.commit(log, now, true);
        if self.is_dead {
            return;
        }
        self.cut_room(log);
        self.is_dead = true;
        tracing::debug!(channel = %log.name, durable = self.durable.0, "the log is closed");
        self.file = None;
    }

    /// Commits all that is queued, as long as it goes.
    fn commit_queue(&mut self, log: &Inner, now: Timestamp) {
        while !self.is_dead && locked(&log.state).has_queue() {
            self.commit(log, now, true);
            if self.stalled.is_some() {
                return;
            }
        }
    }

    /// What is due at `now`: the sync of an interval, the trimming of what has aged.
    pub(super) fn tick(&mut self, log: &Inner, timer: Timer, now: Timestamp) {
        // One that was replaced while it went off leaves the other in its place.
        self.timer = self.timer.filter(|armed| *armed != timer);
        if self.is_dead {
            return;
        }
        // A clock that went back leaves nothing due for as long as it was ahead.
        self.unsynced_since = self.unsynced_since.map(|since| since.min(now));
        self.retry_at = self.retry_at.map(|at| at.min(now.plus_nanos(nanos(RETRY))));
        if self.sync_due().is_some_and(|due| due <= now)
            && let Err(failed) = self.write(log, &mut Vec::new(), true, now)
        {
            return self.fail(log, &failed, now);
        }
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = None;
            self.commit(log, now, false);
            if locked(&log.state).blocks() && !log.space_came_back() {
                self.look_again(log, now);
            }
        }
        // A log that fills its segments slowly begins new ones for its age, or nothing could ever go. So does one that
        // was begun by a clock that was ahead, for who asks when it was made.
        let half_age = self.options.retention.max_age.map(|age| nanos(age / 2));
        let is_due = |half| self.begun.plus_nanos(half) <= now || self.begun > now.plus_nanos(half);
        // The seal stays the last thing in the newest segment: that is where it is looked for.
        let is_sealed = locked(&log.state).sealed_at.is_some();
        if !is_sealed && half_age.is_some_and(is_due) {
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
        let Retention { max_age, min_free, .. } = self.options.retention;
        let age_due = max_age.map(|age| nanos(age / 8).clamp(nanos(RETRY), nanos(LONGEST_TRIM)));
        let free_due = min_free.map(|_| nanos(FREE_SPACE_LOOK));
        let trim_due = [age_due, free_due].into_iter().flatten().min().map(|after| now.plus_nanos(after));
        let due = [self.sync_due(), trim_due, self.retry_at].into_iter().flatten().min();
        if let Some(due) = due
            && self.timer.is_none_or(|timer| timer.when > due)
            && let Some(log) = log.this.upgrade()
        {
            self.timer = Some(log.env.committer.tick_at(due, self.timer, &log));
        }
    }

    /// Has the disk looked at again for room, where appends wait for it.
    pub(super) fn look_again(&mut self, log: &Inner, now: Timestamp) {
        if locked(&log.state).blocks() {
            self.retry_at = Some(now.plus_nanos(nanos(RETRY)));
            self.arm(log, now);
        }
    }

    /// What is short may come back; everything else poisons the log.
    fn fail(&mut self, log: &Inner, failed: &Failed, now: Timestamp) {
        if !failed.may_retry {
            return self.poison(log, failed);
        }
        let why: Arc<str> = format!("{} {}: {}", failed.action, self.segment.path, failed.source).into();
        if self.stalled.replace(Arc::clone(&why)).is_none() {
            tracing::error!(channel = %log.name, why = &*why, "the log cannot go on for now");
        }
        let mut wake = Vec::new();
        locked(&log.state).refuse(Refusal::Stalled(why), &mut wake);
        wake_all(wake);
        self.retry_at = Some(now.plus_nanos(nanos(RETRY)));
        self.arm(log, now);
    }

    /// What was short is there again.
    fn go_on(&mut self, log: &Inner) {
        if self.stalled.take().is_none() {
            return;
        }
        self.retry_at = None;
        tracing::info!(channel = %log.name, "the log goes on");
        let mut wake = Vec::new();
        let mut state = locked(&log.state);
        state.go_on(&mut wake);
        let schedule = state.has_queue() && !std::mem::replace(&mut state.scheduled, true);
        drop(state);
        wake_all(wake);
        if schedule {
            log.schedule();
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
        let again = self.commit_with(&mut locked(&self.writer), now);
        self.env.warm.relieve();
        again
    }

    fn commit_with(&self, writer: &mut Writer, now: Timestamp) -> bool {
        writer.commit(self, now, false);
        // Before anybody else has the writer, and finds that it goes on. Who cannot is come back to when it is due.
        let mut state = locked(&self.state);
        state.scheduled = writer.stalled.is_none()
            && (state.has_queue() || (state.sync_wanted > state.durable && state.failure().is_none()));
        state.scheduled
    }

    /// Commits what was queued, if that takes one write and nothing else. Called by who has the log to schedule; false if it
    /// is to be scheduled still.
    #[cold]
    pub(super) fn write_here(&self) -> bool {
        let Ok(mut writer) = self.writer.try_lock() else { return false };
        if self.env.warm.is_strained() || !writer.needs_only_to_write(&locked(&self.state)) {
            return false;
        }
        let again = self.commit_with(&mut writer, self.now());
        drop(writer);
        if again {
            self.schedule();
        }
        true
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

fn nanos(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::SimDisk;
    use crate::{Commit, Store, StoreOptions};
    use netchan_proto::{AsRecord, ChannelName};
    use std::time::Duration;

    #[test]
    fn a_log_has_one_timer_however_often_it_syncs_and_trims() {
        let options = StoreOptions { commit: Commit::Manual, min_free_percent: 0, ..StoreOptions::default() };
        let store = Store::open(Arc::new(SimDisk::new(1)), options).unwrap();
        let retention = Retention { max_age: Some(Duration::from_secs(1000)), ..Retention::default() };
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
