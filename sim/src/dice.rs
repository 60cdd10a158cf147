//! All randomness of a run: one generator, by seed.

use std::ops::RangeInclusive;
use std::time::Duration;

/// The dice of one run.
#[derive(Clone, Debug)]
pub struct Dice(fastrand::Rng);

impl Dice {
    /// Dice that fall the same way for the same seed.
    pub fn new(seed: u64) -> Dice {
        Dice(fastrand::Rng::with_seed(seed))
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0.u64(..)
    }

    /// One of the range.
    pub fn among(&mut self, range: RangeInclusive<u64>) -> u64 {
        self.0.u64(range)
    }

    /// An index below `len`, which is at least 1.
    pub fn index(&mut self, len: usize) -> usize {
        self.0.usize(..len)
    }

    /// True so many times of a hundred.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.0.u64(..100) < percent
    }

    /// One of them.
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.index(of.len())]
    }

    /// A time between the two, all magnitudes alike.
    pub fn time(&mut self, from: Duration, to: Duration) -> Duration {
        // Whole numbers only: the same on every machine.
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).max(1);
        let (low, high) = (nanos(from), nanos(to));
        let power = 1u64 << self.0.u32(low.ilog2()..=high.ilog2());
        Duration::from_nanos(self.0.u64(power.max(low)..=(power | (power - 1)).min(high)))
    }

    /// Sixteen bytes.
    pub fn bytes16(&mut self) -> [u8; 16] {
        self.0.u128(..).to_le_bytes()
    }
}
