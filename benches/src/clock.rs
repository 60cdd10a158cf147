//! One clock for two processes, and a pace that holds to the microsecond.

use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};

/// Nanoseconds of the machine's monotonic clock: the same in every process.
pub(crate) fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// Calls `send` at an even rate, each time with the moment of the call.
pub(crate) fn paced(per_second: u64, count: u64, mut send: impl FnMut(u64)) {
    // The kernel may otherwise wake a sleeper 50 us late, to save power.
    let _ = std::fs::write("/proc/self/timerslack_ns", "1");
    let step = 1_000_000_000 / per_second;
    let begin = now();
    for index in 0..count {
        let due = begin + index * step;
        while now() < due {
            let left = due - now().min(due);
            let wait = Timespec { tv_sec: 0, tv_nsec: i64::try_from(left).unwrap_or(0) };
            let _ = rustix::thread::nanosleep(&wait);
        }
        send(now());
    }
}

/// A rate, per second.
pub(crate) fn rate(count: u64, nanos: u64) -> f64 {
    count as f64 / Duration::from_nanos(nanos.max(1)).as_secs_f64()
}
