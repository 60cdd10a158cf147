//! Channels with partitions, from the command line.

#![allow(clippy::unwrap_used, reason = "a panic here is a failed test")]

mod shell;

use std::collections::BTreeMap;

use serde_json::Value;
use shell::{Place, until};

/// Forty records of eight keys, `shopK,N` with N counting each key's.
fn input() -> Vec<u8> {
    let lines = (0..40).map(|number| format!("shop{},{}\n", number % 8, number / 8));
    lines.collect::<String>().into_bytes()
}

/// Of each key the payloads in the order in which they came, and the partitions they came from.
fn by_key(json: &[String]) -> BTreeMap<String, (Vec<String>, Vec<String>)> {
    let mut found = BTreeMap::<String, (Vec<String>, Vec<String>)>::new();
    for line in json {
        let line: Value = serde_json::from_str(line).unwrap();
        let text = |field: &str| line[field].as_str().unwrap().to_owned();
        let (payloads, channels) = found.entry(text("key")).or_default();
        payloads.push(text("payload"));
        channels.push(text("channel"));
    }
    found
}

const ALL: &str = "--from earliest --no-follow --json";

#[test]
fn a_channel_with_partitions_is_sent_received_listed_and_removed() {
    let place = Place::new();
    place.feed("send shops --key-delimiter , --partitions 4", &input()).well();
    let found = by_key(&place.run(&format!("recv shops {ALL}")).well().lines());
    assert_eq!(found.len(), 8);
    for (key, (payloads, channels)) in &found {
        assert_eq!(payloads, &["0", "1", "2", "3", "4"], "{key} in order");
        assert!(channels.iter().all(|channel| channel == &channels[0]), "{key} in one partition");
    }
    let partitions: Vec<_> = found.values().map(|(_, channels)| channels[0].clone()).collect();
    assert!(partitions.iter().any(|other| *other != partitions[0]), "{partitions:?}");

    let some = by_key(&place.run(&format!("recv shops {ALL} --partition 0,2")).well().lines());
    assert!(some.values().all(|(_, channels)| ["shops@0", "shops@2"].contains(&&*channels[0])));
    let expected = partitions.iter().filter(|name| ["shops@0", "shops@2"].contains(&&***name)).count();
    assert_eq!(some.len(), expected);
    let one = place.run("recv shops@1 --from earliest --no-follow").well().lines().len();
    assert_eq!(one, 5 * partitions.iter().filter(|name| *name == "shops@1").count());

    let listed = place.run("ls shops@ --json").well().lines();
    let names: Vec<_> =
        listed.iter().map(|line| serde_json::from_str::<Value>(line).unwrap()["name"].clone()).collect();
    assert_eq!(names, ["shops@0", "shops@1", "shops@2", "shops@3"]);
    let told = place.run("info shops").well().out;
    let told = String::from_utf8_lossy(&told).into_owned();
    assert!(told.contains("shops has 4 partitions: 40 records") && told.contains("shops@3"), "{told}");
    let told: Value = serde_json::from_slice(&place.run("info shops --json").well().out).unwrap();
    assert_eq!((&told["partitions"], told["each"].as_array().unwrap().len()), (&4.into(), 4));

    for command in ["info", "seal", "rm --yes", "set --keep-size 1M"] {
        let refused = place.run(&format!("{command} shops@4")).code(1);
        assert!(refused.err.contains("shops has 4 partitions"), "{command}: {}", refused.err);
    }

    // Sent as another channel than it is.
    let refused = place.feed("send shops", b"x\n").code(1);
    assert!(refused.err.contains("shops has 4 partitions"), "{}", refused.err);
    let refused = place.feed("send shops --partitions 3", b"x\n").code(1);
    assert!(refused.err.contains("shops has 4 partitions"), "{}", refused.err);

    place.run("seal shops").well();
    let sealed = place.feed("send shops --partitions 4", b"x\n").code(1);
    assert!(sealed.err.contains("sealed"), "{}", sealed.err);
    place.run("rm shops --yes").well();
    assert!(place.run("ls").well().lines().is_empty());
    place.feed("send shops", b"plain again\n").well();
}

#[test]
fn a_position_in_all_partitions_is_gone_on_from() {
    let place = Place::new();
    place.feed("send shops --key-delimiter , --partitions 3", &input()).well();
    let words = format!("recv shops {ALL} --position at");
    assert_eq!(place.run(&words).well().lines().len(), 40);
    place.feed("send shops --key-delimiter , --partitions 3", b"shop1,5\nshop2,5\n").well();
    let found = by_key(&place.run(&words).well().lines());
    assert_eq!(found.len(), 2);
    assert!(found.values().all(|(payloads, _)| payloads == &["5"]));
}

/// The node that has the channel is killed again and again while eight senders elsewhere send: of each of them each key's records
/// are there once, in order, in the one partition of the key.
#[test]
fn keys_of_eight_senders_stay_in_order_when_their_node_is_killed() {
    const SENDERS: usize = 8;
    const LINES: usize = 4_000;
    const KEYS: usize = 13;
    let place = Place::new();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let serve = || place.go(&format!("serve --listen 127.0.0.1:{port}"));
    let mut node = serve();
    let mut senders: Vec<_> = (0..SENDERS)
        .map(|who| {
            let lines = (0..LINES).map(|number| format!("key{},{who} {}\n", number % KEYS, number / KEYS));
            std::fs::write(place.path(&format!("input{who}")), lines.collect::<String>()).unwrap();
            let target = format!("127.0.0.1:{port}/shops");
            let how = "--key-delimiter , --partitions 4 --acks --rate 500";
            place.go(&format!("send {target} input{who} {how}"))
        })
        .collect();
    let mut killed = 0;
    while killed < 5 && senders.iter_mut().any(|sender| sender.is_running()) {
        let before: Vec<usize> = senders.iter().map(|sender| sender.out().len()).collect();
        until("more of each to be durable, or its end", || {
            let mut all = senders.iter_mut().zip(&before);
            all.all(|(sender, before)| sender.out().len() > *before || !sender.is_running()).then_some(())
        });
        node.kill();
        killed += 1;
        node = serve();
    }
    senders.into_iter().for_each(|sender| drop(sender.end().well()));
    assert!(killed >= 3, "killed {killed} times");
    let found = by_key(&place.run(&format!("recv 127.0.0.1:{port}/shops {ALL}")).well().lines());
    assert_eq!(found.len(), KEYS);
    for (key, (payloads, channels)) in &found {
        assert!(channels.iter().all(|channel| channel == &channels[0]), "{key} in one partition");
        let number: usize = key["key".len()..].parse().unwrap();
        for who in 0..SENDERS {
            let expected = (0..(LINES - number).div_ceil(KEYS)).map(|number| format!("{who} {number}"));
            let found = payloads.iter().filter(|payload| payload.starts_with(&format!("{who} ")));
            assert!(found.eq(&expected.collect::<Vec<_>>()), "{key} of sender {who}");
        }
    }
    node.kill();
}
