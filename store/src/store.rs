//! The data directory: who may use it, what channels there are, and where their logs stand.
//!
//! ```text
//! LOCK                   locked while a store has the directory
//! node                   the node's identity
//! state/                 the state log: meta, segments
//! channels/<log id>/     a channel: meta (the only place that knows its name), segments
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};

use netchan_proto::wire::Counter;
use netchan_proto::{ChannelName, LogId, LogInfo, NodeId, Offset, Partitions, Timestamp};

use crate::committer::Committer;
use crate::counts::Tally;
use crate::disk::{Disk, DiskLock};
use crate::holds::Holds;
use crate::log::{Closed, Env, Log};
use crate::meta::{self, Meta, failed};
use crate::sync::{Mutex, MutexGuard};
use crate::warm::{FewFiles, Warm};
use crate::{Commit, Cursors, LogOptions, StateLog, StoreError, StoreOptions};

mod directory;
mod partitions;
mod row;

use row::Row;
pub use row::{Made, MadeTicket};

/// A data directory and the logs in it. Cheap to clone.
///
/// The lock is given back by [`Store::close`], or when the last clone and the last [`Log`] are gone. Dropping the
/// store without closing it loses nothing that was acknowledged; the next open reads the newest segments in full.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    env: Arc<Env>,
    node: NodeId,
    state: StateLog,
    channels: Mutex<Channels>,
    random: Mutex<Random>,
    closed: AtomicBool,
    /// Held while it is being closed.
    closing: Mutex<()>,
}

#[derive(Default)]
struct Channels {
    by_name: BTreeMap<ChannelName, Arc<Channel>>,
    waiting: BTreeMap<ChannelName, Vec<Waker>>,
    row: Row,
}

/// One channel. Its slot is locked while it is made, opened or deleted, which blocks on the disk.
struct Channel {
    exists: AtomicBool,
    slot: Mutex<Slot>,
    /// What it took on the disk when that was looked at last; 0 before.
    bytes: AtomicU64,
    /// Of how many partitions it is one.
    partitions: Option<Partitions>,
}

struct Slot {
    meta: Meta,
    log: Option<Log>,
    is_deleted: bool,
    /// It was deleted, and nobody knows whether for good: before anything else that is done again.
    is_going: bool,
    /// What was durable when its log failed, should it not be open since.
    durable: Offset,
}

impl Channel {
    fn new(meta: Meta, exists: bool) -> Arc<Channel> {
        Arc::new(Channel {
            exists: AtomicBool::new(exists),
            bytes: AtomicU64::new(0),
            partitions: meta::partition_count(&meta.options),
            slot: Mutex::new(Slot {
                meta,
                log: None,
                is_deleted: false,
                is_going: false,
                durable: Offset::ZERO,
            }),
        })
    }

    fn exists(&self) -> bool {
        self.exists.load(Ordering::Acquire)
    }

    /// Whether its log is open, and the bytes it takes on the disk. Of one that is being opened or made just now what was
    /// known before is told.
    fn takes(&self, disk: &dyn Disk) -> (bool, u64) {
        let Ok(slot) = self.slot.try_lock() else { return (false, self.bytes.load(Ordering::Relaxed)) };
        let known = self.bytes.load(Ordering::Relaxed);
        let bytes = match &slot.log {
            Some(log) => log.0.bytes(),
            None if known > 0 => known,
            None => directory::bytes(disk, slot.meta.id),
        };
        self.bytes.store(bytes, Ordering::Relaxed);
        (slot.log.is_some(), bytes)
    }
}

/// Where identities come from.
enum Random {
    Seeded(fastrand::Rng),
    System,
}

impl Random {
    fn identity(&mut self) -> [u8; 16] {
        match self {
            Random::Seeded(rng) => rng.u128(..).to_le_bytes(),
            Random::System => {
                // Keys from the operating system's randomness, through SipHash.
                let half = || u128::from(RandomState::new().build_hasher().finish());
                (half() << 64 | half()).to_le_bytes()
            }
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("node", &self.0.node).field("disk", &self.0.env.disk).finish()
    }
}

impl Store {
    /// Opens the data directory and takes its lock; undoes what an earlier crash left half done. Logs are opened
    /// when they are asked for. Blocks on the disk.
    ///
    /// # Errors
    /// [`StoreError::Locked`] if another store has it; [`StoreError::Io`], [`StoreError::Damaged`].
    pub fn open(disk: Arc<dyn Disk>, options: StoreOptions) -> Result<Store, StoreError> {
        let lock = disk
            .try_lock("LOCK")
            .map_err(failed("locking", "LOCK"))?
            .ok_or_else(|| StoreError::Locked { path: "LOCK".to_owned() })?;
        let mut random =
            options.seed.map_or(Random::System, |seed| Random::Seeded(fastrand::Rng::with_seed(seed)));
        for dir in ["channels", "state"] {
            disk.create_dir(dir).map_err(failed("making", dir))?;
        }
        disk.sync_dir("").map_err(failed("syncing", "the data directory"))?;
        let warm = Warm::new(options.max_open_files, options.tail_budget);
        let disk: Arc<dyn Disk> = Arc::new(FewFiles::new(disk, Arc::clone(&warm)));
        let committer = Committer::new(Arc::clone(&options.clock), Arc::clone(&warm), options.idle_after);
        let node = directory::node(&*disk, &mut random)?;
        let now = options.clock.now();
        let state_meta = directory::state_meta(&*disk, &mut random, now)?;
        let mut by_name = directory::channels(&*disk)?;
        partitions::complete_counts(&*disk, &mut by_name)?;
        if let Commit::Threads(threads) = options.commit {
            let started = committer.start(threads.get()).inspect_err(|_| committer.stop());
            started.map_err(failed("starting a thread for", "the data directory"))?;
        }
        let env = Arc::new(Env {
            disk,
            options,
            committer,
            counts: Tally::default(),
            warm,
            holds: Holds::default(),
            nearly_full: AtomicBool::new(false),
            lock: Mutex::new(Some(lock)),
        });
        let state = StateLog::open(&env, "state", &state_meta).inspect_err(|_| env.committer.stop())?;
        tracing::info!(disk = ?env.disk, %node, channels = by_name.len(), "the data directory is open");
        let row = by_name.iter().map(|meta| (meta.name.clone(), meta.id)).collect();
        let by_name = by_name.into_iter().map(|meta| (meta.name.clone(), Channel::new(meta, true))).collect();
        Ok(Store(Arc::new(Inner {
            env,
            node,
            state,
            channels: Mutex::new(Channels { by_name, waiting: BTreeMap::new(), row }),
            random: Mutex::new(random),
            closed: AtomicBool::new(false),
            closing: Mutex::default(),
        })))
    }

    /// The node's identity, made when the directory was first opened.
    pub fn node_id(&self) -> NodeId {
        self.0.node
    }

    /// The channel's log, made if it is missing. The options count when the log is made, and when it is opened for
    /// the first time since the store was: then they are kept for the next time too. A log that is open already keeps
    /// what it has. A log that has failed is opened anew. With a partition all that are missing are made. Blocks on the disk.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::Partitioned`] for a channel that has partitions, and
    /// [`NoChannel`](StoreError::NoChannel) for a partition of one that has none, if the options do not say how many.
    pub fn create_or_open(&self, name: &ChannelName, options: &LogOptions) -> Result<Log, StoreError> {
        if name.partition().is_some() {
            self.make_partitions_of(name, options)?;
        }
        self.make_or_open(name, options)
    }

    fn make_or_open(&self, name: &ChannelName, options: &LogOptions) -> Result<Log, StoreError> {
        loop {
            let channel = self.reserve(&mut locked(&self.0.channels), name, options)?;
            let mut slot = locked(&channel.slot);
            if slot.is_going {
                self.delete_slot(&channel, &mut slot)?;
            }
            if !slot.is_deleted {
                return self.open_slot(&channel, &mut slot, Some(options));
            }
        }
    }

    /// The channel of this name, to be made if it does not exist.
    fn reserve(
        &self,
        channels: &mut Channels,
        name: &ChannelName,
        options: &LogOptions,
    ) -> Result<Arc<Channel>, StoreError> {
        if let Some(known) = channels.by_name.get(name) {
            return Ok(Arc::clone(known));
        }
        let count = name.partition().and_then(|_| meta::partition_count(options));
        channels.is_refused(name, count)?;
        let id = LogId(locked(&self.0.random).identity());
        let created = self.0.env.options.clock.now();
        let partitions = name.partition().and(options.partitions);
        let options = LogOptions { partitions, ..*options };
        let meta = Meta { name: name.clone(), id, created, options, start: Offset::ZERO, content: None };
        let channel = Channel::new(meta, false);
        channels.by_name.insert(name.clone(), Arc::clone(&channel));
        Ok(channel)
    }

    /// The channel's log, if the channel exists, with the options it was last opened with. Blocks on the disk.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::Partitioned`] for the name of a channel that has partitions, and of a partition that it does
    /// not have.
    pub fn open_existing(&self, name: &ChannelName) -> Result<Option<Log>, StoreError> {
        let channel = {
            let channels = locked(&self.0.channels);
            match channels.by_name.get(name) {
                Some(channel) => Arc::clone(channel),
                None => return channels.refusal(name).map_or(Ok(None), Err),
            }
        };
        let mut slot = locked(&channel.slot);
        if slot.is_going {
            self.delete_slot(&channel, &mut slot)?;
        }
        if slot.is_deleted || !channel.exists() {
            return Ok(None);
        }
        self.open_slot(&channel, &mut slot, None).map(Some)
    }

    fn open_slot(
        &self,
        channel: &Channel,
        slot: &mut Slot,
        options: Option<&LogOptions>,
    ) -> Result<Log, StoreError> {
        if self.0.closed.load(Ordering::Acquire) {
            return Err(StoreError::Closed);
        }
        if let Some(log) = &slot.log {
            if !log.0.is_poisoned() {
                return Ok(log.clone());
            }
            slot.durable = slot.durable.max(log.durable());
            // What its handles have changed since stands on the disk.
            slot.meta =
                directory::meta(&*self.0.env.disk, slot.meta.id)?.unwrap_or_else(|| slot.meta.clone());
            tracing::info!(channel = %slot.meta.name, "a log that had failed is opened anew");
        }
        slot.log = None;
        let closed = self.closed(slot.meta.id).unwrap_or_default();
        let known = Closed { durable: closed.durable.max(slot.durable), ..closed };
        let disk = &*self.0.env.disk;
        let dir = directory::path(slot.meta.id);
        let is_new = !channel.exists();
        if is_new {
            if let Err(error) = directory::make(disk, &slot.meta) {
                // Whoever tries again makes another one.
                directory::unmake(disk, slot.meta.id);
                slot.is_deleted = true;
                locked(&self.0.channels).by_name.remove(&slot.meta.name);
                return Err(error);
            }
        } else if let Some(options) = options
            .map(|options| LogOptions {
                unsealable: options.unsealable | slot.meta.options.unsealable,
                partitions: slot.meta.options.partitions,
                ..*options
            })
            .filter(|options| *options != slot.meta.options)
        {
            let changed = Meta { options, ..slot.meta.clone() };
            meta::replace(disk, &dir, "meta", &changed.encode())?;
            tracing::info!(channel = %changed.name, options = ?changed.options, "other options");
            slot.meta = changed;
        }
        let opened = crate::log::open(&self.0.env, &dir, &slot.meta, known).map(Log);
        if is_new {
            tracing::info!(channel = %slot.meta.name, path = dir, "a channel is made");
            let mut channels = locked(&self.0.channels);
            channel.exists.store(true, Ordering::Release);
            let mut waiting = channels.waiting.remove(&slot.meta.name).unwrap_or_default();
            if channel.partitions.is_some() {
                waiting.extend(channels.wait_in_vain(&slot.meta.name.base()));
            }
            let watching = channels.row.add(slot.meta.name.clone(), slot.meta.id);
            drop(channels);
            waiting.into_iter().chain(watching).for_each(Waker::wake);
        }
        let log = opened?;
        slot.log = Some(log.clone());
        Ok(log)
    }

    /// What was noted when the log was closed last.
    fn closed(&self, id: LogId) -> Option<Closed> {
        Closed::decode(&self.0.state.get(&durable_key(id))?)
    }

    /// What there is to say of a channel, if it exists. Opens its log only if that was not closed cleanly.
    fn info(&self, name: &ChannelName) -> Result<Option<LogInfo>, StoreError> {
        let Some(channel) = locked(&self.0.channels).by_name.get(name).cloned() else { return Ok(None) };
        let mut slot = locked(&channel.slot);
        if slot.is_deleted || slot.is_going || !channel.exists() {
            return Ok(None);
        }
        if slot.log.is_none()
            && let Some(closed) = self.closed(slot.meta.id)
        {
            let dir = directory::path(slot.meta.id);
            match crate::log::glance(&*self.0.env.disk, &dir, &slot.meta, closed) {
                Ok(Some(info)) => return Ok(Some(info)),
                Ok(None) => {}
                Err(error) => tracing::debug!(channel = %name, %error, "opened, to say what there is"),
            }
        }
        self.open_slot(&channel, &mut slot, None).map(|log| Some(log.info()))
    }

    /// The channel's log if it is open already. Never blocks.
    pub fn existing(&self, name: &ChannelName) -> Option<Log> {
        let channel = locked(&self.0.channels).by_name.get(name).cloned()?;
        let slot = channel.slot.try_lock().ok()?;
        slot.log.clone()
    }

    /// Whether the channel exists. Never blocks.
    pub fn contains(&self, name: &ChannelName) -> bool {
        locked(&self.0.channels).by_name.get(name).is_some_and(|channel| channel.exists())
    }

    /// Up to `limit` channels after `after` whose names begin with `prefix`, in the order of names. Of a log that is not
    /// open it reads some heads; it opens those that were not closed cleanly, and leaves out those that cannot be: blocks on
    /// the disk.
    pub fn list(&self, after: Option<&ChannelName>, prefix: &str, limit: usize) -> Vec<LogInfo> {
        self.list_where(after, limit, |name| name.as_str().starts_with(prefix))
    }

    /// As [`list`](Self::list), of the channels for whose names `is_meant` says so. It must not come back to the store.
    pub fn list_where(
        &self,
        after: Option<&ChannelName>,
        limit: usize,
        is_meant: impl Fn(&ChannelName) -> bool,
    ) -> Vec<LogInfo> {
        let names: Vec<ChannelName> = {
            let channels = locked(&self.0.channels);
            let start = after.map_or(Bound::Unbounded, Bound::Excluded);
            channels
                .by_name
                .range::<ChannelName, _>((start, Bound::Unbounded))
                .filter(|(name, channel)| is_meant(name) && channel.exists())
                .map(|(name, _)| name.clone())
                .collect()
        };
        let infos = names.iter().filter_map(|name| match self.info(name) {
            Ok(info) => info,
            Err(error) => {
                tracing::warn!(channel = %name, %error, "left out of a list");
                None
            }
        });
        infos.take(limit).collect()
    }

    /// What its logs have done since it was opened, and what they take. Opens none of them; asks the disk for the lengths
    /// of files, once for a log that is not open, and so may wait for it.
    pub fn counters(&self) -> Vec<(Counter, u64)> {
        let mut counters = Vec::new();
        self.0.env.counts.report(&mut counters);
        let channels: Vec<Arc<Channel>> = locked(&self.0.channels).by_name.values().cloned().collect();
        let (mut there, mut open, mut bytes) = (0, 0, 0);
        for channel in channels.iter().filter(|channel| channel.exists()) {
            let (is_open, takes) = channel.takes(&*self.0.env.disk);
            there += 1;
            open += u64::from(is_open);
            bytes += takes;
        }
        counters.push((Counter::CHANNELS, there));
        counters.push((Counter::LOGS_OPEN, open));
        counters.push((Counter::BYTES_ON_DISK, bytes));
        if let Ok(space) = self.0.env.disk.space() {
            counters.extend([(Counter::VOLUME_FREE, space.free), (Counter::VOLUME_TOTAL, space.total)]);
        }
        counters
    }

    /// Ready once the channel exists, or cannot any more, since its name is that of a channel with partitions.
    pub fn poll_created(&self, name: &ChannelName, cx: &mut Context<'_>) -> Poll<()> {
        let mut channels = locked(&self.0.channels);
        match channels.by_name.get(name) {
            Some(channel) if channel.exists() => return Poll::Ready(()),
            None if channels.refusal(name).is_some() => return Poll::Ready(()),
            _ => {}
        }
        let waiting = channels.waiting.entry(name.clone()).or_default();
        if !waiting.iter().any(|known| known.will_wake(cx.waker())) {
            waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// The next channels in the order in which they were made (those that were there when the store was opened in the order of
    /// their names), after those up to the place `after`, at most `limit`, for whose names `is_meant` says so. It looks at
    /// [`WATCH_NAMES`](netchan_proto::limits::WATCH_NAMES) at most, and so may find none though there are more. `is_meant` must not
    /// come back to the store.
    ///
    /// Where there is none to be looked at now, `waker` is woken, once, when one is made: it waits with `ticket`, in place of the
    /// waker that did before. Never blocks.
    pub fn made_after(
        &self,
        after: u64,
        limit: usize,
        is_meant: impl Fn(&ChannelName) -> bool,
        ticket: &mut MadeTicket,
        waker: &Waker,
    ) -> Made {
        let (made, gone) = locked(&self.0.channels).row.after(after, limit, is_meant, (ticket, waker));
        drop(gone); // without the lock
        made
    }

    /// Forgets who waits with `ticket` for any channel to be made.
    pub fn forget_made(&self, ticket: &mut MadeTicket) {
        let gone = locked(&self.0.channels).row.forget(ticket);
        drop(gone); // without the lock
    }

    /// Forgets a waker that waits for a channel to be made.
    pub fn forget(&self, name: &ChannelName, waker: &Waker) {
        let mut channels = locked(&self.0.channels);
        let Some(waiting) = channels.waiting.get_mut(name) else { return };
        let gone: Vec<Waker> = waiting.extract_if(.., |known| known.will_wake(waker)).collect();
        if waiting.is_empty() {
            channels.waiting.remove(name);
        }
        drop(channels);
        drop(gone); // without the lock
    }

    /// Deletes a channel and its files: a channel of the same name made later has another identity. Blocks on the
    /// disk.
    ///
    /// # Errors
    /// [`StoreError::NoChannel`]; [`StoreError::Io`], where the channel may still be there at the next open. Where it may be
    /// gone by then, it is gone for everybody until then, and whoever asks for a channel of its name deletes it again first.
    pub fn delete(&self, name: &ChannelName) -> Result<(), StoreError> {
        let no_channel = || StoreError::NoChannel { name: name.clone() };
        let channel = locked(&self.0.channels).by_name.get(name).cloned().ok_or_else(no_channel)?;
        let mut slot = locked(&channel.slot);
        if slot.is_deleted || !channel.exists() {
            return Err(no_channel());
        }
        if self.0.closed.load(Ordering::Acquire) {
            return Err(StoreError::Closed);
        }
        if let Some(log) = slot.log.take() {
            log.0.begin_delete();
        }
        self.delete_slot(&channel, &mut slot)
    }

    fn delete_slot(&self, channel: &Channel, slot: &mut Slot) -> Result<(), StoreError> {
        let (disk, id, name) = (&*self.0.env.disk, slot.meta.id, &slot.meta.name);
        directory::discard(disk, id).inspect_err(|_| slot.is_going = directory::is_out_of_sight(disk, id))?;
        tracing::info!(channel = %name, %id, "a channel is deleted");
        slot.is_deleted = true;
        channel.exists.store(false, Ordering::Release);
        let mut channels = locked(&self.0.channels);
        channels.by_name.remove(name);
        channels.row.remove(id);
        drop(channels);
        self.0.state.remove(&durable_key(id))
    }

    /// Commits everything, stops the threads, cuts preallocation, gives the lock back. Appends are refused from now
    /// on. Who closes it while another does waits for that. Blocks on the disk.
    pub fn close(&self) {
        let _turn = locked(&self.0.closing);
        if self.0.closed.swap(true, Ordering::AcqRel) {
            return;
        }
        let channels: Vec<Arc<Channel>> = locked(&self.0.channels).by_name.values().cloned().collect();
        for channel in &channels {
            // The threads end when nothing is queued any more: who appends without end would keep them from it.
            if let Some(log) = &locked(&channel.slot).log {
                log.0.refuse_more();
            }
        }
        self.0.env.committer.stop();
        self.0.env.committer.join();
        let mut marks = Vec::new();
        for channel in channels {
            let slot = locked(&channel.slot);
            if let Some(log) = &slot.log {
                let closed = log.0.close();
                if !log.0.is_poisoned() && self.closed(log.id()) != Some(closed) {
                    marks.push((durable_key(log.id()), closed.encode()));
                }
            }
        }
        let marks = marks.iter().map(|(key, mark)| (&key[..], Some(&mark[..])));
        if let Err(error) = self.0.state.put_all(marks) {
            // Only the newest records' protection against silent damage is lost with it.
            tracing::warn!(%error, "the durable ends were not noted");
        }
        self.0.state.close();
        tracing::info!(disk = ?self.0.env.disk, "the data directory is closed");
        let lock: Option<Box<dyn DiskLock>> = locked(&self.0.env.lock).take();
        drop(lock);
    }

    /// The cursors of its channels.
    #[must_use]
    pub fn cursors(&self) -> Cursors {
        Cursors::new(&self.0.state)
    }

    /// The state log.
    pub fn state(&self) -> &StateLog {
        &self.0.state
    }

    /// With [`Commit::Manual`]: what the committer's threads would do at `now`, in the caller's thread: all groups that
    /// are queued, then the interval syncs and the retention that are due. Says whether anything was done. The order
    /// is that in which logs became dirty, the same in every run.
    pub fn run_commits(&self, now: Timestamp) -> bool {
        self.0.env.committer.run_due(now)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Never blocks: the threads write what is queued and end by themselves.
        for channel in locked(&self.channels).by_name.values() {
            if let Ok(slot) = channel.slot.try_lock()
                && let Some(log) = &slot.log
            {
                log.0.refuse_more();
            }
        }
        self.env.committer.stop();
        if self.env.options.commit == Commit::Manual {
            self.env.committer.join(); // there is nobody to write what is queued: it would stay for ever
        }
    }
}

/// Under which, and the log's id, the state log keeps how a log ended when it was closed.
pub(crate) const DURABLE_KEY: &str = "store/durable/";

fn durable_key(id: LogId) -> Vec<u8> {
    format!("{DURABLE_KEY}{id}").into_bytes()
}
