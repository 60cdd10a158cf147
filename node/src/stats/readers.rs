//! Who reads and publishes on this node, each with its place.
//!
//! A stream notes where it is in memory of its own, once a batch or a turn. What that means for it (how far it is behind, and since
//! when) is worked out when somebody asks.

use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use netchan_proto::wire::{ReaderInfo, ReaderKind, Readers, ReadersReply};
use netchan_proto::{ChannelName, NodeId, Offset, Timestamp};
use netchan_store::Log;

use super::tally::Count;
use super::{Counted, Stats};
use crate::wake::lock;

/// What of batches has been sent whole.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Done {
    /// Records in them.
    pub(crate) records: u64,
    /// What follows the last of them.
    pub(crate) next: Option<Offset>,
}

/// Where a stream is, as it notes itself.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Place {
    log: OnceLock<Log>,
    offset: Count,
    /// It is not to be told the end yet: whether it has everything, it has still to tell.
    held: AtomicBool,
    /// What its receiver, or this node, still allows.
    pub(crate) credit: Count,
    pub(crate) records: Count,
    pub(crate) bytes: Count,
}

impl Place {
    /// It reads this log, or publishes to it, and is to go on here.
    pub(crate) fn find(&self, log: &Log, next: Offset) {
        self.log.get_or_init(|| log.clone());
        self.offset.set(next.0);
    }

    /// It was sent `bytes`, and with them the last bytes of the batches that are `done`.
    pub(crate) fn count(&self, counted: &Counted, bytes: usize, done: Done) {
        self.bytes.add(bytes as u64);
        counted.bytes_delivered.add(bytes as u64);
        if let Some(next) = done.next {
            self.records.add(done.records);
            counted.records_delivered.add(done.records);
            self.offset.set(next.0);
        }
    }

    /// Keeps back its end, or not any more; says what it was before.
    pub(crate) fn hold(&self, held: bool) -> bool {
        self.is_held() != held && self.held.swap(held, Ordering::Relaxed)
    }

    /// Whether its end is kept back.
    pub(crate) fn is_held(&self) -> bool {
        self.held.load(Ordering::Relaxed)
    }

    /// It goes on here.
    pub(crate) fn move_to(&self, next: Offset) {
        self.offset.set(next.0);
    }
}

/// A stream on the list.
#[derive(Debug)]
pub(super) struct Listed {
    kind: ReaderKind,
    node: NodeId,
    since: Timestamp,
    channel: ChannelName,
    peer: Arc<str>,
    place: Arc<Place>,
}

impl Listed {
    fn info(&self, id: u64) -> ReaderInfo {
        let place = &self.place;
        let offset = Some(Offset(place.offset.get())).filter(|at| *at != Offset::NONE);
        let log = place.log.get();
        let reads = offset.filter(|_| self.kind == ReaderKind::Reads);
        let behind = log.zip(reads).map(|(log, at)| log.behind(at)).unwrap_or_default();
        ReaderInfo {
            id,
            kind: self.kind,
            node: self.node,
            since: self.since,
            offset,
            next: log.map(Log::visible),
            time: behind.time.unwrap_or(Timestamp::MIN),
            behind: behind.bytes,
            credit: place.credit.get(),
            records: place.records.get(),
            bytes: place.bytes.get(),
            channel: self.channel.clone(),
            peer: self.peer.to_string(),
        }
    }
}

/// A stream is on the list while this lives.
#[derive(Debug)]
pub(crate) struct Standing {
    stats: Arc<Stats>,
    id: u64,
    place: Arc<Place>,
}

impl Standing {
    /// Puts a stream of `node`, which calls from `peer`, on the list.
    pub(crate) fn new(
        counted: &Counted,
        kind: ReaderKind,
        channel: &ChannelName,
        (node, peer): (NodeId, &Arc<str>),
        since: Timestamp,
    ) -> Standing {
        match kind {
            ReaderKind::Reads => counted.readers_opened.add(1),
            ReaderKind::Publishes => counted.publishers_opened.add(1),
        }
        let stats = Arc::clone(counted.stats());
        let place = Arc::new(Place {
            log: OnceLock::new(),
            offset: Count::default(),
            held: AtomicBool::new(false),
            credit: Count::default(),
            records: Count::default(),
            bytes: Count::default(),
        });
        place.offset.set(Offset::NONE.0);
        let (channel, peer) = (channel.clone(), Arc::clone(peer));
        let listed = Listed { kind, node, since, channel, peer, place: Arc::clone(&place) };
        let id = stats.number();
        lock(&stats.readers).insert(id, Arc::new(listed));
        Standing { stats, id, place }
    }

    /// Where the stream notes its place.
    pub(crate) fn place(&self) -> &Arc<Place> {
        &self.place
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        lock(&self.stats.readers).remove(&self.id);
    }
}

impl Stats {
    /// How many read, and how many publish.
    pub(super) fn count_readers(&self) -> (u64, u64) {
        let readers = lock(&self.readers);
        let reading = readers.values().filter(|listed| listed.kind == ReaderKind::Reads).count();
        (reading as u64, (readers.len() - reading) as u64)
    }

    /// A page of those who read and publish. May wait for the disk.
    pub(crate) fn readers(&self, asked: &Readers, limit: usize, now: Timestamp) -> ReadersReply {
        let is_wanted =
            |listed: &Listed| asked.channel.as_ref().is_none_or(|channel| *channel == listed.channel);
        let mut page: Vec<(u64, Arc<Listed>)> = lock(&self.readers)
            .range((Bound::Excluded(asked.after), Bound::Unbounded))
            .filter(|(_, listed)| is_wanted(listed))
            .take(limit.saturating_add(1))
            .map(|(id, listed)| (*id, Arc::clone(listed)))
            .collect();
        let more = page.len() > limit;
        page.truncate(limit);
        let readers = page.iter().map(|(id, listed)| listed.info(*id)).collect();
        ReadersReply { more, now, readers }
    }
}
