//! One clock for all processes of a bench, and a pace that holds to the microsecond.

use rustix::time::{ClockId, Timespec, clock_gettime};

const SECOND: u64 = 1_000_000_000;

/// Nanoseconds of the machine's monotonic clock: the same in every process.
pub(super) fn now() -> u64 {
    nanos(ClockId::Monotonic)
}

/// Seconds that this process has had of all processors.
pub(super) fn processor_seconds() -> f64 {
    nanos(ClockId::ProcessCPUTime) as f64 / SECOND as f64
}

fn nanos(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    u64::try_from(time.tv_sec).unwrap_or(0) * SECOND + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// As nanoseconds.
pub(super) fn from_seconds(seconds: f64) -> u64 {
    (seconds * SECOND as f64) as u64
}

/// How many a second.
pub(super) fn rate(count: u64, nanos: u64) -> f64 {
    count as f64 / (nanos.max(1) as f64 / SECOND as f64)
}

/// Moments at an even rate: when each is due, and what time it is when it is given, which is later by as much as this process was
/// late. Who comes late is given all that is due at once, and so catches up: what is due is due, whether or not the sender
/// was held up. It blocks until the next one is due.
pub(super) struct Pacer {
    begin: u64,
    per_second: u64,
    index: u64,
    count: u64,
}

impl Pacer {
    /// From now on.
    pub(super) fn new(per_second: u64, seconds: f64) -> Pacer {
        // The kernel may otherwise wake a sleeper 50 us late, to save power.
        let _ = std::fs::write("/proc/self/timerslack_ns", "1");
        Pacer { begin: now(), per_second, index: 0, count: moments(per_second, seconds) }
    }
}

/// How many moments there are in so many seconds.
pub(super) fn moments(per_second: u64, seconds: f64) -> u64 {
    (per_second as f64 * seconds).round() as u64
}

impl Iterator for Pacer {
    type Item = (u64, u64);

    fn next(&mut self) -> Option<(u64, u64)> {
        if self.index == self.count {
            return None;
        }
        let (seconds, rest) = (self.index / self.per_second, self.index % self.per_second);
        let due = self.begin + seconds * SECOND + rest * SECOND / self.per_second;
        self.index += 1;
        loop {
            let now = now();
            if now >= due {
                return Some((due, now));
            }
            let left = due - now;
            let wait = Timespec {
                tv_sec: i64::try_from(left / SECOND).unwrap_or(0),
                tv_nsec: i64::try_from(left % SECOND).unwrap_or(0),
            };
            let _ = rustix::thread::nanosleep(&wait);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_does_not_wait_for_who_is_late() {
        let mut pacer = Pacer::new(3, 1.4);
        pacer.begin -= 10 * SECOND;
        let begin = pacer.begin;
        let due: Vec<u64> = pacer.map(|(due, _)| due - begin).collect();
        assert_eq!(due, [0, SECOND / 3, SECOND * 2 / 3, SECOND]);
    }

    #[test]
    fn nobody_is_let_go_before_it_is_due() {
        let moments: Vec<(u64, u64)> = Pacer::new(10_000, 0.002).collect();
        assert!(moments.len() == 20 && moments.iter().all(|(due, now)| now >= due));
    }
}
