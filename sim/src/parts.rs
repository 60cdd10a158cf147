//! What a seed stands for, of a channel with partitions: how many, who sends by key, who receives all or some of them.
//!
//! A payload says which sender it is from, and the how manieth of its key it is, so that whoever sees a partition knows what
//! must stand in it. A sender has another number each time that it comes without going on where it was.

use std::time::Duration;

use netchan_proto::Partitions;

use crate::dice::Dice;
use crate::names::{GathererPlan, PatternPlan, gatherer};

/// One sender into all partitions.
#[derive(Clone, Copy, Debug)]
pub struct SplitterPlan {
    /// Records it has to send, of each of its runs that does not go on with one before.
    pub records: u32,
    /// Between bursts.
    pub pause: Duration,
    /// Records of a burst, at most.
    pub burst: u64,
    /// How many keys there are; all senders have the same.
    pub keys: u64,
    /// Of a hundred records, those without a key. With none of those it goes on where it was when it comes back.
    pub keyless: u64,
    /// Bytes it holds of each partition that are not acknowledged.
    pub max_unacknowledged: usize,
}

impl SplitterPlan {
    /// Whether it comes back as the same producer.
    #[must_use]
    pub fn resumes(&self) -> bool {
        self.keyless == 0
    }

    /// The key of an item of sender `sender`, if it has one.
    #[must_use]
    pub fn key(&self, sender: u16, item: u32) -> Option<u16> {
        let bits = mix(u64::from(sender) << 32 | u64::from(item));
        let key = u16::try_from((bits >> 20) % self.keys).unwrap_or(0);
        (bits % 100 >= self.keyless).then_some(key)
    }
}

/// A channel with partitions.
#[derive(Clone, Debug)]
pub struct PartsPlan {
    /// How many, each time that it is made.
    pub count: Partitions,
    /// Between two times that something is done to it, twice this at most.
    pub pause: Duration,
    /// Of a hundred jobs while some partitions are missing, how many the node dies in.
    pub deaths: u64,
    /// Who sends.
    pub splitters: Vec<SplitterPlan>,
    /// Who receives.
    pub gatherers: Vec<GathererPlan>,
}

impl PartsPlan {
    /// The plan of a seed; two thirds of them have none.
    #[must_use]
    pub fn new(seed: u64, chaos: Duration) -> Option<PartsPlan> {
        let mut dice = Dice::new(seed ^ 0x7061_7274_7340_2a21);
        let dice = &mut dice;
        if dice.percent(66) {
            return None;
        }
        let count = Partitions::new(u16::try_from(dice.among(2..=5)).unwrap_or(2)).ok()?;
        let keys = dice.among(1..=12);
        let records = u32::try_from(dice.among(20..=200)).unwrap_or(20);
        Some(PartsPlan {
            count,
            pause: chaos / u32::try_from(dice.among(3..=20)).unwrap_or(3),
            deaths: if dice.percent(50) { dice.among(5..=60) } else { 0 },
            splitters: (0..dice.among(1..=3)).map(|_| splitter(dice, keys, records, chaos)).collect(),
            gatherers: (0..dice.among(1..=2))
                .map(|_| GathererPlan {
                    pattern: PatternPlan::Parts(match dice.percent(60) {
                        true => u16::MAX,
                        false => u16::try_from(dice.among(1..=31)).unwrap_or(31),
                    }),
                    only_keyed: false,
                    ..gatherer(dice, chaos)
                })
                .collect(),
        })
    }
}

fn splitter(dice: &mut Dice, keys: u64, records: u32, chaos: Duration) -> SplitterPlan {
    let burst = dice.among(1..=30);
    SplitterPlan {
        records,
        pause: chaos / (records / u32::try_from(burst.div_ceil(2)).unwrap_or(1) + 1),
        burst,
        keys,
        keyless: if dice.percent(60) { 0 } else { dice.among(1..=60) },
        max_unacknowledged: usize::try_from(dice.among(500..=60_000)).unwrap_or(usize::MAX),
    }
}

/// A record of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartRecord {
    /// Who sent it.
    pub sender: u16,
    /// Which of the sender's it is.
    pub item: u32,
    /// Its key, if it has one.
    pub key: Option<u16>,
    /// Which of the sender's with this key it is.
    pub number: u32,
}

impl PartRecord {
    /// Its payload.
    #[must_use]
    pub fn payload(self) -> Vec<u8> {
        let mut payload = Vec::with_capacity(16);
        payload.extend_from_slice(&self.sender.to_le_bytes());
        payload.extend_from_slice(&self.item.to_le_bytes());
        payload.extend_from_slice(&self.key.unwrap_or(u16::MAX).to_le_bytes());
        payload.extend_from_slice(&self.number.to_le_bytes());
        let mixed = mix(self.id());
        let most = if mixed.is_multiple_of(7) { 4_000 } else { 120 };
        let len = usize::try_from((mixed >> 40) % most).unwrap_or(0);
        payload.extend(mixed.to_le_bytes().iter().cycle().take(len));
        payload
    }

    /// The bytes of its key: some are longer than others.
    #[must_use]
    pub fn key_bytes(self) -> Option<Vec<u8>> {
        self.key.map(|key| format!("{key}{}", "-key".repeat(usize::from(key) * 2)).into_bytes())
    }

    /// Which of all records of a run it is.
    #[must_use]
    pub fn id(self) -> u64 {
        u64::from(self.sender) << 32 | u64::from(self.item)
    }

    /// Whose payload and key these are; `None` if they are not exactly what that record has.
    #[must_use]
    pub fn identify(payload: &[u8], key: Option<&[u8]>) -> Option<PartRecord> {
        let (sender, rest) = payload.split_first_chunk::<2>()?;
        let (item, rest) = rest.split_first_chunk::<4>()?;
        let (known, rest) = rest.split_first_chunk::<2>()?;
        let number = rest.first_chunk::<4>()?;
        let record = PartRecord {
            sender: u16::from_le_bytes(*sender),
            item: u32::from_le_bytes(*item),
            key: Some(u16::from_le_bytes(*known)).filter(|key| *key != u16::MAX),
            number: u32::from_le_bytes(*number),
        };
        (record.payload() == payload && record.key_bytes().as_deref() == key).then_some(record)
    }
}

fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 31) ^ 0x5bd1_e995).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ (word >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word ^ (word >> 32)
}
