//! The clock that the store asks for the time of records and for what is due.

use std::time::{SystemTime, UNIX_EPOCH};

use netchan_proto::Timestamp;

/// Tells the time. It may jump, back too: the log keeps its own timestamps increasing.
pub trait Clock: Send + Sync {
    /// Nanoseconds since the Unix epoch.
    fn now(&self) -> Timestamp;
}

/// The clock of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let nanos = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |nanos| -nanos),
        };
        Timestamp(nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_clock_tells_nanoseconds_since_1970() {
        let nanos =
            || i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap();
        let (before, now, after) = (nanos(), SystemClock.now().0, nanos());
        // It may be set meanwhile, but not by a day.
        let day = 86_400_000_000_000;
        assert!(before - day < now && now < after + day, "{before}, {now}, {after}");
        assert!(now > 50 * 365 * day, "{now}");
    }
}
