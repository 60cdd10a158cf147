//! What a receiver tells of what its user has, against a scripted sender.

#![allow(clippy::unwrap_used)]

mod far;

use bytes::Buf;
use far::{Far, name, node};
use netchan_node::{Dialling, Machine, Next, ReceiverCore, ReceiverOptions};
use netchan_proto::conn::{Connection, ConnectionConfig, Event};
use netchan_proto::limits::{MAX_AWAITS, PEER_TIMEOUT};
use netchan_proto::wire::{Opened, Roles, Seeked, StreamId};
use netchan_proto::{Epoch, ErrorCode, Instant, NodeId, Offset, Side, Start, Timestamp};

const NOW: Instant = Instant(0);

/// A receiver, and who sends to it.
struct Both {
    receiver: ReceiverCore,
    sender: Connection,
    /// What the sender heard, but for credit.
    heard: Vec<Event>,
    id: StreamId,
}

fn opened(far: &Far, start: u64) -> Opened {
    Opened {
        log: far.log,
        epoch: if start == 0 { Epoch(0) } else { far.epoch },
        durability: far.durability,
        sealed: false,
        first: Offset(0),
        next: far.next,
        start: Offset(start),
        clock: Timestamp(0),
        content: None,
        partitions: None,
    }
}

fn carry(from: &mut Connection, to: &mut Connection) -> usize {
    let outbound = from.outbound();
    let bytes = outbound.copy_to_bytes(outbound.remaining());
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        let room = to.read_buf();
        let part = rest.len().min(room.capacity() - room.len());
        room.extend_from_slice(&rest[..part]);
        to.received(part, NOW);
        rest = &rest[part..];
    }
    bytes.len()
}

impl Both {
    fn reading(far: &Far) -> Both {
        let options = ReceiverOptions { start: Start::Earliest, ..ReceiverOptions::new(name()) };
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
        let sender = Connection::new(config, NOW);
        let receiver = ReceiverCore::new(&node(), options);
        let mut both = Both { receiver, sender, heard: Vec::new(), id: StreamId(1) };
        both.receiver.connected(Side::Dialler, false, NOW);
        both.pump();
        assert!(both.sender.peer().unwrap().roles.has(Roles::TELLS));
        assert!(matches!(both.heard.pop(), Some(Event::OpenRequest(StreamId(1), _))));
        both.sender.opened(both.id, &opened(far, 0));
        both
    }

    /// Carries bytes both ways, and has the sender hear. The receiver is not asked for anything.
    fn carry(&mut self) -> bool {
        let Some(connection) = self.receiver.connection() else { return false };
        let moved = carry(connection, &mut self.sender) + carry(&mut self.sender, connection);
        while let Ok(Some(event)) = self.sender.poll_event(NOW) {
            if !matches!(event, Event::Ready(_) | Event::Credit(_)) {
                self.heard.push(event);
            }
        }
        moved > 0
    }

    /// As a receiver is driven by its user, who waits for nothing in particular.
    fn pump(&mut self) {
        while self.carry() {
            self.receiver.work(NOW, std::task::Waker::noop());
        }
    }

    fn data(&mut self, far: &Far) {
        far.batches.iter().for_each(|batch| self.sender.data(self.id, batch.bytes.clone()));
    }

    /// The offset of the next record, and what was told at once, before the user came back.
    fn next(&mut self) -> (u64, Vec<u64>) {
        let next = loop {
            match self.receiver.next(NOW) {
                Next::Record(record) => break record.offset.0,
                Next::Idle => assert!(self.carry(), "no record comes"),
                other => panic!("{other:?}"),
            }
        };
        let has_told = self.receiver.has_told();
        self.carry();
        let told = self.told();
        assert_eq!(has_told, !told.is_empty(), "its driver has it written at once");
        (next, told)
    }

    fn told(&mut self) -> Vec<u64> {
        let told = |event| match event {
            Event::Received(_, end) => end.0,
            other => panic!("{other:?}"),
        };
        self.heard.drain(..).map(told).collect()
    }
}

/// NC-STR-043, NC-STR-044
#[test]
fn what_is_asked_before_the_records_is_told_as_soon_as_the_user_has_them() {
    let far = Far::with_batches(&[3, 1, 4]);
    let mut both = Both::reading(&far);
    [2, 4, 6].iter().for_each(|&end| both.sender.await_received(both.id, Offset(end)));
    both.data(&far);
    let told: Vec<_> = (0..8).map(|_| both.next()).collect();
    let expected: [&[u64]; 8] = [&[], &[2], &[], &[4], &[], &[6], &[], &[]];
    assert!(told.iter().map(|(offset, _)| *offset).eq(0..8));
    assert!(told.iter().map(|(_, told)| &told[..]).eq(expected), "{told:?}");
    // What the user has when it is asked is told when the user asks for more.
    [7, 8, 9].iter().for_each(|&end| both.sender.await_received(both.id, Offset(end)));
    both.carry();
    assert_eq!(both.told(), [0u64; 0]);
    assert!(matches!(both.receiver.next(NOW), Next::Idle));
    both.pump();
    assert_eq!(both.told(), [8, 8]);
}

/// NC-STR-045
#[test]
fn a_seek_ends_what_was_asked() {
    let far = Far::with_batches(&[3, 1, 4]);
    let mut both = Both::reading(&far);
    both.sender.await_received(both.id, Offset(2));
    both.data(&far);
    assert_eq!(both.next(), (0, vec![]));
    both.receiver.seek(Start::Offset(Offset(4)));
    // On its way before the SEEK came there.
    both.sender.await_received(both.id, Offset(4));
    both.pump();
    let Some(Event::SeekRequest(_, seek)) = both.heard.pop() else { panic!("{:?}", both.heard) };
    assert!(both.heard.is_empty(), "{:?}", both.heard);
    both.sender.seeked(both.id, &Seeked { seek_id: seek.seek_id, opened: opened(&far, 4) });
    both.sender.await_received(both.id, Offset(5));
    both.sender.data(both.id, far.batches[2].bytes.clone());
    assert_eq!(both.next(), (4, vec![5]));
}

/// NC-STR-043
#[test]
fn what_is_gone_counts_as_what_the_user_has() {
    let far = Far::with_batches(&[3, 1, 4]);
    let mut both = Both::reading(&far);
    both.sender.await_received(both.id, Offset(3));
    let gap = netchan_proto::wire::Gap {
        from: Offset(0),
        to: Offset(3),
        why: netchan_proto::wire::GapReason::Retention,
        epoch: far.epoch,
    };
    both.sender.gap(both.id, &gap);
    both.carry();
    assert!(matches!(both.receiver.next(NOW), Next::Error(_)));
    both.carry();
    assert_eq!(both.told(), [3]);
}

/// NC-STR-046
#[test]
fn who_asks_too_much_is_cut_off() {
    let far = Far::with_batches(&[1]);
    let mut both = Both::reading(&far);
    (0..MAX_AWAITS as u64).for_each(|end| both.sender.await_received(both.id, Offset(10 + end)));
    both.pump();
    assert!(both.receiver.connection().is_some_and(|connection| connection.is_ready()));
    both.sender.await_received(both.id, Offset(1000));
    both.carry();
    both.receiver.work(NOW, std::task::Waker::noop());
    let connection = both.receiver.connection().unwrap();
    assert!(connection.is_over());
    carry(connection, &mut both.sender);
    let why = std::iter::from_fn(|| both.sender.poll_event(NOW).err()).next().unwrap();
    assert_eq!(why.code(), Some(ErrorCode::PROTOCOL));
}
