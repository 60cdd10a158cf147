//! Much, in constant memory: 50 MB, or what is asked for:
//! `NETCHAN_BIG_BYTES=500000000 cargo test --release -p netchan-cli --test big`.

#![allow(clippy::unwrap_used, reason = "a panic here is a failed test")]

mod shell;

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::process::Command;

use shell::{Place, Random, Running};

fn bytes() -> u64 {
    std::env::var("NETCHAN_BIG_BYTES").map_or(50_000_000, |text| text.parse().unwrap())
}

/// What a process may hold at most: a fixed number of buffers, whatever the size of the input.
const MEMORY_KIB: u64 = 64 << 10;

/// The most memory that the process has held so far.
fn peak_kib(process: &Running) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", process.child.id())).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

fn watched(mut process: Running) -> shell::Done {
    let mut peak = 0;
    while process.is_running() {
        peak = peak.max(peak_kib(&process));
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert!(peak < MEMORY_KIB, "{peak} KiB");
    process.end().well()
}

#[test]
fn five_hundred_megabytes_come_out_as_they_went_in_in_constant_memory() {
    let place = Place::new();
    let mut random = Random(500);
    let line: Vec<u8> = (0..200).map(|_| b'a' + random.below(26) as u8).collect();
    let mut input = BufWriter::new(File::create(place.path("input")).unwrap());
    let mut written = 0;
    while written < bytes() {
        let part = &line[..random.below(200) as usize];
        input.write_all(part).unwrap();
        input.write_all(b"\n").unwrap();
        written += part.len() as u64 + 1;
    }
    input.flush().unwrap();
    for (name, words) in [("by_file", "input"), ("by_pipe", "-"), ("resumed", "input --resume")] {
        let mut send = place.netchan(&format!("send {name} {words} --seal"));
        send.stdin(File::open(place.path("input")).unwrap());
        watched(place.start(send));
        watched(place.go(&format!("recv {name} --from earliest --output {name}")));
        let cmp = Command::new("cmp").arg(place.path("input")).arg(place.path(name)).status().unwrap();
        assert!(cmp.success(), "{name}");
        place.run(&format!("rm {name} --yes")).well();
        fs::remove_file(place.path(name)).unwrap();
    }
}
