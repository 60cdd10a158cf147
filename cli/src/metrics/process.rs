//! What the operating system says of this process, under the names that Prometheus' own clients use.
//!
//! Where it doesn't say, there is no number.

use std::fmt;
use std::fs;

use netchan::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::registry::Unit;
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

use super::gauge::{since_1970, tell};

/// This process now.
#[derive(Debug)]
pub(super) struct Process {
    started: Option<f64>,
    cpu_seconds: f64,
    resident: Option<u64>,
    virtual_memory: Option<u64>,
    threads: Option<u64>,
    descriptors: Option<u64>,
    descriptors_limit: Option<u64>,
}

impl Process {
    /// Looks; it was started at that time.
    pub(super) fn look(started: Timestamp) -> Process {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let kilobytes = |name| number(&status, name).map(|kilobytes| kilobytes << 10);
        // The directory that is read is open itself meanwhile.
        let descriptors =
            fs::read_dir("/proc/self/fd").ok().map(|open| open.count().saturating_sub(1) as u64);
        #[expect(clippy::cast_precision_loss, reason = "microseconds are enough")]
        let cpu_seconds = cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9;
        Process {
            started: since_1970(started),
            cpu_seconds,
            resident: kilobytes("VmRSS:"),
            virtual_memory: kilobytes("VmSize:"),
            threads: number(&status, "Threads:"),
            descriptors,
            descriptors_limit: getrlimit(Resource::Nofile).current,
        }
    }
}

/// The number behind `name` at the beginning of a line.
fn number(status: &str, name: &str) -> Option<u64> {
    let rest = status.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Processor time that the process took, of the system on its behalf too.";
        let seconds = Some(Unit::Seconds);
        let counter = encoder.encode_descriptor("cpu", help, seconds.as_ref(), MetricType::Counter)?;
        ConstCounter::new(self.cpu_seconds).encode(counter)?;
        if let Some(started) = self.started {
            let help = "When the node was started, since 1970.";
            tell(&mut encoder, "start_time", help, Some(Unit::Seconds), started)?;
        }
        let mut gauge = |name, help, unit: Option<Unit>, value: Option<u64>| match value {
            Some(value) => tell(&mut encoder, name, help, unit, value),
            None => Ok(()),
        };
        gauge("resident_memory", "Memory of the process that is in use.", Some(Unit::Bytes), self.resident)?;
        gauge("virtual_memory", "Addresses that the process has.", Some(Unit::Bytes), self.virtual_memory)?;
        gauge("threads", "Threads of the process.", None, self.threads)?;
        gauge("open_fds", "File descriptors of the process.", None, self.descriptors)?;
        gauge("max_fds", "The most file descriptors that it may have.", None, self.descriptors_limit)
    }
}
