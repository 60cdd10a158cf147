//! Channels that are several logs under one name: how many there are, and that they are made all or none.
//!
//! Each partition's meta says how many there are, and nothing else does: whoever finds one knows what the others are called, and
//! makes those that are missing. A channel and its partitions' names are kept apart where a name is first given, under the lock
//! of all names.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;

use netchan_proto::{ChannelName, Partitions};

use super::{Channel, Channels, Store, directory, locked};
use crate::disk::Disk;
use crate::log::Log;
use crate::meta::{self, Meta};
use crate::{LogOptions, StoreError};

/// Of a partition whose meta was made again from a segment's head: what the others say, and it says from now on.
///
/// # Errors
/// What the disk says.
pub(super) fn complete_counts(disk: &dyn Disk, metas: &mut [Meta]) -> Result<(), StoreError> {
    for at in 0..metas.len() {
        let name = &metas[at].name;
        if name.partition().is_none() || metas[at].options.partitions.is_some() {
            continue;
        }
        let base = name.base();
        let others = metas.iter().filter(|meta| meta.name.partition().is_some() && meta.name.base() == base);
        metas[at].options.partitions = others.filter_map(|meta| meta.options.partitions).next();
        if metas[at].options.partitions.is_some() {
            let dir = directory::path(metas[at].id);
            meta::replace(disk, &dir, "meta", &metas[at].encode())?;
        }
    }
    Ok(())
}

impl Channels {
    /// How many partitions this channel has; `None` for one that has none, or does not exist.
    fn partitions(&self, base: &ChannelName) -> Option<Partitions> {
        self.count(base, |_| true)
    }

    /// As one of the partitions says for which `counts` says so.
    fn count(&self, base: &ChannelName, counts: impl Fn(&Channel) -> bool) -> Option<Partitions> {
        // The least of the names of its partitions.
        let first = base.with_partition(0).ok()?;
        let is_one = |name: &ChannelName| {
            name.as_str().strip_prefix(base.as_str()).is_some_and(|rest| rest.starts_with('@'))
        };
        let mut some = self.by_name.range(first..).take_while(|(name, _)| is_one(name));
        some.find_map(|(_, channel)| channel.partitions.filter(|_| counts(channel)))
    }

    /// Why no channel of this name can be opened, though none exists: its channel has partitions, and this is none of them. Those
    /// that are only being made say nothing: the disk may have none of it.
    pub(super) fn refusal(&self, name: &ChannelName) -> Option<StoreError> {
        self.refusal_by(name, Channel::exists)
    }

    fn refusal_by(&self, name: &ChannelName, counts: impl Fn(&Channel) -> bool) -> Option<StoreError> {
        let base = name.base();
        let count = self.count(&base, counts)?;
        let is_one = name.partition().is_some_and(|number| number < count.get());
        (!is_one).then_some(StoreError::Partitioned { name: base, count })
    }

    /// Who waits for the channel's own name, or for a number that it does not have: they learn that now.
    pub(super) fn wait_in_vain(&mut self, base: &ChannelName) -> Vec<Waker> {
        let is_of = |name: &ChannelName| name.as_str().starts_with(base.as_str());
        let from = self.waiting.range(base.clone()..).map(|(name, _)| name);
        let others: Vec<_> =
            from.take_while(|name| is_of(name)).filter(|name| name.base() == *base).cloned().collect();
        others.iter().filter_map(|name| self.waiting.remove(name)).flatten().collect()
    }

    /// Why no channel of this name can be made, as one of so many partitions or as none.
    pub(super) fn is_refused(&self, name: &ChannelName, count: Option<Partitions>) -> Result<(), StoreError> {
        if let Some(refusal) = self.refusal_by(name, |_| true) {
            return Err(refusal);
        }
        let Some(number) = name.partition() else { return Ok(()) };
        let base = name.base();
        if self.by_name.contains_key(&base) {
            return Err(StoreError::Exists { name: base });
        }
        match (self.partitions(&base), count) {
            (Some(has), Some(count)) if has != count => {
                Err(StoreError::Partitioned { name: base, count: has })
            }
            (_, Some(count)) if number < count.get() => Ok(()),
            (_, Some(count)) => Err(StoreError::Partitioned { name: base, count }),
            (_, None) => Err(StoreError::NoChannel { name: name.clone() }),
        }
    }
}

impl Store {
    /// How many partitions this channel has; `None` for one that has none, or does not exist. Never blocks.
    #[must_use]
    pub fn partitions(&self, name: &ChannelName) -> Option<Partitions> {
        locked(&self.0.channels).partitions(&name.base())
    }

    /// Makes a channel of so many partitions; the options count for them. Of one that is there those that are missing are made, and kept
    /// as the others. Durable when it returns. A crash meanwhile leaves some of them, and who calls this next makes the others. Blocks on the disk.
    ///
    /// # Errors
    /// [`StoreError::Partitioned`] if it has another number of them, [`StoreError::Exists`] if there is a channel of this name without
    /// partitions, [`StoreError::Name`] if a partition's name is too long: nothing was made. What the disk says: some may have
    /// been made.
    pub fn create_partitioned(
        &self,
        name: &ChannelName,
        count: Partitions,
        options: &LogOptions,
    ) -> Result<(), StoreError> {
        let names: Vec<_> =
            count.all().map(|number| name.with_partition(number)).collect::<Result<_, _>>()?;
        let there = {
            let channels = locked(&self.0.channels);
            channels.is_refused(names.last().unwrap_or(name), Some(count))?;
            let exists =
                |name: &&ChannelName| channels.by_name.get(*name).is_some_and(|channel| channel.exists());
            // Each publisher of a partition asks: most of the time there is nothing to do, and nothing to read.
            if names.iter().all(|name| exists(&name)) {
                return Ok(());
            }
            names.iter().find(exists).cloned()
        };
        let like = there.map(|name| self.open_existing(&name)).transpose()?.flatten();
        let options = like.map(|log| log.kept()).transpose()?.map_or(*options, |kept| kept.options);
        let options = LogOptions { partitions: NonZeroU16::new(count.get()), ..options };
        let missing: Vec<Arc<Channel>> = {
            let mut channels = locked(&self.0.channels);
            let last = names.last().unwrap_or(name);
            channels.is_refused(last, Some(count))?;
            let all = names.iter().map(|name| self.reserve(&mut channels, name, &options));
            let all: Vec<_> = all.collect::<Result<_, _>>()?;
            all.into_iter().filter(|channel| !channel.exists()).collect()
        };
        for (at, channel) in missing.iter().enumerate() {
            self.make_one(channel, &options).inspect_err(|_| {
                missing[at..].iter().for_each(|channel| self.forget_unmade(channel));
            })?;
        }
        Ok(())
    }

    /// The log of a partition, which is made with all others that are missing, if their number is known: by the options, or by
    /// those that there are. The options count for a channel that is made. Blocks on the disk.
    ///
    /// # Errors
    /// As [`create_partitioned`](Self::create_partitioned); [`StoreError::NoChannel`] if the number is not known.
    pub fn open_partition(&self, name: &ChannelName, options: &LogOptions) -> Result<Log, StoreError> {
        self.make_partitions_of(name, options)?;
        self.open_existing(name)?.ok_or_else(|| StoreError::NoChannel { name: name.clone() })
    }

    /// Makes the partitions that are missing beside this one, and this one.
    pub(super) fn make_partitions_of(
        &self,
        name: &ChannelName,
        options: &LogOptions,
    ) -> Result<(), StoreError> {
        let base = name.base();
        let count = meta::partition_count(options).or_else(|| self.partitions(&base));
        let count = count.ok_or_else(|| StoreError::NoChannel { name: name.clone() })?;
        locked(&self.0.channels).is_refused(name, Some(count))?;
        self.create_partitioned(&base, count, options)
    }

    /// Makes a channel whose name is taken for it, if nobody has done so, or has failed to, at the same time.
    fn make_one(&self, channel: &Channel, options: &LogOptions) -> Result<(), StoreError> {
        let mut slot = locked(&channel.slot);
        if channel.exists() {
            return Ok(());
        }
        if !slot.is_deleted {
            return self.open_slot(channel, &mut slot, Some(options)).map(drop);
        }
        let name = slot.meta.name.clone();
        drop(slot);
        self.make_or_open(&name, options).map(drop)
    }

    /// Gives back the name of a channel that was to be made and was not.
    fn forget_unmade(&self, channel: &Arc<Channel>) {
        let mut slot = locked(&channel.slot);
        if channel.exists.load(Ordering::Acquire) || slot.is_deleted {
            return;
        }
        slot.is_deleted = true;
        locked(&self.0.channels).by_name.remove(&slot.meta.name);
    }
}
