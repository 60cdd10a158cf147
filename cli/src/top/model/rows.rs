//! Channels and peers as two looks show them: how fast they move, and how far behind the readers are.
//!
//! Owns what is worked out of a look and the one before. Knows nothing of what is selected or shown.

use std::collections::HashMap;
use std::time::Duration;

use netchan::{LogInfo, ReaderInfo, ReaderKind, Timestamp};

use super::history::{History, rate};
use crate::top::sample::Sample;
use crate::top::text;

/// How far behind the end of a channel somebody is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Lag {
    pub(crate) records: u64,
    /// How long ago the oldest record that it has not read was sent, if that is known.
    pub(crate) nanos: Option<u64>,
}

impl Lag {
    fn of(peer: &ReaderInfo, now: Timestamp) -> Option<Lag> {
        let nanos = peer.lag_time(now).map(|time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
        peer.lag().map(|records| Lag { records, nanos })
    }
}

/// A channel, and how it goes.
#[derive(Clone, Debug)]
pub(crate) struct Channel {
    pub(crate) info: LogInfo,
    /// Its name as it can be shown.
    pub(crate) name: String,
    pub(crate) records: Option<f64>,
    pub(crate) bytes: Option<f64>,
    pub(crate) records_before: History,
    pub(crate) bytes_before: History,
    pub(crate) readers: usize,
    pub(crate) publishers: usize,
    /// The longest of its readers, in records and, apart from that, in time.
    pub(crate) lag: Option<Lag>,
    /// How long ago its last record was sent, by the node's clock.
    pub(crate) quiet: Option<u64>,
}

impl Channel {
    /// Records that can be read and a power cut would take.
    pub(crate) fn unsynced(&self) -> u64 {
        self.info.next.0.saturating_sub(self.info.durable.0)
    }

    /// Records there are.
    pub(crate) fn held(&self) -> u64 {
        self.info.next.0.saturating_sub(self.info.first.0)
    }

    fn new(info: LogInfo) -> Channel {
        Channel {
            name: text::shown(info.name.as_str()),
            info,
            records: None,
            bytes: None,
            records_before: History::default(),
            bytes_before: History::default(),
            readers: 0,
            publishers: 0,
            lag: None,
            quiet: None,
        }
    }

    /// It is `info` now, after `took`.
    fn moved(&mut self, info: LogInfo, took: Duration) {
        let before = &self.info;
        self.records = rate(before.next.0, info.next.0, took);
        self.bytes = if before.first == info.first {
            rate(before.bytes, info.bytes, took)
        } else {
            // some were trimmed meanwhile: as much as these records take on the whole
            let held = info.next.0.saturating_sub(info.first.0).max(1);
            self.records.map(|records| records * (info.bytes as f64 / held as f64))
        };
        self.info = info;
    }
}

/// The channels of a look, in the order of their names; what was known of them goes on.
pub(crate) fn channels(sample: &Sample, before: Vec<Channel>, took: Option<Duration>) -> Vec<Channel> {
    let mut before: HashMap<String, Channel> =
        before.into_iter().map(|channel| (channel.info.name.to_string(), channel)).collect();
    let mut rows: Vec<Channel> = Vec::with_capacity(sample.channels.len());
    for info in &sample.channels {
        let known = before.remove(info.name.as_str()).filter(|channel| channel.info.id == info.id);
        let row = match (known, took) {
            (Some(mut channel), Some(took)) => {
                channel.moved(info.clone(), took);
                channel
            }
            _ => Channel::new(info.clone()),
        };
        rows.push(row);
    }
    let places: HashMap<&str, usize> =
        sample.channels.iter().enumerate().map(|(at, info)| (info.name.as_str(), at)).collect();
    for row in &mut rows {
        (row.readers, row.publishers, row.lag) = (0, 0, None);
        row.records_before.push(row.records);
        row.bytes_before.push(row.bytes);
        let last = Some(row.info.last_time).filter(|&time| time != Timestamp::MIN);
        row.quiet = last.map(|last| u64::try_from(sample.node.now.0.saturating_sub(last.0)).unwrap_or(0));
    }
    for peer in &sample.peers {
        let Some(row) = places.get(peer.channel.as_str()).and_then(|&at| rows.get_mut(at)) else { continue };
        match peer.kind {
            ReaderKind::Reads => row.readers += 1,
            ReaderKind::Publishes => row.publishers += 1,
        }
        let lag = Lag::of(peer, sample.node.now);
        row.lag = match (row.lag, lag) {
            (Some(a), Some(b)) => {
                Some(Lag { records: a.records.max(b.records), nanos: a.nanos.max(b.nanos) })
            }
            (a, b) => a.or(b),
        };
    }
    rows
}

/// A reader or a publisher, and how it goes.
#[derive(Clone, Debug)]
pub(crate) struct PeerRow {
    pub(crate) peer: ReaderInfo,
    /// The channel's name and the peer's address as they can be shown.
    pub(crate) channel: String,
    pub(crate) address: String,
    pub(crate) lag: Option<Lag>,
    pub(crate) records: Option<f64>,
    pub(crate) bytes: Option<f64>,
    pub(crate) bytes_before: History,
}

/// The peers of a look; what was known of them goes on.
pub(crate) fn peers(sample: &Sample, before: Vec<PeerRow>, took: Option<Duration>) -> Vec<PeerRow> {
    let mut before: HashMap<u64, PeerRow> = before.into_iter().map(|row| (row.peer.id, row)).collect();
    let row = |peer: &ReaderInfo| {
        let known = before.remove(&peer.id).filter(|row| row.peer.since == peer.since);
        let mut row = match (known, took) {
            (Some(mut row), Some(took)) => {
                row.records = rate(row.peer.records, peer.records, took);
                row.bytes = rate(row.peer.bytes, peer.bytes, took);
                row
            }
            _ => PeerRow {
                channel: text::shown(peer.channel.as_str()),
                address: text::shown(&peer.peer),
                peer: peer.clone(),
                lag: None,
                records: None,
                bytes: None,
                bytes_before: History::default(),
            },
        };
        row.bytes_before.push(row.bytes);
        PeerRow { peer: peer.clone(), lag: Lag::of(peer, sample.node.now), ..row }
    };
    sample.peers.iter().map(row).collect()
}
