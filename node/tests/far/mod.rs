//! The other side, scripted: a node with one channel in memory, on a real connection; and the wire to it, which can
//! be cut after any byte.
#![allow(dead_code, unused_imports, clippy::unwrap_used, clippy::cast_possible_truncation)]

pub(crate) mod sending;
mod wire;

use std::collections::HashMap;

use bytes::Bytes;
use netchan_node::{Node, NodeConfig};
use netchan_proto::batch::{Batch, BatchBuilder, BatchHeader, Stamp};
use netchan_proto::conn::{Connection, ConnectionConfig, Event};
use netchan_proto::inflow::Inflow;
use netchan_proto::limits::PEER_TIMEOUT;
use netchan_proto::wire::{
    AckLevel, Done, End, ErrorFrame, Gap, GapReason, LogInfo, Note, Open, Opened, PublishAck, PublishOpened,
    Seeked, StreamId, Truncated,
};
use netchan_proto::{
    AsRecord, ChannelName, Durability, Epoch, ErrorCode, Instant, LogId, NodeId, Offset, ProducerId, Roles,
    Side, Start, Timestamp, Token,
};

pub(crate) use self::wire::{Across, Busy, Got, Near, Wire, Woken};

pub(crate) fn name() -> ChannelName {
    ChannelName::new("orders").unwrap()
}

/// A node without channels, as receivers and publishers have it.
pub(crate) fn node() -> Node {
    node_with(None)
}

pub(crate) fn node_with(token: Option<Token>) -> Node {
    Node::new(NodeConfig { token, seed: Some(5), ..NodeConfig::default() }).unwrap()
}

/// A stored batch.
#[derive(Clone)]
pub(crate) struct Stored {
    pub header: BatchHeader,
    pub bytes: Bytes,
}

#[derive(Default)]
pub(crate) struct Producer {
    pub next: u64,
    pub note: Note,
}

struct Reader {
    stream: StreamId,
    at: Offset,
    pending: Bytes,
}

struct Writer {
    stream: StreamId,
    producer: ProducerId,
    inflow: Inflow,
    granted: u64,
    received: u64,
    unsynced: Vec<PublishAck>,
    closing: bool,
}

/// A node with one channel.
pub(crate) struct Far {
    pub log: LogId,
    pub durability: Durability,
    pub epoch: Epoch,
    pub batches: Vec<Stored>,
    /// The first offset that retention has left.
    pub first: Offset,
    pub next: Offset,
    pub exists: bool,
    pub sealed: bool,
    /// What it says that the sealed channel comes to.
    pub digest: Option<netchan_proto::Digest>,
    /// Resuming past this offset in this epoch is past the epoch's end.
    pub rolled_back: Option<(Epoch, Offset)>,
    pub refuse: Option<ErrorFrame>,
    /// Breaks what is stored, as it is sent.
    pub spoil: Option<fn(&mut Vec<u8>)>,
    pub token: Option<Token>,
    pub producers: HashMap<ProducerId, Producer>,
    pub published: Vec<(u64, Bytes)>,
    /// How many of those are durable, where that is not at once.
    pub durable: usize,
    pub window: u64,
    /// Acknowledges what is published; else it waits.
    pub acknowledges: bool,
    /// A publisher's channel is being made, and does not exist meanwhile.
    pub making: bool,
    pub asked: Vec<Open>,
    pub opens: usize,
    held: Vec<Event>,
    pub connection: Option<Connection>,
    readers: Vec<Reader>,
    writers: Vec<Writer>,
    nonce: u8,
}

impl Far {
    pub(crate) fn new() -> Far {
        Far {
            log: LogId([9; 16]),
            durability: Durability::Sync,
            epoch: Epoch(1),
            batches: Vec::new(),
            first: Offset::ZERO,
            next: Offset::ZERO,
            exists: true,
            sealed: false,
            digest: None,
            rolled_back: None,
            refuse: None,
            spoil: None,
            token: None,
            producers: HashMap::new(),
            published: Vec::new(),
            durable: 0,
            window: 1 << 20,
            acknowledges: true,
            making: false,
            asked: Vec::new(),
            opens: 0,
            held: Vec::new(),
            connection: None,
            readers: Vec::new(),
            writers: Vec::new(),
            nonce: 0,
        }
    }

    /// Batches of these many records each; a record's payload is its offset.
    pub(crate) fn with_batches(sizes: &[usize]) -> Far {
        let mut far = Far::new();
        sizes.iter().for_each(|size| far.append(*size));
        far
    }

    pub(crate) fn append(&mut self, records: usize) {
        let payloads: Vec<String> =
            (0..records as u64).map(|index| (self.next.0 + index).to_string()).collect();
        self.append_all(&payloads);
    }

    pub(crate) fn append_all(&mut self, payloads: &[impl AsRecord]) {
        let mut builder = BatchBuilder::new(self.next, None);
        for (index, payload) in payloads.iter().enumerate() {
            builder.push(time_of(self.next.plus(index as u64)), &payload.as_record());
        }
        let stamp =
            Stamp { seed: &self.log.0, epoch: self.epoch, durable_offset: self.next, previous_crc: 0 };
        let (header, bytes) = builder.finish(stamp);
        self.next = header.next_offset();
        self.batches.push(Stored { header, bytes });
    }

    /// Loses everything from `end` on, as a power cut does, and goes on in the next epoch.
    pub(crate) fn roll_back(&mut self, end: Offset) {
        self.rolled_back = Some((self.epoch, end));
        self.epoch = Epoch(self.epoch.0 + 1);
        self.batches.retain(|batch| batch.header.next_offset() <= end);
        assert_eq!(self.batches.last().map_or(Offset::ZERO, |batch| batch.header.next_offset()), end);
        self.next = end;
    }

    pub(crate) fn accept(&mut self, now: Instant) {
        self.nonce += 1;
        self.readers.clear();
        self.writers.clear();
        let config = ConnectionConfig {
            side: Side::Listener,
            node: NodeId([7; 16]),
            roles: Roles::SENDS,
            nonce: [self.nonce; 16],
            token: self.token.clone(),
            grants: std::sync::Arc::default(),
            trusted: false,
            peer_timeout: PEER_TIMEOUT,
        };
        self.connection = Some(Connection::new(config, now));
    }

    pub(crate) fn hang_up(&mut self) {
        self.connection = None;
    }

    /// Does what can be done. Says whether anything happened.
    pub(crate) fn turn(&mut self, now: Instant) -> bool {
        let Some(mut connection) = self.connection.take() else { return false };
        let mut moved = false;
        while let Ok(Some(event)) = connection.poll_event(now) {
            moved = true;
            self.on_event(&mut connection, event);
        }
        if !self.making {
            for event in std::mem::take(&mut self.held) {
                self.on_event(&mut connection, event);
            }
        }
        self.serve(&mut connection);
        moved |= connection.has_outbound();
        self.connection = Some(connection);
        moved
    }

    fn on_event(&mut self, connection: &mut Connection, event: Event) {
        match event {
            Event::OpenRequest(id, open) => {
                self.opens += 1;
                self.asked.push(open.clone());
                if let Some(error) = &self.refuse {
                    connection.stream_error(id, error.clone());
                } else if self.exists {
                    self.begin(connection, id, &open.start, None);
                } else if open.wait {
                    connection.waiting(id);
                } else {
                    connection.stream_error(id, ErrorFrame::new(ErrorCode::NO_CHANNEL, "no such channel"));
                }
            }
            Event::SeekRequest(id, seek) => {
                self.readers.retain(|reader| reader.stream != id);
                self.begin(connection, id, &seek.start, Some(seek.seek_id));
            }
            Event::CloseRequest(id) => {
                self.readers.retain(|reader| reader.stream != id);
                connection.end(id, End::Closed);
            }
            Event::PublishRequest(..) if self.making => self.held.push(event),
            Event::StatRequest(id, _) | Event::SealRequest(id, _) if self.making => {
                connection.stream_error(id, ErrorFrame::new(ErrorCode::NO_CHANNEL, "no such channel"));
            }
            Event::PublishRequest(id, open) => {
                self.opens += 1;
                if let Some(error) = &self.refuse {
                    return connection.stream_error(id, error.clone());
                }
                self.durable = self.published.len();
                let producer = self.producers.entry(open.producer).or_default();
                let opened = PublishOpened {
                    log: self.log,
                    epoch: self.epoch,
                    durability: self.durability,
                    next_sequence: producer.next,
                    credit: self.window,
                    note: producer.note.clone(),
                    partitions: None,
                };
                connection.publish_opened(id, &opened);
                self.writers.push(Writer {
                    stream: id,
                    producer: open.producer,
                    inflow: Inflow::new(open.producer.0),
                    granted: self.window,
                    received: 0,
                    unsynced: Vec::new(),
                    closing: false,
                });
            }
            Event::PublishData(id, range) => self.on_published(connection, id, range),
            Event::NoteRequest(id, note) => {
                let writer = self.writers.iter().find(|writer| writer.stream == id).unwrap();
                let producer = self.producers.get_mut(&writer.producer).unwrap();
                assert!(writer.inflow.is_between_batches(), "a note within a batch");
                producer.note = note.note;
            }
            Event::PublishCloseRequest(id) => {
                self.writers.iter_mut().find(|writer| writer.stream == id).unwrap().closing = true;
            }
            Event::SealRequest(id, _) => {
                self.sealed = true;
                connection.done(id, &Done { final_offset: Some(Offset(self.published.len() as u64)) });
            }
            Event::StatRequest(id, _) => connection.stat_reply(id, &self.info()),
            _ => {}
        }
    }

    fn info(&self) -> LogInfo {
        LogInfo {
            name: name(),
            id: self.log,
            epoch: self.epoch,
            durability: self.durability,
            sealed: self.sealed,
            first: self.first,
            next: self.next,
            durable: self.next,
            first_time: Timestamp::MIN,
            last_time: Timestamp::MIN,
            created: Timestamp(0),
            bytes: 0,
            segments: 1,
        }
    }

    fn begin(&mut self, connection: &mut Connection, id: StreamId, start: &Start, seek: Option<u32>) {
        let asked = match *start {
            Start::Earliest => self.first,
            Start::Latest => self.next,
            Start::Offset(offset) => offset,
            Start::Last(count) => Offset(self.next.0.saturating_sub(count)),
            Start::Resume(position) => position.offset,
            Start::Time(time) => (self.first.0..self.next.0)
                .map(Offset)
                .find(|&offset| time_of(offset) >= time)
                .unwrap_or(self.next),
            _ => panic!("not scripted: {start:?}"),
        };
        let before = self.batches.iter().rev().find(|batch| batch.header.base_offset < asked);
        let opened = Opened {
            log: self.log,
            epoch: before.map_or(Epoch(0), |batch| batch.header.epoch),
            durability: self.durability,
            sealed: self.sealed,
            first: self.first,
            next: self.next,
            start: asked,
            clock: Timestamp(1),
            content: None,
            partitions: None,
        };
        match seek {
            None => connection.opened(id, &opened),
            Some(seek_id) => connection.seeked(id, &Seeked { seek_id, opened }),
        }
        let mut at = asked;
        if let (Start::Resume(position), Some((epoch, end))) = (start, self.rolled_back)
            && position.epoch == epoch
            && position.offset > end
        {
            connection.truncated(id, &Truncated { epoch, log_epoch: self.epoch, end });
            at = end;
        } else if asked > self.next {
            let error = ErrorFrame::new(ErrorCode::OFFSET_BEYOND_END, "past the end");
            return connection.stream_error(id, error);
        }
        if at < self.first {
            let epoch = self.batches.first().map_or(self.epoch, |batch| batch.header.epoch);
            connection.gap(id, &Gap { from: at, to: self.first, why: GapReason::Retention, epoch });
            at = self.first;
        }
        self.readers.push(Reader { stream: id, at, pending: Bytes::new() });
    }

    fn serve(&mut self, connection: &mut Connection) {
        let mut ended = Vec::new();
        for reader in &mut self.readers {
            loop {
                if reader.pending.is_empty() {
                    let Some(batch) =
                        self.batches.iter().find(|batch| batch.header.next_offset() > reader.at)
                    else {
                        if self.sealed {
                            if let Some(digest) = self.digest {
                                connection.digest(reader.stream, digest);
                            }
                            connection.end(reader.stream, End::Sealed { final_offset: self.next });
                            ended.push(reader.stream);
                        }
                        break;
                    };
                    reader.pending = batch.bytes.clone();
                    if let Some(spoil) = self.spoil {
                        let mut bytes = batch.bytes.to_vec();
                        spoil(&mut bytes);
                        reader.pending = bytes.into();
                    }
                    reader.at = batch.header.next_offset();
                }
                let room = connection.room(reader.stream).min(reader.pending.len());
                if room == 0 {
                    break;
                }
                connection.data(reader.stream, reader.pending.split_to(room));
            }
        }
        self.readers.retain(|reader| !ended.contains(&reader.stream));
        let acknowledges = self.acknowledges;
        self.writers.retain(|writer| {
            if writer.closing && acknowledges {
                connection.end(writer.stream, End::Closed);
            }
            !(writer.closing && acknowledges)
        });
    }

    fn on_published(&mut self, connection: &mut Connection, id: StreamId, range: Bytes) {
        if self.sealed {
            self.writers.retain(|writer| writer.stream != id);
            return connection.stream_error(id, ErrorFrame::new(ErrorCode::SEALED, "sealed"));
        }
        let writer = self.writers.iter_mut().find(|writer| writer.stream == id).unwrap();
        writer.received += range.len() as u64;
        writer.inflow.push(range);
        while let Some(batch) = writer.inflow.next_batch().unwrap() {
            let acks = append(&mut self.published, &mut self.producers, writer.producer, self.epoch, &batch);
            for ack in acks {
                match self.durability {
                    _ if !self.acknowledges => {}
                    Durability::Sync => {
                        connection.publish_ack(id, &PublishAck { level: AckLevel::Durable, ..ack })
                    }
                    _ => {
                        connection.publish_ack(id, &ack);
                        writer.unsynced.push(ack);
                    }
                }
            }
        }
        let total = writer.received + self.window.max(writer.inflow.partial_len() as u64);
        writer.granted = writer.granted.max(total);
        connection.grant(id, writer.granted);
    }

    /// Makes what was published durable, and says so.
    pub(crate) fn sync(&mut self) {
        self.durable = self.published.len();
        let Some(connection) = &mut self.connection else { return };
        for writer in &mut self.writers {
            for ack in writer.unsynced.drain(..) {
                connection.publish_ack(writer.stream, &PublishAck { level: AckLevel::Durable, ..ack });
            }
        }
    }

    /// Loses power: what was published and is not durable is gone.
    pub(crate) fn lose_power(&mut self) {
        self.published.truncate(self.durable);
        for producer in self.producers.values_mut() {
            producer.next = self.published.last().map_or(0, |(sequence, _)| sequence + 1);
        }
        self.epoch = Epoch(self.epoch.0 + 1);
    }

    pub(crate) fn published(&self) -> Vec<String> {
        self.published.iter().map(|(_, payload)| String::from_utf8(payload.to_vec()).unwrap()).collect()
    }
}

fn append(
    published: &mut Vec<(u64, Bytes)>,
    producers: &mut HashMap<ProducerId, Producer>,
    producer: ProducerId,
    epoch: Epoch,
    batch: &Batch,
) -> Vec<PublishAck> {
    let next = &mut producers.get_mut(&producer).unwrap().next;
    let (first, end) = (batch.header().base_offset.0, batch.header().next_offset().0);
    let fresh = (*next).clamp(first, end);
    let level = AckLevel::Written;
    let mut acks = Vec::new();
    if fresh > first {
        acks.push(PublishAck {
            level,
            epoch,
            first_sequence: first,
            count: fresh - first,
            first_offset: None,
        });
    }
    if end > fresh {
        let first_offset = Some(Offset(published.len() as u64));
        acks.push(PublishAck { level, epoch, first_sequence: fresh, count: end - fresh, first_offset });
    }
    for record in batch.records() {
        let record = record.unwrap();
        if record.offset.0 >= fresh {
            published.push((record.offset.0, record.payload));
        }
    }
    *next = (*next).max(end);
    acks
}

pub(crate) fn time_of(offset: Offset) -> Timestamp {
    Timestamp(1000 + offset.0 as i64 * 10)
}
