//! What a bench prints.

use serde_json::json;

use super::figures::{Row, Table};
use super::floors::Verdict;
use super::machine::Machine;
use crate::args::Bench;

const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const GREEN: &str = "\x1b[32m";
const RED: &str = "\x1b[31m";
const PLAIN: &str = "\x1b[0m";

/// All figures of all runs, and the verdicts.
pub(super) fn json(machine: &Machine, args: &Bench, table: &Table, verdicts: &[Verdict]) -> String {
    json!({
        "machine": machine,
        "runs": args.runs,
        "seconds": args.seconds,
        "rate": args.rate,
        "keys": args.keys,
        "connect": args.connect,
        "conditions": conditions(args),
        "rows": table.rows,
        "verdicts": verdicts,
    })
    .to_string()
}

/// What was measured, in words.
fn conditions(args: &Bench) -> Vec<String> {
    let way = match &args.connect {
        Some(addr) => format!("Three processes: one sends through the node at {addr}, one receives from it"),
        None => "Two processes over loopback TCP: the sender is the node".into(),
    };
    let keys = args.keys.map_or("no keys".into(), |keys| format!("{keys} different keys in turn"));
    vec![
        format!("{way}; one send and one recv call a record, {keys}, the same payload each time."),
        format!(
            "Each sends for {} s; a channel is new each time, its segments too (none recycled). Before the disk is written to, one \
             that does not count warms the machine up.",
            args.seconds
        ),
        "Sync: durable (fdatasync) before it is acknowledged, or seen by a receiver. Os, Interval: written.".into(),
        "Raw framed TCP: a u32 length and the same bytes, 64 KiB buffers. Catch-up: from a `netchan serve` that has just \
         started, its files in the page cache. CPU and peak memory are those of both processes (peak: sender, receiver)."
            .into(),
        format!(
            "Latency: at {} records/s, from the moment a record was due until recv gave it; the first quarter does not \
             count. Pacer: how late the sender came to send, which is in the latency.",
            args.rate
        ),
        format!(
            "Idle: a `netchan serve` once it has settled; each channel took {0} records of 1 KiB before, each connection \
             received as many and waits for more.",
            super::roles::FILLING
        ),
    ]
}

/// Tables for a person.
pub(super) fn print(machine: &Machine, args: &Bench, table: &Table, verdicts: &[Verdict]) {
    let disk = if machine.in_memory { "in memory: syncs cost nothing there" } else { "on disk" };
    anstream::println!(
        "{BOLD}netchan {}{PLAIN}: {} processors, {}; channels in {} ({disk})",
        machine.version,
        machine.processors,
        machine.system,
        machine.directory
    );
    if machine.unoptimised {
        anstream::println!(
            "{RED}This program was built without optimisation: its figures mean nothing.{PLAIN}"
        );
    }
    if let Some(load) = machine.load.filter(|_| machine.is_busy()) {
        anstream::println!(
            "{RED}This machine was busy before the bench began (load average {load:.1}): only ratios say something.{PLAIN}"
        );
    }
    for line in conditions(args) {
        anstream::println!("{DIM}{line}{PLAIN}");
    }
    let runs = args.runs;
    anstream::println!(
        "{DIM}Medians of {runs} runs that took turns (least to most); ratios are run by run.{PLAIN}\n"
    );
    limits(table);
    throughput(table);
    filters(table);
    latency(table);
    idle(table);
    for verdict in verdicts {
        let colour = if verdict.holds { GREEN } else { RED };
        anstream::println!("{colour}{verdict}{PLAIN}");
    }
}

fn having<'a>(table: &'a Table, figure: &'static str) -> impl Iterator<Item = &'a Row> {
    table.rows.iter().filter(move |row| row.medians.get(figure).is_some())
}

/// The median, and from where to where the runs went, divided by `by`.
fn spread(row: &Row, figure: &str, by: f64, digits: usize) -> String {
    match (row.medians.get(figure), row.span(figure)) {
        (Some(median), Some((least, most))) if row.runs.len() > 1 => {
            format!("{:.digits$} ({:.digits$} to {:.digits$})", median / by, least / by, most / by)
        }
        (Some(median), _) => format!("{:.digits$}", median / by),
        _ => "-".into(),
    }
}

fn plain(row: &Row, figure: &str, digits: usize) -> String {
    row.medians.get(figure).map_or("-".into(), |figure| format!("{figure:.digits$}"))
}

fn limits(table: &Table) {
    anstream::println!("{BOLD}{:<34} {:>28}{PLAIN}", "this machine", "MB/s");
    for row in having(table, "mb_per_s").filter(|row| row.medians.get("records_per_s").is_none()) {
        anstream::println!("{:<34} {:>28}", row.subject.to_string(), spread(row, "mb_per_s", 1.0, 0));
    }
    for row in having(table, "per_s") {
        let what = format!("{} /s", spread(row, "per_s", 1.0, 0));
        let (half, most) = (plain(row, "p50_us", 0), plain(row, "p99_us", 0));
        anstream::println!("{:<34} {what:>28}   p50 {half} us, p99 {most} us", row.subject.to_string());
    }
}

fn throughput(table: &Table) {
    let rows: Vec<&Row> =
        having(table, "records_per_s").filter(|row| row.medians.get("p50_us").is_none()).collect();
    if rows.is_empty() {
        return;
    }
    anstream::println!(
        "\n{BOLD}{:<34} {:>24} {:>7} {:>22} {:>22} {:>9} {:>12}{PLAIN}",
        "throughput",
        "M records/s",
        "MB/s",
        "of raw TCP",
        "of write + fdatasync",
        "CPU s/M",
        "peak MiB"
    );
    for row in rows {
        let peaks = format!("{}, {}", plain(row, "sender_peak_mib", 0), plain(row, "receiver_peak_mib", 0));
        anstream::println!(
            "{:<34} {:>24} {:>7} {:>22} {:>22} {:>9} {peaks:>12}",
            row.subject.to_string(),
            spread(row, "records_per_s", 1e6, 2),
            plain(row, "mb_per_s", 0),
            spread(row, "of_raw_tcp", 1.0, 2),
            spread(row, "of_write_sync", 1.0, 2),
            plain(row, "cpu_s_per_million", 3),
        );
    }
    for row in having(table, "of_one_receiver") {
        let ratio = spread(row, "of_one_receiver", 1.0, 2);
        anstream::println!("{}: all receivers together {ratio} of one", row.subject);
    }
}

fn filters(table: &Table) {
    for row in having(table, "scanned_per_s") {
        let (rate, ratio) = (spread(row, "scanned_per_s", 1e6, 2), spread(row, "of_catch_up", 1.0, 2));
        anstream::println!("{}: {rate} M records/s looked at, {ratio} of catch-up without it", row.subject);
    }
    for row in having(table, "of_parsing") {
        let (rate, ratio) = (spread(row, "judged_per_s", 1e6, 2), spread(row, "of_parsing", 1.0, 1));
        let bytes = plain(row, "line_bytes", 0);
        anstream::println!(
            "{}: {rate} M/s of {bytes} B each, {ratio} times as fast as serde_json's Value",
            row.subject
        );
    }
}

fn latency(table: &Table) {
    let rows: Vec<&Row> = having(table, "late_p50_us").collect();
    if rows.is_empty() {
        return;
    }
    anstream::println!(
        "\n{BOLD}{:<34} {:>22} {:>8} {:>8} {:>9} {:>18} {:>18} {:>9}{PLAIN}",
        "latency, us",
        "p50",
        "p99",
        "p99.9",
        "max",
        "pacer p50, p99",
        "from send p50, p99",
        "CPU s/M"
    );
    for row in rows {
        let pair = |one, other| format!("{}, {}", plain(row, one, 0), plain(row, other, 0));
        anstream::println!(
            "{:<34} {:>22} {:>8} {:>8} {:>9} {:>18} {:>18} {:>9}",
            row.subject.to_string(),
            spread(row, "p50_us", 1.0, 0),
            plain(row, "p99_us", 0),
            plain(row, "p999_us", 0),
            plain(row, "max_us", 0),
            pair("late_p50_us", "late_p99_us"),
            pair("sent_p50_us", "sent_p99_us"),
            plain(row, "cpu_s_per_million", 1),
        );
    }
}

fn idle(table: &Table) {
    for row in having(table, "memory_mib") {
        anstream::println!("\n{:<34} {} MiB", row.subject.to_string(), spread(row, "memory_mib", 1.0, 1));
    }
    for row in having(table, "kib_each") {
        let descriptors = match row.medians.get("descriptors_each") {
            Some(each) => format!(", {each:.2} descriptors each"),
            None => String::new(),
        };
        let each = spread(row, "kib_each", 1.0, 1);
        anstream::println!("{:<34} {each} KiB each{descriptors}", row.subject.to_string());
    }
    anstream::println!();
}
