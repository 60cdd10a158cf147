//! What a receiver by pattern is asked, and what it gives.

use std::collections::BTreeMap;
use std::time::Duration;

use netchan_proto::limits::CREDIT_WINDOW;
use netchan_proto::{ChannelName, Filter, Pattern, Position, Record, Start, Timestamp};

use crate::receiver::Wanted;

/// Where to go on in several channels: a position in each. Made of a receiver's, and kept as the program likes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChannelPositions(BTreeMap<ChannelName, Position>);

impl ChannelPositions {
    /// Where to go on in one of them.
    #[must_use]
    pub fn get(&self, channel: &ChannelName) -> Option<Position> {
        self.0.get(channel).copied()
    }

    /// Sets where to go on in one of them.
    pub fn set(&mut self, channel: ChannelName, position: Position) {
        self.0.insert(channel, position);
    }

    /// All of them, in the order of names.
    pub fn iter(&self) -> impl Iterator<Item = (&ChannelName, &Position)> {
        self.0.iter()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(ChannelName, Position)> for ChannelPositions {
    fn from_iter<T: IntoIterator<Item = (ChannelName, Position)>>(positions: T) -> ChannelPositions {
        ChannelPositions(positions.into_iter().collect())
    }
}

/// How long a record waits for earlier ones of other channels, when they are merged by time and nothing else is said.
pub const MERGE_WINDOW: Duration = Duration::from_millis(100);

/// A record, and the channel it was sent into.
#[derive(Clone, Debug)]
pub struct Received {
    /// The channel.
    pub channel: ChannelName,
    /// The record.
    pub record: Record,
}

/// What a receiver by pattern is to do.
#[derive(Clone, Debug)]
pub struct PatternOptions {
    /// Which channels.
    pub pattern: Pattern,
    /// Where to begin in each channel that is there. One that is made later is read from its first record on, unless this is a
    /// time or an offset, which it has too. Default: with the next record to come.
    pub start: Start,
    /// Where to go on, in place of that. A channel that is not among them is read from its first record on.
    pub resume: Option<ChannelPositions>,
    /// Bytes that may be under way of each of the first eight channels; of others 64 KiB may. At least 64 KiB. Default 1 MiB.
    /// One batch at a time, of one of them, may be larger.
    pub window: u64,
    /// Whether to go on past what is there at the first connection. Default: yes.
    pub follow: bool,
    /// In each channel, ends before the first record at or after this time. Default: none.
    pub until: Option<Timestamp>,
    /// What the payloads of each channel must be. Default: whatever they are.
    pub content: Option<Wanted>,
    /// Only these records, of each channel. Default: all.
    pub filter: Option<Filter>,
    /// Whether the records of all channels come in the order of the times at which the log took them, those of one time in the order of
    /// names: exactly so for what is there when the receiver opens, and for what is sent later as far as it arrives within this of
    /// what was sent after it, see [`MERGE_WINDOW`]. Default: no, channels take turns.
    pub merge: Option<Duration>,
    /// Only partitions with these numbers. Default: all channels that match.
    pub partitions: Option<Vec<u16>>,
}

impl PatternOptions {
    /// The defaults, for `pattern`.
    pub fn new(pattern: Pattern) -> PatternOptions {
        PatternOptions {
            pattern,
            start: Start::Latest,
            resume: None,
            window: CREDIT_WINDOW,
            follow: true,
            until: None,
            content: None,
            filter: None,
            merge: None,
            partitions: None,
        }
    }

    /// Whether a channel that matches is one of the partitions that are meant.
    pub(super) fn means(&self, name: &ChannelName) -> bool {
        let is_one = |numbers: &Vec<u16>| name.partition().is_some_and(|number| numbers.contains(&number));
        self.partitions.as_ref().is_none_or(is_one)
    }
}
