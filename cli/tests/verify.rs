//! `netchan verify`: what holds is told as such, and every damage with its place, its cost and an exit code.

#![allow(clippy::unwrap_used, reason = "a panic here is a failed test")]

mod shell;

use std::fs;
use std::path::Path;

use serde_json::Value;
use shell::damage::{dir, flip, segment};
use shell::{Done, Place, piped, until};

/// A thousand lines in `app` and ten in `other`.
fn some() -> Place {
    let place = Place::new();
    let lines: String = (0..1000).map(|number| format!("line {number}\n")).collect();
    place.feed("send app --listen none", lines.as_bytes()).well();
    place.feed("send other --listen none", &lines.as_bytes()[..70]).well();
    place
}

/// Damage was found; the lines about it, and one piece of advice.
#[track_caller]
fn damaged(done: Done, words: &[&str]) {
    let done = done.code(1);
    let out = done.lines().join("\n");
    assert!(words.iter().all(|word| out.contains(word)), "{words:?} in {out}");
    assert_eq!(out.matches("DAMAGED").count(), 1, "{out}");
    assert!(done.err.lines().count() == 1 && done.err.contains("send again what is lost"), "{}", done.err);
}

fn json(done: &Done) -> Vec<Value> {
    done.lines().iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn what_holds_is_told_as_such_and_nothing_else_is_said() {
    let place = some();
    let done = place.run("verify").well();
    let lines = done.lines();
    assert_eq!((lines.len(), &*done.err), (3, ""), "{lines:?}");
    assert!(lines.iter().all(|line| line.starts_with("ok ")), "{lines:?}");
    assert!(lines[0].contains("app: 1000 records") && lines[1].contains("other: 10 records"), "{lines:?}");
    let one = json(&place.run("verify app --json").well());
    assert_eq!(one.len(), 1);
    assert_eq!(
        (&one[0]["name"], &one[0]["holds"], &one[0]["next"]),
        (&"app".into(), &true.into(), &1000.into())
    );
}

#[test]
fn every_kind_of_damage_is_told_with_its_place_and_what_it_costs() {
    let place = some();
    let (app, meta) = (segment(&place, "app"), dir(&place, "app").join("meta"));
    let state = place.path(&format!("data/state/{:020}.log", 0));
    let cases: [(&str, &Path, usize, &[&str]); 6] = [
        ("a batch's header", &app, 4100, &[".log at byte 4096: there is no batch", " lost"]),
        ("a batch's body", &app, 4096 + 64, &[".log at byte 4096: a batch's body", " lost"]),
        ("a segment's head", &app, 20, &[".log at byte 0: the segment's head", "app: 1000 records"]),
        ("the meta file", &meta, 20, &["meta at byte 0", "app: 1000 records"]),
        ("the state log", &state, 4100, &["state/", ".log at byte 4096"]),
        ("the identity", &place.path("data/node"), 9, &["node at byte 0: its checksum does not hold"]),
    ];
    for (what, path, byte, words) in cases {
        flip(path, byte);
        eprintln!("{what}");
        damaged(place.run("verify"), words);
        flip(path, byte);
    }
    let good = fs::read(&app).unwrap();
    fs::write(&app, &good[..good.len() - 1000]).unwrap();
    damaged(place.run("verify app"), &["app: ", " lost", "999"]);
    fs::remove_file(&app).unwrap();
    damaged(place.run("verify"), &["there is no segment; 1000 records are lost, offsets 0 to 999"]);
    let told = json(&place.run("verify app --json").code(1));
    assert_eq!((&told[0]["holds"], &told[0]["problems"][0]["to"]), (&false.into(), &1000.into()));
    // nothing of that was changed by looking
    fs::write(&app, &good).unwrap();
    place.run("verify").well();
}

#[test]
fn a_directory_in_use_is_verified_beside_its_node() {
    let place = some();
    let (mut sender, mut input) = piped(&place, "send app --listen 127.0.0.1:0");
    for round in 0..20 {
        std::io::Write::write_all(&mut input, &b"more\n".repeat(5000)).unwrap();
        let done = place.run("verify").well();
        assert!(sender.is_running() && done.err.is_empty(), "round {round}: {}", done.err);
    }
    drop(input);
    sender.end().well();
    let told = json(&place.run("verify app --json").well());
    assert_eq!((&told[0]["records"], &told[0]["unfinished"]), (&101_000.into(), &0.into()));
}

#[test]
fn a_channel_of_another_node_is_verified_by_receiving_it() {
    let place = some();
    let serve = |place: &Place| {
        let mut node = place.go("serve --listen 127.0.0.1:0");
        let line = node.says("serving ");
        let address = line.rsplit(' ').next().unwrap().to_owned();
        (node, address)
    };
    let (node, address) = serve(&place);
    let done = place.run(&format!("verify {address}/app")).well();
    assert!(
        done.lines()[0].starts_with("ok ") && done.lines()[0].contains("1000 records"),
        "{:?}",
        done.lines()
    );
    let unknown = place.run(&format!("verify {address}/nobody")).code(1);
    assert!(unknown.err.contains("netchan ls"), "{}", unknown.err);
    node.signal("TERM");
    node.end().well();
    let gone = place.run(&format!("verify {address}/app")).code(1);
    assert!(gone.err.contains("refused"), "{}", gone.err);
    flip(&segment(&place, "app"), 4096 + 64);
    let (_node, address) = serve(&place);
    damaged(place.run(&format!("verify {address}/app")), &["its node cannot read it all; ", " lost"]);
    let told = json(&place.run(&format!("verify {address}/app --json")).code(1));
    assert_eq!((&told[0]["holds"], &told[0]["problems"][0]["from"]), (&false.into(), &0.into()));
}

#[test]
fn what_cannot_be_verified_is_an_error_that_helps() {
    let place = some();
    let unknown = place.run("verify nobody").code(1);
    assert!(unknown.err.contains("there is no channel nobody; netchan ls"), "{}", unknown.err);
    fs::create_dir(place.path("empty")).unwrap();
    for other in ["empty", "nowhere"] {
        let done = place.run(&format!("verify --data-dir {other}")).code(1);
        assert!(done.err.contains("--data-dir") && done.err.contains(other), "{}", done.err);
        assert!(done.out.is_empty());
    }
    assert!(!place.path("nowhere").exists() && fs::read_dir(place.path("empty")).unwrap().count() == 0);
}

/// What a process has had in memory at most, in KiB, while it lives.
fn peak(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[test]
fn memory_does_not_grow_with_the_log() {
    let place = Place::new();
    place.feed("send app --listen none", format!("{:01023}\n", 0).repeat(100_000).as_bytes()).well();
    let mut verify = place.go("verify");
    let mut most = 0;
    until("verify to end", || {
        most = most.max(peak(verify.child.id()).unwrap_or(0));
        (!verify.is_running()).then_some(())
    });
    let done = verify.end().well();
    assert!(done.lines()[0].contains("100000 records"), "{:?}", done.lines());
    assert!(most > 0 && most < 32 << 10, "{most} KiB for a log of 100 MB");
}
