//! `--metrics`: a real node, scraped over HTTP and read strictly; and what hostile callers can do to it.

#![allow(clippy::unwrap_used, reason = "a panic here is a failed test")]

mod openmetrics;
mod shell;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};

use netchan_proto::wire::{Counter, CounterKind, CounterUnit};
use openmetrics::{Metrics, answer, ask, call, scrape};
use shell::{Place, Running, until};

const GET: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";

/// A node, and where its metrics are.
fn node(place: &Place, words: &str) -> (Running, String) {
    let mut node = place.go(&format!("{words} --listen none --metrics 127.0.0.1:0"));
    let line = node.says("metrics are at http://");
    let address = line.split_once("http://").unwrap().1.strip_suffix("/metrics").unwrap().to_owned();
    node.says("serving");
    (node, address)
}

/// Metrics that show `what`; the page is kept for a second, so the next may be the one.
fn scrape_until(address: &str, what: &str, shown: impl Fn(&Metrics) -> bool) -> Metrics {
    until(what, || Some(scrape(address)).filter(&shown))
}

fn memory(node: &Running) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

#[test]
fn a_node_tells_its_channels() {
    let place = Place::new();
    let odd = r#"o"d\d/é"#;
    let lines = |count: usize| "a line of text\n".repeat(count);
    place.feed("send orders", lines(1000).as_bytes()).well();
    place.feed(&format!("send {odd} --seal"), lines(7).as_bytes()).well();
    let (_node, address) = node(&place, "serve");
    let metrics = scrape(&address);
    let of = |name: &str, channel: &str| {
        metrics.of(&format!("netchan_channel_{name}"), ("channel", channel)).unwrap()
    };
    for (name, first, second) in [
        ("first_offset", 0.0, 0.0),
        ("next_offset", 1000.0, 7.0),
        ("durable_offset", 1000.0, 7.0),
        ("segments", 1.0, 1.0),
        ("sealed", 0.0, 1.0),
    ] {
        assert_eq!((of(name, "orders"), of(name, odd)), (first, second), "{name}");
    }
    assert!(of("size_bytes", "orders") > 15_000.0);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    let last = of("last_record_timestamp_seconds", "orders");
    assert!(last > now - 600.0 && last <= now, "{last} {now}");
    assert_eq!(metrics.get("netchan_channels_omitted"), Some(0.0));
}

#[test]
fn numbers_follow_what_happens() {
    let place = Place::new();
    place.feed("send orders", b"one\n").well();
    let (_node, address) = node(&place, "serve");
    let next = |metrics: &Metrics| metrics.of("netchan_channel_next_offset", ("channel", "orders"));
    let before = scrape(&address);
    assert_eq!(next(&before), Some(1.0));
    let later = scrape_until(&address, "another page", |metrics| {
        metrics.get("process_cpu_seconds_total") > before.get("process_cpu_seconds_total")
    });
    assert_eq!(later.get("netchan_connections_accepted_total"), Some(0.0), "who scrapes is not counted");
    place.feed("send orders", b"two\nthree\n").well();
    place.feed("send others", b"one\n").well();
    let after = scrape_until(&address, "three records and a second channel", |metrics| {
        let other = metrics.of("netchan_channel_next_offset", ("channel", "others"));
        next(metrics) == Some(3.0) && other == Some(1.0)
    });
    let after: std::collections::BTreeMap<_, _> = after.growing().collect();
    for (key, value) in before.growing() {
        assert!(after.get(key).is_some_and(|later| *later >= value), "{key:?} went back from {value}");
    }
}

#[test]
fn who_reads_and_how_far_behind_is_told_for_each_channel() {
    let place = Place::new();
    place.feed("send orders", "a line of text, and more of it\n".repeat(300_000).as_bytes()).well();
    place.feed("send others", b"one\n").well();
    let (_node, address) = node(&place, "serve");
    let follower = place.go("recv orders --from earliest");
    // Nobody takes what it writes: it is stuck when the pipe is full.
    let mut command = place.netchan("recv orders --from earliest");
    command.stdout(std::process::Stdio::piped());
    let mut stuck = command.spawn().unwrap();
    until("the follower to have all", || (follower.out().len() == 31 * 300_000).then_some(()));
    let of = |metrics: &Metrics, name: &str| {
        metrics.of(&format!("netchan_channel_{name}"), ("channel", "orders")).unwrap_or(0.0)
    };
    let metrics = scrape_until(&address, "two readers, one of them behind", |metrics| {
        of(metrics, "readers") == 2.0 && of(metrics, "lag_records") > 0.0
    });
    assert!(of(&metrics, "lag_records") < 300_000.0);
    assert_eq!(of(&metrics, "publishers"), 0.0);
    assert_eq!(metrics.get("netchan_readers"), Some(2.0));
    let other = |name: &str| metrics.of(&format!("netchan_channel_{name}"), ("channel", "others"));
    assert_eq!((other("readers"), other("lag_records")), (Some(0.0), None), "nobody lags where nobody reads");
    stuck.kill().unwrap();
    stuck.wait().unwrap();
    scrape_until(&address, "the stuck reader to be gone", |metrics| {
        of(metrics, "readers") == 1.0 && of(metrics, "lag_records") == 0.0
    });
}

#[test]
fn what_the_node_counts_has_the_names_of_the_registry() {
    let place = Place::new();
    let (node, address) = node(&place, "serve");
    place.feed("send orders", b"one\ntwo\nthree\n").well();
    place.run("recv orders --from earliest --no-follow").well();
    let metrics = scrape_until(&address, "two callers", |metrics| {
        metrics.get("netchan_handshakes_done_total").is_some_and(|done| done >= 2.0)
            && metrics.get("netchan_connections_open") == Some(0.0)
    });
    for counter in Counter::ALL {
        let is_step = Counter::sync_steps().any(|(step, _)| step == *counter);
        let total = if counter.kind() == CounterKind::Counter { "_total" } else { "" };
        let unit = match counter.unit() {
            CounterUnit::Bytes if !counter.name().contains("bytes") => "_bytes",
            CounterUnit::Nanos => "_seconds",
            _ => "",
        };
        let told = metrics.get(&format!("netchan_{}{unit}{total}", counter.name()));
        assert!(!is_step || told.is_none(), "{counter} is in the histogram");
        let family = metrics.families.get(&format!("netchan_{}{unit}", counter.name()));
        assert_eq!(family.is_some(), told.is_some(), "{counter}");
        if let Some(family) = family {
            assert_eq!(family.help.as_deref(), Some(counter.meaning()));
        }
    }
    let labels = metrics.labels("netchan_node_info").unwrap();
    assert!(
        labels["version"].contains(env!("CARGO_PKG_VERSION")) && labels["node"].len() == 32,
        "{labels:?}"
    );
    let of = |name: &str| metrics.get(name).unwrap_or_else(|| panic!("no {name}"));
    assert!(of("netchan_bytes_in_total") > 100.0 && of("netchan_frames_out_total") > 4.0);
    assert_eq!(of("netchan_records_delivered_total"), 3.0);
    assert_eq!(of("netchan_records_appended_total"), 3.0);
    assert!(of("netchan_syncs_total") >= 1.0);
    assert_eq!(metrics.families["netchan_sync_duration_seconds"].kind.as_deref(), Some("histogram"));
    assert!(
        of("netchan_sync_duration_seconds_count") >= 1.0 && of("netchan_sync_duration_seconds_sum") > 0.0
    );
    assert_eq!(of("netchan_channels"), 1.0);
    assert!(of("process_resident_memory_bytes") <= memory(&node) as f64 * 1.5);
    assert!(of("process_open_fds") > 3.0 && of("process_open_fds") < of("process_max_fds"));
    assert!(of("process_cpu_seconds_total") > 0.0 && of("process_threads") >= 2.0);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    assert!((now - 600.0..=now).contains(&of("process_start_time_seconds")));
}

#[test]
fn a_sender_tells_metrics_too() {
    let place = Place::new();
    let mut command = place.netchan("send orders --serve --metrics 127.0.0.1:0 --listen none -v");
    std::fs::write(place.path("input"), "one\ntwo\n").unwrap();
    command.stdin(std::fs::File::open(place.path("input")).unwrap());
    let mut sender = place.start(command);
    let line = sender.says("metrics are at http://");
    let address = line.split_once("http://").unwrap().1.strip_suffix("/metrics").unwrap().to_owned();
    sender.says("all is sent");
    scrape_until(&address, "two records", |metrics| {
        metrics.of("netchan_channel_next_offset", ("channel", "orders")) == Some(2.0)
    });
}

#[test]
fn what_is_asked_wrong_is_told_so() {
    let place = Place::new();
    let (_node, address) = node(&place, "serve");
    let codes = [
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", 200),
        ("GET /metrics HTTP/1.0\r\n\r\n", 200),
        ("GET /metrics?x=y HTTP/1.1\r\nHost: x\r\n\r\n", 200),
        ("GET /metrics/x HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        ("GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        ("POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", 405),
        ("DELETE / HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        ("GET /metrics HTTP/1.1\r\nHost x\r\n\r\n", 400),
        ("\0\0\0\0\r\n\r\n", 400),
    ];
    for (request, code) in codes {
        assert_eq!(ask(&address, request.as_bytes()).code, code, "{request:?}");
    }
    let mut stream = call(&address);
    stream.write_all(b"HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut head = String::new();
    stream.read_to_string(&mut head).unwrap();
    assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head:?}");
}

#[test]
fn a_request_that_is_too_large_is_refused_and_not_kept() {
    let place = Place::new();
    let (node, address) = node(&place, "serve");
    scrape(&address);
    let before = memory(&node);
    let lines = "X-Filler: 0123456789\r\n".repeat(65);
    assert_eq!(ask(&address, format!("GET /metrics HTTP/1.1\r\n{lines}\r\n").as_bytes()).code, 431);
    // One header, one path, without end: it is cut off, whoever goes on writing.
    for begin in
        ["GET /metrics HTTP/1.1\r\nX: ", "GET /", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"]
    {
        let mut stream = call(&address);
        stream.write_all(begin.as_bytes()).unwrap();
        let written = (0..10_000).take_while(|_| stream.write_all(&[b'a'; 4096]).is_ok()).count();
        assert!(written < 10_000, "{begin:?}: 40 MB were taken");
    }
    let grown = memory(&node).saturating_sub(before);
    assert!(grown < 4 << 20, "{grown} bytes more");
    scrape(&address);
}

#[test]
fn who_is_slow_is_given_up() {
    let place = Place::new();
    let (_node, address) = node(&place, "serve");
    let ends = |mut stream: TcpStream| {
        let mut rest = Vec::new();
        match stream.read_to_end(&mut rest) {
            Ok(_) => true,
            Err(error) => error.kind() == ErrorKind::ConnectionReset,
        }
    };
    let silent = call(&address);
    let mut half = call(&address);
    half.write_all(b"GET /metrics HTTP/1.1\r\nHost: ").unwrap();
    // A byte now and then is no sign of life.
    let dripping = call(&address);
    let drips = dripping.try_clone().unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut drips = drips;
            while !stop.load(Ordering::Relaxed) && drips.write_all(b"a").is_ok() {
                std::thread::sleep(std::time::Duration::from_millis(100));
            }
        });
        assert!(ends(silent) && ends(half) && ends(dripping));
        stop.store(true, Ordering::Relaxed);
    });
    scrape(&address);
}

#[test]
fn however_many_call_the_scraper_is_answered_and_the_log_stays_short() {
    let place = Place::new();
    place.feed("send orders", b"one\n").well();
    let (node, address) = node(&place, "serve");
    let mut idle = Vec::new();
    for number in 0..500 {
        let mut stream = call(&address);
        // Nothing, half a request, TLS, noise; and some who ask and do not read.
        let begin: &[u8] = match number % 5 {
            0 => b"",
            1 => b"GET /metrics HTT",
            2 => b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            3 => b"\xff\x00\x13\x37 rubbish\n\n\n\r\n",
            _ => GET,
        };
        let _ = stream.write_all(begin);
        idle.push(stream);
        if number % 50 == 49 {
            assert_eq!(scrape(&address).of("netchan_channel_next_offset", ("channel", "orders")), Some(1.0));
        }
    }
    assert!(memory(&node) < 64 << 20, "{} bytes", memory(&node));
    // Half closed: the answer comes all the same, or the connection ends, but nothing hangs.
    let mut stream = call(&address);
    stream.write_all(b"GET /me").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    // Several at once: one connection, one answer.
    let mut stream = call(&address);
    stream.write_all(&[GET, GET, GET].concat()).unwrap();
    assert_eq!(answer(stream).code, 200);
    assert_eq!(place.run("recv orders --from earliest --no-follow").well().out, b"one\n");
    node.signal("INT");
    let err = node.end().code(0).err;
    let told = err.lines().filter(|line| line.contains("ask for metrics: the oldest is given up"));
    assert_eq!(told.clone().filter(|line| line.contains("more like this")).count(), 1, "{err}");
    assert_eq!(told.count(), 11, "{err}");
}

#[test]
fn where_metrics_may_not_or_cannot_be_told_it_says_why_and_ends() {
    let place = Place::new();
    let err = place.run("serve --metrics 0.0.0.0:0").code(1).err;
    assert!(err.contains("--insecure") && err.contains("0.0.0.0:0"), "{err}");
    let (_node, address) = node(&place, "serve");
    let other = Place::new();
    let err = other.run(&format!("serve --listen none --metrics {address}")).code(1).err;
    assert!(err.contains(&format!("cannot serve metrics on {address}: ")), "{err}");
    let err = other.run("serve --metrics nowhere").code(1).err;
    assert!(err.contains("cannot serve metrics on nowhere: "), "{err}");
    assert!(!other.path("data").exists(), "nothing was made");
}
