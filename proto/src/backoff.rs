//! How long to wait before dialling again: exponential, with full jitter over the upper half.
//!
//! Deterministic by seed. The doubling and the cap stand in [`crate::limits`].

use std::time::Duration;

use crate::limits::{BACKOFF_FIRST, BACKOFF_MAX};

/// The waits of one dialler.
#[derive(Clone, Debug)]
pub struct Backoff {
    state: u64,
    wait: Duration,
}

impl Backoff {
    /// Waits that depend on nothing but `seed`.
    pub fn new(seed: u64) -> Backoff {
        Backoff { state: seed | 1, wait: BACKOFF_FIRST }
    }

    /// The next wait: between half the current step and the whole of it. The step then doubles.
    pub fn next_wait(&mut self) -> Duration {
        let step = self.wait;
        self.wait = (step * 2).min(BACKOFF_MAX);
        step / 2 + (step / 2).mul_f64(self.fraction())
    }

    /// After a success: from the first step again.
    pub fn reset(&mut self) {
        self.wait = BACKOFF_FIRST;
    }

    /// splitmix64 (Steele et al., 2014), as a fraction of one.
    fn fraction(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        f64::from(u32::try_from((z ^ (z >> 31)) >> 32).unwrap_or(0)) / f64::from(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_cap_and_fall_back_after_a_success() {
        let mut backoff = Backoff::new(9);
        let mut step = BACKOFF_FIRST;
        for _ in 0..20 {
            let wait = backoff.next_wait();
            assert!(wait >= step / 2 && wait <= step, "{wait:?} of {step:?}");
            step = (step * 2).min(BACKOFF_MAX);
        }
        backoff.reset();
        assert!(backoff.next_wait() <= BACKOFF_FIRST);
    }
}
