//! Hostile peers at the port of a real node: what they are told, what they make it hold, and who is served meanwhile.
//!
//! `NETCHAN_ATTACK=full` makes the attacks as large as the issue asks for; otherwise a slice of each runs.

#![allow(clippy::unwrap_used)] // a panic here is a failed test

mod shell;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use bytes::Buf;
use netchan_proto::conn::{Connection, ConnectionConfig, ConnectionError, Event};
use netchan_proto::limits::MAX_UNPROVEN;
use netchan_proto::wire::{Open, PREFACE, Roles};
use netchan_proto::{ErrorCode, Instant, NodeId, Side, Start, Token};
use shell::{PATIENCE, Place, Running, until};

/// More than a node may take, whatever its peers do.
const MOST_KIB: usize = 64 << 10;

fn size(slice: usize, full: usize) -> usize {
    if std::env::var("NETCHAN_ATTACK").is_ok_and(|how| how == "full") { full } else { slice }
}

fn node(place: &Place, words: &str) -> (Running, String) {
    let mut node = place.go(&format!("serve --listen 127.0.0.1:0 {words}"));
    let line = node.says("serving");
    let address = line.rsplit(' ').next().unwrap().to_owned();
    (node, address)
}

/// The most memory that a process has had, in KiB.
fn most_memory(node: &Running) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

struct Caller {
    stream: TcpStream,
    connection: Connection,
}

impl Caller {
    fn call(address: &str, token: Option<&str>) -> Caller {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let config = ConnectionConfig {
            side: Side::Dialler,
            node: NodeId([1; 16]),
            roles: Roles::RECEIVES.and(Roles::PUBLISHES),
            nonce: [3; 16],
            token: token.map(|token| Token::new(token).unwrap()),
            trusted: token.is_none(),
            peer_timeout: PATIENCE,
        };
        Caller { stream, connection: Connection::new(config, Instant(0)) }
    }

    fn flush(&mut self) {
        let out = self.connection.outbound();
        let bytes = out.copy_to_bytes(out.remaining());
        let _ = self.stream.write_all(&bytes);
    }

    /// Goes on until something happens.
    fn next(&mut self) -> Result<Event, ConnectionError> {
        loop {
            if let Some(event) = self.connection.poll_event(Instant(0))? {
                return Ok(event);
            }
            self.flush();
            let mut bytes = [0; 4096];
            match self.stream.read(&mut bytes) {
                Ok(count) if count > 0 => {
                    self.connection.read_buf().extend_from_slice(&bytes[..count]);
                    self.connection.received(count, Instant(0));
                }
                _ => self.connection.end_of_stream(),
            }
        }
    }

    fn ready(address: &str) -> Caller {
        let mut caller = Caller::call(address, None);
        assert!(matches!(caller.next(), Ok(Event::Ready(_))));
        caller
    }
}

/// Sends these bytes instead of a preface, or after one, and gives all that the node says to that.
fn answer(address: &str, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer
}

#[test]
fn who_speaks_something_else_is_told_so_and_a_good_receiver_is_served() {
    let place = Place::new();
    place.feed("send lines", b"one\ntwo\n").well();
    let (_node, address) = node(&place, "");
    let huge = [&PREFACE[..], &[0xff; 16]].concat();
    let cases: [(&[u8], &str); 4] = [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP"),
        (&[0x16, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3], "TLS"),
        (&[0; 64], "not the first bytes"),
        (&huge, ""),
    ];
    for (bytes, told) in cases {
        let answer = answer(&address, bytes);
        let text = String::from_utf8_lossy(&answer);
        assert!(answer.len() > PREFACE.len() && text.contains(told), "{told}: {text:?}");
    }
    let got = place.run(&format!("recv --from earliest --no-follow {address}/lines")).well();
    assert_eq!(got.out, b"one\ntwo\n");
}

#[test]
fn who_has_the_wrong_token_is_told_nothing_else() {
    let place = Place::new();
    place.feed("send a_secret_name", b"x\n").well();
    std::fs::write(place.path("token"), "right").unwrap();
    let (_node, address) = node(&place, "--token-file token");
    let mut caller = Caller::call(&address, Some("wrong"));
    let error = caller.next().unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::AUTH_FAILED));
    let answer = answer(&address, &[&PREFACE[..], &[0; 40]].concat());
    assert!(!String::from_utf8_lossy(&answer).contains("a_secret_name"));
}

#[test]
fn callers_who_say_nothing_do_not_keep_out_who_does() {
    let place = Place::new();
    place.feed("send lines", b"one\n").well();
    let (node, address) = node(&place, "");
    let mut silent: Vec<Caller> = (0..MAX_UNPROVEN + 20).map(|_| Caller::call(&address, None)).collect();
    // They all came before: who comes in is taken in order.
    let _good = Caller::ready(&address);
    let error = silent[0].next().unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::CALM), "{error}");
    assert!(most_memory(&node) < MOST_KIB);
}

#[test]
fn idle_connections_and_slow_readers_leave_a_node_small_and_a_good_receiver_served() {
    let place = Place::new();
    let line = [&[b'x'; 1 << 20][..], b"\n"].concat();
    place.feed("send big", &line.repeat(30)).well();
    let (node, address) = node(&place, "");
    let idle: Vec<Caller> = (0..size(200, 2000)).map(|_| Caller::ready(&address)).collect();
    let slow: Vec<Caller> = (0..size(4, 100))
        .map(|_| {
            let mut caller = Caller::ready(&address);
            for _ in 0..4 {
                let (name, start) = ("big".parse().unwrap(), Start::Earliest);
                caller.connection.open(&Open { name, start, wait: false, credit: 1 << 40 }).unwrap();
            }
            caller.flush();
            caller
        })
        .collect();
    // All of them have something before the good one comes.
    for caller in &slow {
        until("a slow reader to have something", || (caller.stream.peek(&mut [0]).ok()? > 0).then_some(()));
    }
    let got = place.run(&format!("recv --from earliest --count 30 {address}/big")).well();
    assert_eq!(got.out.len(), 30 * line.len());
    let most = most_memory(&node);
    println!("{} idle, {} slow: at most {most} KiB", idle.len(), slow.len());
    assert!(most < MOST_KIB, "{most} KiB");
}

#[test]
fn a_storm_of_callers_passes() {
    let place = Place::new();
    place.feed("send lines", b"one\n").well();
    let (node, address) = node(&place, "");
    for number in 0..size(500, 6000) {
        drop(TcpStream::connect(&address).unwrap());
        if number % 10 == 9 && size(0, 1) == 1 {
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    place.run(&format!("recv --from earliest --no-follow {address}/lines")).well();
    assert!(most_memory(&node) < MOST_KIB);
}
