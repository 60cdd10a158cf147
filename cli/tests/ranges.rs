//! `--from`, `--since`, `--last`, `--until` and `--count` are exact to the record, against a model.

#![allow(clippy::unwrap_used, reason = "a panic here is a failed test")]

mod shell;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use netchan::{Node, Offset, Start, Timestamp};
use shell::{Place, Random};

const RECORDS: u64 = 3_000;
/// Records between two pauses, which `Start::Ago` can aim at.
const GROUP: u64 = 100;
const PAUSE: Duration = Duration::from_millis(20);

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as i64
}

/// A time that some record has, or is next to, or is far away from all.
fn a_time(times: &[i64], random: &mut Random) -> i64 {
    let time = times[random.below(times.len() as u64) as usize];
    match random.below(6) {
        0 => time - 1,
        1 => time + 1,
        2 => times[0] - 1_000_000_000,
        3 if random.below(4) == 0 => times[times.len() - 1] + 1_000_000_000,
        _ => time,
    }
}

/// The first record at or after this time.
fn at_or_after(times: &[i64], time: i64) -> u64 {
    times.partition_point(|&other| other < time) as u64
}

#[test]
fn a_thousand_random_ranges_are_exact_to_the_record() {
    let place = Place::new();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let node = Node::builder().data_dir(place.path("data")).start().await.unwrap();
        // small segments, so that there are many to choose from
        let sender = node.sender("x").segment_bytes(16 << 10).open().await.unwrap();
        for record in 0..RECORDS {
            sender.send(format!("{record} {}", "x".repeat(record as usize % 50))).await.unwrap();
            if record % GROUP == GROUP - 1 {
                sender.flush().await.unwrap();
                tokio::time::sleep(PAUSE).await;
            }
        }
        sender.flush().await.unwrap();
        let mut all = node.receiver("x").from(Start::Earliest).follow(false).open().await.unwrap();
        let mut times = Vec::new();
        while let Some(record) = all.recv().await.unwrap() {
            assert_eq!(record.offset.0, times.len() as u64);
            assert!(times.last().is_none_or(|&last| last < record.timestamp.0), "times strictly increase");
            times.push(record.timestamp.0);
        }
        assert_eq!(times.len() as u64, RECORDS);

        let mut random = Random(0x7261_6e67);
        for case in 0..1_000 {
            let asked = now();
            let (start, from) = match random.below(6) {
                0 => (Start::Earliest, 0),
                1 => (Start::Latest, RECORDS),
                2 => {
                    let offset = random.below(RECORDS + 1);
                    (Start::Offset(Offset(offset)), offset)
                }
                3 => {
                    let count = random.below(RECORDS + 10);
                    (Start::Last(count), RECORDS.saturating_sub(count))
                }
                4 => {
                    let time = a_time(&times, &mut random);
                    (Start::Time(Timestamp(time)), at_or_after(&times, time))
                }
                _ => {
                    // into the middle of a pause, for the clock goes on while we ask
                    let group = random.below(RECORDS / GROUP - 1) + 1;
                    let first = times[(group * GROUP) as usize];
                    let ago = Duration::from_nanos((asked - (first - 10_000_000)) as u64);
                    (Start::Ago(ago), group * GROUP)
                }
            };
            let mut receiver = node.receiver("x").from(start).follow(false);
            let mut to = RECORDS;
            if random.below(2) == 0 {
                let until = a_time(&times, &mut random);
                receiver = receiver.until(Timestamp(until));
                to = at_or_after(&times, until);
            }
            let mut receiver = receiver.open().await.unwrap();
            let answered = now();
            let mut next = from;
            while let Some(record) = receiver.recv().await.unwrap() {
                if let (Start::Ago(ago), true) = (&start, next == from) {
                    // the sender's clock said something between our question and its answer
                    let ago = ago.as_nanos() as i64;
                    let range = at_or_after(&times, asked - ago)..=at_or_after(&times, answered - ago);
                    assert!(range.contains(&record.offset.0), "case {case}: {start:?}: {range:?}");
                    next = record.offset.0;
                }
                assert_eq!(record.offset.0, next, "case {case}: {start:?}, to {to}");
                next += 1;
            }
            assert_eq!(next, to.max(from), "case {case}: {start:?} ends before its end");
        }
        node.shutdown(Duration::from_secs(1)).await.unwrap();
    });
}

#[test]
fn the_program_says_the_same() {
    let place = Place::new();
    let lines: Vec<String> = (0..500).map(|line| format!("line {line}")).collect();
    place.feed("send x", (lines.join("\n") + "\n").as_bytes()).well();
    let times: Vec<String> = place
        .run("recv x --from earliest --no-follow --json")
        .well()
        .lines()
        .iter()
        .map(|line| line.split('"').nth(5).unwrap().to_owned())
        .collect();
    let mut random = Random(0x7072_6f67);
    for _ in 0..40 {
        let (a, b) = (random.below(500) as usize, random.below(500) as usize);
        let (first, last) = (a.min(b), a.max(b));
        let count = random.below(20);
        for (words, range) in [
            (format!("--from {first} --until {}", times[last]), first..last),
            (format!("--since {} --until {}", times[first], times[last]), first..last),
            (format!("--since {} --count {count}", times[first]), first..(first + count as usize).min(500)),
            (format!("--last {} --until {}", 500 - first, times[last]), first..last),
        ] {
            let done = place.run(&format!("recv x --no-follow {words}")).well();
            assert_eq!(done.lines(), lines[range], "{words}");
        }
    }
}
