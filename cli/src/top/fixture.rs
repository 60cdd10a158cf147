//! Looks at nodes that are not there, for tests.
#![allow(clippy::unwrap_used, reason = "a panic here is a failed test")]

use std::time::Duration;

use netchan::{
    ChannelName, Counter, Durability, Epoch, LogId, LogInfo, NodeId, NodeStatus, Offset, ReaderInfo,
    ReaderKind, Timestamp,
};

use super::sample::Sample;

/// The nodes' clock at second 0: 2026-11-21 08:00:00.
pub(super) const START: i64 = 1_795_248_000_000_000_000;

pub(super) fn at(second: u64) -> Timestamp {
    Timestamp(START).plus_nanos(second as i64 * 1_000_000_000)
}

/// A channel with `next` records of 100 bytes, the last just sent.
pub(super) fn channel(name: &str, next: u64, second: u64) -> LogInfo {
    LogInfo {
        name: ChannelName::new(name).unwrap(),
        id: LogId([7; 16]),
        epoch: Epoch(1),
        durability: Durability::Sync,
        sealed: false,
        first: Offset(0),
        next: Offset(next),
        durable: Offset(next),
        first_time: at(0),
        last_time: if next == 0 { Timestamp::MIN } else { at(second) },
        created: at(0),
        bytes: next * 100,
        segments: 1,
    }
}

/// Who reads `channel`, `lag` records and as many seconds behind its end.
pub(super) fn reader(id: u64, channel: &LogInfo, lag: u64, second: u64) -> ReaderInfo {
    let offset = channel.next.0 - lag;
    ReaderInfo {
        id,
        kind: ReaderKind::Reads,
        node: NodeId([id as u8; 16]),
        since: at(0),
        offset: Some(Offset(offset)),
        next: Some(channel.next),
        time: Timestamp(at(second).0 - lag as i64 * 1_000_000_000),
        behind: lag * 100,
        credit: 1 << 20,
        records: offset,
        bytes: offset * 100,
        channel: channel.name.clone(),
        peer: format!("10.0.0.{id}:4711"),
    }
}

/// A node started at second 0, `second` seconds later.
pub(super) fn look(second: u64, channels: Vec<LogInfo>, peers: Vec<ReaderInfo>) -> Sample {
    let records: u64 = channels.iter().map(|channel| channel.next.0).sum();
    let counters = [
        (Counter::CONNECTIONS_OPEN, peers.len() as u64 + 1),
        (Counter::READERS, peers.len() as u64),
        (Counter::PUBLISHERS, 0),
        (Counter::RECORDS_APPENDED, records),
        (Counter::BYTES_APPENDED, records * 100),
        (Counter::RECORDS_DELIVERED, 2 * records),
        (Counter::BYTES_DELIVERED, 2 * records * 100),
        (Counter::SYNCS, second * 10),
        (Counter::SYNCS_128US, second * 5),
        (Counter::SYNCS_256US, second * 10),
        (Counter::VOLUME_FREE, 30 << 30),
        (Counter::VOLUME_TOTAL, 40 << 30),
        (Counter::BYTES_ON_DISK, records * 100),
    ];
    let node = NodeStatus {
        node: NodeId([0xab; 16]),
        version: "netchan 9.9".into(),
        started: at(0),
        now: at(second),
        counters: counters.into_iter().collect(),
    };
    Sample { taken: Duration::from_secs(second), node, channels, peers }
}
