//! `netchan doctor` finds what is wrong, says what to do, and changes nothing.

#![allow(clippy::unwrap_used, reason = "a panic here is a failed test")]

mod shell;

use std::fs;
use std::net::TcpListener;
use std::process::Command;

use serde_json::Value;
use shell::{Done, Place};

/// The findings of `netchan doctor --json` with these words.
fn findings(done: &Done) -> Vec<Value> {
    done.lines().iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The findings of one check, each with its verdict and its words.
fn of(done: &Done, check: &str) -> Vec<(String, String)> {
    let all = findings(done);
    let own = all.iter().filter(|finding| finding["check"] == check);
    own.map(|finding| {
        let text = |key: &str| finding[key].as_str().unwrap().to_owned();
        assert_eq!(
            text("help").is_empty(),
            finding["verdict"] == "ok",
            "what to do, where it is not well: {finding}"
        );
        (text("verdict"), format!("{}: {}", text("what"), text("help")))
    })
    .collect()
}

#[track_caller]
fn says(done: &Done, check: &str, verdict: &str, words: &[&str]) {
    let all = of(done, check);
    let found = all.iter().any(|(is, text)| is == verdict && words.iter().all(|word| text.contains(word)));
    assert!(found, "{check}: {verdict} {words:?} is not in {all:?}");
}

/// A port that nobody has.
fn free() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// Who else holds files of the temporary directory, or how full its disk is, is not for this test.
#[test]
fn a_machine_where_all_is_well_is_told_so_line_by_line_and_nothing_is_changed() {
    let place = Place::new();
    let done = place.run(&format!("doctor --json --listen {}", free()));
    for check in ["config", "data", "clock", "port"] {
        assert!(
            of(&done, check).iter().all(|(verdict, _)| verdict == "ok"),
            "{check}: {:?}",
            of(&done, check)
        );
    }
    for check in ["disk", "sync", "limits"] {
        assert_eq!(of(&done, check).len(), 1, "{check}");
    }
    says(&done, "sync", "ok", &["fdatasync of 4 KiB", "p50", "p99"]);
    let problems = findings(&done).iter().filter(|finding| finding["verdict"] == "problem").count();
    assert_eq!(done.status.code(), Some(i32::from(problems > 0)), "{}", done.err);
    assert!(!place.path("data").exists(), "the directory was made");
    // the same for people: a line each
    let text = place.run(&format!("doctor --listen {}", free()));
    assert_eq!(text.lines().len(), findings(&done).len());
    assert!(text.lines()[0].starts_with("ok       config  "), "{:?}", text.lines());
}

#[test]
fn what_is_wrong_here_is_a_problem_with_what_to_do_and_exit_code_1() {
    let place = Place::new();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = other.local_addr().unwrap().to_string();
    let done = place.run(&format!("doctor --json --listen {taken}")).code(1);
    says(&done, "port", "problem", &[&taken, "say another --listen"]);
    if cfg!(target_os = "linux") {
        says(&done, "port", "problem", &[&format!("process {}", std::process::id())]);
    }
    assert_eq!(done.err.lines().count(), 1, "{}", done.err);

    let done = place.run("doctor --json --listen 0.0.0.0:0").code(1);
    says(&done, "port", "problem", &["beyond loopback", "token"]);
    place.run("doctor --json --listen 0.0.0.0:0 --insecure");

    fs::write(place.path("file"), "no directory").unwrap();
    let done = place.run("doctor --json --listen none --data-dir file").code(1);
    says(&done, "data", "problem", &["file is a file", "say another --data-dir"]);

    fs::write(place.path("bad.toml"), "[places.p]\naddres = 'a:1'\n").unwrap();
    let done = place.run("doctor --json --listen none --config bad.toml").code(1);
    says(&done, "config", "problem", &["bad.toml, line 2", "address"]);

    let done = place.run("doctor --json --listen none @prod").code(1);
    says(&done, "place", "problem", &["@prod is no place"]);

    let mut few = Command::new("sh");
    few.args(["-c", "ulimit -n 100; exec \"$0\" doctor --json --listen none", env!("CARGO_BIN_EXE_netchan")]);
    few.envs(place.netchan("").get_envs().filter_map(|(name, value)| Some((name, value?))));
    let done = place.start(few).end().code(1);
    says(&done, "limits", "problem", &["may open 100 files", "LimitNOFILE"]);
}

#[test]
fn other_nodes_are_asked_whether_they_are_there_and_take_the_token() {
    let place = Place::new();
    let mut node = place.go("serve --listen 127.0.0.1:0 --token s3cret");
    let address = node.says("serving").rsplit(' ').next().unwrap().to_owned();
    let gone = free();
    let program = env!("CARGO_BIN_EXE_netchan");
    let config = format!(
        "[places.good]\naddress = '{address}'\ntoken = 's3cret'\n\
         [places.wrong]\naddress = '{address}'\ntoken = 'other'\n\
         [places.gone]\naddress = '{gone}'\n\
         [places.pipe]\nvia = '{program} serve --stdio'\n\
         [places.fails]\nvia = 'false'\n"
    );
    fs::write(place.path("config.toml"), config).unwrap();
    let done = place.run(&format!("doctor --json --config config.toml --listen {address}")).code(1);
    let all = of(&done, "place");
    assert_eq!(all.len(), 5, "{all:?}");
    says(&done, "place", "ok", &["@good", &address, "its clock is"]);
    says(&done, "place", "ok", &["@pipe", "its clock is"]);
    says(&done, "place", "problem", &["@wrong", "the token is not this node's"]);
    says(&done, "place", "problem", &["@gone", &gone, "refused", "netchan serve"]);
    says(&done, "place", "problem", &["@fails", "netchan serve --stdio"]);
    assert!(!done.err.contains("s3cret") && !String::from_utf8_lossy(&done.out).contains("s3cret"));
    // this machine's node has the directory, and the port
    says(&done, "node", "ok", &["answers"]);
    if cfg!(target_os = "linux") {
        says(&done, "data", "ok", &["netchan", &format!("process {}", node.child.id()), "holds it"]);
        says(&done, "port", "ok", &["served by this machine's node"]);
    }
    place.run(&format!("doctor @good --config config.toml --listen {}", free()));
    let done = place.run(&format!("doctor {address} --json --token s3cret --listen none"));
    assert_eq!(of(&done, "place")[0].0, "ok");
}

#[test]
fn a_silent_program_that_holds_the_directory_is_a_problem() {
    let place = Place::new();
    place.feed("send x --listen none", b"one\n").well();
    let lock = fs::File::options().write(true).open(place.path("data/LOCK")).unwrap();
    lock.try_lock().unwrap();
    let done = place.run("doctor --json --listen none").code(1);
    says(&done, "node", "problem", &["holds", "does not answer", "--data-dir"]);
    drop(lock);
    let done = place.run("doctor --json --listen none");
    assert!(of(&done, "node").is_empty(), "nobody holds it");
}
