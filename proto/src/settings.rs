//! How a channel is kept: what is said when it is made, and what may be said later (spec/19-administration.md).
//!
//! Owns the settings, their numbers on the wire, and which of them may change. What they do is the store's.

use std::fmt;
use std::num::NonZeroU16;
use std::time::Duration;

use crate::compression::Compression;
use crate::limits::MAX_PARTITIONS;
use crate::partition::Partitions;
use crate::types::Durability;

/// What may be trimmed, what stays whatever may be, and what becomes of appends when there is no room. Whole closed
/// segments go, oldest first, never the active one; readers who wanted them are told a gap. Off by default.
///
/// Each limit that is set lets the oldest segment go by itself, as long as the floor holds without it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Records older than this may go. They go with their segment, and a segment takes records for up to half this
    /// time, so the oldest are kept for up to one and a half times as long.
    pub max_age: Option<Duration>,
    /// The oldest segments go while the log's files take more than this many bytes.
    pub max_bytes: Option<u64>,
    /// The oldest segments go while the log has more than this many records.
    pub max_records: Option<u64>,
    /// The oldest segments go while fewer bytes than this are free on the volume, whoever took them.
    pub min_free: Option<u64>,
    /// The floor: no segment goes without which the log's files would take fewer bytes than this.
    pub keep_bytes: Option<u64>,
    /// The floor: no segment goes without which the log would have fewer records than this.
    pub keep_records: Option<u64>,
    /// The ceiling: the log's files take no more bytes than this, but for what was queued when they came to it. What
    /// happens there, and on a volume that is nearly full, says `when_full`.
    pub ceiling: Option<u64>,
    /// The oldest segment does not go before every durable cursor of the channel has passed it, until the log's files take
    /// more than this many bytes: then it goes all the same, and who wanted it is told a gap. None, or 0: cursors hold
    /// nothing; and nothing of what goes for want of room, where `when_full` says so, or is truncated.
    pub hold_cursors: Option<u64>,
    /// What becomes of appends at the ceiling, and on a volume that is nearly full.
    pub when_full: WhenFull,
}

/// What becomes of appends when there is no room for them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenFull {
    /// They are refused, with an error that says why.
    #[default]
    Fail,
    /// They wait, as for a queue that is full, until there is room.
    Block,
    /// The oldest segments go for them, down to the floor; then they are refused.
    TrimOldest,
}

impl WhenFull {
    /// Its number on the wire and on the disk.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            WhenFull::Fail => 0,
            WhenFull::Block => 1,
            WhenFull::TrimOldest => 2,
        }
    }

    /// Which one a number means.
    #[must_use]
    pub fn from_code(code: u8) -> Option<WhenFull> {
        [WhenFull::Fail, WhenFull::Block, WhenFull::TrimOldest].into_iter().find(|full| full.code() == code)
    }
}

/// How one log is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// When an append is acknowledged, and what readers see.
    pub durability: Durability,
    /// In [`Durability::Interval`]: how long written records may wait for their sync. Default 1 s.
    pub interval: Duration,
    /// The size in bytes at which a segment is closed, between 8 KiB and 1 GiB (other values are moved there). Default
    /// 256 MiB. A batch larger than a segment gets one of its own.
    pub segment_bytes: u64,
    /// What may be trimmed, and what happens when there is no room. Default: nothing is, and appends are refused.
    pub retention: Retention,
    /// Whether the channel can never be sealed. A log that was made so stays so. Default: no.
    pub unsealable: bool,
    /// How batches are compressed when they are closed, on the thread that writes them; they stay so on the disk and on the wire.
    /// What gets little shorter, and what this program was made without, stays as it is. Default: not at all.
    pub compression: Compression,
    /// If the channel is a partition: how many of them make up the whole. A log that was made with a number keeps it.
    /// Default: it is none.
    pub partitions: Option<NonZeroU16>,
}

impl Default for LogOptions {
    fn default() -> LogOptions {
        LogOptions {
            durability: Durability::Sync,
            interval: Duration::from_secs(1),
            segment_bytes: 256 << 20,
            retention: Retention::default(),
            unsealable: false,
            compression: Compression::None,
            partitions: None,
        }
    }
}

/// "No limit" on the wire.
const NONE: u64 = u64::MAX;

macro_rules! settings {
    ($($(#[$doc:meta])* $id:ident = $number:literal $name:literal;)*) => {
        /// One of the settings, by its number on the wire.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct Setting(u8);

        impl Setting {
            $($(#[$doc])* pub const $id: Setting = Setting($number);)*

            /// Each that this version knows, by number.
            pub const ALL: &'static [Setting] = &[$(Setting::$id,)*];

            /// Its name.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self.0 {
                    $($number => $name,)*
                    _ => "unknown",
                }
            }
        }
    };
}

settings! {
    /// When an append is acknowledged.
    DURABILITY = 1 "durability";
    /// How long written records may wait for their sync.
    INTERVAL = 2 "interval";
    /// The size at which a segment is closed.
    SEGMENT_BYTES = 3 "segment_bytes";
    /// How batches are compressed.
    COMPRESSION = 4 "compression";
    /// Whether the channel can never be sealed.
    UNSEALABLE = 5 "unsealable";
    /// How many partitions the channel is one of.
    PARTITIONS = 6 "partitions";
    /// The greatest age of records.
    MAX_AGE = 7 "max_age";
    /// The most bytes.
    MAX_BYTES = 8 "max_bytes";
    /// The most records.
    MAX_RECORDS = 9 "max_records";
    /// What is to be free on the volume.
    MIN_FREE = 10 "min_free";
    /// The floor in bytes.
    KEEP_BYTES = 11 "keep_bytes";
    /// The floor in records.
    KEEP_RECORDS = 12 "keep_records";
    /// The ceiling.
    CEILING = 13 "ceiling";
    /// Up to how many bytes retention holds for cursors.
    HOLD_CURSORS = 14 "hold_cursors";
    /// What becomes of appends for which there is no room.
    WHEN_FULL = 15 "when_full";
}

impl Setting {
    /// The setting with this number, if this version knows it.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Setting> {
        Setting::ALL.iter().copied().find(|setting| setting.0 == number)
    }

    /// Its number on the wire.
    #[must_use]
    pub fn number(self) -> u8 {
        self.0
    }

    /// Whether it may be changed once the channel is made.
    #[must_use]
    pub fn may_change(self) -> bool {
        self >= Setting::MAX_AGE || self == Setting::COMPRESSION
    }

    fn of(self, options: &LogOptions) -> u64 {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(NONE - 1).min(NONE - 1);
        let none = |limit: Option<u64>| limit.unwrap_or(NONE);
        let retention = &options.retention;
        match self {
            Setting::DURABILITY => options.durability.code().into(),
            Setting::INTERVAL => nanos(options.interval),
            Setting::SEGMENT_BYTES => options.segment_bytes,
            Setting::COMPRESSION => options.compression.code().into(),
            Setting::UNSEALABLE => options.unsealable.into(),
            Setting::PARTITIONS => options.partitions.map_or(0, |number| number.get().into()),
            Setting::MAX_AGE => retention.max_age.map_or(NONE, nanos),
            Setting::MAX_BYTES => none(retention.max_bytes),
            Setting::MAX_RECORDS => none(retention.max_records),
            Setting::MIN_FREE => none(retention.min_free),
            Setting::KEEP_BYTES => none(retention.keep_bytes),
            Setting::KEEP_RECORDS => none(retention.keep_records),
            Setting::CEILING => none(retention.ceiling),
            Setting::HOLD_CURSORS => retention.hold_cursors.unwrap_or(0),
            _ => retention.when_full.code().into(),
        }
    }

    /// Sets it; `None` if it cannot have this value.
    fn put(self, value: u64, options: &mut LogOptions) -> Option<()> {
        let code = u8::try_from(value);
        let limit = (value != NONE).then_some(value);
        let retention = &mut options.retention;
        match self {
            Setting::DURABILITY => options.durability = Durability::from_code(code.ok()?)?,
            Setting::INTERVAL => options.interval = Duration::from_nanos(value),
            Setting::SEGMENT_BYTES => options.segment_bytes = value,
            Setting::COMPRESSION => options.compression = Compression::from_code(code.ok()?)?,
            Setting::UNSEALABLE if value > 1 => return None,
            Setting::UNSEALABLE => options.unsealable = value == 1,
            Setting::PARTITIONS if value > u64::from(MAX_PARTITIONS) => return None,
            Setting::PARTITIONS => options.partitions = NonZeroU16::new(u16::try_from(value).ok()?),
            Setting::MAX_AGE => retention.max_age = limit.map(Duration::from_nanos),
            Setting::MAX_BYTES => retention.max_bytes = limit,
            Setting::MAX_RECORDS => retention.max_records = limit,
            Setting::MIN_FREE => retention.min_free = limit,
            Setting::KEEP_BYTES => retention.keep_bytes = limit,
            Setting::KEEP_RECORDS => retention.keep_records = limit,
            Setting::CEILING => retention.ceiling = limit,
            Setting::HOLD_CURSORS => retention.hold_cursors = Some(value).filter(|bytes| *bytes > 0),
            _ => retention.when_full = WhenFull::from_code(code.ok()?)?,
        }
        Some(())
    }
}

impl fmt::Debug for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Some of a channel's settings: those that are said. What is not said is the node's to choose, or stays as it is.
///
/// ```
/// use netchan_proto::{Durability, LogOptions, Settings};
///
/// let said = Settings::default().durability(Durability::Os).max_bytes(Some(1 << 30));
/// let kept = said.over(&LogOptions::default());
/// assert_eq!((kept.durability, kept.retention.max_bytes), (Durability::Os, Some(1 << 30)));
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Settings(Vec<(Setting, u64)>);

impl Settings {
    /// When an append is acknowledged, and what readers see. Said when a channel is made.
    #[must_use]
    pub fn durability(self, durability: Durability) -> Settings {
        self.with(Setting::DURABILITY, |options| options.durability = durability)
    }

    /// In [`Durability::Interval`]: how long written records may wait for their sync. Said when a channel is made.
    #[must_use]
    pub fn interval(self, interval: Duration) -> Settings {
        self.with(Setting::INTERVAL, |options| options.interval = interval)
    }

    /// The size at which a segment is closed. Said when a channel is made.
    #[must_use]
    pub fn segment_bytes(self, bytes: u64) -> Settings {
        self.with(Setting::SEGMENT_BYTES, |options| options.segment_bytes = bytes)
    }

    /// How batches are compressed.
    #[must_use]
    pub fn compression(self, compression: Compression) -> Settings {
        self.with(Setting::COMPRESSION, |options| options.compression = compression)
    }

    /// Whether the channel can never be sealed. Said when a channel is made.
    #[must_use]
    pub fn unsealable(self, unsealable: bool) -> Settings {
        self.with(Setting::UNSEALABLE, |options| options.unsealable = unsealable)
    }

    /// How many partitions the channel is one of. Said when a channel is made.
    #[must_use]
    pub fn partitions(self, partitions: Option<Partitions>) -> Settings {
        let count = partitions.and_then(|count| NonZeroU16::new(count.get()));
        self.with(Setting::PARTITIONS, |options| options.partitions = count)
    }

    /// All that retention has, also what it has not.
    #[must_use]
    pub fn retention(mut self, retention: Retention) -> Settings {
        let options = LogOptions { retention, ..LogOptions::default() };
        let all = Setting::ALL.iter().filter(|setting| **setting >= Setting::MAX_AGE);
        all.for_each(|setting| self.insert(*setting, setting.of(&options)));
        self
    }

    /// [`Retention::max_age`].
    #[must_use]
    pub fn max_age(self, limit: Option<Duration>) -> Settings {
        self.with(Setting::MAX_AGE, |options| options.retention.max_age = limit)
    }

    /// [`Retention::max_bytes`].
    #[must_use]
    pub fn max_bytes(self, limit: Option<u64>) -> Settings {
        self.with(Setting::MAX_BYTES, |options| options.retention.max_bytes = limit)
    }

    /// [`Retention::max_records`].
    #[must_use]
    pub fn max_records(self, limit: Option<u64>) -> Settings {
        self.with(Setting::MAX_RECORDS, |options| options.retention.max_records = limit)
    }

    /// [`Retention::min_free`].
    #[must_use]
    pub fn min_free(self, limit: Option<u64>) -> Settings {
        self.with(Setting::MIN_FREE, |options| options.retention.min_free = limit)
    }

    /// [`Retention::keep_bytes`].
    #[must_use]
    pub fn keep_bytes(self, limit: Option<u64>) -> Settings {
        self.with(Setting::KEEP_BYTES, |options| options.retention.keep_bytes = limit)
    }

    /// [`Retention::keep_records`].
    #[must_use]
    pub fn keep_records(self, limit: Option<u64>) -> Settings {
        self.with(Setting::KEEP_RECORDS, |options| options.retention.keep_records = limit)
    }

    /// [`Retention::ceiling`].
    #[must_use]
    pub fn ceiling(self, limit: Option<u64>) -> Settings {
        self.with(Setting::CEILING, |options| options.retention.ceiling = limit)
    }

    /// [`Retention::hold_cursors`].
    #[must_use]
    pub fn hold_cursors(self, limit: Option<u64>) -> Settings {
        self.with(Setting::HOLD_CURSORS, |options| options.retention.hold_cursors = limit)
    }

    /// [`Retention::when_full`].
    #[must_use]
    pub fn when_full(self, when_full: WhenFull) -> Settings {
        self.with(Setting::WHEN_FULL, |options| options.retention.when_full = when_full)
    }

    fn with(mut self, setting: Setting, set: impl FnOnce(&mut LogOptions)) -> Settings {
        let mut options = LogOptions::default();
        set(&mut options);
        self.insert(setting, setting.of(&options));
        self
    }

    /// In the order of their numbers, each once.
    fn insert(&mut self, setting: Setting, value: u64) {
        match self.0.binary_search_by_key(&setting, |(setting, _)| *setting) {
            Ok(at) => self.0[at].1 = value,
            Err(at) => {
                self.0.reserve_exact(1); // there are few
                self.0.insert(at, (setting, value));
            }
        }
    }

    /// `options` with what is said in their place.
    #[must_use]
    pub fn over(&self, options: &LogOptions) -> LogOptions {
        let mut options = *options;
        for (setting, value) in &self.0 {
            let _ = setting.put(*value, &mut options); // it was looked at when it was said
        }
        options
    }

    /// Whether `options` are all that is said.
    #[must_use]
    pub fn are_of(&self, options: &LogOptions) -> bool {
        self.0.iter().all(|(setting, value)| setting.of(options) == *value)
    }

    /// Which are said, by number.
    pub fn iter(&self) -> impl Iterator<Item = (Setting, u64)> {
        self.0.iter().map(|(setting, value)| (*setting, *value))
    }

    /// Says a setting by its number on the wire; false if it cannot have this value.
    #[must_use]
    pub fn say(&mut self, setting: Setting, value: u64) -> bool {
        let holds = setting.put(value, &mut LogOptions::default()).is_some();
        if holds {
            self.insert(setting, value);
        }
        holds
    }
}

impl From<&LogOptions> for Settings {
    fn from(options: &LogOptions) -> Settings {
        Settings(Setting::ALL.iter().map(|setting| (*setting, setting.of(options))).collect())
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}
