//! Stand-ins for `Start` and `LogInfo` until proto's wire room has them.

use std::time::Duration;

use netchan_proto::{ChannelName, Durability, Epoch, LogId, Offset, Position, Timestamp};

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Start {
    /// The first record there is.
    Earliest,
    /// What comes next.
    Latest,
    /// This offset.
    Offset(Offset),
    /// The first record at or after this time.
    Time(Timestamp),
    /// The first record at or after this long ago.
    Ago(Duration),
    /// The last so many.
    Last(u64),
    /// Where a reader stopped.
    Resume(Position),
}

/// What a log can tell of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogInfo {
    /// Its name.
    pub name: ChannelName,
    /// Its identity.
    pub id: LogId,
    /// Its generation.
    pub epoch: Epoch,
    /// Its mode.
    pub durability: Durability,
    /// Whether it is sealed.
    pub sealed: bool,
    /// The first record there is.
    pub first: Offset,
    /// The visible end.
    pub next: Offset,
    /// The durable end.
    pub durable: Offset,
    /// The time of the first record.
    pub first_time: Timestamp,
    /// The time of the last record.
    pub last_time: Timestamp,
    /// When it was made.
    pub created: Timestamp,
    /// Bytes of its files.
    pub bytes: u64,
    /// How many files.
    pub segments: u64,
}
