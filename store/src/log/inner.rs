//! What a log does beside appending and reading: it rests, takes again after a shortage, is sealed, closed and deleted.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::TryLockError;
use std::sync::atomic::Ordering;

use netchan_proto::{ChannelName, Content, LogId, Offset, Settings, Timestamp};

use super::state::{Lack, Refusal, State};
use super::writer::{FIRST_STEP, wake_all};
use super::{Closed, Inner, digest, locked};
use crate::meta::{self, Meta};
use crate::warm::{Cooling, Place};
use crate::{AppendError, Kept, LogError, LogOptions, Retention, StoreError};

/// Who writes what is appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ByWhom {
    Committer,
    /// The thread that appends, if what it appends is of a few; else the committer.
    ItselfIfFew,
}

impl Inner {
    #[inline]
    pub(super) fn queue<T>(
        &self,
        append: impl Fn(&mut State) -> Result<T, AppendError>,
        by: ByWhom,
    ) -> Result<T, AppendError> {
        let mut state = locked(&self.state);
        let before = state.newest_time();
        let done = append(&mut state);
        let schedule = done.is_ok() && !std::mem::replace(&mut state.scheduled, true);
        let itself = by == ByWhom::ItselfIfFew && schedule && state.is_of_few(before);
        drop(state);
        if schedule && !(itself && self.write_here()) {
            self.schedule();
        }
        match done {
            Err(AppendError::NoSpace { .. } | AppendError::AtCeiling { .. }) if self.space_came_back() => {
                self.queue(append, by)
            }
            done => done,
        }
    }

    #[cold]
    pub(super) fn schedule(&self) {
        if let Some(this) = self.this.upgrade() {
            self.env.committer.schedule(this);
        }
    }

    /// What would be lacking if the log's files, of which the active one has `active` bytes, took `more`.
    pub(super) fn lacking(&self, retention: &Retention, active: u64, more: u64) -> Option<(Lack, u64)> {
        if let Some(bytes) = NonZeroU64::new(self.env.lacking(more)) {
            return Some((Lack::Volume, bytes.get()));
        }
        let ceiling = retention.ceiling?;
        let closed = {
            let state = locked(&self.state);
            state.segments.split_last().map(|(_, closed)| closed.to_vec()).unwrap_or_default()
        };
        let takes = self.bytes_of(&closed).saturating_add(active).saturating_add(more);
        (takes > ceiling).then(|| (Lack::Ceiling(ceiling), takes - ceiling))
    }

    /// Looks whether there is room again, and takes appends again if so.
    #[cold]
    pub(super) fn space_came_back(&self) -> bool {
        let (retention, active) = {
            let state = locked(&self.state);
            (state.retention, state.visible_pos)
        };
        // More than nothing, or the next record would find it full again.
        if self.lacking(&retention, active, FIRST_STEP).is_some() {
            return false;
        }
        let mut wake = Vec::new();
        let mut state = locked(&self.state);
        if matches!(state.refusal, Some(Refusal::NoSpace(_))) {
            state.refusal = None;
            state.waiters.capacity.take_all(&mut wake);
            drop(state);
            if self.env.nearly_full.swap(false, Ordering::Relaxed) {
                tracing::info!("the volume has room again: appends are taken");
            }
            wake_all(wake);
            return true;
        }
        state.refusal.is_none()
    }

    pub(super) fn now(&self) -> Timestamp {
        self.env.options.clock.now()
    }

    pub(crate) fn name(&self) -> &ChannelName {
        &self.name
    }

    pub(crate) fn id(&self) -> LogId {
        self.id
    }

    /// Has the committer look at once at what is due, retention with it. Waits for nothing.
    pub(crate) fn look_soon(&self) {
        if let Some(this) = self.this.upgrade() {
            self.env.committer.tick_at(self.now(), None, &this);
        }
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// Stands in the line of those that hold something.
    pub(super) fn warm_up(&self) {
        if self.env.warm.enter(&self.this, &self.place) {
            self.env.committer.sweep_later(self.now());
        }
    }

    /// Gives up what the log can do without; false if it is at work, or holds something still.
    pub(crate) fn cool(&self, how: Cooling) -> bool {
        let mut writer = match self.writer.try_lock() {
            Ok(writer) => writer,
            Err(TryLockError::Poisoned(writer)) => writer.into_inner(),
            Err(TryLockError::WouldBlock) => return false,
        };
        if !writer.let_go(self, how, self.now()) {
            return false;
        }
        let has_tail = {
            let mut state = locked(&self.state);
            if how != Cooling::Files {
                state.drop_tail();
            }
            state.has_tail()
        };
        drop(writer);
        let lately = std::mem::take(&mut *locked(&self.read_lately));
        lately.iter().for_each(|segment| segment.keep(None));
        !has_tail
    }

    pub(crate) fn is_poisoned(&self) -> bool {
        matches!(locked(&self.state).refusal, Some(Refusal::Poisoned(_)))
    }

    pub(super) fn sync(&self) -> Result<Offset, LogError> {
        let target = locked(&self.state).queued;
        let mut writer = locked(&self.writer);
        loop {
            {
                let state = locked(&self.state);
                if state.durable >= target {
                    return Ok(state.durable);
                }
                // A deletion has dropped what was queued, and waits for the writer.
                let is_hopeless = |failure: &LogError| writer.is_dead || matches!(failure, LogError::Deleted);
                if let Some(failure) = state.failure().filter(is_hopeless) {
                    return Err(failure);
                }
            }
            writer.commit(self, self.now(), true);
            if let Some(why) = writer.stalled.clone() {
                return Err(LogError::Stalled { why });
            }
        }
    }

    pub(super) fn seal(&self) -> Result<Offset, LogError> {
        {
            let mut wake = Vec::new();
            let mut state = locked(&self.state);
            if let Some(failure) = state.failure() {
                return Err(failure);
            }
            if self.unsealable {
                return Err(LogError::Unsealable);
            }
            if !matches!(state.refusal, Some(Refusal::Sealed(_))) {
                state.take_epoch();
                let at = state.queued;
                state.refuse(Refusal::Sealed(at), &mut wake);
            }
            drop(state);
            wake_all(wake);
        }
        let mut writer = locked(&self.writer);
        if locked(&self.state).sealed_at.is_none() {
            writer.seal(self, self.now());
        }
        let state = locked(&self.state);
        match (state.sealed_at, state.failure(), &writer.stalled) {
            (Some(at), ..) => Ok(at),
            (None, None, Some(why)) => Err(LogError::Stalled { why: Arc::clone(why) }),
            (None, failure, _) => Err(failure.unwrap_or(LogError::Closed)),
        }
    }

    /// Takes no more appends, makes durable what was queued, and says how the log ends then.
    pub(crate) fn close(&self) -> Closed {
        let mut wake = Vec::new();
        locked(&self.state).refuse(Refusal::Closed, &mut wake);
        wake_all(std::mem::take(&mut wake));
        locked(&self.writer).close(self, self.now());
        // Who waited for a mark that has moved only now was woken by it; the others learn that it won't.
        locked(&self.state).waiters.take_all(&mut wake);
        wake_all(wake);
        self.cool(Cooling::InNeed);
        let writer = locked(&self.writer);
        let is_sealed = locked(&self.state).sealed_at.is_some();
        Closed { durable: writer.durable, last_batch: writer.last_batch, is_sealed }
    }

    /// Takes no more appends; what is queued is still committed.
    pub(crate) fn refuse_more(&self) {
        let mut wake = Vec::new();
        locked(&self.state).refuse(Refusal::Closed, &mut wake);
        wake_all(wake);
    }

    /// Begins a new segment, and says with which offset.
    pub(crate) fn roll_now(&self) -> Offset {
        let mut writer = locked(&self.writer);
        writer.roll_now(self, self.now());
        writer.written
    }

    /// Removes every segment before the one that holds `offset`.
    pub(crate) fn trim_until(&self, offset: Offset) {
        let _writer = locked(&self.writer);
        self.trim_before(offset);
    }

    /// Refuses everything: the channel's files are going.
    pub(crate) fn begin_delete(&self) {
        let mut wake = Vec::new();
        let mut state = locked(&self.state);
        state.refuse(Refusal::Deleted, &mut wake);
        state.drop_queue();
        state.drop_tail();
        drop(state);
        wake_all(wake);
        locked(&self.writer).is_dead = true;
    }

    pub(super) fn kept(&self) -> Result<Kept, StoreError> {
        let options = locked(&self.writer).options;
        let (start, is_sealed) = {
            let state = locked(&self.state);
            (state.start, state.sealed_at.is_some())
        };
        let digest = if is_sealed {
            digest(&*self.env.disk, &self.dir, self.id).map_err(meta::failed("reading", &self.dir))?
        } else {
            None
        };
        Ok(Kept { log: self.id, options, start, digest, content: self.content.get().cloned() })
    }

    pub(super) fn change(&self, settings: &Settings) -> Result<(), StoreError> {
        let now = self.now();
        let mut writer = locked(&self.writer);
        if writer.is_dead {
            // The channel's files are gone, or another opening's.
            return Err(StoreError::Closed);
        }
        let before = writer.options;
        let said = settings.over(&before);
        let (retention, compression) = (said.retention, said.compression);
        let options = LogOptions { retention, compression, ..before };
        let start = locked(&self.state).start;
        self.write_meta(options, start)?;
        writer.options = options;
        locked(&self.state).retention = retention;
        tracing::info!(channel = %self.name, ?settings, "it is kept otherwise");
        self.trim(&retention, now);
        self.space_came_back();
        writer.arm(self, now);
        Ok(())
    }

    pub(super) fn set_content(&self, content: &Content) -> Result<bool, StoreError> {
        if let Some(known) = self.content.get() {
            return Ok(known == content);
        }
        let writer = locked(&self.writer);
        if writer.is_dead {
            return Err(StoreError::Closed);
        }
        let (start, queued) = {
            let state = locked(&self.state);
            (state.start, state.queued)
        };
        if self.content.get().is_none() {
            if queued > Offset::ZERO {
                return Ok(false);
            }
            self.replace_meta(writer.options, start, Some(content.clone()))?;
            tracing::info!(channel = %self.name, %content, "what the payloads are");
        }
        Ok(self.content.get_or_init(|| content.clone()) == content)
    }

    /// Replaces the channel's meta. The caller holds the writer's lock.
    pub(super) fn write_meta(&self, options: LogOptions, start: Offset) -> Result<(), StoreError> {
        self.replace_meta(options, start, self.content.get().cloned())
    }

    fn replace_meta(
        &self,
        options: LogOptions,
        start: Offset,
        content: Option<Content>,
    ) -> Result<(), StoreError> {
        let (name, id, created) = (self.name.clone(), self.id, self.created);
        let meta = Meta { name, id, created, options, start, content };
        meta::replace(&*self.env.disk, &self.dir, "meta", &meta.encode())
    }
}
