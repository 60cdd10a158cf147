//! A node on a simulated disk, and a peer of it in memory: a served connection against a scripted one.
//!
//! The served side is driven only as its contract says: when its waker was woken, or bytes moved. A wake-up that is
//! lost is a test that stands still.
#![allow(dead_code)] // each test file uses its part

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::task::{Wake, Waker};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use netchan_node::{Job, Machine, Node, NodeConfig, Served};
use netchan_proto::batch::{BatchBuilder, Stamp};
use netchan_proto::conn::{Connection, ConnectionConfig, ConnectionError, Event};
use netchan_proto::limits::PEER_TIMEOUT;
use netchan_proto::subscription::{Delivery, Subscription};
use netchan_proto::wire::{
    End, ErrorFrame, Gap, Opened, Progress, PublishAck, PublishOpen, PublishOpened, Roles, Seek, StreamId,
    Truncated,
};
use netchan_proto::{
    AsRecord, ChannelName, Durability, Epoch, Instant, NodeId, Offset, ProducerId, Side, Start, Timestamp,
    Token,
};
use netchan_store::disk::{Disk, SimDisk};
use netchan_store::{Clock, Commit, Log, LogOptions, Store, StoreOptions};

/// A clock that is set by hand and goes on by a microsecond each time it is read.
#[derive(Clone, Default)]
pub(crate) struct HandClock(pub Arc<AtomicI64>);

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.fetch_add(1000, Ordering::Relaxed))
    }
}

pub(crate) fn name(text: &str) -> ChannelName {
    ChannelName::new(text).unwrap()
}

/// A node with a store.
pub(crate) struct House {
    pub disk: SimDisk,
    pub clock: HandClock,
    pub store: Store,
    pub node: Node,
}

impl House {
    pub(crate) fn new() -> House {
        House::with(|_| ())
    }

    pub(crate) fn with(change: impl FnOnce(&mut StoreOptions)) -> House {
        House::on(SimDisk::new(1), None, change)
    }

    pub(crate) fn locked_by(token: &str) -> House {
        House::on(SimDisk::new(1), Some(Token::new(token).unwrap()), |_| ())
    }

    pub(crate) fn on(disk: SimDisk, token: Option<Token>, change: impl FnOnce(&mut StoreOptions)) -> House {
        let clock = HandClock::default();
        let mut options = StoreOptions {
            commit: Commit::Manual,
            min_free_percent: 0,
            clock: Arc::new(clock.clone()),
            seed: Some(7),
            ..StoreOptions::default()
        };
        change(&mut options);
        let store = Store::open(Arc::new(disk.clone()) as Arc<dyn Disk>, options).unwrap();
        let node = Node::new(NodeConfig {
            store: Some(store.clone()),
            token,
            clock: Arc::new(clock.clone()),
            seed: Some(3),
            ..NodeConfig::default()
        })
        .unwrap();
        House { disk, clock, store, node }
    }

    pub(crate) fn log(&self, text: &str) -> Log {
        self.log_with(text, LogOptions::default())
    }

    pub(crate) fn log_with(&self, text: &str, options: LogOptions) -> Log {
        self.node.open_log(&name(text), &options).unwrap()
    }

    pub(crate) fn commit(&self) {
        while self.store.run_commits(Timestamp(i64::MAX / 2)) {}
    }

    /// Appends records "0", "1", ... each in a batch of its own if `apart`, and commits them.
    pub(crate) fn fill(&self, log: &Log, count: u64, apart: bool) {
        for index in 0..count {
            log.append(&index.to_string().as_record()).unwrap();
            if apart {
                self.commit();
            }
        }
        self.commit();
    }
}

/// Wakes a thread that waits, and remembers it.
pub(crate) struct Parked {
    thread: std::thread::Thread,
    woken: AtomicBool,
}

impl Parked {
    pub(crate) fn here() -> Arc<Parked> {
        Arc::new(Parked { thread: std::thread::current(), woken: AtomicBool::new(false) })
    }

    /// Waits to be woken; false if that takes longer than anything here does.
    pub(crate) fn wait(&self) -> bool {
        for _ in 0..20 {
            if self.woken.swap(false, Ordering::SeqCst) {
                return true;
            }
            std::thread::park_timeout(Duration::from_secs(1));
        }
        false
    }
}

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }
}

pub(crate) fn options(durability: Durability) -> LogOptions {
    LogOptions { durability, ..LogOptions::default() }
}

pub(crate) fn append(log: &Log, record: impl AsRecord) -> Offset {
    log.append(&record.as_record()).unwrap()
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

pub(crate) const ALL: Roles = Roles(7);

pub(crate) fn peer_config(side: Side) -> ConnectionConfig {
    ConnectionConfig {
        side,
        node: NodeId([8; 16]),
        roles: ALL,
        nonce: [4; 16],
        token: None,
        grants: std::sync::Arc::default(),
        trusted: false,
        peer_timeout: PEER_TIMEOUT,
    }
}

/// A machine of the node, and its peer.
pub(crate) struct Link<M: Machine = Served> {
    pub machine: M,
    pub peer: Connection,
    pub now: Instant,
    waker: Waker,
    woken: Arc<Woken>,
    /// Jobs that were taken and not run, while `hold_jobs`.
    pub jobs: VecDeque<Job>,
    pub hold_jobs: bool,
    /// Commits what is queued whenever nothing else moves.
    pub commits: Option<Store>,
    /// Bytes that go either way in one step.
    pub step: usize,
    /// Whether the peer reads.
    pub peer_reads: bool,
    pub readers: BTreeMap<StreamId, Reader>,
    pub events: Vec<Event>,
    pub error: Option<ConnectionError>,
    /// Every byte that the machine said.
    pub said: Vec<u8>,
    pub data_order: Vec<StreamId>,
}

impl Link {
    pub(crate) fn new(house: &House) -> Link {
        Link::of(house, peer_config(Side::Dialler))
    }

    pub(crate) fn of(house: &House, peer: ConnectionConfig) -> Link {
        let served = Served::new(&house.node, peer.side.other(), false, Instant(0));
        let mut link = Link::between(served, peer);
        link.commits = Some(house.store.clone());
        link.pump();
        link
    }
}

impl<M: Machine> Link<M> {
    pub(crate) fn between(machine: M, peer: ConnectionConfig) -> Link<M> {
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        Link {
            machine,
            peer: Connection::new(peer, Instant(0)),
            now: Instant(0),
            waker: Waker::from(Arc::clone(&woken)),
            woken,
            jobs: VecDeque::new(),
            hold_jobs: false,
            commits: None,
            step: usize::MAX,
            peer_reads: true,
            readers: BTreeMap::new(),
            events: Vec::new(),
            error: None,
            said: Vec::new(),
            data_order: Vec::new(),
        }
    }

    /// Drives both until nothing moves.
    pub(crate) fn pump(&mut self) {
        for _ in 0..100_000 {
            if !self.turn() {
                return;
            }
        }
        panic!("it never comes to rest");
    }

    /// From now on `waker` is woken instead of what tells [`pump`](Self::pump).
    pub(crate) fn woken_by(&mut self, waker: Waker) {
        self.waker = waker;
    }

    /// One turn that works whether woken or not.
    pub(crate) fn turn_anyway(&mut self) -> bool {
        self.machine.work(self.now, &self.waker);
        self.turn()
    }

    /// One turn of the driver's loop; says whether anything moved.
    pub(crate) fn turn(&mut self) -> bool {
        let mut moved = self.woken.0.swap(false, Ordering::SeqCst);
        moved |= self.carry_in();
        if moved {
            self.machine.work(self.now, &self.waker);
        }
        while let Some(job) = self.machine.take_job() {
            moved = true;
            if self.hold_jobs {
                self.jobs.push_back(job);
            } else {
                job.run();
            }
        }
        if self.carry_out() {
            moved = true;
            self.woken.0.store(true, Ordering::SeqCst); // the driver calls work after bytes moved
        }
        if !moved && let Some(store) = &self.commits {
            moved = store.run_commits(Timestamp(i64::MAX / 2));
        }
        moved
    }

    fn carry_in(&mut self) -> bool {
        let Some(connection) = self.machine.connection() else { return false };
        if !connection.wants_read() {
            return false;
        }
        let moved = carry(self.peer.outbound(), connection, self.step, None);
        connection.received(moved, self.now);
        moved > 0
    }

    fn carry_out(&mut self) -> bool {
        let Some(connection) = self.machine.connection() else { return false };
        if !self.peer_reads || !self.peer.wants_read() {
            return false;
        }
        let moved = carry(connection.outbound(), &mut self.peer, self.step, Some(&mut self.said));
        self.peer.received(moved, self.now);
        loop {
            match self.peer.poll_event(self.now) {
                Ok(Some(event)) => self.on_event(event),
                Ok(None) => return moved > 0,
                Err(error) => {
                    self.error.get_or_insert(error);
                    return moved > 0;
                }
            }
        }
    }

    fn on_event(&mut self, event: Event) {
        let id = match &event {
            Event::Opened(id, _)
            | Event::Waiting(id)
            | Event::Data(id, _)
            | Event::Progress(id, _)
            | Event::Gap(id, _)
            | Event::Truncated(id, _)
            | Event::Seeked(id, _)
            | Event::Digest(id, _)
            | Event::End(id, _)
            | Event::StreamError(id, _) => *id,
            _ => return self.events.push(event),
        };
        let Some(reader) = self.readers.get_mut(&id) else { return self.events.push(event) };
        if matches!(event, Event::Data(..)) {
            self.data_order.push(id);
        }
        reader.on_event(event);
        if let Some(total) = reader.credit() {
            self.peer.grant(id, total);
        }
    }

    pub(crate) fn read(&mut self, channel: &str, start: Start) -> StreamId {
        self.read_with(Subscription::new(name(channel), start, 1 << 20, false))
    }

    pub(crate) fn read_with(&mut self, mut subscription: Subscription) -> StreamId {
        let id = self.peer.open(&subscription.request()).unwrap();
        self.readers.insert(id, Reader::new(subscription));
        self.pump();
        id
    }

    /// A reader for a stream that was opened by hand.
    pub(crate) fn read_later(&mut self, _id: StreamId, subscription: Subscription) -> Reader {
        Reader::new(subscription)
    }

    pub(crate) fn reader(&self, id: StreamId) -> &Reader {
        &self.readers[&id]
    }

    pub(crate) fn seek(&mut self, id: StreamId, start: Start) {
        let reader = self.readers.get_mut(&id).unwrap();
        let seek_id = reader.subscription.seek(start).unwrap();
        self.peer.seek(id, &Seek { seek_id, start });
    }

    /// Goes on in time, and lets deadlines pass.
    pub(crate) fn wait(&mut self, time: Duration) {
        self.now = self.now.plus(time);
        self.pump();
        if self.machine.deadline().is_some_and(|at| at <= self.now) {
            self.machine.handle_timeout(self.now);
            self.woken.0.store(true, Ordering::SeqCst);
        }
        self.pump();
    }

    pub(crate) fn publish_open(&mut self, channel: &str, producer: u8) -> StreamId {
        let open = PublishOpen {
            name: name(channel),
            create: true,
            durability: None,
            producer: ProducerId([producer; 16]),
            content: None,
            partitions: None,
        };
        let id = self.peer.publish_open(&open).unwrap();
        self.pump();
        id
    }

    pub(crate) fn publish_opened(&self, id: StreamId) -> PublishOpened {
        self.events
            .iter()
            .find_map(|event| match event {
                Event::PublishOpened(stream, opened) if *stream == id => Some(opened.clone()),
                _ => None,
            })
            .unwrap()
    }

    /// Publishes as much as credit and room allow, until all is gone or nothing moves.
    pub(crate) fn publish(&mut self, id: StreamId, batch: Bytes) {
        let left = self.offer(id, batch);
        assert!(left.is_empty(), "{} bytes were not taken", left.len());
    }

    /// As [`publish`](Self::publish); gives back what was not taken.
    pub(crate) fn offer(&mut self, id: StreamId, mut batch: Bytes) -> Bytes {
        loop {
            let room = self.peer.room(id).min(batch.len());
            if room == 0 {
                self.pump();
                if batch.is_empty() || self.peer.room(id) == 0 {
                    return batch;
                }
                continue;
            }
            self.peer.publish(id, batch.split_to(room));
            self.pump();
        }
    }

    pub(crate) fn acks(&self, id: StreamId) -> Vec<PublishAck> {
        let of = |event: &Event| match event {
            Event::PublishAck(stream, ack) if *stream == id => Some(*ack),
            _ => None,
        };
        self.events.iter().filter_map(of).collect()
    }

    pub(crate) fn stream_error(&self, id: StreamId) -> Option<ErrorFrame> {
        self.events.iter().find_map(|event| match event {
            Event::StreamError(stream, error) if *stream == id => Some(error.clone()),
            _ => None,
        })
    }

    pub(crate) fn end_of(&self, id: StreamId) -> Option<End> {
        self.events.iter().find_map(|event| match event {
            Event::End(stream, end) if *stream == id => Some(*end),
            _ => None,
        })
    }
}

fn carry(from: &mut impl Buf, to: &mut Connection, most: usize, mut copy: Option<&mut Vec<u8>>) -> usize {
    let mut moved = 0;
    let into = to.read_buf();
    let most = most.min(into.capacity() - into.len());
    while from.has_remaining() && moved < most {
        let part = from.chunk().len().min(most - moved);
        into.put_slice(&from.chunk()[..part]);
        if let Some(copy) = &mut copy {
            copy.extend_from_slice(&from.chunk()[..part]);
        }
        from.advance(part);
        moved += part;
    }
    moved
}

/// What a receiver got on one stream, checked by the subscription that real receivers use.
pub(crate) struct Reader {
    pub subscription: Subscription,
    /// Offset and payload of every record.
    pub got: Vec<(u64, Bytes)>,
    /// The ranges as they came.
    pub ranges: Vec<Bytes>,
    pub opened: Option<Opened>,
    pub waiting: usize,
    pub gaps: Vec<Gap>,
    pub truncated: Vec<Truncated>,
    pub progress: Vec<Progress>,
    pub digest: Option<netchan_proto::Digest>,
    pub seeked: Vec<u32>,
    pub end: Option<End>,
    pub error: Option<ErrorFrame>,
    /// Gives no more credit than at first.
    pub starves: bool,
}

impl Reader {
    fn new(subscription: Subscription) -> Reader {
        Reader {
            subscription,
            got: Vec::new(),
            ranges: Vec::new(),
            opened: None,
            waiting: 0,
            gaps: Vec::new(),
            truncated: Vec::new(),
            progress: Vec::new(),
            digest: None,
            seeked: Vec::new(),
            end: None,
            error: None,
            starves: false,
        }
    }

    fn on_event(&mut self, event: Event) {
        assert!(self.end.is_none() && self.error.is_none(), "{event:?} after the end");
        match event {
            Event::Opened(_, opened) => {
                self.opened = Some(opened.clone());
                self.subscription.on_opened(opened);
            }
            Event::Waiting(_) => self.waiting += 1,
            Event::Data(_, range) => {
                self.ranges.push(range.clone());
                self.subscription.on_data(range).unwrap();
            }
            Event::Digest(_, digest) => {
                self.digest = Some(digest);
                self.subscription.on_digest(digest);
            }
            Event::Progress(_, progress) => {
                self.progress.push(progress);
                self.subscription.on_progress(progress.next);
            }
            Event::Gap(_, gap) => {
                self.gaps.push(gap);
                self.subscription.on_gap(gap);
            }
            Event::Truncated(_, truncated) => {
                self.truncated.push(truncated);
                self.subscription.on_truncated(truncated);
            }
            Event::Seeked(_, seeked) => {
                self.seeked.push(seeked.seek_id);
                self.subscription.on_seeked(seeked.seek_id, seeked.opened);
            }
            Event::End(_, end) => {
                self.end = Some(end);
                self.subscription.on_end(end);
            }
            Event::StreamError(_, error) => self.error = Some(error),
            other => panic!("{other:?}"),
        }
        while let Some(delivery) = self.subscription.next_delivery().unwrap() {
            if let Delivery::Batch { batch, from } = delivery {
                self.subscription.consumed(batch.stored().len());
                let records = batch.records().map(Result::unwrap).filter(|record| record.offset >= from);
                self.got.extend(records.map(|record| (record.offset.0, record.payload)));
            }
        }
    }

    fn credit(&mut self) -> Option<u64> {
        if self.starves { None } else { self.subscription.credit_due() }
    }

    pub(crate) fn offsets(&self) -> Vec<u64> {
        self.got.iter().map(|(offset, _)| *offset).collect()
    }

    pub(crate) fn texts(&self) -> Vec<&str> {
        self.got.iter().map(|(_, payload)| std::str::from_utf8(payload).unwrap()).collect()
    }
}

/// A published batch with these records, from this sequence on.
pub(crate) fn batch(producer: u8, sequence: u64, records: &[&[u8]]) -> Bytes {
    let mut builder = BatchBuilder::new(Offset(sequence), None);
    for (index, record) in records.iter().enumerate() {
        builder.push(Timestamp(index as i64), &record.as_record());
    }
    let seed = [producer; 16];
    let stamp = Stamp { seed: &seed, epoch: Epoch(0), durable_offset: Offset(0), previous_crc: 0 };
    builder.finish(stamp).1
}
