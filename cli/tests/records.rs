//! Keys, headers and JSON in; formats, files and commands out.

#![allow(clippy::unwrap_used, reason = "a panic here is a failed test")]

mod shell;

use std::fs;

use shell::{Place, Random, piped, same, until};

/// What `recv NAME --from earliest --no-follow` gives, with one more word.
fn given(place: &Place, words: &str, last: &str) -> String {
    let done = place.with(&format!("recv {words} --from earliest --no-follow"), last).end().well();
    assert!(done.err.is_empty(), "{}", done.err);
    String::from_utf8(done.out).unwrap()
}

fn formatted(place: &Place, name: &str, format: &str) -> String {
    given(place, name, &format!("--format={format}"))
}

#[test]
fn key_and_headers_come_from_the_command_line_a_delimiter_or_a_field() {
    let place = Place::new();
    place.feed("send a --key k --header n=1 --header m=x=y", b"one\ntwo").well();
    assert_eq!(formatted(&place, "a", "%o %k %h{n} %h{m} %s"), "0 k 1 x=y one\n1 k 1 x=y two\n");
    same(
        &place.run("recv a --from earliest --no-follow").well().out,
        b"one\ntwo",
        "what had no end has none, with headers too",
    );

    place.feed("send b --key-delimiter :", b"k:v:w\nplain\n:empty\n").well();
    assert_eq!(formatted(&place, "b", "%k{json} %s"), "\"k\" v:w\nnull plain\n\"\" empty\n");

    let lines = "{\"user\": {\"id\": 12345678901234567890123}, \"x\":1}\n{\"user\":{\"id\":\"text\"}}\n{}\n";
    place.feed("send c --key-field user.id --key none", lines.as_bytes()).well();
    assert_eq!(formatted(&place, "c", "%k"), "12345678901234567890123\ntext\nnone\n");
    assert_eq!(formatted(&place, "c", "%s"), lines, "payloads stay as they were");
}

#[test]
fn a_line_that_is_not_what_was_said_is_named_and_what_came_before_is_durable() {
    let place = Place::new();
    for (words, line, why) in [
        ("--json", "nonsense", "no JSON"),
        ("--json", "{\"paylod\":\"x\"}", "unknown field `paylod`"),
        ("--key-field id", "nonsense", "no JSON"),
        ("--json", "{\"payload\":\"x\",\"key\":\"KEY\"}", "key has 70000 bytes"),
    ] {
        let line = line.replace("KEY", &"k".repeat(70_000));
        let good = "{\"payload\":\"good\"}\n";
        let done = place.feed(&format!("send x {words}"), format!("{good}{line}\n{good}").as_bytes()).code(1);
        assert!(done.err.contains("line 2: ") && done.err.contains(why), "{}", done.err);
        assert!(done.err.contains("Before that: 1 line, durable"), "{}", done.err);
    }
    assert_eq!(place.run("recv x --from earliest --no-follow").well().lines().len(), 4);
}

#[test]
fn what_recv_writes_as_json_send_takes_back_and_nothing_is_lost_on_the_way() {
    let place = Place::new();
    let mut random = Random(0x6a73_6f6e);
    let mut bytes = |most| (0..random.below(most)).map(|_| random.below(256) as u8).collect::<Vec<_>>();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let sent: Vec<netchan::NewRecord> = (0..500)
        .map(|number| {
            let mut record = netchan::NewRecord::new(match number % 3 {
                0 => String::from_utf8_lossy(&bytes(60)).into_owned().into_bytes(),
                _ => bytes(60),
            });
            if number % 2 == 0 {
                record = record.key(bytes(10));
            }
            for _ in 0..number % 4 {
                record = record.header(&String::from_utf8_lossy(&bytes(5)), bytes(5));
            }
            record
        })
        .collect();
    runtime.block_on(async {
        let node = netchan::Node::builder().data_dir(place.path("data")).start().await.unwrap();
        let sender = node.sender("a").open().await.unwrap();
        for record in &sent {
            sender.send(record).await.unwrap();
        }
        sender.flush().await.unwrap();
        node.shutdown(std::time::Duration::from_secs(1)).await.unwrap();
    });
    let first = place.run("recv a --from earliest --no-follow --json").well();
    place.feed("send b --json", &first.out).well();
    let second = place.run("recv b --from earliest --no-follow --json").well();
    place.feed("send c --json", &second.out).well();
    let third = place.run("recv c --from earliest --no-follow --json").well();

    let values = |done: &shell::Done| -> Vec<serde_json::Value> {
        done.lines().iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let (first, second, third) = (values(&first), values(&second), values(&third));
    assert_eq!((first.len(), second.len()), (sent.len(), sent.len()));
    for ((before, after), last) in first.iter().zip(&second).zip(&third) {
        for field in ["offset", "key", "key_base64", "payload", "payload_base64"] {
            assert_eq!(before.get(field), after.get(field), "{field}");
        }
        // the headers are what they were, and then the time at which it was
        let mut headers = before.get("headers").and_then(|list| list.as_array()).cloned().unwrap_or_default();
        headers.push(serde_json::json!({"name": "event-time", "value": before["time"]}));
        assert_eq!(after["headers"], serde_json::Value::Array(headers));
        assert_eq!(after["headers"], last["headers"], "a third time nothing is added");
    }
    let times = |name| formatted(&place, name, "%e");
    assert_eq!(times("a"), times("c"), "the time of the event stays");
    assert_eq!(formatted(&place, "a", "%s{hex}"), formatted(&place, "c", "%s{hex}"));
}

#[test]
fn a_payload_of_the_largest_size_survives_json() {
    let place = Place::new();
    // each of these bytes has six characters in JSON
    let input = vec![1; 16 << 20];
    place.feed("send a --whole", &input).well();
    let json = place.run("recv a --from earliest --no-follow --json").well().out;
    assert!(json.len() > 90 << 20);
    place.feed("send b --json", &json).well();
    same(&place.run("recv b --from earliest --no-follow").well().out, &input, "the payload");
}

#[test]
fn formats_times_and_endings_are_as_said() {
    let place = Place::new();
    place.feed("send x", b"one\ntwo\n").well();
    let times = formatted(&place, "x", "%t");
    let (first, second) = times.split_once('\n').unwrap();
    assert_eq!(given(&place, "x", "-t"), format!("{first} one\n{} two\n", second.trim_end()));
    assert_eq!(formatted(&place, "x", r"%o:\t%S%%\x21"), "0:\t3%!\n1:\t3%!\n");
    assert_eq!(given(&place, "x -f %o", "--null"), "0\x001\0");
    assert_eq!(given(&place, "x", "--delimiter="), "onetwo");
    let done = place.with("recv x --no-follow --format", "%q").end().code(2);
    assert!(done.err.contains("%s payload"), "{}", done.err);
}

#[test]
fn a_directory_gets_a_file_for_each_record() {
    let place = Place::new();
    place.feed("send x", b"one\n\nthree").well();
    let words = "recv x --from earliest --no-follow --output records/ --files --position at";
    assert!(place.run(words).well().out.is_empty());
    place.feed("send x", b"four\n").well();
    place.run(words).well();
    let read = |offset: u64| fs::read_to_string(place.path(&format!("records/{offset:020}"))).unwrap();
    assert_eq!([read(0), read(1), read(2), read(3)], ["one", "", "three", "four"]);
    assert_eq!(fs::read_dir(place.path("records")).unwrap().count(), 4);

    place.feed("send y", b"other\n").well();
    let done = place.run("recv y --from earliest --no-follow --output records --files").code(1);
    assert!(done.err.contains("a directory for each channel"), "{}", done.err);
    assert_eq!(read(0), "one", "what is there is not replaced");
}

#[test]
fn a_command_gets_each_record_in_order_with_what_stands_beside_it() {
    let place = Place::new();
    place.feed("send x --key k --header n=1", b"one\ntwo\n").well();
    let command = "--exec=printf '%s %s %s %s ' $NETCHAN_CHANNEL $NETCHAN_OFFSET $NETCHAN_KEY $NETCHAN_HEADERS; cat; echo";
    let list = r#"[{"name":"n","value":"1"}]"#;
    assert_eq!(given(&place, "x", command), format!("x 0 k {list} one\nx 1 k {list} two\n"));
    let json = given(&place, "x --json", "--exec=cat");
    assert_eq!(json, given(&place, "x", "--json"), "in the form that is asked for");
    assert_eq!(given(&place, "x", "--exec=true"), "", "who does not read its stdin is no failure");
}

#[test]
fn a_failing_command_stops_and_the_position_stays_before_its_record() {
    let place = Place::new();
    place.feed("send x", b"one\ntwo\nthree\n").well();
    let words = "recv x --from earliest --no-follow --position at --exec";
    let unless = "cat; test $NETCHAN_OFFSET != 1 || test -e mended";
    let done = place.with(words, unless).end().code(5);
    assert_eq!(String::from_utf8(done.out).unwrap(), "onetwo");
    assert!(done.err.contains("exit code 1 for the record at offset 1"), "{}", done.err);
    assert_eq!(done.err.lines().count(), 1, "{}", done.err);
    place.with(words, unless).end().code(5);
    fs::write(place.path("mended"), "").unwrap();
    let done = place.with(words, unless).end().well();
    assert_eq!(String::from_utf8(done.out).unwrap(), "twothree", "it goes on with the record that failed");
    assert_eq!(place.with(words, unless).end().well().out, b"");
}

#[test]
fn a_failing_command_may_be_skipped_or_run_again() {
    let place = Place::new();
    place.feed("send x", b"one\ntwo\nthree\n").well();
    let words = "recv x --from earliest --no-follow --exec";
    let skipping = format!("{words} false --on-failure");
    let done = place.with(&skipping, "skip").end().code(5);
    assert_eq!(done.err.matches("skipped").count(), 3, "{}", done.err);
    fs::write(
        place.path("command"),
        "cat\ntest $NETCHAN_OFFSET != 1 && exit 0\ntest -e tried && exit 0\n: > tried\nexit 7\n",
    )
    .unwrap();
    let mut command = place.netchan("recv x --from earliest --no-follow --on-failure retry --exec");
    command.arg("sh ./command");
    let done = place.start(command).end().well();
    assert_eq!(String::from_utf8(done.out).unwrap(), "onetwotwothree");
    assert!(done.err.contains("exit code 7") && done.err.contains("again in"), "{}", done.err);
}

#[test]
fn ctrl_c_waits_for_the_command_and_says_where() {
    let place = Place::new();
    place.feed("send x", b"one\ntwo\n").well();
    let receiver = place
        .with("recv x --from earliest -v --position at --exec", "cat; until test -e go; do sleep 0.01; done");
    receiver.gives(3);
    receiver.signal("INT");
    fs::write(place.path("go"), "").unwrap();
    let done = receiver.end().code(130);
    assert_eq!(done.out, b"one");
    assert!(done.err.contains("stopped after 1 record; go on with --from 1"), "{}", done.err);
    let rest = place.with("recv x --no-follow --position at --exec", "cat").end().well();
    assert_eq!(rest.out, b"two");
}

#[test]
fn who_reads_no_more_ends_the_commands_too() {
    let place = Place::new();
    place.feed("send x", &b"line\n".repeat(1000)).well();
    let program = env!("CARGO_BIN_EXE_netchan");
    let line =
        format!("{program} recv x --from earliest --position at --exec 'cat; echo' | head -1; echo $?");
    let mut shell = std::process::Command::new("bash");
    shell.args(["-o", "pipefail", "-c", &line]).current_dir(place.path(""));
    shell.env("NETCHAN_DATA_DIR", place.path("data")).stdin(std::process::Stdio::null());
    let done = place.start(shell).end().well();
    assert_eq!(String::from_utf8(done.out).unwrap(), "line\n0\n", "{}", done.err);
}

/// The address of a port that nobody listens on.
fn nobody() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[test]
fn where_nobody_is_there_who_does_not_follow_is_told_at_once() {
    let place = Place::new();
    let address = nobody();
    for words in ["--no-follow", "--wait 0s", "--no-follow --wait 100ms", "--wait 100ms"] {
        let done = place.run(&format!("recv {address}/x {words}")).code(1);
        assert!(done.err.contains(&address) && done.err.contains("refused"), "{words}: {}", done.err);
    }
    for words in ["--wait 0s", "--wait 100ms --resume", "--wait 100ms --acks --seal"] {
        fs::write(place.path("input"), "one\n").unwrap();
        let done = place.run(&format!("send {address}/x input {words}")).code(1);
        assert!(done.err.contains("refused"), "{words}: {}", done.err);
        assert!(done.err.contains("perhaps not all durable") || done.err.contains("Nothing was sent"));
    }
    // nor a channel
    let done = place.run("recv x --no-follow").code(1);
    assert!(done.err.contains("there is no channel x"), "{}", done.err);
    let done = place.run("recv x --wait 100ms").code(1);
    assert!(done.err.contains("x: there is no such channel; waited 100ms"), "{}", done.err);
}

#[test]
fn who_waits_is_given_what_comes_meanwhile() {
    let place = Place::new();
    let receiver = place.go("recv x --from earliest --wait 1m");
    place.feed("send x --seal", b"one\n").well();
    same(&receiver.end().well().out, b"one\n", "a channel that was made later");
    let address = nobody();
    let receiver = place.go(&format!("recv {address}/x --from earliest --no-follow --wait 1m"));
    let _node = place.go(&format!("serve --listen {address}"));
    same(&receiver.end().well().out, b"one\n", "a node that came later");
}

#[test]
fn a_command_that_gives_no_connection_is_an_error_with_its_exit_code() {
    let place = Place::new();
    for (command, why) in [
        ("exit 7", "exit status: 7"),
        ("no-such-command", "exit status: 127"),
        ("true", "closed"),
        ("echo hello; exit 3", "x:"),
    ] {
        for words in ["recv x --via", "recv x --no-follow --via", "send x --via", "send x --seal --via"] {
            fs::write(place.path("stdin"), "one\n").unwrap();
            let mut netchan = place.netchan(words);
            netchan.arg(command).stdin(fs::File::open(place.path("stdin")).unwrap());
            let done = place.start(netchan).end().code(1);
            assert!(done.err.contains(why), "{words} {command}: {}", done.err);
        }
    }
}

/// A terminal: the side that a program draws on is its stdout, the other is read here.
fn on_a_terminal(place: &Place, words: &str) -> String {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let screen = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&screen).unwrap();
    unlockpt(&screen).unwrap();
    let name = ptsname(&screen, Vec::new()).unwrap().into_string().unwrap();
    let terminal = fs::OpenOptions::new().read(true).write(true).open(name).unwrap();
    let mut modes = rustix::termios::tcgetattr(&terminal).unwrap();
    modes.make_raw();
    rustix::termios::tcsetattr(&terminal, rustix::termios::OptionalActions::Now, &modes).unwrap();
    let mut command = place.netchan(words);
    command.stdout(terminal.try_clone().unwrap()).stderr(terminal);
    let mut child = command.spawn().unwrap();
    drop(command);
    let status = until("it to end", || child.try_wait().unwrap());
    assert!(status.success(), "{words}");
    let mut text = Vec::new();
    // the screen of a terminal that nobody draws on any more ends in an error
    let _ = std::io::Read::read_to_end(&mut fs::File::from(screen), &mut text);
    String::from_utf8(text).unwrap()
}

#[test]
fn a_terminal_is_not_steered_by_what_others_sent() {
    let place = Place::new();
    let evil = "\x1b[2J\u{202e}key";
    let mut send = place.netchan("send x --key");
    fs::write(place.path("stdin"), "\x1b]0;title\x07 tab\there \u{202e}txt\n").unwrap();
    send.arg(evil).stdin(fs::File::open(place.path("stdin")).unwrap());
    place.start(send).end().well();
    let recv = "recv x --from earliest --no-follow -q";
    assert_eq!(on_a_terminal(&place, recv), "\\u{1b}]0;title\\u{7} tab\there \\u{202e}txt\n");
    assert_eq!(on_a_terminal(&place, &format!("{recv} --format %k")), "\\u{1b}[2J\\u{202e}key\n");
    let json = on_a_terminal(&place, &format!("{recv} --json"));
    assert!(json.is_ascii() && json.contains(r#""key":"\u001b[2J\u202ekey""#), "{json}");
    assert_eq!(
        on_a_terminal(&place, &format!("{recv} --raw")),
        "\x1b]0;title\x07 tab\there \u{202e}txt\n",
        "as it was sent, for who wants it"
    );
    assert_eq!(formatted(&place, "x", "%k"), format!("{evil}\n"), "in a pipe nothing is changed");
}

#[test]
fn long_work_shows_how_far_it_is_on_a_terminal_and_nothing_in_a_pipe() {
    let place = Place::new();
    let lines: String = (0..3_000).map(|line| format!("line {line}\n")).collect();
    fs::write(place.path("input"), &lines).unwrap();
    let seen = on_a_terminal(&place, "send x input --rate 3000 --listen none");
    assert!(seen.contains("B/s") && seen.contains("left"), "{seen:?}");
    // records that take their time, and a stdout that is not the terminal
    let seen = on_a_terminal(&place, "recv x --from earliest --count 3000 --output out");
    assert!(!seen.contains("line 7"), "{seen:?}");
    same(&fs::read(place.path("out")).unwrap(), lines.as_bytes(), "the output");
    let done = place.run("send y input --rate 3000 --listen none").well();
    assert!(done.out.is_empty() && done.err.is_empty(), "{}", done.err);
}

#[test]
fn a_trickle_reaches_the_command_at_once() {
    let place = Place::new();
    let receiver = place.with("recv x --from earliest --exec", "cat; echo");
    let (_sender, mut stdin) = piped(&place, "send x");
    for count in 1..4 {
        std::io::Write::write_all(&mut stdin, b"line\n").unwrap();
        receiver.gives(5 * count);
    }
}
