//! `netchan bench` measures what it says: every record that is sent is received, figures are there with their ratios, verdicts
//! and plots come of themselves. How fast anything is, is not for a test.

#![allow(clippy::unwrap_used, reason = "a panic here is a failed test")]

mod shell;

use serde_json::Value;
use shell::Place;

fn bench(place: &Place, words: &str) -> Value {
    let done = place.run(&format!("bench --json --dir . {words}"));
    assert!(done.status.success(), "{words}: {}", done.err);
    serde_json::from_slice(&done.out).unwrap()
}

fn row<'a>(all: &'a Value, what: &str) -> &'a Value {
    let rows = all["rows"].as_array().unwrap();
    rows.iter().find(|row| row["what"] == what).unwrap_or_else(|| panic!("no {what} in {all}"))
}

#[test]
fn a_stream_stands_beside_the_limits_of_the_same_run() {
    let place = Place::new();
    let all =
        bench(&place, "stream catch-up fan-out --size 100 --receivers 3 --keys 5 --seconds 0.1 --runs 2");
    for what in ["raw framed TCP", "stream", "fan-out", "publish", "catch-up"] {
        let row = row(&all, what);
        assert_eq!(row["runs"].as_array().unwrap().len(), 2, "{what}");
        let medians = &row["medians"];
        for figure in ["records_per_s", "mb_per_s", "cpu_s_per_million", "records"] {
            assert!(medians[figure].as_f64().unwrap() > 0.0, "{what}: {figure} in {row}");
        }
        let (records, bytes) = (&medians["records_per_s"], &medians["mb_per_s"]);
        assert!((records.as_f64().unwrap() / 1e4 - bytes.as_f64().unwrap()).abs() < 1e-6, "{row}");
        if what != "raw framed TCP" {
            let runs = row["runs"].as_array().unwrap();
            assert!(runs.iter().all(|run| run["of_raw_tcp"].as_f64().unwrap() > 0.0), "{row}");
            assert!(runs.iter().all(|run| run["of_write_sync"].as_f64().unwrap() > 0.0), "{row}");
        }
    }
    assert_eq!(row(&all, "fan-out")["count"], 3);
    assert!(row(&all, "memcpy")["medians"]["mb_per_s"].as_f64().unwrap() > 0.0);
    assert!(row(&all, "fdatasync of 4 KiB")["medians"]["per_s"].as_f64().unwrap() > 0.0);
    let verdicts: Vec<&str> =
        all["verdicts"].as_array().unwrap().iter().map(|verdict| verdict["what"].as_str().unwrap()).collect();
    assert_eq!(verdicts, ["stream", "publish", "catch-up"]);
    let left: Vec<_> = std::fs::read_dir(place.path(".")).unwrap().filter_map(|entry| entry.ok()).collect();
    assert!(left.iter().all(|entry| !entry.file_name().to_string_lossy().contains("bench")), "{left:?}");
}

#[test]
fn latency_counts_from_when_a_record_was_due_and_is_drawn() {
    let place = Place::new();
    let all = bench(&place, "latency --rate 2000 --seconds 0.3 --runs 1 --plots drawn");
    for (what, durability) in
        [("latency of raw framed TCP", Value::Null), ("latency", "os".into()), ("latency", "sync".into())]
    {
        let rows = all["rows"].as_array().unwrap();
        let row = rows.iter().find(|row| row["what"] == what && row["durability"] == durability).unwrap();
        let figure = |name: &str| row["medians"][name].as_f64().unwrap_or_else(|| panic!("{name} in {row}"));
        // 600 records, of which the first quarter does not count
        assert_eq!((figure("records"), figure("measured")), (600.0, 450.0));
        assert!(figure("max_us") >= figure("p999_us") && figure("p999_us") >= figure("p99_us"));
        assert!(figure("p99_us") >= figure("p50_us") && figure("p50_us") > 0.0);
        // what a record takes from when it was due includes how late its sender was
        assert!(
            figure("max_us") * 1.01 >= figure("late_max_us")
                && figure("max_us") * 1.01 >= figure("sent_max_us")
        );
        assert!(!row["distribution"].as_array().unwrap().is_empty());
    }
    let drawn = std::fs::read_to_string(place.path("drawn/latency.svg")).unwrap();
    assert!(drawn.starts_with("<svg") && drawn.contains("latency, sync") && drawn.contains("polyline"));
}

#[test]
fn many_channels_are_all_durable_and_idle_ones_are_weighed() {
    let place = Place::new();
    let all = bench(
        &place,
        "channels idle --settle 0.5 --channels 20 --connections 20 --rate 200 --seconds 0.4 --runs 1",
    );
    let channels = row(&all, "channels");
    assert_eq!((&channels["count"], &channels["durability"]), (&20.into(), &"sync".into()));
    assert_eq!(channels["medians"]["records"], 80.0);
    assert!(channels["medians"]["p99_us"].as_f64().unwrap() > 0.0);
    assert!(row(&all, "idle node")["medians"]["memory_mib"].as_f64().unwrap() > 0.5);
    for what in ["idle connection", "idle channel"] {
        assert!(row(&all, what)["medians"]["kib_each"].is_f64(), "{all}");
    }
    // none of these is what is asked of 1,000 channels and 2,000 connections
    let verdicts = all["verdicts"].as_array().unwrap();
    assert_eq!(verdicts.iter().map(|verdict| &verdict["what"]).collect::<Vec<_>>(), ["idle node"]);
}

#[test]
fn a_node_that_runs_can_be_measured_and_keeps_nothing_of_it() {
    let place = Place::new();
    let addr = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut node = place.go(&format!("serve --listen {addr}"));
    node.says("serving");
    let words = format!("stream latency --size 64 --seconds 0.1 --rate 1000 --runs 1 --connect {addr}");
    let all = bench(&place, &words);
    assert!(row(&all, "stream")["medians"]["records_per_s"].as_f64().unwrap() > 0.0);
    assert_eq!(row(&all, "latency")["medians"]["records"], 100.0);
    assert_eq!(place.run(&format!("ls {addr}")).out, b"");
}

#[test]
fn a_bench_that_is_stopped_leaves_nothing_behind() {
    let place = Place::new();
    let mut running = place.go("bench stream -v --seconds 60 --runs 1 --dir .");
    running.says("raw framed TCP");
    running.signal("INT");
    let done = running.end();
    assert_eq!(done.status.code(), Some(130), "{}", done.err);
    let left: Vec<_> = std::fs::read_dir(place.path(".")).unwrap().filter_map(|entry| entry.ok()).collect();
    assert!(left.iter().all(|entry| !entry.file_name().to_string_lossy().contains("bench")), "{left:?}");
}

#[test]
fn a_soak_gets_every_record_through_and_is_drawn() {
    let place = Place::new();
    let done = place.run("bench soak --minutes 0.05 --size 1K --keep-size 8M --json --plots drawn --dir .");
    let all: Value = serde_json::from_slice(&done.out).unwrap_or_else(|_| panic!("{}", done.err));
    assert_eq!(all["nothing_missing"], true, "{all}");
    let verdicts = all["verdicts"].as_array().unwrap();
    let all_hold = verdicts.iter().all(|verdict| verdict["holds"] == true);
    assert_eq!(done.status.success(), all_hold, "the exit code says what the verdicts say: {}", done.err);
    assert_eq!(
        verdicts.iter().map(|verdict| &verdict["what"]).collect::<Vec<_>>(),
        ["memory", "descriptors", "threads"]
    );
    assert!(std::fs::read_to_string(place.path("drawn/soak.svg")).unwrap().contains("polyline"));
}

#[test]
fn a_filter_stands_beside_catch_up_and_beside_reading_whole() {
    let place = Place::new();
    let all = bench(&place, "filter --size 100 --seconds 0.1 --runs 1");
    let network = &row(&all, "filter that passes 1 %")["medians"];
    assert!(
        network["scanned_per_s"].as_f64().unwrap() > 0.0 && network["of_catch_up"].as_f64().unwrap() > 0.0
    );
    let lines = &row(&all, "filter over lines of JSON")["medians"];
    assert!((180.0..220.0).contains(&lines["line_bytes"].as_f64().unwrap()), "{lines}");
    let judged: Vec<_> =
        all["verdicts"].as_array().unwrap().iter().map(|verdict| verdict["figure"].clone()).collect();
    assert_eq!(judged, ["of_catch_up", "of_parsing"]);
}
