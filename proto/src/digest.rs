//! One number for a whole channel: what its batches come to, in order (spec/07-batch.md).
//!
//! Made of the checksums that batches have anyway, so it costs a multiplication a batch. It tells when by accident
//! a batch was lost, doubled, changed or put elsewhere; it is no proof against somebody who means it.

use std::fmt;
use std::num::NonZeroU64;

use crate::batch::{BatchHeader, HEADER_LEN, header_crc};

/// What it is before the first batch: the first bits of pi's fraction.
const START: NonZeroU64 = NonZeroU64::new(0x243F_6A88_85A3_08D3).unwrap();
/// Odd, so that no two states come to the same: 2^64 over the golden ratio.
const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;

/// The digest of a run of batches from the first of a channel on. Never 0, which stands for "not known".
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(NonZeroU64);

impl Digest {
    /// Of no batch.
    pub const START: Digest = Digest(START);

    /// With the next batch, whose stored bytes begin with `stored`.
    #[must_use]
    #[inline]
    pub fn with(self, header: &BatchHeader, stored: &[u8]) -> Digest {
        let crcs = u64::from(header_crc(stored)) | u64::from(header.body_crc) << 32;
        let mixed = (self.0.get() ^ crcs).wrapping_mul(FACTOR);
        Digest(NonZeroU64::new(mixed ^ mixed >> 32).unwrap_or(NonZeroU64::MIN))
    }

    /// As a number.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0.get()
    }

    /// What a number says; `None` for 0.
    #[must_use]
    pub fn from_number(number: u64) -> Option<Digest> {
        NonZeroU64::new(number).map(Digest)
    }

    /// What a seal says: `stored` are its bytes, at least those of its body. `None` for one that says nothing.
    #[must_use]
    pub fn of_seal(header: &BatchHeader, stored: &[u8]) -> Option<Digest> {
        let body = stored.get(HEADER_LEN..)?.first_chunk()?;
        if header.body_len == 8 { Digest::from_number(u64::from_le_bytes(*body)) } else { None }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(batches: &[(u32, u32)]) -> Digest {
        batches.iter().fold(Digest::START, |digest, &(header, body_crc)| {
            let mut stored = [0; HEADER_LEN];
            stored[4..8].copy_from_slice(&header.to_le_bytes());
            digest.with(&BatchHeader { body_crc, ..BatchHeader::default() }, &stored)
        })
    }

    // NC-BAT-026
    #[test]
    fn it_is_what_the_spec_says() {
        // Reckoned by another program.
        assert_eq!(of(&[]).get(), 0x243f_6a88_85a3_08d3);
        assert_eq!(of(&[(1, 2)]).get(), 0x583f_fa5a_f166_8b60);
        assert_eq!(of(&[(1, 2), (3, 4)]).get(), 0xaafa_b30c_4a71_d013);
    }

    #[test]
    fn whatever_is_lost_doubled_changed_or_moved_is_seen() {
        let whole = [(1, 2), (3, 4), (5, 6), (7, 8)];
        let mut seen = vec![of(&whole)];
        for at in 0..whole.len() {
            let mut lost = whole.to_vec();
            lost.remove(at);
            let mut doubled = whole.to_vec();
            doubled.insert(at, whole[at]);
            let (mut changed, mut other) = (whole, whole);
            changed[at].0 ^= 1 << (at * 9);
            other[at].1 ^= 1 << (at * 9);
            let mut moved = whole;
            moved.swap(at, (at + 1) % whole.len());
            seen.extend([of(&lost), of(&doubled), of(&changed), of(&other), of(&moved)]);
        }
        let count = seen.len();
        seen.sort_unstable_by_key(|digest| digest.get());
        seen.dedup();
        assert_eq!(seen.len(), count);
    }
}
