//! What a rate was at each look, and how one is had from two.

use std::collections::VecDeque;
use std::time::Duration;

/// Looks that are remembered: five minutes at one a second, and more than any screen is wide.
const LOOKS: usize = 300;

/// A value at each of the last looks, the newest last; `None` where it was not known.
#[derive(Clone, Debug, Default)]
pub(crate) struct History(VecDeque<Option<f32>>);

impl History {
    pub(crate) fn push(&mut self, value: Option<f64>) {
        if self.0.len() == LOOKS {
            self.0.pop_front();
        }
        self.0.push_back(value.map(|value| value as f32));
    }

    pub(crate) fn values(&self) -> impl DoubleEndedIterator<Item = Option<f64>> {
        self.0.iter().map(|value| value.map(f64::from))
    }

    /// The highest of the last `looks`.
    pub(crate) fn top(&self, looks: usize) -> f64 {
        self.values().rev().take(looks).flatten().fold(0.0, f64::max)
    }

    /// The mean of what is known of the last `looks`.
    pub(crate) fn mean(&self, looks: usize) -> f64 {
        let (sum, count) = self
            .values()
            .rev()
            .take(looks)
            .flatten()
            .fold((0.0, 0.0), |(sum, count), v| (sum + v, count + 1.0));
        if count > 0.0 { sum / count } else { 0.0 }
    }
}

/// How much a second `now` is above `before`; unknown where it went back.
pub(crate) fn rate(before: u64, now: u64, took: Duration) -> Option<f64> {
    let more = now.checked_sub(before)?;
    (!took.is_zero()).then(|| more as f64 / took.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_the_difference_over_the_time() {
        assert_eq!(rate(10, 30, Duration::from_millis(500)), Some(40.0));
        assert_eq!(rate(30, 10, Duration::from_secs(1)), None, "it began anew");
        assert_eq!(rate(10, 30, Duration::ZERO), None);
    }

    #[test]
    fn a_history_forgets_what_no_screen_can_show() {
        let mut history = History::default();
        (0..2 * LOOKS).for_each(|look| history.push(Some(look as f64)));
        assert_eq!(history.values().count(), LOOKS);
        assert_eq!(history.values().next_back(), Some(Some((2 * LOOKS - 1) as f64)));
        history.push(None);
        assert_eq!(history.top(3), (2 * LOOKS - 1) as f64);
        assert_eq!(history.mean(3), (2 * LOOKS) as f64 - 1.5);
        assert_eq!(History::default().mean(5), 0.0);
    }
}
