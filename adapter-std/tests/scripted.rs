//! A receiver against a sender whose every frame is chosen here.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::thread;

use bytes::Buf;
use netchan_proto::batch::{BatchBuilder, Stamp};
use netchan_proto::conn::{Connection, ConnectionConfig, Event};
use netchan_proto::limits::PEER_TIMEOUT;
use netchan_proto::wire::{Gap, Opened, Roles};
use netchan_proto::{AsRecord, Durability, Epoch, Instant, LogId, NodeId};
use netchan_std::{ErrorKind, GapReason, Node, Offset, Side, Start, Timestamp};

const NOW: Instant = Instant(0);
const LOG: LogId = LogId([7; 16]);

fn batch(from: u64) -> bytes::Bytes {
    let mut builder = BatchBuilder::new(Offset(from), None);
    for offset in from..from + 3 {
        builder.push(Timestamp(offset as i64), &offset.to_string().as_record());
    }
    builder.finish(Stamp { seed: &LOG.0, epoch: Epoch(1), durable_offset: Offset(0), previous_crc: 0 }).1
}

/// Sends three records, a gap of four, and three more, in one piece; then reads until it is left.
fn send(mut stream: UnixStream) {
    let config = ConnectionConfig {
        side: Side::Listener,
        node: NodeId([9; 16]),
        roles: Roles::SENDS,
        nonce: [9; 16],
        token: None,
        grants: std::sync::Arc::default(),
        trusted: false,
        peer_timeout: PEER_TIMEOUT,
    };
    let mut connection = Connection::new(config, NOW);
    let mut buffer = [0; 4096];
    loop {
        while let Some(event) = connection.poll_event(NOW).unwrap() {
            let Event::OpenRequest(id, _) = event else { continue };
            let opened = Opened {
                log: LOG,
                epoch: Epoch(0),
                durability: Durability::Sync,
                sealed: false,
                first: Offset(0),
                next: Offset(10),
                start: Offset(0),
                clock: Timestamp(0),
                content: None,
                partitions: None,
            };
            connection.opened(id, &opened);
            connection.data(id, batch(0));
            let why = GapReason::Damaged;
            connection.gap(id, &Gap { from: Offset(3), to: Offset(7), why, epoch: Epoch(1) });
            connection.data(id, batch(7));
        }
        let outbound = connection.outbound();
        let bytes = outbound.copy_to_bytes(outbound.remaining());
        stream.write_all(&bytes).unwrap();
        let count = stream.read(&mut buffer).unwrap_or(0);
        if count == 0 {
            return;
        }
        connection.read_buf().extend_from_slice(&buffer[..count]);
        connection.received(count, NOW);
    }
}

/// The records before it first; and it is told once.
#[test]
fn an_error_among_records_that_are_taken_together_is_told_in_its_place() {
    let (near, far) = UnixStream::pair().unwrap();
    let sending = thread::spawn(move || send(far));
    let node = Node::builder().start().unwrap();
    let receiver = node.receiver("gappy").from(Start::Earliest).over(near, Side::Dialler);
    let mut receiver = receiver.open().unwrap();
    let offsets = |records: Vec<netchan_std::Record>| -> Vec<u64> {
        records.into_iter().map(|record| record.offset.0).collect()
    };
    let mut got = Vec::new();
    while got.len() < 3 {
        got.extend(offsets(receiver.recv_batch(100).unwrap()));
    }
    assert_eq!(got, [0, 1, 2]);
    let gap = receiver.recv_batch(100).unwrap_err();
    assert!(matches!(gap.kind(), ErrorKind::Gap { from: Offset(3), to: Offset(7), .. }), "{gap}");
    while got.len() < 6 {
        got.extend(offsets(receiver.recv_batch(2).unwrap()));
    }
    assert_eq!(got, [0, 1, 2, 7, 8, 9]);
    assert_eq!(receiver.try_recv().unwrap_err().kind(), ErrorKind::TimedOut);
    drop(receiver);
    sending.join().unwrap();
}
