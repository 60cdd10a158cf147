//! The clock, and the limits of a process.

use std::time::{Duration, Instant, SystemTime};

use netchan_proto::limits::MAX_CONNECTIONS;

use super::Finding;

/// The years in which this program can be at work: 2025 until 2200.
const SANE: [u64; 2] = [1_735_689_600, 7_258_118_400];
/// For so long the two clocks of this machine are compared.
const COMPARED: Duration = Duration::from_millis(50);
/// So far may they part meanwhile.
const PARTED: Duration = Duration::from_millis(20);
/// Descriptors that a node needs besides logs and connections.
const OTHERS: u64 = 64;
/// Files of channels that are open at a time, at most.
const LOGS: u64 = 4096;
/// With fewer there is room for some hundreds of connections only.
const FEW: u64 = 1024;

/// The clock that records' times are of.
pub(super) fn clock() -> Finding {
    let help = "records get their times from it: have it set by NTP (timedatectl set-ntp true)";
    let (began, began_wall) = (Instant::now(), SystemTime::now());
    let mut last = began_wall;
    let mut back = Duration::ZERO;
    while began.elapsed() < COMPARED {
        let now = SystemTime::now();
        back = back.max(last.duration_since(now).unwrap_or_default());
        last = now;
    }
    if !back.is_zero() {
        return Finding::warning("clock", format!("it went back by {back:?} while it was looked at"), help);
    }
    let wall = last.duration_since(began_wall).unwrap_or_default();
    let parted = wall.abs_diff(began.elapsed());
    let year = last.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let now = jiff::Timestamp::now();
    if !(SANE[0]..SANE[1]).contains(&year) {
        return Finding::problem("clock", format!("it says {now:.0}"), help);
    }
    if parted > PARTED {
        return Finding::warning("clock", format!("it jumped by {parted:.1?} while it was looked at"), help);
    }
    Finding::ok("clock", format!("{now:.0}; it goes forward, as fast as the monotonic one"))
}

/// How many files and connections a node can have: it takes as many as it may.
pub(super) fn limits() -> Finding {
    let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum.unwrap_or(u64::MAX);
    // the store's default: half of them, up to so many
    let logs = (most / 2).min(LOGS);
    let all = MAX_CONNECTIONS as u64 + LOGS + OTHERS;
    let room = most.saturating_sub(logs + OTHERS).min(MAX_CONNECTIONS as u64);
    let what = format!("a process may open {most} files: {logs} of channels, and {room} connections");
    let help = format!("raise the hard limit (ulimit -Hn {all}, or LimitNOFILE={all} in its unit)");
    match room {
        0 => Finding::problem("limits", what, help),
        _ if most < FEW => Finding::warning("limits", what, help),
        _ => Finding::ok("limits", what),
    }
}
