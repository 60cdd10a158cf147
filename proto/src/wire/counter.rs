//! What a node counts, by number (the registry in spec/13-status.md).
//!
//! Owns numbers, names, units and meanings; who counts is the node's business. A number keeps its meaning for ever: one that is
//! given up is not used again, and what is unknown is skipped by who reads.

use std::fmt;
use std::time::Duration;

use nom::number::complete::{le_u16, le_u64};

use super::parse::{Parsed, Put, invalid};
use crate::limits::MAX_COUNTERS;

/// Whether a number only grows, or says how it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CounterKind {
    /// Since the node was started; it only grows.
    Counter,
    /// Now.
    Gauge,
}

impl fmt::Display for CounterKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CounterKind::Counter => "counter",
            CounterKind::Gauge => "gauge",
        })
    }
}

/// What a number is a number of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum CounterUnit {
    /// Things.
    Count,
    /// Bytes.
    Bytes,
    /// Nanoseconds.
    Nanos,
}

impl fmt::Display for CounterUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CounterUnit::Count => "count",
            CounterUnit::Bytes => "bytes",
            CounterUnit::Nanos => "ns",
        })
    }
}

/// Something that a node counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Counter(u16);

macro_rules! counters {
    ($($name:ident $small:ident = $number:literal, $kind:ident, $unit:ident, $meaning:literal;)*) => {
        impl Counter {
            $(#[doc = $meaning] pub const $name: Counter = Counter($number);)*

            /// Every one there is, by number.
            pub const ALL: &'static [Counter] = &[$(Counter($number),)*];

            /// The one of this number, if there is one.
            #[must_use]
            pub const fn from_number(number: u16) -> Option<Counter> {
                match number {
                    $($number => Some(Counter($number)),)*
                    _ => None,
                }
            }

            const fn entry(self) -> (&'static str, CounterKind, CounterUnit, &'static str) {
                match self.0 {
                    $($number => (stringify!($small), CounterKind::$kind, CounterUnit::$unit, $meaning),)*
                    _ => ("", CounterKind::Gauge, CounterUnit::Count, ""), // none is made without an entry
                }
            }
        }

        /// Each by its name: `None` where the node did not tell it.
        impl Counters {
            $(
                #[doc = $meaning]
                #[must_use]
                pub fn $small(&self) -> Option<u64> {
                    self.get(Counter::$name)
                }
            )*
        }
    };
}

counters! {
    CONNECTIONS_OPEN connections_open = 0x0001, Gauge, Count, "Connections that are served.";
    CONNECTIONS_UNPROVEN connections_unproven = 0x0002, Gauge, Count, "Those of them whose handshake is not done.";
    CONNECTIONS_ACCEPTED connections_accepted = 0x0003, Counter, Count, "Connections that were served, or still are.";
    TURNED_AWAY_FULL turned_away_full = 0x0004, Counter, Count, "Callers turned away because as many connections were open as may be.";
    TURNED_AWAY_UNPROVEN turned_away_unproven = 0x0005, Counter, Count, "Callers turned away because as many handshakes were under way as may be.";
    TURNED_AWAY_ADDRESS turned_away_address = 0x0006, Counter, Count, "Callers turned away because their address had as many connections as it may.";
    ACCEPTS_FAILED accepts_failed = 0x0007, Counter, Count, "Times that the operating system would not hand over a caller.";
    HANDSHAKES_DONE handshakes_done = 0x0010, Counter, Count, "Handshakes that succeeded.";
    HANDSHAKES_DENIED handshakes_denied = 0x0011, Counter, Count, "Handshakes that failed for want of the token.";
    HANDSHAKES_FOREIGN handshakes_foreign = 0x0012, Counter, Count, "Handshakes that failed because the caller spoke something else, or another version.";
    HANDSHAKES_LATE handshakes_late = 0x0013, Counter, Count, "Handshakes that took too long.";
    HANDSHAKES_LEFT handshakes_left = 0x0014, Counter, Count, "Handshakes that the caller left.";
    PEERS_AT_FAULT peers_at_fault = 0x0018, Counter, Count, "Connections ended after the handshake because the peer broke the protocol or a limit.";
    PEERS_SILENT peers_silent = 0x0019, Counter, Count, "Connections ended after the handshake because the peer was silent.";
    READERS readers = 0x0020, Gauge, Count, "Streams that read a channel, or wait for one.";
    PUBLISHERS publishers = 0x0021, Gauge, Count, "Streams that publish to a channel.";
    READERS_OPENED readers_opened = 0x0022, Counter, Count, "Streams that have read a channel.";
    PUBLISHERS_OPENED publishers_opened = 0x0023, Counter, Count, "Streams that have published to a channel.";
    REQUESTS requests = 0x0024, Counter, Count, "Requests taken: about channels, about the node, about cursors, to seal, to delete.";
    REFUSALS refusals = 0x0025, Counter, Count, "Streams and requests that were answered by an error.";
    GAPS_TOLD gaps_told = 0x0026, Counter, Count, "Gaps that readers were told of.";
    TRUNCATIONS_TOLD truncations_told = 0x0027, Counter, Count, "Roll-backs that readers were told of.";
    BYTES_IN bytes_in = 0x0030, Counter, Bytes, "Bytes that came over connections.";
    BYTES_OUT bytes_out = 0x0031, Counter, Bytes, "Bytes that went over connections.";
    FRAMES_IN frames_in = 0x0032, Counter, Count, "Frames that came over connections.";
    FRAMES_OUT frames_out = 0x0033, Counter, Count, "Frames that went over connections.";
    RECORDS_APPENDED records_appended = 0x0038, Counter, Count, "Records written to the logs, wherever they came from.";
    BYTES_APPENDED bytes_appended = 0x0039, Counter, Bytes, "Bytes of batches written to the logs.";
    RECORDS_DELIVERED records_delivered = 0x003A, Counter, Count, "Records sent to readers.";
    BYTES_DELIVERED bytes_delivered = 0x003B, Counter, Bytes, "Bytes of batches sent to readers.";
    RECORDS_PUBLISHED records_published = 0x003C, Counter, Count, "Records that publishers sent and the logs took, which had them not yet.";
    WRITES writes = 0x0040, Counter, Count, "Groups of batches written to the logs.";
    SYNCS syncs = 0x0041, Counter, Count, "Syncs of logs.";
    SYNC_TIME sync_time = 0x0042, Counter, Nanos, "Time that syncs of logs took, all together.";
    LOGS_FAILED logs_failed = 0x0043, Counter, Count, "Times that a log failed because a write or a sync did.";
    CHANNELS channels = 0x0050, Gauge, Count, "Channels there are.";
    LOGS_OPEN logs_open = 0x0051, Gauge, Count, "Those of them whose logs are open.";
    BYTES_ON_DISK bytes_on_disk = 0x0052, Gauge, Bytes, "Bytes that the channels take on the disk.";
    VOLUME_FREE volume_free = 0x0053, Gauge, Bytes, "Bytes free on the volume with the data directory.";
    VOLUME_TOTAL volume_total = 0x0054, Gauge, Bytes, "Bytes of the volume with the data directory.";
    MEMORY_HELD memory_held = 0x0058, Gauge, Bytes, "Bytes that peers make the node hold: what was read for them, and waits to be sent.";
    MEMORY_HELD_LIMIT memory_held_limit = 0x0059, Gauge, Bytes, "The most that peers may make it hold.";
    MEMORY_TAILS memory_tails = 0x005A, Gauge, Bytes, "Bytes of the newest batches of the logs, kept in memory.";
    MEMORY_TAILS_LIMIT memory_tails_limit = 0x005B, Gauge, Bytes, "The most of that.";
    MEMORY_QUEUED memory_queued = 0x005C, Gauge, Bytes, "Bytes of records that are queued and not written yet.";
    SYNCS_64US syncs_64us = 0x0100, Counter, Count, "Syncs that took at most 64 microseconds; each of the next ones includes those before.";
    SYNCS_128US syncs_128us = 0x0101, Counter, Count, "Syncs that took at most 128 microseconds.";
    SYNCS_256US syncs_256us = 0x0102, Counter, Count, "Syncs that took at most 256 microseconds.";
    SYNCS_512US syncs_512us = 0x0103, Counter, Count, "Syncs that took at most 512 microseconds.";
    SYNCS_1MS syncs_1ms = 0x0104, Counter, Count, "Syncs that took at most 1.024 milliseconds.";
    SYNCS_2MS syncs_2ms = 0x0105, Counter, Count, "Syncs that took at most 2.048 milliseconds.";
    SYNCS_4MS syncs_4ms = 0x0106, Counter, Count, "Syncs that took at most 4.096 milliseconds.";
    SYNCS_8MS syncs_8ms = 0x0107, Counter, Count, "Syncs that took at most 8.192 milliseconds.";
    SYNCS_16MS syncs_16ms = 0x0108, Counter, Count, "Syncs that took at most 16.384 milliseconds.";
    SYNCS_33MS syncs_33ms = 0x0109, Counter, Count, "Syncs that took at most 32.768 milliseconds.";
    SYNCS_66MS syncs_66ms = 0x010A, Counter, Count, "Syncs that took at most 65.536 milliseconds.";
    SYNCS_131MS syncs_131ms = 0x010B, Counter, Count, "Syncs that took at most 131.072 milliseconds.";
    SYNCS_262MS syncs_262ms = 0x010C, Counter, Count, "Syncs that took at most 262.144 milliseconds.";
    SYNCS_524MS syncs_524ms = 0x010D, Counter, Count, "Syncs that took at most 524.288 milliseconds.";
    SYNCS_1049MS syncs_1049ms = 0x010E, Counter, Count, "Syncs that took at most 1048.576 milliseconds.";
}

impl Counter {
    /// The counters of syncs by how long they took, with the nanoseconds that each of them includes.
    pub fn sync_steps() -> impl Iterator<Item = (Counter, u64)> {
        let first = Counter::SYNCS_64US.0;
        (0..).zip(first..=Counter::SYNCS_1049MS.0).map(|(step, number)| (Counter(number), 64_000 << step))
    }

    /// The number on the wire.
    #[must_use]
    pub fn number(self) -> u16 {
        self.0
    }

    /// Its name: small letters, digits and underscores.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.entry().0
    }

    /// Whether it only grows.
    #[must_use]
    pub fn kind(self) -> CounterKind {
        self.entry().1
    }

    /// What it is a number of.
    #[must_use]
    pub fn unit(self) -> CounterUnit {
        self.entry().2
    }

    /// What it means: a sentence.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        self.entry().3
    }
}

/// What a node has counted: numbers by [`Counter`], in the order of these.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Counters(Vec<(Counter, u64)>);

impl Counters {
    /// What it is of one counter; `None` if the node did not tell it.
    #[must_use]
    pub fn get(&self, counter: Counter) -> Option<u64> {
        let at = self.0.binary_search_by_key(&counter, |(counter, _)| *counter).ok()?;
        Some(self.0[at].1)
    }

    /// Puts a number in its place.
    pub fn set(&mut self, counter: Counter, value: u64) {
        match self.0.binary_search_by_key(&counter, |(counter, _)| *counter) {
            Ok(at) => self.0[at].1 = value,
            Err(at) => self.0.insert(at, (counter, value)),
        }
    }

    /// Each that was told, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Counter, u64)> {
        self.0.iter().copied()
    }

    /// What has been counted since `earlier`, and the gauges as they are here. What `earlier` has more of is that of a node
    /// that has been started anew: all of it is new then.
    #[must_use]
    pub fn since(&self, earlier: &Counters) -> Counters {
        let grown = |&(counter, value): &(Counter, u64)| {
            let before = earlier.get(counter).filter(|_| counter.kind() == CounterKind::Counter);
            (counter, value.checked_sub(before.unwrap_or(0)).unwrap_or(value))
        };
        Counters(self.0.iter().map(grown).collect())
    }

    /// The time within which this `share` (0 to 1) of all syncs was done, to the next step of two; `None` where there was none,
    /// or it took longer than the last step.
    #[must_use]
    pub fn sync_quantile(&self, share: f64) -> Option<Duration> {
        let syncs = self.get(Counter::SYNCS).filter(|syncs| *syncs > 0)?;
        #[expect(clippy::cast_precision_loss)] // a share is not that exact
        let within = |counter| self.get(counter).is_some_and(|count| count as f64 >= syncs as f64 * share);
        let step = Counter::sync_steps().find(|(counter, _)| within(*counter));
        step.map(|(_, nanos)| Duration::from_nanos(nanos))
    }

    pub(super) fn parse(input: &[u8]) -> Parsed<'_, Counters> {
        let (mut input, count) = le_u16(input)?;
        if usize::from(count) > MAX_COUNTERS {
            return invalid("count");
        }
        let mut counters = Vec::with_capacity(usize::from(count).min(input.len() / 10));
        let mut last = None;
        for _ in 0..count {
            let (number, value);
            (input, number) = le_u16(input)?;
            (input, value) = le_u64(input)?;
            if last.replace(number).is_some_and(|last| last >= number) {
                return invalid("order");
            }
            counters.extend(Counter::from_number(number).map(|counter| (counter, value)));
        }
        Ok((input, Counters(counters)))
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.u16(u16::try_from(self.0.len()).unwrap_or(u16::MAX)); // there are not so many counters
        for (counter, value) in &self.0 {
            out.u16(counter.0);
            out.u64(*value);
        }
    }
}

impl FromIterator<(Counter, u64)> for Counters {
    fn from_iter<I: IntoIterator<Item = (Counter, u64)>>(counters: I) -> Counters {
        let mut all = Counters::default();
        counters.into_iter().for_each(|(counter, value)| all.set(counter, value));
        all
    }
}

impl fmt::Debug for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl fmt::Display for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
