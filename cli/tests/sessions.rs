//! Who comes first, who leaves, who shares: sessions of several programs.

#![allow(clippy::unwrap_used, reason = "a panic here is a failed test")]

mod shell;

use std::io::Write;
use std::time::Duration;

use shell::{Place, Running, piped, real_file, same, until};

/// `serve` on a port of its own, and its address.
fn serve(place: &Place, words: &str) -> (Running, String) {
    let mut node = place.go(&format!("serve --listen 127.0.0.1:0 {words}"));
    let line = node.says("serving");
    let addr = line.rsplit(' ').next().unwrap().to_owned();
    (node, addr)
}

#[test]
fn a_receiver_may_come_before_the_channel_the_node_and_the_directory() {
    let place = Place::new();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let by_name = place.go("recv x --from earliest");
    let by_port = place.go(&format!("recv 127.0.0.1:{port}/x --from earliest -v"));
    let mut sender = place.netchan(&format!("send x --seal --serve --listen 127.0.0.1:{port} -v"));
    std::fs::write(place.path("input"), "one\ntwo\n").unwrap();
    sender.arg("-").stdin(std::fs::File::open(place.path("input")).unwrap());
    let sender = place.start(sender);
    same(&by_name.end().well().out, b"one\ntwo\n", "by name");
    // The receiver by name was here first, so it was the node; now the sender is, and its port opens.
    same(&by_port.end().well().out, b"one\ntwo\n", "by port");
    sender.signal("TERM");
    sender.end().well();
}

#[test]
fn when_the_sender_is_gone_serve_gives_all() {
    let place = Place::new();
    let content = real_file(&place.path("input"), 20_000);
    place.run("send x input --seal --listen none").well();
    let (node, addr) = serve(&place, "");
    same(&place.run(&format!("recv {addr}/x --from earliest")).well().out, &content, "from serve");
    same(&place.run("recv x --from earliest").well().out, &content, "through serve's socket");
    node.signal("INT");
    node.end().well();
}

#[test]
fn ten_receivers_at_once_each_get_all() {
    let place = Place::new();
    let content = real_file(&place.path("input"), 100_000);
    let (_node, addr) = serve(&place, "");
    let receivers: Vec<_> = (0..10).map(|_| place.go(&format!("recv {addr}/x --from earliest"))).collect();
    place.run("send x input --seal").well();
    for receiver in receivers {
        same(&receiver.end().well().out, &content, "one of ten");
    }
}

#[test]
fn two_senders_at_once_both_stand_in_the_log_each_in_order() {
    let place = Place::new();
    let inputs = ["a", "b"].map(|name| {
        let content: String = (0..50_000).map(|line| format!("{name}{line}\n")).collect();
        std::fs::write(place.path(name), &content).unwrap();
        content
    });
    let senders = ["a", "b"].map(|name| place.go(&format!("send x {name} --listen none --rate 100000")));
    for sender in senders {
        sender.end().well();
    }
    let log = String::from_utf8(place.run("recv x --from earliest --no-follow").well().out).unwrap();
    for (name, input) in ["a", "b"].iter().zip(&inputs) {
        let own: String = log.split_inclusive('\n').filter(|line| line.starts_with(name)).collect();
        same(own.as_bytes(), input.as_bytes(), name);
    }
    assert_eq!(log.len(), inputs[0].len() + inputs[1].len());
}

#[test]
fn a_sealed_channel_takes_nothing_more_and_ends_its_receivers() {
    let place = Place::new();
    let receiver = place.go("recv x --from earliest");
    place.feed("send x", b"one\n").well();
    place.run("seal x").well();
    same(&receiver.end().well().out, b"one\n", "until the seal");
    let done = place.feed("send x", b"two\n").code(1);
    assert!(done.err.contains("sealed"), "{}", done.err);
    let info = place.run("info x").well();
    assert!(info.lines()[1].contains("sealed"), "{:?}", info.lines());
}

#[test]
fn channels_are_listed_told_about_and_deleted() {
    let place = Place::new();
    assert!(place.run("ls").well().out.is_empty());
    for name in ["b", "a/1", "a/2"] {
        place.feed(&format!("send {name}"), b"one\ntwo\n").well();
    }
    let (_node, addr) = serve(&place, "");
    for ls in ["ls".to_owned(), format!("ls {addr}")] {
        let lines = place.run(&ls).well().lines();
        let names: Vec<_> = lines.iter().map(|line| line.split(' ').next().unwrap()).collect();
        assert_eq!(names, ["NAME", "a/1", "a/2", "b"], "{ls}");
    }
    assert_eq!(place.run("ls a/ --json").well().lines().len(), 2);
    let info = place.run(&format!("info {addr}/b --json")).well();
    assert!(info.lines()[0].contains(r#""next":2"#), "{:?}", info.lines());

    let done = place.run("rm b").code(1);
    assert!(done.err.contains("--yes"), "{}", done.err);
    place.run("rm b --yes").well();
    place.run(&format!("rm {addr}/a/1 --yes")).well();
    assert_eq!(place.run("ls --json").well().lines().len(), 1);
    for gone in ["info b", "rm b --yes", "seal b"] {
        place.run(gone).code(1);
    }
}

#[test]
fn a_token_is_asked_for_and_beyond_loopback_there_must_be_one() {
    let place = Place::new();
    place.feed("send x --seal", b"one\n").well();
    std::fs::write(place.path("token"), "secret\n").unwrap();
    let done = place.run("serve --listen 0.0.0.0:0").code(1);
    assert!(done.err.contains("token"), "{}", done.err);
    let (_node, addr) = serve(&place, "--token-file token");
    let done = place.run(&format!("recv {addr}/x --from earliest")).code(1);
    assert!(done.err.contains("token"), "{}", done.err);
    place.run(&format!("recv {addr}/x --from earliest --token wrong")).code(1);
    let done = place.run(&format!("recv {addr}/x --from earliest --token secret")).well();
    same(&done.out, b"one\n", "with the token");
    same(&place.run("recv x --from earliest").well().out, b"one\n", "on this machine no token is needed");
}

#[test]
fn send_and_recv_speak_through_a_command() {
    let place = Place::new();
    let away = Place::new();
    let via =
        format!("{} serve --stdio --data-dir {}", env!("CARGO_BIN_EXE_netchan"), away.path("data").display());
    let content = real_file(&place.path("input"), 10_000);
    for round in 0..2 {
        // alone, then through a node that has the directory
        let _node = (round == 1).then(|| serve(&away, ""));
        let mut send = place.netchan(&format!("send x{round} input --seal --via"));
        send.arg(&via);
        place.start(send).end().well();
        let mut recv = place.netchan(&format!("recv x{round} --from earliest --via"));
        recv.arg(&via);
        same(&place.start(recv).end().well().out, &content, "through pipes");
    }
    assert!(!place.path("data").exists(), "nothing is kept here");
}

#[test]
fn who_closes_the_pipe_has_read_enough() {
    let place = Place::new();
    place.feed("send x", b"one\ntwo\n").well();
    let mut command = place.netchan("recv x --from earliest");
    command.stdout(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut one = [0; 4];
    let mut out = child.stdout.take().unwrap();
    std::io::Read::read_exact(&mut out, &mut one).unwrap();
    drop(out);
    // no record comes any more, and it ends all the same
    let status = until("recv to end", || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
}

#[test]
fn ctrl_c_stops_cleanly_and_says_where() {
    let place = Place::new();
    let (mut sender, mut stdin) = piped(&place, "send x -v");
    let receiver = place.go("recv x --from earliest -v");
    stdin.write_all(b"one\ntwo\n").unwrap();
    receiver.gives(8);
    receiver.signal("INT");
    let done = receiver.end().code(130);
    assert!(done.err.contains("--from 2"), "{}", done.err);
    assert!(sender.is_running());
    sender.signal("TERM");
    let done = sender.end().code(143);
    assert!(done.err.contains("after 2 lines: durable"), "{}", done.err);
}

#[test]
fn a_position_goes_on_over_runs_and_belongs_to_one_channel() {
    let place = Place::new();
    place.feed("send x", b"one\ntwo\nthree").well();
    let words = "recv x --from earliest --no-follow --position at";
    same(&place.run(&format!("{words} --count 1")).well().out, b"one\n", "first run");
    same(&place.run(&format!("{words} --count 2")).well().out, b"two\nthree", "second run");
    same(&place.run(words).well().out, b"", "third run");
    place.feed("send x", b"four\n").well();
    same(
        &place.run(words).well().out,
        b"\nfour\n",
        "an end that was missing is given when something follows",
    );
    place.feed("send y", b"other\n").well();
    let done = place.run("recv y --no-follow --position at").code(1);
    assert!(done.err.contains("channel x"), "{}", done.err);
}

#[test]
fn a_changed_file_is_not_resumed() {
    let place = Place::new();
    std::fs::write(place.path("input"), "one\ntwo\n").unwrap();
    place.run("send x input --resume").well();
    std::fs::write(place.path("input"), "one\nTWO\nthree\n").unwrap();
    let done = place.run("send x input --resume").code(1);
    assert!(done.err.contains("has changed since it was sent"), "{}", done.err);
    std::fs::write(place.path("input"), "one\ntwo\nthree\n").unwrap();
    place.run("send x input --resume").well();
    same(&place.run("recv x --from earliest --no-follow").well().out, b"one\ntwo\nthree\n", "the log");
    let (_node, addr) = serve(&place, "");
    place.run(&format!("send {addr}/y input --resume")).well();
    place.run(&format!("send {addr}/y input --resume")).well();
    same(
        &place.run("recv y --from earliest --no-follow").well().out,
        b"one\ntwo\nthree\n",
        "of another node",
    );
}

#[test]
fn a_stopped_receiver_costs_others_nothing() {
    let place = Place::new();
    let content = real_file(&place.path("input"), 100_000);
    let (_node, addr) = serve(&place, "");
    let stopped = place.go(&format!("recv {addr}/x --from earliest"));
    let other = place.go(&format!("recv {addr}/x --from earliest"));
    place.feed("send x", b"first\n").well();
    stopped.gives(6);
    stopped.signal("STOP");
    place.run("send x input --seal").well();
    let all = [b"first\n", &content[..]].concat();
    same(&other.end().well().out, &all, "the other receiver");
    stopped.signal("CONT");
    same(&stopped.end().well().out, &all, "the stopped one, later");
}

#[test]
fn no_follow_ends_with_what_is_there_and_count_after_so_many() {
    let place = Place::new();
    place.feed("send x", b"a\nb\nc\n").well();
    for (words, expected) in [
        ("--from earliest --no-follow", "a\nb\nc\n"),
        ("--from earliest --count 2", "a\nb\n"),
        ("--from 1 --no-follow", "b\nc\n"),
        ("--from 3 --no-follow", ""),
        ("--last 2 --no-follow", "b\nc\n"),
        ("--last 9 --no-follow", "a\nb\nc\n"),
        ("--last 0 --no-follow", ""),
        ("--no-follow", ""),
        ("--from earliest --count 0", ""),
        ("--since 1h --until now --no-follow", "a\nb\nc\n"),
        ("--since 1h --until 1m", ""),
        ("--since 0s --no-follow", ""),
    ] {
        let done = place.run(&format!("recv x {words}")).well();
        assert_eq!(String::from_utf8(done.out).unwrap(), expected, "{words}");
    }
    let done = place.run("recv x --from 7 --no-follow").code(1);
    assert!(done.err.contains('7'), "{}", done.err);
    let mut later = place.go("recv x --until 2100-01-01 --from latest");
    std::thread::sleep(Duration::from_millis(1));
    assert!(later.is_running());
}

#[test]
fn a_gap_is_told_and_ends_in_an_exit_code_of_its_own() {
    let place = Place::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let node = netchan::Node::builder().data_dir(place.path("data")).start().await.unwrap();
        let retention = netchan::Retention { max_bytes: Some(64 << 10), ..Default::default() };
        let sender = node.sender("x").segment_bytes(16 << 10).retention(retention).open().await.unwrap();
        for line in 0..10_000 {
            sender.send(format!("line {line:>60}")).await.unwrap();
        }
        sender.seal().await.unwrap();
        node.shutdown(Duration::from_secs(1)).await.unwrap();
    });
    let done = place.run("recv x --from 0").code(3);
    let lines = done.lines();
    assert!(!lines.is_empty() && lines.len() < 10_000, "{} lines", lines.len());
    assert_eq!(lines.last().unwrap(), &format!("line {:>60}", 9_999));
    let missing = format!("{}", 10_000 - lines.len());
    assert!(done.err.contains(&missing), "says up to where it is missing: {}", done.err);
    place.run("recv x --from earliest").well();
}

#[test]
fn a_roll_back_is_told_and_ends_in_an_exit_code_of_its_own() {
    let place = Place::new();
    place.feed("send x", b"one\ntwo\nthree\n").well();
    place.feed("send x --seal", b"four\nfive\nsix\n").well();
    place.run("recv x --from earliest --count 1 --position at").well();
    // the position of who read five records of the first epoch, before a power cut took the last two
    let kept = std::fs::read_to_string(place.path("at")).unwrap();
    assert!(kept.contains("\"epoch\":1") && kept.contains("\"offset\":1"), "{kept}");
    std::fs::write(place.path("at"), kept.replace("\"offset\":1", "\"offset\":5")).unwrap();
    let done = place.run("recv x --position at").code(4);
    same(&done.out, b"four\nfive\nsix\n", "from where the first epoch ended");
    assert!(done.err.contains('3'), "{}", done.err);
}
