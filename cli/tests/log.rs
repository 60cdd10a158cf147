//! What is said on stderr: as much as was asked for, in colour or not, and no storms.

#![allow(clippy::unwrap_used, reason = "a panic here is a failed test")]

mod shell;

use std::io::{Read, Write};

use shell::Place;

#[test]
fn colours_come_when_they_are_asked_for() {
    let place = Place::new();
    let fails = |words: &str| place.run(words).code(1).err;
    assert!(!fails("info nothing").contains('\x1b'), "stderr is no terminal");
    assert!(fails("info nothing --color always").contains("\x1b[1;31mnetchan: "));
    assert!(!fails("info nothing --color never").contains('\x1b'));
}

#[test]
fn a_log_filter_that_is_none_is_refused_with_what_would_be_one() {
    let place = Place::new();
    let err = place.run("ls --log loud").code(1).err;
    assert!(err.contains("the log filter \"loud\" is not understood: it wants a LEVEL"), "{err}");
    let mut command = place.netchan("ls");
    command.env("NETCHAN_LOG", "netchan_store=loud");
    let err = place.start(command).end().code(1).err;
    assert!(err.contains("netchan_store=loud"), "{err}");
}

/// The events in what was said on stderr: level and message.
fn events(err: &str) -> Vec<(String, String)> {
    let event = |line: &str| {
        let (_, rest) = line.strip_prefix("netchan: 20")?.split_once("Z ")?;
        let (level, rest) = rest.split_once(' ')?;
        Some((level.to_owned(), rest.to_owned()))
    };
    err.lines().filter_map(event).collect()
}

#[test]
fn the_more_v_the_more_of_a_life_is_told() {
    let place = Place::new();
    let sent = |words: &str| {
        let err = place.feed(words, b"one\ntwo\n").well().err;
        let has = |level: &str, text: &str| {
            events(&err).iter().any(|(found, event)| found == level && event.contains(text))
        };
        let life = has("INFO", "a channel is made")
            && has("INFO", "a log is open")
            && has("INFO", "sealed")
            && has("INFO", "the data directory is closed");
        (life, has("DEBUG", "the log is closed"), has("TRACE", "written"), events(&err).len())
    };
    assert_eq!(sent("send plain --seal"), (false, false, false, 0));
    assert_eq!(sent("send quiet --seal -q"), (false, false, false, 0));
    let (life, protocol, batches, _) = sent("send v --seal -v");
    assert_eq!((life, protocol, batches), (true, false, false));
    let (life, protocol, batches, _) = sent("send vv --seal -vv");
    assert_eq!((life, protocol, batches), (true, true, false));
    let (life, protocol, batches, _) = sent("send vvv --seal -vvv");
    assert_eq!((life, protocol, batches), (true, true, true));
    let (life, protocol, batches, _) = sent("send filter --seal --log netchan_store=trace");
    assert_eq!((life, protocol, batches), (true, true, true));
}

#[test]
fn what_the_log_quotes_says_which_channel_and_where() {
    let place = Place::new();
    let err = place.feed("send orders --seal -v", b"one\n").well().err;
    let made = events(&err).into_iter().find(|(_, event)| event.contains("a channel is made"));
    let (_, made) = made.unwrap_or_else(|| panic!("{err}"));
    assert!(
        made.contains("netchan_store::store: ") && made.contains(" channel=orders path=channels/"),
        "{made}"
    );
}

#[test]
fn many_channels_at_once_are_ten_lines_and_a_count() {
    let place = Place::new();
    for number in 0..25 {
        place.run(&format!("send c{number} --seal")).well();
    }
    let (node, address) = listening(&place, "-v");
    for number in 0..25 {
        place.run(&format!("info {address}/c{number}")).well();
    }
    node.signal("TERM");
    let err = node.end().code(0).err;
    let told: Vec<_> = err.lines().filter(|line| line.contains("a log is open")).collect();
    // 25 channels and the state log
    assert_eq!(told.len(), 11, "{err}");
    assert!(told[10].contains("and 16 more like this"), "{err}");
}

/// A node that listens, with this token, and its address.
fn listening(place: &Place, words: &str) -> (shell::Running, String) {
    let mut node = place.go(&format!("serve --listen 127.0.0.1:0 {words}"));
    let address = node.says("serving ").rsplit_once(" on ").unwrap().1.to_owned();
    (node, address)
}

/// Calls, says this, and hears it out.
fn call(address: &str, bytes: &[u8]) -> String {
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(shell::PATIENCE)).unwrap();
    let _ = stream.write_all(bytes);
    let mut heard = Vec::new();
    let _ = stream.read_to_end(&mut heard);
    stream.local_addr().unwrap().to_string()
}

#[test]
fn who_comes_and_goes_is_told_with_where_it_calls_from() {
    let place = Place::new();
    place.feed("send orders", b"one\n").well();
    let (mut node, address) = listening(&place, "-vv");
    let far = Place::new();
    far.run(&format!("recv {address}/orders --from earliest --no-follow")).well();
    let connected = node.says("a peer is connected");
    assert!(connected.contains("INFO netchan_node::serve::log: ") && connected.contains(" peer=127.0.0.1:"));
    let open = node.says(" OPEN ");
    assert!(open.contains(" channel=orders start=Earliest "), "{open}");
    node.says("a peer is gone");
    far.run(&format!("info {address}/nothing")).code(1);
    assert!(node.says(" ERROR ").contains("nothing"), "{}", node.err());
}

#[test]
fn a_storm_of_strangers_is_ten_lines_and_a_count() {
    let place = Place::new();
    let (node, address) = listening(&place, "--token s3cret");
    let first = call(&address, b"GET /\x1b[2J\nnetchan: all is well HTTP/1.1\r\n\r\n");
    for _ in 0..30 {
        call(&address, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
    }
    let far = Place::new();
    far.run(&format!("ls {address} --token wrong")).code(1);
    node.signal("TERM");
    let err = node.end().code(0).err;
    let told: Vec<_> =
        err.lines().filter(|line| line.contains("a caller does not speak this protocol")).collect();
    assert_eq!(told.len(), 11, "{err}");
    assert!(told[0].contains(" WARN ") && told[0].contains(&format!("peer={first} ")), "{}", told[0]);
    assert!(told[10].contains("and 21 more like this"), "{err}");
    let strangers = err.lines().filter(|line| line.contains("a caller without the token was turned away"));
    assert_eq!(strangers.count(), 1, "{err}");
    assert!(
        !err.contains('\x1b') && !err.lines().any(|line| line.starts_with("netchan: all is well")),
        "{err}"
    );
    assert!(!err.contains("s3cret") && !err.contains("wrong"), "no secrets: {err}");
}

/// The segment files below a directory.
fn segments(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { segments(&path) } else { vec![path] }).collect()
}

#[test]
fn a_storm_of_gaps_is_ten_lines_and_a_count() {
    let place = Place::new();
    // A batch each: none waits for another.
    let (_sender, mut stdin) = shell::piped(&place, "send orders --listen none");
    let receiver = place.go("recv orders --from earliest");
    let mut length = 0;
    for number in 0..50 {
        let line = format!("record number {number:03}\n");
        stdin.write_all(line.as_bytes()).unwrap();
        length += line.len();
        receiver.gives(length);
    }
    drop((stdin, receiver));
    _sender.end().well();
    let mut damaged = 0;
    for path in segments(&place.path("data/channels")) {
        let mut bytes = std::fs::read(&path).unwrap();
        for number in (1..47).step_by(2) {
            let text = format!("record number {number:03}");
            if let Some(at) = bytes.windows(text.len()).position(|window| window == text.as_bytes()) {
                bytes[at] = b'R';
                damaged += 1;
            }
        }
        std::fs::write(&path, &bytes).unwrap();
    }
    assert_eq!(damaged, 23, "the last ones are left: they prove that all before were durable");
    let done = place.run("recv orders --from earliest --no-follow").code(3);
    let gaps: Vec<_> = done.err.lines().filter(|line| line.contains("the records from offset")).collect();
    assert_eq!(gaps.len(), 11, "{}", done.err);
    assert!(gaps[10].contains("and 13 more like this"), "{}", done.err);
    assert_eq!(done.lines().len(), 27);
}

#[test]
fn nothing_is_logged_for_a_single_record_not_even_at_trace() {
    const RECORDS: usize = 100_000;
    let place = Place::new();
    let input = "a line of text\n".repeat(RECORDS);
    // Through a node of its own, so that publishing, serving, storing and receiving all have their say.
    let (node, address) = listening(&place, "-vvv");
    let far = Place::new();
    let sent = far.feed(&format!("send {address}/orders --seal -vvv"), input.as_bytes()).well();
    let received = far.run(&format!("recv {address}/orders --from earliest -vvv")).well();
    shell::same(&received.out, input.as_bytes(), "what was received");
    node.signal("TERM");
    let served = node.end().code(0);
    for (who, err) in [("sending", sent.err), ("serving", served.err), ("receiving", received.err)] {
        let told = events(&err);
        assert!(told.iter().any(|(level, _)| level == "TRACE"), "{who}: {err}");
        assert!(told.len() < RECORDS / 20, "{who}: {} events for {RECORDS} records", told.len());
    }
}
