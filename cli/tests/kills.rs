//! SIGKILL at any moment: what was told durable is there, once, in order; receivers end with what the log holds.
//!
//! Each loop kills 20 times; NETCHAN_KILLS=200 is the long run.

#![allow(clippy::unwrap_used, reason = "a panic here is a failed test")]

mod shell;

use std::fs;
use std::path::Path;
use std::time::Duration;

use shell::{Done, Place, Random, Running, same, until};

fn kills() -> u64 {
    std::env::var("NETCHAN_KILLS").ok().and_then(|count| count.parse().ok()).unwrap_or(20)
}

/// A port nobody listens on now.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A file of numbered lines, long enough to be killed within.
fn numbered(place: &Place, name: &str, lines: u64) -> Vec<u8> {
    let content: String =
        (0..lines).map(|line| format!("{name} line {line} {}\n", "x".repeat(line as usize % 90))).collect();
    fs::write(place.path(name), &content).unwrap();
    content.into_bytes()
}

/// Lines for a file through which as many kills can go as are wanted, at `RATE`.
fn enough() -> u64 {
    kills() * 4_000
}

/// Lines a second, where a process is to be found in the middle of its work.
const RATE: u64 = 100_000;

/// Every second process at least was killed in the middle, or the test shows nothing.
fn often(runs: u64) {
    println!("{runs} of {} were killed in the middle", kills());
    assert!(runs >= kills() / 4, "only {runs} of {} were killed in the middle", kills());
}

/// The last number that `send --acks` wrote.
fn told(acks: &[u8]) -> u64 {
    let whole = acks.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    let text = std::str::from_utf8(&acks[..whole]).unwrap();
    text.lines().last().map_or(0, |line| line.parse().unwrap())
}

/// Lets a process live for a while: it is the moment of the kill that is to be random, nothing waits for it. One in
/// four is killed at any moment from its start on, the others once its output is longer than it was before it was started
/// (by default its stdout, which was empty), for a slow machine would kill all of them before they begin.
fn live(process: Running, file: Option<(&Path, u64)>, random: &mut Random) -> Done {
    let (file, before) = file.unwrap_or((&process.out, 0));
    let file = file.to_owned();
    live_beside(process, || fs::metadata(&file).is_ok_and(|metadata| metadata.len() > before), random)
}

/// The same, where something else says that there is output of this process.
fn live_beside(mut process: Running, has_begun: impl Fn() -> bool, random: &mut Random) -> Done {
    if random.below(4) > 0 {
        until("the process to do something", || (has_begun() || !process.is_running()).then_some(()));
    }
    std::thread::sleep(Duration::from_micros(random.below(50_000)));
    process.kill()
}

#[test]
fn a_killed_senders_durable_records_are_there_once_in_order_and_a_receiver_that_stays_gets_all() {
    let place = Place::new();
    let port = free_port();
    let mut random = Random(0x6b69_6c6c);
    let receiver = place.go(&format!("recv 127.0.0.1:{port}/x --from earliest"));
    let mut durable = Vec::new();
    let mut middle = 0;
    for round in 0..kills() {
        let name = format!("input{round}");
        let content = numbered(&place, &name, 10_000);
        let killed = live(
            place.go(&format!("send x {name} --acks --rate 100000 --listen 127.0.0.1:{port}")),
            None,
            &mut random,
        );
        let told = told(&killed.out);
        middle += u64::from(told > 0 && told < 10_000);
        durable.push((name, content, told));
    }
    place.run(&format!("send x --seal --listen 127.0.0.1:{port} -v")).well();
    let server = place.go(&format!("serve --listen 127.0.0.1:{port}"));
    let log = place.run("recv x --from earliest").well().out;
    let received = receiver.end().well().out;
    server.kill();
    same(&received, &log, "the receiver that was never restarted");
    often(middle);

    // each input's lines stand together, from its first on, at least as many as were told durable
    let mut rest = &log[..];
    for (name, content, told) in &durable {
        let prefix = format!("{name} line ");
        let mut count = 0;
        for line in content.split_inclusive(|&byte| byte == b'\n') {
            if !rest.starts_with(line) {
                break;
            }
            rest = &rest[line.len()..];
            count += 1;
        }
        assert!(!rest.starts_with(prefix.as_bytes()), "{name}: out of order or doubled after {count}");
        assert!(count >= *told, "{name}: {told} lines were told durable, {count} are there");
    }
    assert!(rest.is_empty(), "something that was never sent");
}

#[test]
fn a_file_sent_with_resume_is_there_once_however_often_its_sender_is_killed() {
    let place = Place::new();
    let mut random = Random(0x7265_7375);
    let content = numbered(&place, "input", enough());
    let mut middle = 0;
    for _ in 0..kills() {
        let sender = place.go(&format!("send x input --resume --acks --rate {RATE} --listen none"));
        middle += u64::from(!live(sender, None, &mut random).out.is_empty());
    }
    place.run("send x input --resume --seal").well();
    same(&place.run("recv x --from earliest").well().out, &content, "the file");
    often(middle);
}

#[test]
fn publishing_to_a_node_that_is_killed_goes_on_without_losing_or_doubling() {
    let place = Place::new();
    let mut random = Random(0x7075_626c);
    let content = numbered(&place, "input", enough());
    let port = free_port();
    let mut sender = place.go(&format!("send 127.0.0.1:{port}/x input --rate {RATE} --acks --seal"));
    let receiver = place.go(&format!("recv 127.0.0.1:{port}/x --from earliest"));
    let mut middle = 0;
    for _ in 0..kills() {
        let node = place.go(&format!("serve --listen 127.0.0.1:{port}"));
        let before = sender.out().len();
        if random.below(4) > 0 {
            let mut gets_on = || sender.out().len() > before || !sender.is_running();
            until("the sender to get on", || gets_on().then_some(()));
        }
        std::thread::sleep(Duration::from_micros(random.below(50_000)));
        node.kill();
        middle += u64::from(sender.is_running());
    }
    let _node = place.go(&format!("serve --listen 127.0.0.1:{port}"));
    let done = sender.end().well();
    assert_eq!(told(&done.out), enough());
    same(&receiver.end().well().out, &content, "the receiver that was never restarted");
    same(&place.run("recv x --from earliest").well().out, &content, "the log");
    often(middle);
}

#[test]
fn a_sender_whose_node_is_killed_takes_its_place() {
    let place = Place::new();
    let content = numbered(&place, "input", 20_000);
    let mut node = place.go("serve --listen none");
    node.says("serving");
    let sender = place.go("send x input --rate 20000 --acks --listen none");
    sender.gives(1);
    node.kill();
    assert_eq!(told(&sender.end().well().out), 20_000);
    same(&place.run("recv x --from earliest --no-follow").well().out, &content, "what was sent");
}

/// A channel that is being sent into, slowly enough for a receiver to be killed in the middle.
fn being_sent(place: &Place) -> (Running, Vec<u8>) {
    let content = numbered(place, "input", enough());
    let sender = place.go(&format!("send x input --seal --serve --rate {RATE} --listen none"));
    until("the channel to be there", || place.run("info x").status.success().then_some(()));
    (sender, content)
}

#[test]
fn a_killed_receiver_with_a_position_misses_nothing_and_repeats_at_most_one_write() {
    let place = Place::new();
    let mut random = Random(0x706f_7369);
    let (_sender, content) = being_sent(&place);
    let mut outputs = Vec::new();
    for _ in 0..kills() {
        let receiver = place.go("recv x --from earliest --position at");
        outputs.push(live(receiver, None, &mut random).out);
    }
    outputs.push(place.run("recv x --from earliest --position at").well().out);
    let mut expected = 0usize;
    for (run, output) in outputs.iter().enumerate() {
        // the output begins where the one before ended, or up to one write before that
        let mut places = (expected.saturating_sub(64 << 10)..=expected).rev();
        let from = places.find(|&from| content[from..].starts_with(output));
        let from =
            from.unwrap_or_else(|| panic!("run {run} lost or disordered something after byte {expected}"));
        expected = expected.max(from + output.len());
    }
    assert_eq!(expected, content.len(), "all of it came");
    often(outputs.iter().filter(|output| !output.is_empty()).count() as u64 - 1);
}

#[test]
fn a_killed_receiver_with_position_and_output_repeats_nothing() {
    let place = Place::new();
    let mut random = Random(0x6f75_7470);
    let (_sender, content) = being_sent(&place);
    let output = place.path("out");
    let mut middle = 0;
    let mut length = 0;
    for _ in 0..kills() {
        live(
            place.go("recv x --from earliest --position at --output out"),
            Some((&output, length)),
            &mut random,
        );
        let now = fs::metadata(&output).map_or(0, |metadata| metadata.len());
        middle += u64::from(now > length && now < content.len() as u64);
        length = now;
    }
    place.run("recv x --from earliest --position at --output out").well();
    same(&fs::read(&output).unwrap(), &content, "the output");
    often(middle);
}

#[test]
fn a_position_is_kept_before_the_first_record_is_put_out() {
    let place = Place::new();
    place.feed("send x --seal", b"one\ntwo\n").well();
    // the write fails, as if it had been killed there
    place.run("recv x --from earliest --position at --output /dev/full").code(1);
    let at = fs::read_to_string(place.path("at")).unwrap();
    assert!(at.contains("\"offset\":0") && at.contains("\"length\":0"), "{at}");
    place.run("recv x --position at --output out").well();
    assert_eq!(fs::read(place.path("out")).unwrap(), b"one\ntwo\n");
}

/// A sealed channel of so few records that commands and files for each are done in time, and its lines.
fn few(place: &Place) -> Vec<String> {
    let lines: Vec<String> = (0..kills() * 25).map(|line| format!("line {line}")).collect();
    place.feed("send x --seal", (lines.join("\n") + "\n").as_bytes()).well();
    lines
}

#[test]
fn a_killed_receivers_command_runs_for_each_record_in_order_and_the_last_one_again() {
    let place = Place::new();
    let mut random = Random(0x6578_6563);
    let lines = few(&place);
    fs::write(place.path("command"), "read -r line; echo \"$NETCHAN_OFFSET $line\" >> ran\n").unwrap();
    let words = "recv x --from earliest --position at --exec";
    let ran = place.path("ran");
    let mut middle = 0;
    let mut length = 0;
    for _ in 0..kills() {
        live(place.with(words, "sh ./command"), Some((&ran, length)), &mut random);
        let now = fs::metadata(&ran).map_or(0, |metadata| metadata.len());
        middle += u64::from(now > length);
        length = now;
    }
    place.with(words, "sh ./command").end().well();
    let ran = fs::read_to_string(&ran).unwrap();
    let mut next = 0;
    let mut again = 0;
    for line in ran.lines() {
        let (offset, text) = line.split_once(' ').unwrap();
        let offset: usize = offset.parse().unwrap();
        assert_eq!(text, lines[offset], "what stands beside the payload is the same record's");
        assert!(offset <= next, "the commands of {next} to {offset} did not run");
        again += u64::from(offset < next);
        next = next.max(offset + 1);
    }
    assert_eq!(next, lines.len(), "all of them ran");
    assert!(again <= kills(), "{again} commands ran again after {} kills", kills());
    often(middle);
}

#[test]
fn a_killed_receiver_into_a_directory_leaves_each_record_whole_and_once() {
    let place = Place::new();
    let mut random = Random(0x6469_7273);
    let (_sender, content) = being_sent(&place);
    let words = "recv x --from earliest --position at --output records/ --files";
    let records = place.path("records");
    fs::create_dir(&records).unwrap();
    let whole = || {
        let mut names: Vec<_> = fs::read_dir(&records).unwrap().map(|file| file.unwrap().path()).collect();
        names.retain(|path| path.extension().is_none());
        names.sort();
        names
    };
    let mut lines = content.split(|&byte| byte == b'\n');
    let mut checked = 0;
    let mut middle = 0;
    for _ in 0..kills() {
        // only the next record's file is looked at while it works: to list them all, often, takes longer than to write them
        let next = records.join(format!("{checked:020}"));
        live_beside(place.go(words), || next.exists(), &mut random);
        // what is there is whole and without a hole, at any moment
        let names = whole();
        middle += u64::from(names.len() > checked);
        for (offset, path) in names.iter().enumerate().skip(checked) {
            assert_eq!(path.file_name().unwrap().to_str().unwrap(), format!("{offset:020}"));
            same(&fs::read(path).unwrap(), lines.next().unwrap(), "a record's file");
        }
        checked = names.len();
    }
    let count = content.iter().filter(|&&byte| byte == b'\n').count();
    place.run(&format!("{words} --count {}", 2_000)).well();
    let names = whole();
    assert!(names.len() >= (checked + 1_744).min(count), "{} after {checked}", names.len());
    for path in &names[checked..] {
        same(&fs::read(path).unwrap(), lines.next().unwrap(), "a record's file");
    }
    let parts = fs::read_dir(&records).unwrap().count() - names.len();
    assert_eq!(parts, 0, "a part that a kill left is replaced by its record");
    often(middle);
}

#[test]
fn a_waiting_receiver_takes_the_directory_over_from_a_killed_node() {
    let place = Place::new();
    place.feed("send x", b"one\n").well();
    let mut node = place.go("serve --listen none");
    node.says("serving");
    let receiver = place.go("recv x --from earliest");
    receiver.gives(4);
    node.kill();
    let sent = place.feed("send x --seal", b"two\n").well();
    drop(sent);
    same(&receiver.end().well().out, b"one\ntwo\n", "over the death of the node");
    until("the lock to be free", || place.run("ls").status.success().then_some(()));
}
