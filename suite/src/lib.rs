//! What every runtime's netchan must do: scenarios written once, run over each adapter and each pair of two, through the
//! handles that programs hold and real sockets.
//!
//! The author of a runtime implements [`Runtime`] (for one that is awaited, by [`awaited!`]) and names it in
//! [`scenarios!`]; `runtimes` and `tests/pairs.rs` do that for those of this repository. In a scenario everything blocks: it has threads
//! where two things happen at a time, and no clock but for what is about time.
//!
//! | room | holds |
//! |---|---|
//! | `runtime` | what a scenario does with the handles of any runtime |
//! | `pair` | two nodes, each in its runtime, and what comes from one to the other |
//! | `scenarios` | what must hold |
//! | `proxy` | a network between them that cuts connections |
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a panic here is a failed test")]

use std::io::Write;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

mod pair;
mod proxy;
mod runtime;
mod runtimes;
pub mod scenarios;

pub use pair::{Pair, payload};
pub use runtime::{Given, Runtime};

/// Longer than a scenario takes on a machine that is slow and busy.
const LIMIT: Duration = Duration::from_secs(240);

/// Runs a scenario; one that hangs has failed. `NETCHAN_SUITE_LIMIT` is after how many seconds, if not 240.
///
/// # Panics
/// If the scenario does, or takes too long. Its threads go on then, as long as the process does.
pub fn in_time(scenario: fn()) {
    let limit = std::env::var("NETCHAN_SUITE_LIMIT").ok();
    let limit = limit.map_or(LIMIT, |seconds| Duration::from_secs(seconds.parse().unwrap()));
    let (done, is_done) = mpsc::channel();
    let name = thread::current().name().unwrap_or("a scenario").to_owned();
    let running = thread::Builder::new().name(name).spawn(move || {
        // Dropped also by a panic.
        let _done: mpsc::Sender<()> = done;
        scenario();
    });
    match is_done.recv_timeout(limit) {
        Err(RecvTimeoutError::Timeout) => panic!("it hangs: after {limit:?} it is not done"),
        _ => running.unwrap().join().unwrap_or_else(|panicked| std::panic::resume_unwind(panicked)),
    }
}

/// Says how many scenarios there are, also where what tests print is kept back.
///
/// # Panics
/// If there are none.
pub fn tell_count(pairs: usize) {
    let count = scenarios::NAMES.len();
    assert!(count > 0 && pairs > 0);
    let _ = writeln!(std::io::stdout(), "{count} scenarios over {pairs} pairs: {} runs", count * pairs);
}

/// Makes a module of tests for each pair of runtimes, with a test for each scenario, and one that counts them.
///
/// ```ignore
/// netchan_suite::scenarios! {
///     tokio_to_std: Tokio => Std,
/// }
/// ```
#[macro_export]
macro_rules! scenarios {
    ($($pair:ident: $from:ty => $to:ty),+ $(,)?) => {
        $(
            mod $pair {
                use super::*;
                $crate::each_scenario!($from, $to);
            }
        )+

        #[test]
        fn each_scenario_is_run_over_each_pair() {
            let pairs = [$(stringify!($pair)),+];
            $crate::tell_count(pairs.len());
        }
    };
}
