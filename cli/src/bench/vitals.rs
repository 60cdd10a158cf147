//! What a process takes of the machine: memory, descriptors, threads. Where the system does not tell (other than Linux),
//! figures are left out.

use std::fs;

use serde::Serialize;

const KIB: u64 = 1024;

/// A process at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Vitals {
    /// Bytes of memory that it has in place (VmRSS).
    pub(super) memory: u64,
    pub(super) descriptors: u64,
    pub(super) threads: u64,
}

impl Vitals {
    /// Those of another process. `None` where it cannot be known.
    pub(super) fn of(pid: u32) -> Option<Vitals> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        Some(Vitals {
            memory: field(&status, "VmRSS:")? * KIB,
            threads: field(&status, "Threads:")?,
            descriptors: fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count() as u64,
        })
    }
}

/// A node at one moment of a run.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Sample {
    /// Since the run began.
    pub(super) seconds: f64,
    #[serde(flatten)]
    pub(super) vitals: Vitals,
    /// Bytes that the data directory takes.
    pub(super) disk: u64,
}

/// The most memory that a process has had, in MiB (VmHWM).
pub(super) fn peak_mib(pid: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    Some(field(&status, "VmHWM:")? as f64 / KIB as f64)
}

/// Seconds that another process has had of all processors, to a hundredth.
pub(super) fn processor_seconds(pid: u32) -> Option<f64> {
    /// What /proc counts in, on every machine (USER_HZ).
    const TICKS: f64 = 100.0;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything. After it: the state is the first field, user and system time are
    // the twelfth and the thirteenth.
    let (_, rest) = stat.rsplit_once(')')?;
    let ticks = |at| rest.split_whitespace().nth(at)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / TICKS)
}

fn field(status: &str, name: &str) -> Option<u64> {
    status.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

#[cfg(all(test, target_os = "linux"))]
#[allow(clippy::unwrap_used, reason = "a panic here is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_memory_descriptors_and_threads() {
        let before = Vitals::of(std::process::id()).unwrap();
        let files: Vec<fs::File> = (0..64).map(|_| fs::File::open("/dev/null").unwrap()).collect();
        let after = Vitals::of(std::process::id()).unwrap();
        assert!(before.memory > 0 && before.threads > 0);
        // other tests open and close files meanwhile
        assert!(after.descriptors >= before.descriptors + 32, "{before:?} {after:?}");
        assert!(peak_mib(std::process::id()).unwrap() * 1024.0 * 1024.0 >= after.memory as f64 / 2.0);
        assert_eq!(files.len(), 64);
        let (ours, theirs) =
            (crate::bench::clock::processor_seconds(), processor_seconds(std::process::id()).unwrap());
        assert!((ours - theirs).abs() < 1.0, "{ours} {theirs}");
    }
}
