//! `netchan recv PATTERN`: many channels as one.

#![allow(clippy::unwrap_used, reason = "a panic here is a failed test")]

mod shell;

use std::collections::BTreeMap;

use serde_json::Value;
use shell::{Place, piped, until};
use std::io::Write;

fn send(place: &Place, name: &str, lines: &[&str]) {
    place.feed(&format!("send {name}"), format!("{}\n", lines.join("\n")).as_bytes()).well();
}

fn some() -> Place {
    let place = Place::new();
    send(&place, "logs/web", &["w0", "w1", "w2"]);
    send(&place, "logs/db", &["d0", "d1"]);
    send(&place, "logs/web/deep", &["deep"]);
    send(&place, "other", &["no"]);
    place
}

/// Of each channel, its lines in the order in which they came. A line is `CHANNEL OFFSET PAYLOAD`.
fn by_channel(lines: &[String]) -> BTreeMap<&str, Vec<&str>> {
    let mut found = BTreeMap::<&str, Vec<&str>>::new();
    for line in lines {
        let [channel, offset, payload] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let of = found.entry(channel).or_default();
        assert_eq!(offset, of.len().to_string(), "{line}");
        of.push(payload);
    }
    found
}

const WORDS: &str = "--from earliest --no-follow";

fn received(place: &Place, pattern: &str, words: &str) -> Vec<String> {
    let mut command = place.netchan(&format!("recv {pattern} {words}"));
    command.args(["--format", "%c %o %s"]);
    place.start(command).end().well().lines()
}

#[test]
fn each_channel_that_matches_is_received_and_says_its_name() {
    let place = some();
    let lines = received(&place, "logs/*", WORDS);
    let expected = BTreeMap::from([("logs/db", vec!["d0", "d1"]), ("logs/web", vec!["w0", "w1", "w2"])]);
    assert_eq!(by_channel(&lines), expected);
    assert_eq!(by_channel(&received(&place, "**", WORDS)).len(), 4);
    assert_eq!(received(&place, "logs/**", &format!("{WORDS} --count 4")).len(), 4);
    assert_eq!(received(&place, "logs/*", "--no-follow --last 1").len(), 2);
    let json = place.run(&format!("recv logs/* {WORDS} --json")).well();
    for line in json.lines() {
        let line: Value = serde_json::from_str(&line).unwrap();
        let (channel, payload) = (line["channel"].as_str().unwrap(), line["payload"].as_str().unwrap());
        assert_eq!(&channel[5..6], &payload[..1], "{line}");
    }
    place.feed("send again --json", &json.out).well();
    assert_eq!(place.run("recv again --from earliest --no-follow").well().lines().len(), 5);
    assert_eq!(
        place.run("recv logs/db --from earliest --no-follow --format %c").well().lines(),
        ["logs/db"; 2]
    );
    let json = place.run("recv logs/db --from earliest --no-follow --json").well();
    assert!(!json.lines()[0].contains("channel"), "one channel is not told of itself");
}

#[test]
fn what_makes_no_sense_of_many_channels_is_refused_with_what_would() {
    let place = some();
    for (words, told) in [
        ("recv logs/web --merge", "--merge is for a PATTERN"),
        ("recv logs/* --output records/ --files", "--files takes the records of one channel"),
        ("recv logs/* --delimiter=", "nobody could tell which bytes are of which channel"),
        ("recv host:1/logs/* --via cat", "give only the PATTERN"),
        ("recv logs/a**", "column 7: ** stands alone between slashes"),
        ("recv none/* --no-follow", "there is no channel none/*"),
        ("send logs/*", "'*'"),
    ] {
        let done = place.run(words).code(1);
        assert!(done.err.contains(told), "{words}: {}", done.err);
    }
    let format = place.run("recv logs/* --from earliest --no-follow --delimiter= --format %c,").well();
    assert_eq!(format.out.iter().filter(|&&byte| byte == b',').count(), 5, "a format may say it");
}

#[test]
fn what_ends_one_channel_is_told_and_the_others_go_on() {
    let place = some();
    send(&place, "logs/web", &["w3", "w4"]);
    for (words, lines) in [("--no-follow", &["w3", "w4"][..]), ("--count 1", &["w3"])] {
        let done = place.run(&format!("recv logs/* --from 3 {words}")).code(1);
        assert_eq!(done.lines(), lines, "{words}");
        assert!(done.err.contains("logs/db"), "{words}: {}", done.err);
    }
    let done = place.run("recv logs/d* --from 3 --no-follow").code(1);
    assert_eq!(done.err.matches("logs/db").count(), 1, "told once: {}", done.err);
}

#[test]
fn a_channel_that_is_made_while_it_runs_joins_in_and_one_that_is_deleted_leaves() {
    let place = some();
    let mut command = place.netchan("recv logs/* --count 4 -v");
    command.args(["--format", "%c %o %s"]);
    let mut running = place.start(command);
    running.says("logs/web joins in");
    send(&place, "logs/new", &["n0", "n1"]);
    running.says("logs/new joins in");
    place.run("rm logs/db --yes").well();
    running.says("logs/db was deleted");
    send(&place, "logs/web", &["w3"]);
    send(&place, "logs/db", &["again"]);
    let done = running.end().well();
    let mut lines = done.lines();
    lines.sort();
    assert_eq!(lines, ["logs/db 0 again", "logs/new 0 n0", "logs/new 1 n1", "logs/web 3 w3"]);
}

#[test]
fn positions_of_all_go_on_where_they_were_and_an_output_has_each_record_once() {
    let place = some();
    let words = "--from earliest --no-follow --position at --output out";
    received(&place, "logs/*", &format!("{words} --count 3"));
    let output = || -> Vec<String> {
        String::from_utf8(std::fs::read(place.path("out")).unwrap())
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect()
    };
    assert_eq!(output().len(), 3);
    let kept: Value = serde_json::from_slice(&std::fs::read(place.path("at")).unwrap()).unwrap();
    assert_eq!((&kept["pattern"], kept["channels"].as_array().unwrap().len()), (&"logs/*".into(), 2));
    // As a run that was killed after its output, and before the position behind it.
    let mut out = std::fs::OpenOptions::new().append(true).open(place.path("out")).unwrap();
    out.write_all(b"logs/web 9 half").unwrap();
    send(&place, "logs/new", &["n0"]);
    received(&place, "logs/*", words);
    let expected = BTreeMap::from([
        ("logs/db", vec!["d0", "d1"]),
        ("logs/new", vec!["n0"]),
        ("logs/web", vec!["w0", "w1", "w2"]),
    ]);
    assert_eq!(by_channel(&output()), expected);
    received(&place, "logs/*", words);
    assert_eq!(output().len(), 6, "nothing twice");
    let done = place.run("recv logs/** --position at").code(1);
    assert!(done.err.contains("positions for the pattern logs/*"), "{}", done.err);
}

/// SIGKILL at some moment, again and again: what is in the output is each record once, in the order of its channel.
#[test]
fn killed_at_any_moment_it_leaves_nothing_out_and_nothing_twice() {
    let place = Place::new();
    let names = ["many/a", "many/b", "many/c"];
    let lines: Vec<String> = (0..2000).map(|number| format!("{number:0100}")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    for name in names {
        send(&place, name, &lines);
    }
    let length = || std::fs::metadata(place.path("out")).map_or(0, |file| file.len());
    for round in 1..=6u64 {
        let mut command = place.netchan("recv many/* --from earliest --no-follow --position at --output out");
        command.args(["--format", "%c %o %s"]);
        let mut running = place.start(command);
        until("some output", || (length() > round * 60_000 || !running.is_running()).then_some(()));
        running.kill();
    }
    received(&place, "many/*", "--from earliest --no-follow --position at --output out");
    let output = String::from_utf8(std::fs::read(place.path("out")).unwrap()).unwrap();
    let output: Vec<String> = output.lines().map(str::to_owned).collect();
    let found = by_channel(&output);
    assert!(found.len() == 3 && found.values().all(|of| *of == lines));
}

#[test]
fn a_node_elsewhere_and_a_command_tell_their_channels_too() {
    let place = some();
    let mut serve = place.go("serve --listen 127.0.0.1:0 -v");
    let line = serve.says("listening");
    let address = line.split_whitespace().find_map(|word| word.split("127.0.0.1:").nth(1)).unwrap();
    let port: String = address.chars().take_while(char::is_ascii_digit).collect();
    assert_eq!(received(&place, &format!("127.0.0.1:{port}/logs/*"), WORDS).len(), 5);
    let mut command = place.netchan("recv logs/* --from earliest --no-follow --via");
    command.arg(format!("{} serve --stdio", env!("CARGO_BIN_EXE_netchan")));
    assert_eq!(place.start(command).end().well().lines().len(), 5);
    let (sender, mut stdin) = piped(&place, &format!("send 127.0.0.1:{port}/logs/far"));
    let running = place.go(&format!("recv 127.0.0.1:{port}/logs/far* --from earliest --count 1"));
    stdin.write_all(b"hello\n").unwrap();
    assert_eq!(running.end().well().lines(), ["hello"]);
    drop(stdin);
    sender.end().well();
}

#[test]
fn merged_they_come_in_the_order_in_which_they_were_sent() {
    let place = Place::new();
    for number in 0..12 {
        send(&place, ["logs/a", "logs/b", "logs/c/d"][number * 7 % 3], &[&format!("{number}")]);
    }
    let format = ["--format", "%s"];
    let mut command = place.netchan("recv logs/** --from earliest --no-follow --merge");
    command.args(format);
    let expected: Vec<String> = (0..12).map(|number| number.to_string()).collect();
    assert_eq!(place.start(command).end().well().lines(), expected);
    let mut command = place.netchan("recv logs/** --from earliest --count 12 --merge=50ms");
    command.args(format);
    assert_eq!(place.start(command).end().well().lines(), expected, "also if it follows");
}

#[test]
fn a_command_has_each_record_and_the_name_of_its_channel() {
    let place = some();
    let mut command = place.netchan(&format!("recv logs/* {WORDS} --position at --exec"));
    command.arg("echo $NETCHAN_CHANNEL $NETCHAN_OFFSET $(cat)");
    let lines = place.start(command).end().well().lines();
    let expected = BTreeMap::from([("logs/db", vec!["d0", "d1"]), ("logs/web", vec!["w0", "w1", "w2"])]);
    assert_eq!(by_channel(&lines), expected);
    send(&place, "logs/web", &["w3"]);
    let mut command = place.netchan(&format!("recv logs/* {WORDS} --position at --exec"));
    command.arg("false");
    let done = place.start(command).end().code(5);
    assert!(done.err.contains("logs/web: the command ended with exit code 1"), "{}", done.err);
    let mut command = place.netchan(&format!("recv logs/* {WORDS} --position at --exec"));
    command.arg("cat; echo");
    assert_eq!(place.start(command).end().well().lines(), ["w3"], "what failed comes again");
}
