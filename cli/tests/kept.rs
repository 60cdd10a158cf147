//! `netchan create`, `set`, `truncate`, and what `info` tells of how a channel is kept: here, and on another node.

#![allow(clippy::unwrap_used, reason = "a panic here is a failed test")]

mod shell;

use serde_json::{Value, json};
use shell::{Place, Running};

fn some(flags: &str) -> Place {
    let place = Place::new();
    let lines: String = (0..1000).map(|number| format!("line {number}\n")).collect();
    place.feed(&format!("send app --listen none {flags}"), lines.as_bytes()).well();
    place
}

fn info(place: &Place) -> Value {
    told(place, "app")
}

fn told(place: &Place, target: &str) -> Value {
    serde_json::from_str(&place.run(&format!("info {target} --json")).well().lines()[0]).unwrap()
}

fn end(node: Running) {
    node.signal("TERM");
    node.end().well();
}

/// A node on this machine that others can reach, and its address.
fn serving(place: &Place, flags: &str) -> (Running, String) {
    let mut node = place.go(&format!("serve --listen 127.0.0.1:0 {flags}"));
    let address = node.says("serving").rsplit(' ').next().unwrap().to_owned();
    (node, address)
}

#[test]
fn how_a_channel_is_kept_is_said_when_it_is_made_and_changed_by_set_and_by_nothing_else() {
    let place = some("--keep-age 7d --least-records 10 --when-full block --unsealable");
    let told = info(&place);
    let kept = json!({
        "max_age_ns": 604_800_000_000_000_u64, "max_bytes": null, "max_records": null, "min_free": null,
        "least_bytes": null, "least_records": 10, "ceiling": null, "hold_cursors": null, "when_full": "block",
    });
    assert_eq!((&told["retention"], &told["unsealable"]), (&kept, &true.into()));
    let line = "set app --keep-age none --keep-size 1G --keep-free 1K --ceiling 2G --hold-cursors 3G \
                --when-full trim-oldest";
    let said = place.run(&format!("-v {line}")).well();
    assert!(said.err.contains("app is kept so: at most 1.00 GiB"), "{}", said.err);
    let changed = json!({
        "max_age_ns": null, "max_bytes": 1 << 30, "max_records": null, "min_free": 1024,
        "least_bytes": null, "least_records": 10, "ceiling": 2_u64 << 30, "hold_cursors": 3_u64 << 30,
        "when_full": "trim-oldest",
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

/// Through the node that has the directory, and from elsewhere.
#[test]
fn what_is_said_of_a_channel_is_the_same_from_wherever_it_is_said() {
    let (place, elsewhere) = (some(""), Place::new());
    let (node, address) = serving(&place, "");
    let away = format!("{address}/app");
    for (by, target, count) in [(&place, "app", 900), (&elsewhere, &*away, 800)] {
        let said = by.run(&format!("-v set {target} --keep-records {count} --hold-cursors 1G")).well();
        assert!(
            said.err.contains(&format!("{target} is kept so: at most {count} records, holds")),
            "{}",
            said.err
        );
        let told = told(by, target);
        assert_eq!(told, info(&place));
        let retention = &told["retention"];
        assert_eq!(
            (&retention["max_records"], &retention["hold_cursors"]),
            (&count.into(), &(1 << 30).into())
        );
        let text = by.run(&format!("info {target}")).well().lines().join("\n");
        assert!(
            text.contains(&format!("at most {count} records, holds up to 1.00 GiB for cursors")),
            "{text}"
        );
        by.run(&format!("set {target} --hold-cursors none")).well();
        assert_eq!(self::told(by, target)["retention"]["hold_cursors"], Value::Null);
    }
    for (by, target, first) in [(&place, "app", 100), (&elsewhere, &*away, 200)] {
        let line = format!("truncate {target} --before {first}");
        let refused = by.run(&line).code(1);
        assert!(refused.err.contains("--yes") && refused.err.contains("100 records"), "{}", refused.err);
        let said = by.run(&format!("-v {line} --yes")).well();
        let words = format!("{target} begins at offset {first}: 100 records went");
        assert!(said.err.contains(&words), "{}", said.err);
        assert_eq!(info(&place)["first"], first);
        let beyond = by.run(&format!("truncate {target} --before 1001 --yes")).code(1);
        assert!(beyond.err.contains("beyond the end"), "{}", beyond.err);
    }
    let refused = elsewhere.run(&format!("truncate {away} --before now")).code(1);
    assert!(refused.err.contains("from before 20") && refused.err.contains("--yes"), "{}", refused.err);
    elsewhere.run(&format!("truncate {away} --before now --yes")).well();
    assert_eq!(info(&place)["first"], 1000);
    for line in ["set", "truncate --before 1 --yes", "info"] {
        let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
        for target in ["nobody", &*format!("{address}/nobody")] {
            let unknown = place.run(&format!("{command} {target} {rest}")).code(1);
            assert!(unknown.err.contains("netchan ls"), "{}", unknown.err);
        }
    }
    end(node);
}

#[test]
fn a_channel_that_is_made_is_kept_as_was_said_and_made_again_only_so() {
    let (place, elsewhere) = (Place::new(), Place::new());
    let (node, address) = serving(&place, "");
    for (by, at) in [(&place, String::new()), (&elsewhere, format!("{address}/"))] {
        let name = if at.is_empty() { "here" } else { "there" };
        let line = format!("create {at}{name} --durability os --keep-age 7d --hold-cursors 1G --unsealable");
        let said = by.run(&format!("-v {line}")).well();
        assert!(said.err.contains("at most 168h, holds up to 1.00 GiB for cursors"), "{}", said.err);
        let info = told(&place, name);
        assert_eq!(
            (&info["durability"], &info["unsealable"], &info["next"]),
            (&"os".into(), &true.into(), &0.into())
        );
        assert_eq!(info["retention"]["hold_cursors"], 1 << 30);
        by.run(&line).well();
        let refused = by.run(&format!("create {at}{name}")).code(1);
        assert!(refused.err.contains("kept otherwise"), "{}", refused.err);
        assert_eq!(told(&place, name), info);
        // With partitions: each is kept so, and said of all at once.
        by.run(&format!("create {at}{name}-parts --partitions 3 --keep-records 9")).well();
        for number in 0..3 {
            assert_eq!(told(&place, &format!("{name}-parts@{number}"))["retention"]["max_records"], 9);
        }
        for (command, rest) in [("set", "--keep-records 5"), ("truncate", "--before 0 --yes")] {
            let none = by.run(&format!("{command} {at}{name}-parts@3 {rest}")).code(1);
            assert!(none.err.contains("3 partitions"), "{}", none.err);
        }
        by.run(&format!("create {at}{name}-parts --partitions 3 --keep-records 9")).well();
        for other in ["--partitions 4 --keep-records 9", "--partitions 3", ""] {
            by.run(&format!("create {at}{name}-parts {other}")).code(1);
        }
        by.run(&format!("create {at}{name}-parts@1 --partitions 3")).code(1);
        by.run(&format!("set {at}{name}-parts --keep-records 5")).well();
        for number in 0..3 {
            assert_eq!(told(&place, &format!("{name}-parts@{number}"))["retention"]["max_records"], 5);
        }
        let refused = by.run(&format!("truncate {at}{name}-parts --before 0 --yes")).code(1);
        assert!(refused.err.contains(&format!("{name}-parts@0")), "{}", refused.err);
        by.run(&format!("truncate {at}{name}-parts --before now --yes")).well();
    }
    end(node);
}

#[test]
fn who_holds_another_token_does_what_it_gives_the_right_to_and_is_told_which_is_lacking() {
    let (place, elsewhere) = (some(""), Place::new());
    for (file, token) in [("owner", "the owner's\n"), ("reader", "a reader's"), ("clerk", "a clerk's\n")] {
        std::fs::write(place.path(file), token).unwrap();
        std::fs::write(elsewhere.path(file), token).unwrap();
    }
    let (node, address) =
        serving(&place, "--token-file owner --grant read,status=reader --grant publish,change=clerk");
    let target = format!("{address}/app");
    let by = |file: &str, line: &str| elsewhere.run(&format!("{line} --token-file {file}"));
    by("reader", &format!("info {target}")).well();
    assert_eq!(by("reader", &format!("recv {target} --from 0 --count 1")).well().lines(), ["line 0"]);
    by("clerk", &format!("set {target} --keep-records 5000")).well();
    by("owner", &format!("set {target} --keep-records 5000 --hold-cursors 1G")).well();
    for (file, line, lacks) in [
        ("reader", format!("set {target} --keep-records 1"), "change"),
        ("reader", format!("truncate {target} --before 1 --yes"), "truncate"),
        ("reader", format!("create {address}/new"), "create"),
        ("reader", format!("rm {target} --yes"), "delete"),
        ("reader", format!("seal {target}"), "seal"),
        ("reader", format!("cursor set {target} c --from 0"), "cursors"),
        ("clerk", format!("recv {target} --from 0 --count 1"), "read"),
        ("clerk", format!("create {address}/new"), "create"),
    ] {
        let refused = by(file, &line).code(1);
        assert!(
            refused.err.contains(&format!("does not give the right to {lacks}")),
            "{line}: {}",
            refused.err
        );
    }
    let refused = elsewhere.feed(&format!("send {target} --token-file reader"), b"x\n").code(1);
    assert!(refused.err.contains("does not give the right to publish"), "{}", refused.err);
    elsewhere.feed(&format!("send {target} --token-file clerk"), b"x\n").well();
    // On its own machine nobody asks for a token.
    assert_eq!(
        (&info(&place)["next"], &info(&place)["retention"]["max_records"]),
        (&1001.into(), &5000.into())
    );
    end(node);
}

#[test]
fn grants_stand_in_the_configuration_file_and_in_a_variable_too() {
    let place = some("");
    std::fs::write(place.path("reader"), "a reader's").unwrap();
    std::fs::write(place.path("clerk"), "a clerk's").unwrap();
    let file = "[defaults]\ngrant = ['read=reader', 'change=clerk']\n";
    std::fs::write(place.path("config.toml"), file).unwrap();
    for by_variable in [false, true] {
        let mut command = place.netchan("serve --listen 127.0.0.1:0");
        if by_variable {
            let files =
                format!("read={};change={}", place.path("reader").display(), place.path("clerk").display());
            command.env("NETCHAN_GRANT", files);
        } else {
            command.args(["--config", "config.toml"]);
        }
        let mut node = place.start(command);
        let address = node.says("serving").rsplit(' ').next().unwrap().to_owned();
        let away = Place::new();
        std::fs::write(away.path("reader"), "a reader's").unwrap();
        away.run(&format!("info {address}/app --token-file reader")).well();
        let refused = away.run(&format!("seal {address}/app --token-file reader")).code(1);
        assert!(refused.err.contains("right to seal"), "{}", refused.err);
        away.run(&format!("info {address}/app")).code(1);
        end(node);
    }
    for (flags, words, code) in [
        ("--grant reader", "RIGHTS=FILE", 2),
        ("--grant write=reader", "there is no right \"write\"", 2),
        ("--grant read=nowhere", "--grant read=FILE cannot be read: FILE names a file", 1),
        ("--grant read=reader --grant seal=reader", "the same", 1),
        ("--stdio --grant read=reader", "cannot be used with", 2),
    ] {
        let refused = place.run(
            &format!("serve --listen 127.0.0.1:0 {flags}").replace("--listen 127.0.0.1:0 --stdio", "--stdio"),
        );
        let refused = refused.code(code);
        assert!(refused.err.contains(words), "{flags}: {}", refused.err);
    }
}
