//! By what channels and peers can be sorted, which is also what can be seen of them.

use std::cmp::Ordering;

use super::list::Column;
use super::rows::{Channel, PeerRow};

/// What is seen of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChannelColumn {
    Name,
    Records,
    Bytes,
    Next,
    Held,
    Size,
    Unsynced,
    Readers,
    Publishers,
    Lag,
    Behind,
    Mode,
    Quiet,
}

fn floats(a: Option<f64>, b: Option<f64>) -> Ordering {
    let or_least = |value: Option<f64>| value.unwrap_or(-1.0);
    or_least(a).total_cmp(&or_least(b))
}

impl Column for ChannelColumn {
    type Row = Channel;
    type Key = String;

    const ALL: &'static [ChannelColumn] = &[
        ChannelColumn::Name,
        ChannelColumn::Records,
        ChannelColumn::Bytes,
        ChannelColumn::Next,
        ChannelColumn::Held,
        ChannelColumn::Size,
        ChannelColumn::Unsynced,
        ChannelColumn::Readers,
        ChannelColumn::Publishers,
        ChannelColumn::Lag,
        ChannelColumn::Behind,
        ChannelColumn::Mode,
        ChannelColumn::Quiet,
    ];

    fn key(row: &Channel) -> String {
        row.info.name.to_string()
    }

    fn compare(self, a: &Channel, b: &Channel) -> Ordering {
        match self {
            ChannelColumn::Name => a.info.name.cmp(&b.info.name),
            ChannelColumn::Records => floats(a.records, b.records),
            ChannelColumn::Bytes => floats(a.bytes, b.bytes),
            ChannelColumn::Next => a.info.next.cmp(&b.info.next),
            ChannelColumn::Held => a.held().cmp(&b.held()),
            ChannelColumn::Size => a.info.bytes.cmp(&b.info.bytes),
            ChannelColumn::Unsynced => a.unsynced().cmp(&b.unsynced()),
            ChannelColumn::Readers => a.readers.cmp(&b.readers),
            ChannelColumn::Publishers => a.publishers.cmp(&b.publishers),
            ChannelColumn::Lag => a.lag.map(|lag| lag.records).cmp(&b.lag.map(|lag| lag.records)),
            ChannelColumn::Behind => a.lag.and_then(|lag| lag.nanos).cmp(&b.lag.and_then(|lag| lag.nanos)),
            ChannelColumn::Mode => {
                (a.info.sealed, a.info.durability.code()).cmp(&(b.info.sealed, b.info.durability.code()))
            }
            // who was never heard of is quiet longest
            ChannelColumn::Quiet => a.quiet.unwrap_or(u64::MAX).cmp(&b.quiet.unwrap_or(u64::MAX)),
        }
    }

    fn is_largest_first(self) -> bool {
        !matches!(self, ChannelColumn::Name | ChannelColumn::Mode | ChannelColumn::Quiet)
    }
}

/// What is seen of a reader or publisher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PeerColumn {
    Channel,
    Does,
    Address,
    Node,
    Position,
    Lag,
    Behind,
    Records,
    Bytes,
    Moved,
    Credit,
    Since,
}

impl Column for PeerColumn {
    type Row = PeerRow;
    type Key = u64;

    const ALL: &'static [PeerColumn] = &[
        PeerColumn::Channel,
        PeerColumn::Does,
        PeerColumn::Address,
        PeerColumn::Node,
        PeerColumn::Position,
        PeerColumn::Lag,
        PeerColumn::Behind,
        PeerColumn::Records,
        PeerColumn::Bytes,
        PeerColumn::Moved,
        PeerColumn::Credit,
        PeerColumn::Since,
    ];

    fn key(row: &PeerRow) -> u64 {
        row.peer.id
    }

    fn compare(self, a: &PeerRow, b: &PeerRow) -> Ordering {
        match self {
            PeerColumn::Channel => a.peer.channel.cmp(&b.peer.channel),
            PeerColumn::Does => a.peer.kind.cmp(&b.peer.kind),
            PeerColumn::Address => a.address.cmp(&b.address),
            PeerColumn::Node => a.peer.node.cmp(&b.peer.node),
            PeerColumn::Position => a.peer.offset.cmp(&b.peer.offset),
            PeerColumn::Lag => a.lag.map(|lag| lag.records).cmp(&b.lag.map(|lag| lag.records)),
            PeerColumn::Behind => a.lag.and_then(|lag| lag.nanos).cmp(&b.lag.and_then(|lag| lag.nanos)),
            PeerColumn::Records => floats(a.records, b.records),
            PeerColumn::Bytes => floats(a.bytes, b.bytes),
            PeerColumn::Moved => a.peer.bytes.cmp(&b.peer.bytes),
            PeerColumn::Credit => a.peer.credit.cmp(&b.peer.credit),
            PeerColumn::Since => a.peer.since.cmp(&b.peer.since),
        }
    }

    fn is_largest_first(self) -> bool {
        matches!(
            self,
            PeerColumn::Lag
                | PeerColumn::Behind
                | PeerColumn::Records
                | PeerColumn::Bytes
                | PeerColumn::Moved
                | PeerColumn::Since
        )
    }
}
