//! `netchan recv --output DIR/`: a file for each channel.

#![allow(clippy::unwrap_used, reason = "a panic here is a failed test")]

mod shell;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use shell::{Done, Place, until};

const WORDS: &str = "--from earliest --no-follow";

fn send(place: &Place, name: &str, lines: &[&str]) {
    let mut command = place.netchan("send");
    command.args(["--", name, "input"]);
    fs::write(place.path("input"), format!("{}\n", lines.join("\n"))).unwrap();
    place.start(command).end().well();
}

/// Each file below a directory, by its path there.
fn below(dir: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut left = vec![dir.to_owned()];
    while let Some(next) = left.pop() {
        for entry in fs::read_dir(next).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                left.push(entry.path());
            } else {
                let path = entry.path();
                let name = path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
                found.insert(name, fs::read_to_string(path).unwrap());
            }
        }
    }
    found
}

fn files(expected: &[(&str, &str)]) -> BTreeMap<String, String> {
    expected.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

/// What stands in the place, beside what this test's own processes write.
fn entries(place: &Place) -> BTreeSet<String> {
    let names =
        fs::read_dir(place.path("")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| !name.starts_with("out.") && !name.starts_with("err.") && name != "stdin").collect()
}

#[test]
fn each_channel_of_a_pattern_has_its_file_and_a_channel_alone_has_it_too() {
    let place = Place::new();
    send(&place, "logs/web", &["w0", "w1"]);
    send(&place, "logs/web/deep", &["deep"]);
    send(&place, "logs/db", &["d0"]);
    assert!(place.run(&format!("recv logs/** {WORDS} --output copy/")).well().out.is_empty());
    let lines = [("logs/db.log", "d0\n"), ("logs/web.log", "w0\nw1\n"), ("logs/web/deep.log", "deep\n")];
    assert_eq!(below(&place.path("copy")), files(&lines));

    place.run(&format!("recv logs/web {WORDS} --output alone/")).well();
    assert_eq!(below(&place.path("alone")), files(&[("logs/web.log", "w0\nw1\n")]));

    let mut command = place.netchan(&format!("recv logs/* {WORDS} --output copy"));
    command.args(["--format", "%c:%o "]);
    place.start(command).end().well();
    let found = below(&place.path("copy"));
    assert_eq!(found["logs/web.log"], "w0\nw1\nlogs/web:0 \nlogs/web:1 \n", "behind what is there");

    place.run(&format!("recv logs/* {WORDS} --output bytes/ --delimiter=")).well();
    assert_eq!(below(&place.path("bytes"))["logs/web.log"], "w0w1", "nothing is mixed up");
    let refused = place.run(&format!("recv logs/* {WORDS} --output each/ --files")).code(1);
    assert!(refused.err.contains("--files takes the records of one channel"), "{}", refused.err);
}

#[test]
fn each_partition_of_a_channel_has_its_file() {
    let place = Place::new();
    place.feed("send x --partitions 3", b"a\nb\nc\nd\n").well();
    place.run(&format!("recv x {WORDS} --output copy/")).well();
    let found = below(&place.path("copy"));
    let names: Vec<_> = found.keys().map(String::as_str).collect();
    assert!(names.iter().all(|name| ["x@0.log", "x@1.log", "x@2.log"].contains(name)), "{names:?}");
    let mut lines: Vec<_> = found.values().flat_map(|text| text.lines()).collect();
    lines.sort_unstable();
    assert_eq!(lines, ["a", "b", "c", "d"]);
}

#[test]
fn names_that_mean_something_to_a_file_system_have_files_of_their_own_inside_the_directory() {
    let place = Place::new();
    let (longest, wide) = ("x".repeat(255), "é".repeat(127));
    let deep = format!("a/{}", "b/".repeat(126)) + "c";
    let names = [
        "...",
        ".a",
        "-rf",
        "--",
        "~",
        "$HOME",
        "%2e%2e%2f",
        "..\\..\\etc",
        "a\\b",
        "a'b\"c",
        "Log",
        "log",
        "LOG",
        "l\u{43e}g",
        "caf\u{e9}",
        "cafe\u{301}",
        "\u{ff4c}og",
        "lo\u{200b}g",
        "CON",
        "con",
        "NUL",
        "nul.txt",
        "COM1",
        "a.",
        "a",
        "a/b",
        "A/b",
        "a.log",
        "a.log/b",
        "a/CON/b",
        "a/con/b",
        &longest,
        &wide,
        &deep,
    ];
    for name in names {
        send(&place, name, &[name]);
    }
    place.run(&format!("recv ** {WORDS} --output copy/")).well();
    let found = below(&place.path("copy"));
    assert_eq!(found.len(), names.len());
    let texts: BTreeSet<_> = found.values().map(|text| text.trim_end_matches('\n')).collect();
    assert_eq!(texts, names.into_iter().collect(), "each has what is its own, alone");
    let folded: BTreeSet<_> = found.keys().map(|path| path.to_lowercase()).collect();
    assert!(folded.len() == names.len() && found.keys().all(|path| path.is_ascii()), "also without case");
    assert_eq!(entries(&place), ["copy", "data", "input"].map(str::to_owned).into());
}

#[test]
fn a_symbolic_link_in_the_directory_is_not_followed() {
    let place = Place::new();
    send(&place, "logs/web", &["w0"]);
    for dir in ["outside", "copy"] {
        fs::create_dir(place.path(dir)).unwrap();
    }
    symlink(place.path("outside"), place.path("copy/logs")).unwrap();
    for target in ["logs/*", "logs/web"] {
        let refused = place.run(&format!("recv {target} {WORDS} --output copy/")).code(1);
        assert!(refused.err.contains("symbolic links are not followed"), "{}", refused.err);
    }
    assert!(below(&place.path("outside")).is_empty());
    // that it is reached through one is the user's own choice
    symlink(place.path("outside"), place.path("way")).unwrap();
    place.run(&format!("recv logs/* {WORDS} --output way/")).well();
    assert_eq!(below(&place.path("outside")), files(&[("logs/web.log", "w0\n")]));
}

fn kept(place: &Place, target: &str, dir: &str) -> Done {
    place.run(&format!("recv {target} {WORDS} --position at --output {dir}")).well()
}

#[test]
fn with_a_position_each_file_is_cut_back_to_where_it_goes_on() {
    let place = Place::new();
    send(&place, "logs/web", &["w0"]);
    fs::create_dir_all(place.path("copy/logs")).unwrap();
    fs::write(place.path("copy/logs/db.log"), "was there\n").unwrap();
    kept(&place, "logs/*", "copy/");
    // as a run that was killed after its output, and before the position behind it
    fs::write(place.path("copy/logs/web.log"), "w0\nw1\nhalf").unwrap();
    send(&place, "logs/web", &["w1"]);
    send(&place, "logs/db", &["d0"]);
    kept(&place, "logs/*", "copy/");
    let expected = files(&[("logs/db.log", "was there\nd0\n"), ("logs/web.log", "w0\nw1\n")]);
    assert_eq!(below(&place.path("copy")), expected);
    kept(&place, "logs/*", "copy/");
    assert_eq!(below(&place.path("copy")), expected, "nothing twice");
    fs::write(place.path("copy/logs/web.log"), "w0").unwrap();
    let refused = place.run(&format!("recv logs/* {WORDS} --position at --output copy/")).code(1);
    assert!(refused.err.contains("not the output that was written"), "{}", refused.err);
}

#[test]
fn a_channel_alone_with_a_position_is_cut_back_too() {
    let place = Place::new();
    send(&place, "web", &["w0"]);
    kept(&place, "web", "copy/");
    fs::write(place.path("copy/web.log"), "w0\nw1\nhalf").unwrap();
    send(&place, "web", &["w1"]);
    kept(&place, "web", "copy/");
    assert_eq!(below(&place.path("copy")), files(&[("web.log", "w0\nw1\n")]));
}

/// SIGKILL at some moment, again and again: each file has each record of its channel once, in order, behind what was there.
#[test]
fn killed_at_any_moment_it_leaves_nothing_out_and_nothing_twice() {
    let place = Place::new();
    let names = ["many/a", "many/b", "many/c"];
    let lines: Vec<String> = (0..2000).map(|number| format!("{number:0100}")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    for name in names {
        send(&place, name, &lines);
    }
    fs::create_dir_all(place.path("copy/many")).unwrap();
    fs::write(place.path("copy/many/a.log"), "was there\n").unwrap();
    let length = || -> u64 {
        let of =
            |name: &&str| fs::metadata(place.path(&format!("copy/{name}.log"))).map_or(0, |file| file.len());
        names.iter().map(of).sum()
    };
    let words = format!("recv many/* {WORDS} --position at --output copy/");
    for round in 1..=6_u64 {
        let mut running = place.go(&words);
        until("some output", || (length() > round * 60_000 || !running.is_running()).then_some(()));
        running.kill();
    }
    place.run(&words).well();
    let expected = lines.join("\n") + "\n";
    let behind = format!("was there\n{expected}");
    let expected = [("many/a.log", &*behind), ("many/b.log", &*expected), ("many/c.log", &*expected)];
    assert!(below(&place.path("copy")) == files(&expected));
}

#[test]
fn a_channel_that_had_nothing_yet_is_gone_on_with() {
    let place = Place::new();
    place.feed("send web", b"").well();
    kept(&place, "web", "copy/");
    send(&place, "web", &["w0"]);
    kept(&place, "web", "copy/");
    assert_eq!(below(&place.path("copy")), files(&[("web.log", "w0\n")]));
}
