//! What a channel promises to programs on one machine.
#![allow(clippy::unwrap_used)]

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use futures_core::Stream;
use netchan_tokio::{Durability, ErrorKind, NewRecord, Node, Offset, Receiver, Start};
use tempfile::TempDir;

async fn node() -> (TempDir, Node) {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::builder().data_dir(dir.path()).listen("127.0.0.1:0").start().await.unwrap();
    (dir, node)
}

async fn payloads(receiver: &mut Receiver, count: usize) -> Vec<String> {
    let mut payloads = Vec::new();
    while payloads.len() < count {
        let record = receiver.recv().await.unwrap().expect("records before the end");
        payloads.push(String::from_utf8(record.payload.to_vec()).unwrap());
    }
    payloads
}

#[tokio::test]
async fn what_is_sent_is_received() {
    let (_dir, node) = node().await;
    let log = node.sender("greetings").open().await.unwrap();
    let sent = log.send("hello").await.unwrap();
    sent.durable().await.unwrap();
    assert_eq!(sent.offset(), Some(Offset(0)));
    log.send(NewRecord::new("world").key("k").header("h", "v")).await.unwrap();

    let mut receiver = node.receiver("greetings").from(Start::Earliest).open().await.unwrap();
    let hello = receiver.recv().await.unwrap().unwrap();
    assert_eq!((&hello.payload[..], hello.offset), (&b"hello"[..], Offset(0)));
    let world = receiver.recv().await.unwrap().unwrap();
    assert_eq!(world.key().unwrap(), "k");
    assert_eq!(world.headers().get("h"), Some(&b"v"[..]));
    assert!(world.timestamp > hello.timestamp);
    assert_eq!(receiver.position().unwrap().offset, Offset(2));
}

#[tokio::test]
async fn a_receiver_may_come_before_the_channel_exists() {
    let (_dir, node) = node().await;
    let mut receiver = node.receiver("later").from(Start::Earliest).open().await.unwrap();
    let reading = tokio::spawn(async move { payloads(&mut receiver, 2).await });
    let log = node.sender("later").open().await.unwrap();
    log.send("a").await.unwrap();
    log.send("b").await.unwrap();
    assert_eq!(reading.await.unwrap(), ["a", "b"]);
}

#[tokio::test]
async fn a_receiver_that_does_not_want_to_wait_is_told_that_there_is_no_channel() {
    let (_dir, node) = node().await;
    let mut receiver = node.receiver("never").wait(false).open().await.unwrap();
    assert_eq!(receiver.recv().await.unwrap_err().kind(), ErrorKind::NoChannel);
    assert!(receiver.recv().await.unwrap().is_none());
}

#[tokio::test]
async fn nothing_sent_after_open_is_missed() {
    let (_dir, node) = node().await;
    let log = node.sender("live").durability(Durability::Os).open().await.unwrap();
    for round in 0..20 {
        log.send("before").await.unwrap().written().await.unwrap();
        let mut receiver = node.receiver("live").open().await.unwrap();
        log.send(format!("after {round}")).await.unwrap();
        assert_eq!(payloads(&mut receiver, 1).await, [format!("after {round}")]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_receivers_each_get_everything() {
    let (_dir, node) = node().await;
    let log = node.sender("wide").open().await.unwrap();
    let mut readers = Vec::new();
    for reader in 0..10 {
        let target = match reader % 2 {
            0 => "wide".to_owned(),
            _ => format!("{}/wide", node.local_addr().unwrap()),
        };
        let mut receiver = node.receiver(target).from(Start::Earliest).open().await.unwrap();
        readers.push(tokio::spawn(async move { payloads(&mut receiver, 5000).await }));
    }
    let expected: Vec<String> = (0..5000).map(|i| format!("record {i}")).collect();
    for record in &expected {
        log.send(record).await.unwrap();
    }
    for reader in readers {
        assert_eq!(reader.await.unwrap(), expected);
    }
}

#[tokio::test]
async fn a_seal_is_the_end_and_nothing_else_is() {
    let (_dir, node) = node().await;
    let log = node.sender("complete").open().await.unwrap();
    let mut receiver = node.receiver("complete").from(Start::Earliest).open().await.unwrap();
    log.send("only").await.unwrap();
    assert_eq!(log.seal().await.unwrap(), Offset(1));
    assert_eq!(payloads(&mut receiver, 1).await, ["only"]);
    assert!(receiver.recv().await.unwrap().is_none());
    assert!(receiver.recv().await.unwrap().is_none());
    assert_eq!(log.send("more").await.unwrap_err().kind(), ErrorKind::Sealed);
    assert!(node.info("complete").await.unwrap().sealed);
}

#[tokio::test]
async fn reading_begins_where_it_is_told_and_goes_on_from_a_position() {
    let (_dir, node) = node().await;
    let log = node.sender("numbers").open().await.unwrap();
    for i in 0..100 {
        log.send(i.to_string()).await.unwrap();
    }
    log.flush().await.unwrap();

    let mut receiver = node.receiver("numbers").from(Start::Last(3)).open().await.unwrap();
    assert_eq!(payloads(&mut receiver, 1).await, ["97"]);
    let position = receiver.position().unwrap();
    drop(receiver);
    let mut receiver =
        node.receiver("numbers").from(Start::Resume(position)).follow(false).open().await.unwrap();
    assert_eq!(payloads(&mut receiver, 2).await, ["98", "99"]);
    assert!(receiver.recv().await.unwrap().is_none());
    receiver.seek(Start::Offset(Offset(50)));
    assert_eq!(payloads(&mut receiver, 2).await, ["50", "51"]);

    let all = node.receiver("numbers").from(Start::Ago(Duration::from_secs(3600))).open().await;
    let record = all.unwrap().recv().await.unwrap().unwrap();
    assert_eq!(record.payload, "0");
    let time = record.timestamp;
    let mut none = node.receiver("numbers").from(Start::Earliest).until(time).open().await.unwrap();
    assert!(none.recv().await.unwrap().is_none());
}

#[tokio::test]
async fn a_receiver_is_a_stream() {
    let (_dir, node) = node().await;
    let log = node.sender("stream").open().await.unwrap();
    log.send("one").await.unwrap();
    log.seal().await.unwrap();
    let mut receiver = node.receiver("stream").from(Start::Earliest).open().await.unwrap();
    let next = poll_fn(|cx| Pin::new(&mut receiver).poll_next(cx)).await;
    assert_eq!(next.unwrap().unwrap().payload, "one");
    assert!(poll_fn(|cx| Pin::new(&mut receiver).poll_next(cx)).await.is_none());
}

#[tokio::test]
async fn what_was_sent_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut id = None;
    for run in 0..3 {
        let node = Node::builder().data_dir(dir.path()).start().await.unwrap();
        assert_eq!(*id.get_or_insert(node.id()), node.id());
        let log = node.sender("kept").open().await.unwrap();
        log.send(run.to_string()).await.unwrap();
        node.shutdown(Duration::from_secs(5)).await.unwrap();
        assert_eq!(log.send("late").await.unwrap_err().kind(), ErrorKind::Closed);
        let late = node.sender("kept").open().await;
        assert_eq!(late.unwrap_err().kind(), ErrorKind::Closed);
    }
    let node = Node::builder().data_dir(dir.path()).start().await.unwrap();
    let mut receiver = node.receiver("kept").from(Start::Earliest).open().await.unwrap();
    assert_eq!(payloads(&mut receiver, 3).await, ["0", "1", "2"]);
}

#[tokio::test]
async fn channels_are_listed_and_deleted() {
    let (_dir, node) = node().await;
    let address = node.local_addr().unwrap().to_string();
    for name in ["orders/eu", "orders/us", "users"] {
        node.sender(name).open().await.unwrap().send(name).await.unwrap().durable().await.unwrap();
    }
    for place in [String::new(), address] {
        let names = |prefix: &str| {
            let (node, place) = (node.clone(), place.clone());
            let place = if place.is_empty() { prefix.to_owned() } else { format!("{place}/{prefix}") };
            async move {
                let infos = node.channels(place).await.unwrap();
                infos.into_iter().map(|info| info.name.to_string()).collect::<Vec<_>>()
            }
        };
        assert_eq!(names("").await, ["orders/eu", "orders/us", "users"]);
        assert_eq!(names("orders/").await, ["orders/eu", "orders/us"]);
    }
    node.delete("users").await.unwrap();
    assert_eq!(node.info("users").await.unwrap_err().kind(), ErrorKind::NoChannel);
    assert_eq!(node.delete("users").await.unwrap_err().kind(), ErrorKind::NoChannel);
    assert_eq!(node.channels("").await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_large_record_goes_through_a_small_window() {
    let (_dir, node) = node().await;
    let log = node.sender("large").open().await.unwrap();
    let large = vec![7u8; 5 << 20];
    log.send(&large).await.unwrap();
    log.send("small").await.unwrap();
    let mut receiver = node.receiver("large").from(Start::Earliest).window(64 << 10).open().await.unwrap();
    assert_eq!(receiver.recv().await.unwrap().unwrap().payload, large);
    assert_eq!(payloads(&mut receiver, 1).await, ["small"]);
}
