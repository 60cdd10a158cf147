//! The words of the protocol as types: offsets, timestamps, epochs, identities, names, positions.
//!
//! Owns meaning and order of these values. Knows nothing of how they are sent or stored, except that all
//! integers are little-endian and of fixed width (spec/02-types.md).

use std::fmt;
use std::sync::Arc;

use crate::limits::{MAX_CONTENT, MAX_NAME, MAX_PARTITIONS};

/// The dense place of a record in its channel; the first record has offset 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(pub u64);

impl Offset {
    /// The offset of a channel's first record.
    pub const ZERO: Offset = Offset(0);
    /// "No offset", where a field of the wire or of the disk has none to tell.
    pub const NONE: Offset = Offset(u64::MAX);

    /// The offset `count` records later, or [`Offset::NONE`] where none can be.
    pub fn plus(self, count: u64) -> Offset {
        Offset(self.0.saturating_add(count))
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Nanoseconds since the Unix epoch, UTC. Timestamps strictly increase within a channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Before every record.
    pub const MIN: Timestamp = Timestamp(i64::MIN);

    /// The time `nanos` later; stops at the end of time.
    pub fn plus_nanos(self, nanos: i64) -> Timestamp {
        Timestamp(self.0.saturating_add(nanos))
    }

    /// How long it is from `earlier` to here; zero if `earlier` is later.
    pub fn since(self, earlier: Timestamp) -> std::time::Duration {
        let nanos = i128::from(self.0) - i128::from(earlier.0);
        std::time::Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
    }
}

/// A log's generation: one more at each open for writing. The first is 1; 0 is "none".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u32);

/// A moment on a clock that never goes back, in nanoseconds since an origin that the driver picks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(pub u64);

impl Instant {
    /// The moment `after` later.
    pub fn plus(self, after: std::time::Duration) -> Instant {
        Instant(self.0.saturating_add(u64::try_from(after.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// How long it is from `earlier` to here; zero if `earlier` is later.
    pub fn since(self, earlier: Instant) -> std::time::Duration {
        std::time::Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

macro_rules! identity {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 16]);

        impl $name {
            /// All zero: "none".
            pub const NONE: $name = $name([0; 16]);
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidIdentity;

            fn from_str(text: &str) -> Result<Self, InvalidIdentity> {
                let digits = text.as_bytes();
                if digits.len() != 32 || !digits.iter().all(u8::is_ascii_hexdigit) {
                    return Err(InvalidIdentity);
                }
                let mut bytes = [0u8; 16];
                for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
                    let pair = std::str::from_utf8(pair).map_err(|_| InvalidIdentity)?;
                    *byte = u8::from_str_radix(pair, 16).map_err(|_| InvalidIdentity)?;
                }
                Ok($name(bytes))
            }
        }
    };
}

identity!(
    /// The identity of one log. A channel that is deleted and made again has another.
    LogId
);
identity!(
    /// The identity of one node.
    NodeId
);
identity!(
    /// The identity of one producer, whose sequence numbers make its records count once.
    ProducerId
);

/// A text that is not 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an identity is 32 hexadecimal digits")]
pub struct InvalidIdentity;

/// A place in one log that holds over restarts: it says which log, which generation of it, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// The log this is a place in.
    pub log: LogId,
    /// The epoch of the record before `offset`.
    pub epoch: Epoch,
    /// The next record to read.
    pub offset: Offset,
}

/// When an append is acknowledged, and what receivers may see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Durability {
    /// After fdatasync: survives power loss.
    #[default]
    Sync,
    /// After write: survives SIGKILL; synced at most an interval later.
    Interval,
    /// After write: survives SIGKILL; synced when the operating system likes.
    Os,
}

impl Durability {
    /// The number that stands for it on the wire and on the disk.
    pub fn code(self) -> u8 {
        match self {
            Durability::Sync => 0,
            Durability::Interval => 1,
            Durability::Os => 2,
        }
    }

    /// The mode that `code` stands for.
    pub fn from_code(code: u8) -> Option<Durability> {
        match code {
            0 => Some(Durability::Sync),
            1 => Some(Durability::Interval),
            2 => Some(Durability::Os),
            _ => None,
        }
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Durability::Sync => "sync",
            Durability::Interval => "interval",
            Durability::Os => "os",
        })
    }
}

/// A channel's name: 1 to 255 bytes of UTF-8, compared by bytes. Cheap to clone.
///
/// Refused are control characters, white space, the characters `@ : * #` (kept for places, ports and
/// patterns), and a segment between slashes that is empty, `.` or `..`. Only the name of a partition has one `@`, at its end,
/// before its number: `orders@3`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelName(Arc<str>);

impl ChannelName {
    /// Checks `name` and keeps it.
    ///
    /// # Errors
    /// [`InvalidName`] says which rule it breaks.
    pub fn new(name: &str) -> Result<ChannelName, InvalidName> {
        if name.is_empty() {
            return Err(InvalidName::Empty);
        }
        if name.len() > MAX_NAME {
            return Err(InvalidName::TooLong { len: name.len() });
        }
        let base = match name.rsplit_once('@') {
            None => name,
            Some((base, number)) if partition_number(number).is_some() => base,
            Some(_) => return Err(InvalidName::Partition),
        };
        let refused = |c: char| c.is_control() || c.is_whitespace() || matches!(c, '@' | ':' | '*' | '#');
        if let Some(found) = base.chars().find(|&c| refused(c)) {
            return Err(InvalidName::Character { found });
        }
        if base.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
            return Err(InvalidName::Segment);
        }
        Ok(ChannelName(name.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The number of the partition that has this name: 3 of `orders@3`; `None` for a plain name.
    #[must_use]
    pub fn partition(&self) -> Option<u16> {
        partition_number(self.0.rsplit_once('@')?.1)
    }

    /// The name of the channel: `orders` of `orders@3`, and of `orders` too.
    #[must_use]
    pub fn base(&self) -> ChannelName {
        match self.0.rsplit_once('@') {
            Some((base, _)) => ChannelName(base.into()),
            None => self.clone(),
        }
    }

    /// The name of a partition of this channel: `orders@3` of `orders`.
    ///
    /// # Errors
    /// [`InvalidName::Partition`] if it is a partition's itself, or the number is too high; [`InvalidName::TooLong`].
    pub fn with_partition(&self, number: u16) -> Result<ChannelName, InvalidName> {
        if self.partition().is_some() {
            return Err(InvalidName::Partition);
        }
        ChannelName::new(&format!("{self}@{number}"))
    }
}

/// The number of a partition, as it stands in its name: decimal, without zeros before it.
fn partition_number(digits: &str) -> Option<u16> {
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number || (digits.len() > 1 && digits.starts_with('0')) {
        return None;
    }
    digits.parse().ok().filter(|&number| number < MAX_PARTITIONS)
}

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl std::str::FromStr for ChannelName {
    type Err = InvalidName;

    fn from_str(name: &str) -> Result<Self, InvalidName> {
        ChannelName::new(name)
    }
}

/// Why a text cannot be a channel's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidName {
    /// No character at all.
    #[error("a channel's name is empty")]
    Empty,
    /// More bytes than a name may have.
    #[error("a channel's name has {len} bytes; {MAX_NAME} is the most")]
    TooLong {
        /// The length found, in bytes.
        len: usize,
    },
    /// A character that names cannot have.
    #[error("a channel's name cannot have {found:?} in it (nor white space, control characters, @ : * #)")]
    Character {
        /// The first such character.
        found: char,
    },
    /// A segment between slashes that is empty, `.` or `..`.
    #[error("a channel's name cannot have an empty, '.' or '..' segment between slashes")]
    Segment,
    /// An `@` that does not stand before the number of a partition at the end.
    #[error("an @ in a channel's name stands only before the number of a partition, at the end: 0 to {}", MAX_PARTITIONS - 1)]
    Partition,
}

/// What the payloads of a channel's records are: the name of their codec, and of each transform that went over them after it,
/// in order, with `+` between them: `postcard`, `json`, `postcard+lz4+xchacha20poly1305`. Cheap to clone.
///
/// It has 1 to 96 bytes; each name has at least one, of `a-z 0-9 . _ -`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Content(Arc<str>);

impl Content {
    /// Checks `names` and keeps them.
    ///
    /// # Errors
    /// [`InvalidContent`] says which rule they break.
    pub fn new(names: &str) -> Result<Content, InvalidContent> {
        if names.len() > MAX_CONTENT {
            return Err(InvalidContent::TooLong { len: names.len() });
        }
        let may_be = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '.' | '_' | '-' | '+');
        if let Some(found) = names.chars().find(|&c| !may_be(c)) {
            return Err(InvalidContent::Character { found });
        }
        if names.split('+').any(str::is_empty) {
            return Err(InvalidContent::Empty);
        }
        Ok(Content(names.into()))
    }

    /// The names as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether transforms went over the payloads: who cannot undo them sees nothing in them.
    #[must_use]
    pub fn is_transformed(&self) -> bool {
        self.0.contains('+')
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl std::str::FromStr for Content {
    type Err = InvalidContent;

    fn from_str(names: &str) -> Result<Self, InvalidContent> {
        Content::new(names)
    }
}

/// Why a text cannot say what a channel's payloads are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidContent {
    /// A name of a codec or transform is empty.
    #[error("the name of a codec or transform is empty")]
    Empty,
    /// More bytes than all names may have.
    #[error("the names of codec and transforms have {len} bytes; {MAX_CONTENT} are the most")]
    TooLong {
        /// The length found, in bytes.
        len: usize,
    },
    /// A character that such names cannot have.
    #[error("the name of a codec or transform cannot have {found:?} in it (but a-z 0-9 . _ -)")]
    Character {
        /// The first such character.
        found: char,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rules() {
        for good in ["a", "my_log", "orders/eu/2026", "ünï", "a.b-c", &"x".repeat(255)] {
            assert_eq!(ChannelName::new(good).unwrap().as_str(), good);
        }
        for bad in
            ["", "a b", "a\n", "@x", "h:1", "a*", "#", "/a", "a/", "a//b", "..", "a/../b", &"x".repeat(256)]
        {
            assert!(ChannelName::new(bad).is_err(), "{bad:?}");
        }
    }

    // NC-TYP-016
    #[test]
    fn a_partition_has_its_channels_name_and_a_number() {
        for (name, base, number) in
            [("x@0", "x", 0), ("a/b@7", "a/b", 7), ("x@1023", "x", 1023), ("\u{fc}@10", "\u{fc}", 10)]
        {
            let read = ChannelName::new(name).unwrap();
            assert_eq!((read.partition(), read.base().as_str()), (Some(number), base), "{name}");
            assert_eq!(read.base().with_partition(number), Ok(read.clone()));
            assert_eq!(read.with_partition(1), Err(InvalidName::Partition));
        }
        let plain = ChannelName::new("x").unwrap();
        assert_eq!((plain.partition(), plain.base()), (None, plain.clone()));
        assert_eq!(plain.with_partition(MAX_PARTITIONS), Err(InvalidName::Partition));
        let longest = ChannelName::new(&"x".repeat(MAX_NAME - 1)).unwrap();
        assert_eq!(longest.with_partition(0), Err(InvalidName::TooLong { len: MAX_NAME + 1 }));
        for bad in ["@0", "x@", "x@00", "x@01", "x@1024", "x@65536", "x@+1", "x@-1", "x@1@2", "a@1/b", "a/@1"]
            .into_iter()
            .chain(["x@1 ", "x@ 1", "..@1", "x@1/", "x@\u{661}", "x@1:", "x@*", "x@18446744073709551616"])
        {
            assert!(ChannelName::new(bad).is_err(), "{bad:?}");
        }
    }

    // NC-TYP-015
    #[test]
    fn what_a_channel_holds_is_said_in_names_that_follow_the_rules() {
        for good in ["postcard", "postcard+lz4", "a.b-c_9", &"x".repeat(MAX_CONTENT)] {
            assert_eq!(Content::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "+", "a+", "+a", "a++b", "A", "a b", "\u{fc}", &"x".repeat(MAX_CONTENT + 1)] {
            assert!(Content::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn identities_are_read_as_they_are_written() {
        let id = LogId([0xab; 16]);
        assert_eq!(id.to_string().parse::<LogId>(), Ok(id));
        assert_eq!("zz".parse::<LogId>(), Err(InvalidIdentity));
        assert_eq!("+1".repeat(16).parse::<LogId>(), Err(InvalidIdentity));
    }
}
