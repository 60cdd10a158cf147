//! Partitions: several logs under one name, and which of them a key belongs to (spec/20-partitions.md).
//!
//! Owns their count, and the choice by a key. How a partition is called is [`ChannelName`](crate::ChannelName)'s; whose turn it is
//! without a key is decided by who sends.

use std::fmt;
use std::num::NonZeroU16;

use twox_hash::XxHash64;

use crate::limits::MAX_PARTITIONS;

/// How many partitions a channel has: 1 to 1,024.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partitions(NonZeroU16);

impl Partitions {
    /// So many.
    ///
    /// # Errors
    /// [`InvalidPartitions`]: none, or too many.
    pub fn new(count: u16) -> Result<Partitions, InvalidPartitions> {
        match NonZeroU16::new(count) {
            Some(count) if count.get() <= MAX_PARTITIONS => Ok(Partitions(count)),
            _ => Err(InvalidPartitions { count }),
        }
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u16 {
        self.0.get()
    }

    /// The partition of the records with this key, from 0. The same on every machine and in every version.
    ///
    /// ```
    /// use netchan_proto::Partitions;
    /// let four = Partitions::new(4)?;
    /// assert_eq!(four.of_key(b"user.7"), four.of_key(b"user.7"));
    /// assert!(four.of_key(b"") < 4);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn of_key(self, key: &[u8]) -> u16 {
        let share = u128::from(key_hash(key)) * u128::from(self.get());
        // Less than the count, which the hash is a share of.
        u16::try_from(share >> 64).unwrap_or(0)
    }

    /// The partition after this one, and the first after the last: whose turn it is for a record without a key.
    #[must_use]
    pub fn after(self, partition: u16) -> u16 {
        match partition.checked_add(1) {
            Some(next) if next < self.get() => next,
            _ => 0,
        }
    }

    /// All of them.
    pub fn all(self) -> impl ExactSizeIterator<Item = u16> + Clone + use<> {
        0..self.get()
    }
}

impl fmt::Display for Partitions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a key's partition is computed from: XXH64 of its bytes, with seed 0.
#[must_use]
pub fn key_hash(key: &[u8]) -> u64 {
    XxHash64::oneshot(0, key)
}

/// No number of partitions that a channel can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a channel has 1 to {MAX_PARTITIONS} partitions, not {count}")]
pub struct InvalidPartitions {
    /// The number.
    pub count: u16,
}
