//! What netchan does beside what this machine could do at most, in one run.
//!
//! ```text
//! cargo run --release -p netchan-benches            # every figure, medians of 5 interleaved runs
//! cargo run --release -p netchan-benches -- --check # and fails where a ratio is below its floor
//! ```
//!
//! Two processes over loopback TCP, one `send` and one `recv` call a record. The peer of each figure is raw framed TCP
//! with the same payloads: a u32 length and the bytes, through 64 KiB buffers.
//!
//! | room | holds |
//! |---|---|
//! | `roles` | what each child process does |
//! | `raw` | the same over bare TCP |
//! | `report` | runs, medians, ratios, floors |

mod clock;
mod raw;
mod report;
mod roles;

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match &words[..] {
        ["child", role, rest @ ..] => roles::run(role, rest),
        words => report::run(words),
    }
}
