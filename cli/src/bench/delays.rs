//! Times from a stamp in a record to its arrival.

use hdrhistogram::Histogram;

use super::clock;
use super::figures::{Done, Figures};

/// A minute: what takes longer counts as that.
const LONGEST: u64 = 60_000_000_000;

/// Where a distribution is told.
const QUANTILES: [f64; 40] = [
    0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.82, 0.84, 0.86, 0.88, 0.9, 0.91, 0.92,
    0.93, 0.94, 0.95, 0.96, 0.97, 0.98, 0.985, 0.99, 0.992, 0.994, 0.996, 0.998, 0.999, 0.9992, 0.9994,
    0.9996, 0.9998, 0.9999, 0.99995, 0.99999, 1.0,
];

/// The stamps of a paced record, at the beginning of its payload.
#[derive(Clone, Copy)]
pub(super) struct Stamps {
    /// When it was due.
    pub(super) due: u64,
    /// When the sender came to send it.
    pub(super) sent: u64,
}

impl Stamps {
    /// Bytes of a payload that has stamps.
    pub(super) const LEN: usize = 16;

    pub(super) fn write(self, payload: &mut [u8]) {
        if let Some(place) = payload.first_chunk_mut::<{ Stamps::LEN }>() {
            place[..8].copy_from_slice(&self.due.to_le_bytes());
            place[8..].copy_from_slice(&self.sent.to_le_bytes());
        }
    }

    fn read(payload: &[u8]) -> Option<Stamps> {
        let (due, rest) = payload.split_first_chunk::<8>()?;
        let sent = rest.first_chunk::<8>()?;
        Some(Stamps { due: u64::from_le_bytes(*due), sent: u64::from_le_bytes(*sent) })
    }
}

/// How long records took, and how late their sender was. The first ones, while everything is still cold, don't count.
pub(super) struct Delays {
    from_due: Histogram<u64>,
    from_sent: Histogram<u64>,
    late: Histogram<u64>,
    skip: u64,
}

impl Delays {
    pub(super) fn new(skip: u64) -> anyhow::Result<Delays> {
        let empty = Histogram::new_with_bounds(1, LONGEST, 3)?;
        Ok(Delays { from_due: empty.clone(), from_sent: empty.clone(), late: empty, skip })
    }

    /// A record came, now.
    pub(super) fn note(&mut self, payload: &[u8]) {
        if let Some(stamps) = Stamps::read(payload) {
            self.note_at(stamps, clock::now());
        }
    }

    pub(super) fn note_at(&mut self, Stamps { due, sent }: Stamps, now: u64) {
        if self.skip > 0 {
            self.skip -= 1;
            return;
        }
        self.from_due.saturating_record(now.saturating_sub(due));
        self.from_sent.saturating_record(now.saturating_sub(sent));
        self.late.saturating_record(sent.saturating_sub(due));
    }

    /// What there is to tell of them.
    pub(super) fn done(&self) -> Done {
        let mut figures = Figures::default();
        let us = |histogram: &Histogram<u64>, quantile| histogram.value_at_quantile(quantile) as f64 / 1000.0;
        for (name, quantile) in [("p50_us", 0.5), ("p99_us", 0.99), ("p999_us", 0.999), ("max_us", 1.0)] {
            figures.set(name, us(&self.from_due, quantile));
            figures.set(&format!("sent_{name}"), us(&self.from_sent, quantile));
            figures.set(&format!("late_{name}"), us(&self.late, quantile));
        }
        figures.set("measured", self.from_due.len() as f64);
        let distribution = QUANTILES.iter().map(|&quantile| (quantile, us(&self.from_due, quantile)));
        Done { figures, distribution: distribution.collect() }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic here is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn a_stall_of_the_sender_counts_for_all_that_was_due_meanwhile() {
        let mut delays = Delays::new(1).unwrap();
        // one due each ms; the sender stood still for 100 ms, and then sent all at once, each taking 10 us
        for due in 0..100 {
            delays.note_at(Stamps { due: due * 1_000_000, sent: 100_000_000 }, 100_010_000);
        }
        let figures = delays.done().figures;
        let about = |name: &str, us: f64| {
            let found = figures.get(name).unwrap();
            assert!((found - us).abs() <= us / 100.0, "{name}: {found}");
        };
        about("p50_us", 50_010.0);
        about("sent_p50_us", 10.0);
        about("late_p50_us", 50_000.0);
        about("max_us", 99_010.0);
        assert_eq!(figures.get("measured"), Some(99.0));
    }

    #[test]
    fn stamps_come_back_as_they_were_written() {
        let mut payload = [7; 20];
        Stamps { due: 1, sent: u64::MAX }.write(&mut payload);
        let read = Stamps::read(&payload).unwrap();
        assert_eq!((read.due, read.sent, payload[19]), (1, u64::MAX, 7));
        assert!(Stamps::read(&payload[..15]).is_none());
    }
}
