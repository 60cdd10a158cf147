//! `netchan recv --cursor` and `netchan cursor`; SIGKILL of consumer, node and both at any moment.
//!
//! The kills are 24; NETCHAN_CURSOR_KILLS=500 is the long run.

#![allow(clippy::unwrap_used, reason = "a panic here is a failed test")]

mod shell;

use std::fs;
use std::time::Duration;

use serde_json::Value;
use shell::{Place, Random, Running, same, until};

fn kills() -> u64 {
    std::env::var("NETCHAN_CURSOR_KILLS").ok().and_then(|count| count.parse().ok()).unwrap_or(24)
}

fn numbers(range: std::ops::Range<u64>) -> Vec<u8> {
    range.map(|number| format!("{number}\n")).collect::<String>().into_bytes()
}

/// A node with a channel of so many numbers, and its address.
fn node(place: &Place, lines: u64) -> (Running, String) {
    place.feed("send x --listen none", &numbers(0..lines)).well();
    serve(place, "127.0.0.1:0")
}

fn serve(place: &Place, address: &str) -> (Running, String) {
    let mut node = place.go(&format!("serve --listen {address}"));
    let line = node.says("serving");
    (node, line.rsplit(' ').next().unwrap().to_owned())
}

fn shown(place: &Place, words: &str) -> Value {
    serde_json::from_slice(&place.run(&format!("cursor show {words} --json")).well().out).unwrap()
}

#[test]
fn receiving_goes_on_from_another_machine_where_it_ended() {
    let (place, away) = (Place::new(), Place::new());
    let (_node, address) = node(&place, 1000);
    let recv = |place: &Place, words: &str| place.run(&format!("recv {address}/x --cursor w {words}")).well();
    same(&recv(&away, "--from earliest -n 10").out, &numbers(0..10), "the first ten");
    same(&recv(&place, "-n 5").out, &numbers(10..15), "the next five");
    same(&recv(&away, "--no-follow --output rest").out, b"", "into a file");
    same(&fs::read(away.path("rest")).unwrap(), &numbers(15..1000), "the rest");
    same(&recv(&away, "--no-follow").out, b"", "nothing is left");

    // From a pipe that was closed, and from a command that failed, what was not done comes again.
    let start = "cursor reset x w --from 100 --json";
    let reset: Value = serde_json::from_slice(&place.run(start).well().out).unwrap();
    assert_eq!((&reset["offset"], &reset["behind"]), (&Value::from(100), &Value::from(900)));
    let script = "read n; echo $n; test $n != 103";
    let done = place.with("recv x --cursor w --commit-every 0s --exec", script).end();
    assert_eq!(done.status.code(), Some(5), "{}", done.err);
    same(&done.out, &numbers(100..104), "until a command fails");
    same(&recv(&away, "-n 1").out, &numbers(103..104), "and it is run again");
}

#[test]
fn cursors_are_listed_shown_moved_and_deleted() {
    let place = Place::new();
    let (_node, address) = node(&place, 50);
    assert!(place.run("cursor ls").well().out.is_empty());
    place.run("cursor set x b --from earliest").well();
    place.run(&format!("cursor set {address}/x a --last 10 -v")).well();
    place.run(&format!("recv {address}/x --cursor a -n 4")).well();
    for ls in ["cursor ls".to_owned(), "cursor ls x".to_owned(), format!("cursor ls {address}")] {
        let lines = place.run(&ls).well().lines();
        let cells: Vec<Vec<&str>> = lines.iter().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(cells[0], ["CHANNEL", "CURSOR", "OFFSET", "BEHIND", "MOVED"], "{ls}");
        assert_eq!(cells[1][..4], ["x", "a", "44", "6"], "{ls}");
        assert_eq!(cells[2][..4], ["x", "b", "0", "50"], "{ls}");
    }
    assert!(place.run(&format!("cursor ls {address}/other")).well().out.is_empty());
    let a = shown(&place, "x a");
    assert_eq!((&a["offset"], &a["behind"], &a["state"]), (&44.into(), &6.into(), &"ready".into()));
    assert_eq!((a["generation"].clone(), a["position"].as_array().unwrap().len()), (a["taken"].clone(), 1));
    let told = place.run("cursor show x a").well().lines();
    assert!(told.contains(&"stands   at offset 44".to_owned()), "{told:?}");

    for (words, offset) in [("--from 7", 7), ("--last 3", 47), ("--since 1h", 0), ("--from latest", 50)] {
        place.run(&format!("cursor reset {address}/x a {words}")).well();
        assert_eq!(shown(&place, "x a")["offset"], offset, "{words}");
    }
    // The channel is made again: the cursor is of the one that was.
    place.run("rm x --yes").well();
    assert_eq!(shown(&place, "x a")["state"], "there is no such channel");
    place.feed("send x --listen none", &numbers(0..5)).well();
    assert_eq!(shown(&place, "x a")["state"], "another log: the channel was made again");
    let done = place.run("recv x --cursor a --no-follow").code(1);
    assert!(done.err.contains("OTHER_LOG"), "{}", done.err);
    place.run("cursor reset x a --from earliest").well();
    same(&place.run("recv x --cursor a --no-follow").well().out, &numbers(0..5), "from its beginning");

    place.run(&format!("cursor rm {address}/x a")).well();
    for (words, says) in [
        ("cursor show x a", "there is no cursor a"),
        ("cursor reset x a --from 1", "NO_CURSOR"),
        ("cursor rm x a", "NO_CURSOR"),
        ("cursor set x a", "--from"),
        ("cursor set x a --from 99", "OFFSET_BEYOND_END"),
        ("cursor set y a --from 0", "there is no channel y"),
    ] {
        let done = place.run(words).code(1);
        assert!(done.err.contains(says), "{words}: {}", done.err);
    }
}

#[test]
fn of_two_programs_at_once_the_later_one_has_the_cursor_and_one_that_is_set_goes_on_from_there() {
    let place = Place::new();
    let (_node, address) = node(&place, 20);
    let recv = format!("recv {address}/x --cursor w --from earliest --commit-every 10ms");
    let first = place.go(&recv);
    until("the first to have received", || (first.out() == numbers(0..20)).then_some(()));
    until("what it wrote to be committed", || (shown(&place, "x w")["offset"] == 20).then_some(()));
    place.run("cursor reset x w --from 18").well();
    let again = [numbers(0..20), numbers(18..20)].concat();
    until("it to go on from there", || (first.out() == again).then_some(()));

    let second = place.go(&recv);
    let done = first.end();
    assert_eq!(done.status.code(), Some(1), "{}", done.err);
    assert!(done.err.contains("CURSOR_TAKEN"), "{}", done.err);
    place.feed("send x", &numbers(20..30)).well();
    until("the second to have received", || second.out().ends_with(&numbers(20..30)).then_some(()));
    second.signal("INT");
    assert_eq!(second.end().status.code(), Some(130));
    assert_eq!(shown(&place, "x w")["offset"], 30, "it commits when it is stopped");
}

/// What a receiver said of its commits: the last one that was answered.
fn answered(err: &str) -> Option<u64> {
    let line = err.lines().rev().find(|line| line.contains("the cursor is committed"))?;
    line.rsplit("offset=").next()?.trim().parse().ok()
}

/// After each kill the next receiver begins exactly where the cursor stands; that is not before what was answered to the last
/// one, nor after what it had written.
#[test]
fn whoever_is_killed_nothing_committed_comes_again_and_nothing_uncommitted_is_lost() {
    let place = Place::new();
    let lines = 200_000 + kills() * 20_000;
    let (mut node, address) = node(&place, lines);
    let mut random = Random(0x6375_7273);
    let (mut stands, mut moved, mut answers, mut before_commit) = (0, 0, 0, 0);
    for round in 0..kills() {
        let every = ["0s", "2ms", "20ms"][random.below(3) as usize];
        let out = place.path(&format!("records.{round}"));
        let words = format!(
            "recv {address}/x --cursor w --from earliest --output records.{round} --commit-every {every} \
             --log netchan_node::receiver=debug"
        );
        let mut receiver = place.go(&words);
        if random.below(8) > 0 {
            until("it to receive something", || {
                (fs::metadata(&out).is_ok_and(|data| data.len() > 0) || !receiver.is_running()).then_some(())
            });
        }
        // The moment of the kill is to be random: nothing waits for it.
        std::thread::sleep(Duration::from_micros(random.below(30_000)));
        let err = match random.below(3) {
            0 => receiver.kill().err,
            1 => {
                // The receiver lives, and goes on with the node that comes next.
                node.kill();
                (node, _) = serve(&place, &address);
                std::thread::sleep(Duration::from_micros(random.below(100_000)));
                receiver.kill().err
            }
            _ => {
                node.child.kill().unwrap();
                let err = receiver.kill().err;
                node.kill();
                (node, _) = serve(&place, &address);
                err
            }
        };
        let received = fs::read(&out).unwrap_or_default();
        let received = String::from_utf8(received).unwrap();
        let whole = received.split_inclusive('\n').filter(|line| line.ends_with('\n')).count() as u64;
        let expected = numbers(stands..stands + whole);
        assert!(received.as_bytes().starts_with(&expected), "round {round}: {stands} and {whole} more");
        // What the dead one had asked for may be under way still: whoever takes the cursor ends that.
        place.run("recv x --cursor w --from earliest -n 0").well();
        let now = shown(&place, "x w")["offset"].as_u64().unwrap();
        assert!(
            now >= answered(&err).unwrap_or(stands),
            "round {round}: {now}, and more was answered: {err}"
        );
        assert!((stands..=stands + whole).contains(&now), "round {round}: {stands} to {now} of {whole}");
        moved += u64::from(now > stands);
        answers += u64::from(answered(&err).is_some());
        before_commit += u64::from(now < stands + whole);
        stands = now;
        assert!(stands < lines, "there are too few records for so many kills");
        let _ = fs::remove_file(&out);
    }
    println!("{} kills: {moved} moved, {answers} were answered, {before_commit} lost a commit", kills());
    assert!(moved >= kills() / 4 && answers >= kills() / 4 && before_commit >= kills() / 8);
    let rest = place.run(&format!("recv {address}/x --cursor w --no-follow")).well().out;
    same(&rest, &numbers(stands..lines), "the rest");
}
