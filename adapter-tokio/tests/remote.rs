//! What a channel promises to programs on other machines.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use netchan_tokio::{Durability, ErrorKind, Node, Offset, ProducerId, Start};
use tempfile::TempDir;

async fn node(token: Option<&str>) -> (TempDir, Node, String) {
    let dir = tempfile::tempdir().unwrap();
    let mut builder = Node::builder().data_dir(dir.path()).listen("127.0.0.1:0");
    if let Some(token) = token {
        builder = builder.token(token);
    }
    let node = builder.start().await.unwrap();
    let address = node.local_addr().unwrap().to_string();
    (dir, node, address)
}

#[tokio::test]
async fn what_another_node_is_sent_is_acknowledged_when_it_is_as_safe_as_its_mode_says() {
    let (_dir, node, address) = node(None).await;
    let other = Node::builder().start().await.unwrap();
    for durability in [Durability::Sync, Durability::Interval, Durability::Os] {
        let name = format!("from-afar-{durability}");
        let log = other.sender(format!("{address}/{name}")).durability(durability).open().await.unwrap();
        let mut last = None;
        for i in 0..1000 {
            last = Some(log.send(format!("record {i}")).await.unwrap());
        }
        let last = last.unwrap();
        last.written().await.unwrap();
        assert_eq!(last.offset(), Some(Offset(999)));
        last.durable().await.unwrap();
        log.flush().await.unwrap();
        let info = node.info(&name).await.unwrap();
        assert_eq!((info.durability, info.next, info.durable), (durability, Offset(1000), Offset(1000)));

        let mut receiver =
            other.receiver(format!("{address}/{name}")).from(Start::Earliest).open().await.unwrap();
        for i in 0..1000 {
            assert_eq!(receiver.recv().await.unwrap().unwrap().payload, format!("record {i}"));
        }
        assert_eq!(log.seal().await.unwrap(), Offset(1000));
        assert!(receiver.recv().await.unwrap().is_none());
    }
}

#[tokio::test]
async fn a_sender_that_goes_away_leaves_nothing_behind() {
    let (_dir, node, address) = node(None).await;
    let other = Node::builder().start().await.unwrap();
    let log = other.sender(format!("{address}/last-words")).open().await.unwrap();
    for i in 0..100 {
        log.send(i.to_string()).await.unwrap();
    }
    drop(log);
    let mut receiver = node.receiver("last-words").from(Start::Earliest).open().await.unwrap();
    for i in 0..100 {
        assert_eq!(receiver.recv().await.unwrap().unwrap().payload, i.to_string());
    }
}

#[tokio::test]
async fn a_producer_that_sends_again_is_counted_once() {
    let (_dir, node, address) = node(None).await;
    let other = Node::builder().start().await.unwrap();
    for upto in [10u64, 25] {
        let log = other.sender(format!("{address}/once")).producer(ProducerId([7; 16])).open().await.unwrap();
        let next = log.producer().await.unwrap().next_sequence;
        assert_eq!(next, if upto == 10 { 0 } else { 10 });
        for i in next..upto {
            log.send(i.to_string()).await.unwrap();
        }
        log.flush().await.unwrap();
        log.close().await.unwrap();
    }
    assert_eq!(node.info("once").await.unwrap().next, Offset(25));
}

#[tokio::test]
async fn who_has_the_token_comes_in_and_nobody_else_does() {
    let (_dir, node, address) = node(Some("open sesame")).await;
    node.sender("secret").open().await.unwrap().send("treasure").await.unwrap();
    let target = format!("{address}/secret");

    let right = Node::builder().token("open sesame").start().await.unwrap();
    let mut receiver = right.receiver(&target).from(Start::Earliest).open().await.unwrap();
    assert_eq!(receiver.recv().await.unwrap().unwrap().payload, "treasure");
    right.sender(&target).open().await.unwrap().send("more").await.unwrap().durable().await.unwrap();

    let wrong = Node::builder().token("open barley").start().await.unwrap();
    let missing = Node::builder().start().await.unwrap();
    for node in [wrong, missing] {
        let mut receiver = node.receiver(&target).from(Start::Earliest).open().await.unwrap();
        let error = receiver.recv().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Auth, "{error}");
        assert!(receiver.recv().await.unwrap().is_none());
        let log = node.sender(&target).open().await.unwrap();
        let refused = async { log.send("intrusion").await?.durable().await };
        assert_eq!(refused.await.unwrap_err().kind(), ErrorKind::Auth);
        assert_eq!(node.info(&target).await.unwrap_err().kind(), ErrorKind::Auth);
    }
    assert_eq!(node.info("secret").await.unwrap().next, Offset(2));
}

#[tokio::test]
async fn who_asks_for_a_token_is_not_taken_in_by_a_node_without_one() {
    let (_dir, node, address) = node(None).await;
    node.sender("bait").open().await.unwrap().send("x").await.unwrap();
    let careful = Node::builder().token("open sesame").start().await.unwrap();
    let mut receiver =
        careful.receiver(format!("{address}/bait")).from(Start::Earliest).open().await.unwrap();
    assert_eq!(receiver.recv().await.unwrap_err().kind(), ErrorKind::Auth);
}

#[tokio::test]
async fn beyond_loopback_nobody_listens_without_a_token_or_an_explicit_word() {
    let dir = tempfile::tempdir().unwrap();
    let builder = || Node::builder().data_dir(dir.path()).listen("0.0.0.0:0");
    let error = builder().start().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    builder().token("t").start().await.unwrap().shutdown(Duration::ZERO).await.unwrap();
    builder().insecure(true).start().await.unwrap().shutdown(Duration::ZERO).await.unwrap();
}

#[tokio::test]
async fn another_nodes_channels_are_asked_about_sealed_and_deleted() {
    let (_dir, node, address) = node(None).await;
    let other = Node::builder().start().await.unwrap();
    for name in ["a/1", "a/2", "b"] {
        node.sender(name).open().await.unwrap().send(name).await.unwrap().durable().await.unwrap();
    }
    let names = |infos: Vec<netchan_tokio::LogInfo>| {
        infos.into_iter().map(|info| info.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(other.channels(&address).await.unwrap()), ["a/1", "a/2", "b"]);
    assert_eq!(names(other.channels(format!("{address}/a/")).await.unwrap()), ["a/1", "a/2"]);
    assert_eq!(other.info(format!("{address}/b")).await.unwrap().next, Offset(1));
    assert_eq!(other.seal(format!("{address}/b")).await.unwrap(), Offset(1));
    assert!(node.info("b").await.unwrap().sealed);
    other.delete(format!("{address}/a/1")).await.unwrap();
    for asked in [other.info(format!("{address}/a/1")).await, node.info("a/1").await] {
        assert_eq!(asked.unwrap_err().kind(), ErrorKind::NoChannel);
    }
    assert_eq!(other.delete(format!("{address}/a/1")).await.unwrap_err().kind(), ErrorKind::NoChannel);
}

#[tokio::test]
async fn a_question_to_nobody_is_an_error_and_not_a_wait() {
    let other = Node::builder().start().await.unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = other.info(format!("{free}/x")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
    assert!(error.is_retryable());
}

#[tokio::test]
async fn a_receiver_may_come_before_its_node() {
    let dir = tempfile::tempdir().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let other = Node::builder().start().await.unwrap();
    let mut receiver = other.receiver(format!("{free}/early")).from(Start::Earliest).open().await.unwrap();
    let reading = tokio::spawn(async move { receiver.recv().await.unwrap().unwrap() });
    let node = Node::builder().data_dir(dir.path()).listen(free.to_string()).start().await.unwrap();
    node.sender("early").open().await.unwrap().send("bird").await.unwrap();
    assert_eq!(reading.await.unwrap().payload, "bird");
}

#[tokio::test]
async fn a_node_that_shuts_down_delivers_what_it_has_and_says_good_bye() {
    let (_dir, node, address) = node(None).await;
    let other = Node::builder().start().await.unwrap();
    let log = node.sender("farewell").open().await.unwrap();
    let mut receiver =
        other.receiver(format!("{address}/farewell")).from(Start::Earliest).open().await.unwrap();
    for i in 0..1000 {
        log.send(i.to_string()).await.unwrap();
    }
    let reading = tokio::spawn(async move {
        for i in 0..1000 {
            assert_eq!(receiver.recv().await.unwrap().unwrap().payload, i.to_string());
        }
    });
    let began = std::time::Instant::now();
    node.shutdown(Duration::from_secs(20)).await.unwrap();
    reading.await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}
