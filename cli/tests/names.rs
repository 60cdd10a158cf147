//! Names that mean something to a shell, a path or an eye: what was sent into a channel comes out of it, under the name it was
//! given, and nothing is written anywhere but in the data directory.

#![allow(clippy::unwrap_used, reason = "a panic here is a failed test")]

mod shell;

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;
use shell::{Done, Place};

fn run(place: &Place, words: &str, name: &str, behind: &[&str]) -> Done {
    let mut command = place.netchan(words);
    command.args(["--", name]).args(behind);
    place.start(command).end()
}

/// What stands in the place, beside what this test's own processes write.
fn entries(place: &Place) -> BTreeSet<String> {
    let names =
        fs::read_dir(place.path("")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| !name.starts_with("out.") && !name.starts_with("err.")).collect()
}

#[test]
fn a_name_is_what_it_was_through_send_ls_info_and_recv() {
    let place = Place::new();
    let (longest, wide) = ("x".repeat(255), "é".repeat(127));
    let mut names = [
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
        "[a]b",
        "{a,b}",
        "LOCK",
        "node",
        "state",
        "channels",
        "meta.tmp",
        "log",
        "Log",
        "l\u{43e}g",
        "caf\u{e9}",
        "cafe\u{301}",
        "\u{ff4c}og",
        "lo\u{200b}g",
        "\u{202e}gol",
        "CON",
        "con",
        "NUL",
        "nul.txt",
        "COM1",
        "a.",
        "a",
        "a/b",
        "a/CON/b",
        &longest,
        &wide,
    ];
    names.sort_unstable();
    fs::write(place.path("input"), "").unwrap();
    for name in names {
        fs::write(place.path("input"), name).unwrap();
        run(&place, "send", name, &["input"]).well();
    }
    assert_eq!(entries(&place), BTreeSet::from(["data".to_owned(), "input".to_owned()]));
    let listed = place.run("ls --json").well();
    let listed: Vec<Value> = listed.lines().iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(listed.iter().map(|info| info["name"].as_str().unwrap()).collect::<Vec<_>>(), names);
    let logs: BTreeSet<_> = listed.iter().map(|info| info["log"].as_str().unwrap()).collect();
    assert_eq!(logs.len(), names.len(), "each has a log of its own");
    for (name, info) in names.iter().zip(&listed) {
        let told: Value = serde_json::from_slice(&run(&place, "info --json", name, &[]).well().out).unwrap();
        assert_eq!((&told["name"], &told["log"]), (&info["name"], &info["log"]));
        let received = run(&place, "recv --from earliest --no-follow", name, &[]).well();
        assert_eq!(String::from_utf8(received.out).unwrap(), *name);
    }
    let directories = fs::read_dir(place.path("data/channels")).unwrap();
    let directories: BTreeSet<_> =
        directories.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(directories.iter().map(String::as_str).collect::<BTreeSet<_>>(), logs);
}

#[test]
fn what_is_no_name_is_refused_before_anything_is_made() {
    let place = Place::new();
    let long = "x".repeat(256);
    for name in [
        "", ".", "..", "../x", "/etc/x", "a/../b", "a//b", "a/", "a b", "a\nb", "a\u{a0}b", "C:x", "a*",
        "a#", &long,
    ] {
        for words in ["send", "info", "seal", "rm --yes"] {
            let done = run(&place, words, name, &[]);
            assert!(!done.status.success() && !done.err.is_empty(), "{words} {name:?}");
        }
    }
    assert!(!place.path("data/channels").exists(), "nothing was made");
}

#[test]
fn ls_takes_a_pattern_and_shows_where_one_goes_wrong() {
    let place = Place::new();
    for name in ["logs/web", "logs/web/1", "logs/db", "log"] {
        place.feed(&format!("send {name}"), b"x\n").well();
    }
    let mut serve = place.go("serve --listen 127.0.0.1:0 -v");
    let line = serve.says("listening");
    let address = line.split_whitespace().find_map(|word| word.split("127.0.0.1:").nth(1)).unwrap();
    let port: String = address.chars().take_while(char::is_ascii_digit).collect();
    let names = |what: String| -> Vec<String> {
        let listed = place.run(&format!("ls --json {what}")).well();
        let name =
            |line: &String| serde_json::from_str::<Value>(line).unwrap()["name"].as_str().unwrap().to_owned();
        listed.lines().iter().map(name).collect()
    };
    for at in [String::new(), format!("127.0.0.1:{port}/")] {
        assert_eq!(names(format!("{at}logs/*")), ["logs/db", "logs/web"]);
        assert_eq!(names(format!("{at}logs/**")), ["logs/db", "logs/web", "logs/web/1"]);
        assert_eq!(names(format!("{at}*/w*")), ["logs/web"]);
        assert_eq!(names(format!("{at}none/*")), [""; 0]);
    }
    let done = place.run("ls logs/a**").code(1);
    assert!(
        done.err.contains("\"logs/a**\" is not a pattern: column 7: ** stands alone between slashes"),
        "{}",
        done.err
    );
}
