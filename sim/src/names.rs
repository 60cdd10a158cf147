//! What a seed stands for, of channels that come and go: their names, how they are kept, and who receives them by a pattern. The
//! names of a channel with partitions stand here too, for they are received in the same way.
//!
//! Each time that a name is made is a *making*, with a number of its own. A payload says of which making it is, at which
//! offset, and in which life of the node it was appended, so that whoever sees it knows what it must be.

use std::time::Duration;

use netchan_proto::{ChannelName, Instant};

use crate::dice::Dice;

/// The names that are made, deleted and made again.
pub const NAMES: [&str; 8] = ["f", "f/a", "f/b", "f/b/1", "f/b/2", "g/a", "g/1", "gf/a"];

/// Patterns, each with those of the names that it matches, written down by hand.
const PATTERNS: [(&str, &[&str]); 8] = [
    ("f/*", &["f/a", "f/b"]),
    ("f/**", &["f", "f/a", "f/b", "f/b/1", "f/b/2"]),
    ("f/b/*", &["f/b/1", "f/b/2"]),
    ("**/1", &["f/b/1", "g/1"]),
    ("*/a", &["f/a", "g/a", "gf/a"]),
    ("g*/a", &["g/a", "gf/a"]),
    ("f/**/*", &["f/a", "f/b", "f/b/1", "f/b/2"]),
    ("*", &["f"]),
];

/// The channel with partitions.
pub const PARTED: &str = "p/arted";
/// The pattern of all its partitions.
const ALL_PARTS: &str = "p/arted@*";

/// The name of one of its partitions.
///
/// # Panics
/// Never: there are few partitions.
#[must_use]
pub fn partition(number: u16) -> ChannelName {
    let base = ChannelName::new(PARTED).expect("a fixed, valid name");
    base.with_partition(number).expect("a short name")
}

/// Of how many records one has a key.
const KEYED: u64 = 3;

/// Which channels: one of the patterns, or partitions of a channel, each a bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatternPlan {
    /// One of the patterns.
    Names(usize),
    /// These partitions.
    Parts(u16),
}

impl PatternPlan {
    /// Its text.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            PatternPlan::Names(at) => PATTERNS[at].0,
            PatternPlan::Parts(_) => ALL_PARTS,
        }
    }

    /// The partitions, if not all channels that match are meant.
    #[must_use]
    pub fn partitions(self) -> Option<Vec<u16>> {
        match self {
            PatternPlan::Parts(bits) if bits != u16::MAX => {
                Some((0..16).filter(|number| bits >> number & 1 == 1).collect())
            }
            _ => None,
        }
    }

    /// Whether it matches `name`.
    #[must_use]
    pub fn matches(self, name: &str) -> bool {
        match self {
            PatternPlan::Names(at) => PATTERNS[at].1.contains(&name),
            PatternPlan::Parts(bits) => {
                let mut numbers = (0..16).filter(|number| bits >> number & 1 == 1);
                numbers.any(|number| partition(number).as_str() == name)
            }
        }
    }
}

/// One receiver by a pattern.
#[derive(Clone, Copy, Debug)]
pub struct GathererPlan {
    /// Which channels.
    pub pattern: PatternPlan,
    /// It begins with the next record of what is there; else with the first.
    pub from_latest: bool,
    /// When it first comes.
    pub joins: Instant,
    /// The node dials it, and not it the node.
    pub is_dialled: bool,
    /// It has the records of all channels in the order of time.
    pub merges: bool,
    /// It wants only records with a key.
    pub only_keyed: bool,
    /// After a record, how often of a hundred times it stores how far it is.
    pub keeps: u64,
    /// How long a record keeps it busy, at most.
    pub pause: Duration,
}

impl GathererPlan {
    /// The filter, if it has one.
    #[must_use]
    pub fn filter(&self) -> Option<&'static str> {
        self.only_keyed.then_some("key exists and size > 0")
    }

    /// Whether it wants the record at `offset`.
    #[must_use]
    pub fn wants(&self, offset: u64) -> bool {
        !self.only_keyed || is_keyed(offset)
    }
}

/// Channels that come and go.
#[derive(Clone, Debug)]
pub struct NamesPlan {
    /// Between two things that are done to them, twice this at most.
    pub pause: Duration,
    /// Of how many makings one is trimmed, as it grows; 0 for none.
    pub trims: u64,
    /// Who receives them.
    pub gatherers: Vec<GathererPlan>,
}

impl NamesPlan {
    /// The plan of a seed; half of them have none.
    #[must_use]
    pub fn new(seed: u64, chaos: Duration) -> Option<NamesPlan> {
        let mut dice = Dice::new(seed ^ 0x6e61_6d65_732a_2a21);
        let dice = &mut dice;
        if dice.percent(50) {
            return None;
        }
        let steps = u32::try_from(dice.among(20..=120)).unwrap_or(1);
        Some(NamesPlan {
            pause: chaos / steps,
            trims: if dice.percent(60) { dice.among(1..=3) } else { 0 },
            gatherers: (0..dice.among(1..=2)).map(|_| gatherer(dice, chaos)).collect(),
        })
    }
}

/// Any receiver of these.
pub(crate) fn gatherer(dice: &mut Dice, chaos: Duration) -> GathererPlan {
    GathererPlan {
        pattern: PatternPlan::Names(dice.index(PATTERNS.len())),
        from_latest: dice.percent(30),
        joins: Instant(0).plus(dice.time(chaos / 1000, chaos)),
        is_dialled: dice.percent(25),
        merges: dice.percent(30),
        only_keyed: dice.percent(40),
        keeps: if dice.percent(60) { dice.among(1..=10) } else { 0 },
        pause: if dice.percent(80) { Duration::ZERO } else { dice.time(TENTH_MS, TENTH_MS * 100) },
    }
}

const TENTH_MS: Duration = Duration::from_micros(100);

/// A record of a channel that comes and goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameRecord {
    /// Which making of which name.
    pub making: u32,
    /// Its offset.
    pub offset: u64,
    /// The life of the node in which it was appended.
    pub life: u32,
}

/// Whether the record at this offset has a key.
#[must_use]
pub fn is_keyed(offset: u64) -> bool {
    offset.is_multiple_of(KEYED)
}

impl NameRecord {
    /// Its payload.
    #[must_use]
    pub fn payload(self) -> Vec<u8> {
        let mut payload = Vec::with_capacity(16);
        payload.extend_from_slice(&self.making.to_le_bytes());
        payload.extend_from_slice(&self.offset.to_le_bytes());
        payload.extend_from_slice(&self.life.to_le_bytes());
        let mixed = self.offset.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(self.making);
        let most = if mixed.is_multiple_of(5) { 3_000 } else { 90 };
        let len = usize::try_from((mixed >> 40) % most).unwrap_or(0);
        payload.extend(mixed.to_le_bytes().iter().cycle().take(len));
        payload
    }

    /// Which of its making's records at this offset it is.
    #[must_use]
    pub fn id(self) -> u64 {
        self.life.into()
    }

    /// Its key, if it has one.
    #[must_use]
    pub fn key(self) -> Option<[u8; 8]> {
        is_keyed(self.offset).then(|| self.offset.to_be_bytes())
    }

    /// Whose payload it is; `None` if it is not exactly what that record has.
    #[must_use]
    pub fn identify(payload: &[u8]) -> Option<NameRecord> {
        let (making, rest) = payload.split_first_chunk::<4>()?;
        let (offset, rest) = rest.split_first_chunk::<8>()?;
        let life = rest.first_chunk::<4>()?;
        let record = NameRecord {
            making: u32::from_le_bytes(*making),
            offset: u64::from_le_bytes(*offset),
            life: u32::from_le_bytes(*life),
        };
        (record.payload() == payload).then_some(record)
    }
}
