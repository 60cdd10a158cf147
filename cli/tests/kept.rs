//! `netchan set`, `truncate`, and what `info` tells of how a channel is kept.

#![allow(clippy::unwrap_used, reason = "a panic here is a failed test")]

mod shell;

use serde_json::{Value, json};
use shell::Place;

fn some(flags: &str) -> Place {
    let place = Place::new();
    let lines: String = (0..1000).map(|number| format!("line {number}\n")).collect();
    place.feed(&format!("send app --listen none {flags}"), lines.as_bytes()).well();
    place
}

fn info(place: &Place) -> Value {
    serde_json::from_str(&place.run("info app --json").well().lines()[0]).unwrap()
}

#[test]
fn how_a_channel_is_kept_is_said_when_it_is_made_and_changed_by_set_and_by_nothing_else() {
    let place = some("--keep-age 7d --least-records 10 --when-full block --unsealable");
    let told = info(&place);
    let kept = json!({
        "max_age_ns": 604_800_000_000_000_u64, "max_bytes": null, "max_records": null, "min_free": null,
        "least_bytes": null, "least_records": 10, "ceiling": null, "when_full": "block",
    });
    assert_eq!((&told["retention"], &told["unsealable"]), (&kept, &true.into()));
    let line = "set app --keep-age none --keep-size 1G --keep-free 1K --ceiling 2G --when-full trim-oldest";
    let said = place.run(&format!("-v {line}")).well();
    assert!(said.err.contains("app is kept so: at most 1.00 GiB"), "{}", said.err);
    let changed = json!({
        "max_age_ns": null, "max_bytes": 1 << 30, "max_records": null, "min_free": 1024,
        "least_bytes": null, "least_records": 10, "ceiling": 2_u64 << 30, "when_full": "trim-oldest",
    });
    assert_eq!(info(&place)["retention"], changed);
    // Who sends into it next changes nothing of it.
    place.feed("send app --listen none", b"one more\n").well();
    assert_eq!(info(&place)["retention"], changed);
    let text = place.run("info app").well().lines().join("\n");
    assert!(text.contains("at least 10 records") && text.contains("it can never be sealed"), "{text}");
    let sealed = place.run("seal app").code(1);
    assert!(sealed.err.contains("never be sealed"), "{}", sealed.err);
}

#[test]
fn truncated_records_are_gone_and_receivers_are_told() {
    let place = some("");
    let refused = place.run("truncate app --before 400").code(1);
    assert!(refused.err.contains("--yes") && refused.err.contains("400 records"), "{}", refused.err);
    let said = place.run("-v truncate app --before 400 --yes").well();
    assert!(said.err.contains("app begins at offset 400: 400 records went"), "{}", said.err);
    assert_eq!((&info(&place)["first"], &info(&place)["next"]), (&400.into(), &1000.into()));
    let gap = place.run("recv app --from 0 --no-follow --count 1").code(3);
    assert_eq!(gap.lines(), ["line 400"]);
    let beyond = place.run("truncate app --before 1001 --yes").code(1);
    assert!(beyond.err.contains("beyond the end"), "{}", beyond.err);
    place.run("truncate app --before now --yes").well();
    assert_eq!((&info(&place)["first"], &info(&place)["next"]), (&1000.into(), &1000.into()));
    place.run("verify").well();
    place.feed("send app --listen none", b"goes on\n").well();
    assert_eq!(place.run("recv app --from earliest --no-follow").well().lines(), ["goes on"]);
}

#[test]
fn a_directory_in_use_and_a_channel_elsewhere_are_left_alone() {
    let place = some("");
    let mut node = place.go("serve --listen none");
    node.says("serving");
    for line in ["set app --keep-records 1", "truncate app --before 10 --yes"] {
        let held = place.run(line).code(1);
        assert!(held.err.contains("stop it first"), "{}", held.err);
    }
    assert_eq!(info(&place)["retention"]["max_records"], Value::Null);
    node.signal("TERM");
    node.end().well();
    let away = place.run("set localhost:1/app --keep-records 1").code(1);
    assert!(away.err.contains("on another node"), "{}", away.err);
    let unknown = place.run("truncate nobody --before 1 --yes").code(1);
    assert!(unknown.err.contains("netchan ls"), "{}", unknown.err);
}
