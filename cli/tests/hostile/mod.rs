//! Hostile peers, many at once: the same attack on whatever listens.
//!
//! What is sent does not depend on what is answered, except that a publisher who is given credit uses it: so a socket
//! that discards everything is attacked as a node is.

#![allow(clippy::unwrap_used, reason = "a panic here is a failed test")]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Buf, Bytes};
use netchan_proto::batch::{BatchHeader, HEADER_LEN};
use netchan_proto::conn::{Connection, ConnectionConfig, Event};
use netchan_proto::limits::{MAX_FRAME, MAX_PAYLOAD};
use netchan_proto::wire::{
    FRAME_HEADER_LEN, FrameHeader, FrameType, Message, Open, PREFACE, PublishOpen, Roles, StreamId,
};
use netchan_proto::{Instant, NodeId, ProducerId, Side, Start};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Runtime;
use tokio::time::{interval, sleep, timeout};

use crate::shell::{PATIENCE, Random};

/// How long who sent rubbish waits for an answer.
const LISTENS: Duration = Duration::from_millis(200);

/// How many of each kind.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    /// Connections that do nothing.
    pub(crate) idle: usize,
    /// Readers that read a byte a second of [`BIG`], four streams each.
    pub(crate) slow: usize,
    /// Callers that say half a HELLO.
    pub(crate) silent: usize,
    /// Publishers of half a batch of 16 MiB.
    pub(crate) half: usize,
    /// Callers that come and go, a second.
    pub(crate) storm: u32,
    /// Callers with rubbish of all kinds, a second.
    pub(crate) rubbish: u32,
}

/// The channel that slow readers read.
pub(crate) const BIG: &str = "big";

/// What came of it so far.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) idle: AtomicUsize,
    /// How many of those are there now, and were answered or not for a second.
    pub(crate) idle_now: AtomicUsize,
    pub(crate) slow: AtomicUsize,
    pub(crate) silent: AtomicUsize,
    pub(crate) half: AtomicUsize,
    pub(crate) storm: AtomicUsize,
    pub(crate) rubbish: AtomicUsize,
    pub(crate) answered: AtomicUsize,
    /// Connections of those who hold something that were ended.
    pub(crate) ended: AtomicUsize,
}

impl Seen {
    pub(crate) fn of(count: &AtomicUsize) -> usize {
        count.load(Ordering::Relaxed)
    }
}

/// An attack under way. It ends when it is dropped.
pub(crate) struct Attack {
    runtime: Option<Runtime>,
    pub(crate) seen: Arc<Seen>,
}

impl Attack {
    pub(crate) fn on(address: &str, sizes: Sizes) -> Attack {
        let target: SocketAddr = address.parse().unwrap();
        let seen = Arc::new(Seen::default());
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        for _ in 0..sizes.idle {
            runtime.spawn(idle(target, Arc::clone(&seen)));
        }
        for _ in 0..sizes.slow {
            runtime.spawn(slow(target, Arc::clone(&seen)));
        }
        for _ in 0..sizes.silent {
            runtime.spawn(silent(target, Arc::clone(&seen)));
        }
        for number in 0..sizes.half {
            runtime.spawn(half(target, number, Arc::clone(&seen)));
        }
        runtime.spawn(storm(target, sizes.storm, Arc::clone(&seen)));
        runtime.spawn(rubbish(target, sizes.rubbish, Arc::clone(&seen)));
        Attack { runtime: Some(runtime), seen }
    }
}

impl Drop for Attack {
    fn drop(&mut self) {
        self.runtime.take().unwrap().shutdown_timeout(PATIENCE);
    }
}

/// Takes every connection and reads whatever comes, until it is dropped.
pub(crate) struct Discard {
    _runtime: Runtime,
    pub(crate) address: String,
}

impl Discard {
    pub(crate) fn open() -> Discard {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        runtime.spawn(async move {
            loop {
                let Ok((mut stream, _)) = listener.accept().await else { continue };
                tokio::spawn(async move {
                    let mut bytes = vec![0; 4096];
                    while stream.read(&mut bytes).await.is_ok_and(|count| count > 0) {}
                });
            }
        });
        Discard { _runtime: runtime, address }
    }
}

/// Calls from an address of its own: `from` is the last part of it.
async fn call(target: SocketAddr, from: u8) -> Option<TcpStream> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind((Ipv4Addr::new(127, 0, 1, from), 0).into()).ok()?;
    socket.connect(target).await.ok()
}

fn dialler() -> Connection {
    let config = ConnectionConfig {
        side: Side::Dialler,
        node: NodeId([1; 16]),
        roles: Roles::RECEIVES.and(Roles::PUBLISHES),
        nonce: [3; 16],
        token: None,
        grants: std::sync::Arc::default(),
        trusted: true,
        peer_timeout: PATIENCE,
    };
    Connection::new(config, Instant(0))
}

fn unsent(connection: &mut Connection) -> Bytes {
    let out = connection.outbound();
    out.copy_to_bytes(out.remaining())
}

/// Preface and HELLO.
fn hello() -> Vec<u8> {
    unsent(&mut dialler()).to_vec()
}

fn message(stream: u32, message: &Message) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.encode(StreamId(stream), &mut bytes);
    bytes
}

fn open(stream: u32, name: &str) -> Vec<u8> {
    let (name, start) = (name.parse().unwrap(), Start::Earliest);
    message(stream, &Message::Open(Open { name, start, wait: false, credit: 1 << 40, filter: None }))
}

fn publish(name: &str) -> PublishOpen {
    PublishOpen {
        name: name.parse().unwrap(),
        create: true,
        durability: None,
        producer: ProducerId([5; 16]),
        content: None,
        partitions: None,
    }
}

/// Reads until the other side ends it.
async fn read_out(stream: &mut TcpStream) -> usize {
    let mut bytes = [0; 4096];
    let mut all = 0;
    while let Ok(count @ 1..) = stream.read(&mut bytes).await {
        all += count;
    }
    all
}

/// Holds a connection again and again: what `keep` does with it lasts until it is over.
async fn hold<F: Future<Output = ()>>(count: &AtomicUsize, ended: &AtomicUsize, keep: impl Fn() -> F) {
    loop {
        count.fetch_add(1, Ordering::Relaxed);
        keep().await;
        ended.fetch_add(1, Ordering::Relaxed);
        sleep(Duration::from_secs(1)).await;
    }
}

async fn idle(target: SocketAddr, seen: Arc<Seen>) {
    hold(&seen.idle, &seen.ended, || async {
        let Some(mut stream) = call(target, 1).await else { return };
        let _ = stream.write_all(&hello()).await;
        // There is no answer from who discards, and a late one from who has all the others to let in, too.
        let _ = timeout(PATIENCE / 60, stream.readable()).await;
        seen.idle_now.fetch_add(1, Ordering::Relaxed);
        read_out(&mut stream).await;
        seen.idle_now.fetch_sub(1, Ordering::Relaxed);
    })
    .await;
}

async fn slow(target: SocketAddr, seen: Arc<Seen>) {
    hold(&seen.slow, &seen.ended, || async {
        let Some(mut stream) = call(target, 2).await else { return };
        let opens = [1, 3, 5, 7].map(|stream| open(stream, BIG)).concat();
        let _ = stream.write_all(&[hello(), opens].concat()).await;
        while stream.read_u8().await.is_ok() {
            sleep(Duration::from_secs(1)).await;
        }
    })
    .await;
}

async fn silent(target: SocketAddr, seen: Arc<Seen>) {
    hold(&seen.silent, &seen.ended, || async {
        let Some(mut stream) = call(target, 3).await else { return };
        let hello = hello();
        let _ = stream.write_all(&hello[..hello.len() / 2]).await;
        read_out(&mut stream).await;
    })
    .await;
}

/// The first half of a batch with one record of 16 MiB.
fn half_a_batch() -> Bytes {
    let header = BatchHeader {
        body_len: u32::try_from(MAX_PAYLOAD).unwrap(),
        offset_span: 1,
        record_count: 1,
        ..BatchHeader::default()
    };
    let mut bytes = header.encode(&[5; 16]).to_vec();
    bytes.resize(HEADER_LEN + MAX_PAYLOAD / 2, b'h');
    bytes.into()
}

async fn half(target: SocketAddr, number: usize, seen: Arc<Seen>) {
    hold(&seen.half, &seen.ended, || async {
        let Some(mut stream) = call(target, 4).await else { return };
        let mut connection = dialler();
        let mut left = half_a_batch();
        let mut asked = false;
        loop {
            loop {
                match connection.poll_event(Instant(0)) {
                    Ok(Some(Event::Ready(_))) => {
                        asked = true;
                        let _ = connection.publish_open(&publish(&format!("half_{number}")));
                    }
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(_) => return,
                }
            }
            let id = StreamId(1);
            let room = usize::try_from(connection.credit(id)).unwrap_or(usize::MAX).min(left.len());
            if room > 0 {
                connection.publish(id, left.split_to(room));
            }
            let _ = stream.write_all(&unsent(&mut connection)).await;
            let mut bytes = [0; 4096];
            let count = match timeout(PATIENCE / 60, stream.read(&mut bytes)).await {
                Ok(Ok(count @ 1..)) => count,
                Ok(_) => return,
                // Who answers nothing has all of it at once.
                Err(_) if !asked => {
                    asked = true;
                    let _ = stream.write_all(&left).await;
                    continue;
                }
                Err(_) => continue,
            };
            connection.read_buf().extend_from_slice(&bytes[..count]);
            connection.received(count, Instant(0));
        }
    })
    .await;
}

async fn storm(target: SocketAddr, a_second: u32, seen: Arc<Seen>) {
    if a_second == 0 {
        return;
    }
    let mut next = interval(Duration::from_secs(1) / a_second);
    loop {
        next.tick().await;
        seen.storm.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(async move { drop(call(target, 5).await) });
    }
}

async fn rubbish(target: SocketAddr, a_second: u32, seen: Arc<Seen>) {
    if a_second == 0 {
        return;
    }
    let all: Vec<Bytes> = all_rubbish().into_iter().map(Bytes::from).collect();
    let mut next = interval(Duration::from_secs(1) / a_second);
    for rubbish in all.iter().cycle() {
        next.tick().await;
        seen.rubbish.fetch_add(1, Ordering::Relaxed);
        let (rubbish, seen) = (rubbish.clone(), Arc::clone(&seen));
        tokio::spawn(async move {
            let Some(mut stream) = call(target, 6).await else { return };
            let _ = timeout(LISTENS, stream.write_all(&rubbish)).await;
            if timeout(LISTENS, read_out(&mut stream)).await.is_ok_and(|count| count > 0) {
                seen.answered.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
}

/// Other protocols, chance, lengths too large to be true, and every type of frame in every state of a connection.
pub(crate) fn all_rubbish() -> Vec<Vec<u8>> {
    let mut random = Random(7);
    let mut chance = |len: usize| (0..len).map(|_| random.below(256).to_le_bytes()[0]).collect::<Vec<u8>>();
    let header = |kind: FrameType, len: u32, stream: u32| {
        FrameHeader { len, kind, stream: StreamId(stream) }.encode().to_vec()
    };
    let mut all = vec![
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        [0x16, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3].to_vec(),
        chance(1 << 16),
        [&PREFACE[..], &chance(1 << 16)].concat(),
        [&hello()[..], &chance(1 << 16)].concat(),
        [&PREFACE[..], &[0xff; FRAME_HEADER_LEN]].concat(),
    ];
    let states = [
        PREFACE.to_vec(),
        hello(),
        [hello(), open(1, BIG)].concat(),
        [hello(), message(1, &Message::PublishOpen(publish("rubbish")))].concat(),
    ];
    let unknown = [FrameType(0), FrameType(0x7f), FrameType(0x80), FrameType(0xff)];
    for state in &states {
        for &kind in FrameType::ALL.iter().chain(&unknown) {
            for stream in [0, 1, 3] {
                all.push([&state[..], &header(kind, 0, stream)].concat());
                all.push([&state[..], &header(kind, 100, stream), &chance(100)].concat());
            }
            all.push([&state[..], &header(kind, u32::MAX, 1)].concat());
            let most = u32::try_from(MAX_FRAME).unwrap();
            all.push([&state[..], &header(kind, most, 1), &[0; 1000]].concat());
        }
    }
    all
}
