//! What may be done with the handles: shared among threads, dropped anywhere, futures given up at any time.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use netchan_tokio::{
    Durability, Error, ErrorKind, Event, Node, NodeBuilder, Receiver, ReceiverBuilder, Record, Sender,
    SenderBuilder, Sent, Start,
};

#[test]
fn handles_go_to_any_thread() {
    fn shared<T: Send + Sync + 'static>() {}
    fn sent<T: Send + 'static>() {}
    shared::<Node>();
    shared::<Receiver>();
    shared::<Sender>();
    shared::<Sent>();
    shared::<Record>();
    shared::<Error>();
    shared::<Event>();
    shared::<NodeBuilder>();
    sent::<ReceiverBuilder>();
    sent::<SenderBuilder>();
}

#[test]
fn handles_are_dropped_outside_a_runtime() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (node, log, receiver, sent, remote) = runtime.block_on(async {
        let node = Node::builder().data_dir(dir.path()).listen("127.0.0.1:0").start().await.unwrap();
        let log = node.sender("dropped").open().await.unwrap();
        let sent = log.send("x").await.unwrap();
        let address = node.local_addr().unwrap();
        let remote = node.sender(format!("{address}/dropped")).open().await.unwrap();
        remote.send("y").await.unwrap();
        let mut receiver = node.receiver("dropped").from(Start::Earliest).open().await.unwrap();
        receiver.recv().await.unwrap();
        (node, log, receiver, sent, remote)
    });
    drop((sent, receiver, node.clone(), log.clone()));
    drop(runtime);
    drop((node, log, remote));
    // And all was kept.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        // The committer may be at work still.
        let node = loop {
            match Node::builder().data_dir(dir.path()).start().await {
                Err(error) if error.kind() == ErrorKind::Locked => tokio::task::yield_now().await,
                node => break node.unwrap(),
            }
        };
        let mut receiver = node.receiver("dropped").from(Start::Earliest).open().await.unwrap();
        assert_eq!(receiver.recv().await.unwrap().unwrap().payload, "x");
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_record_is_lost_when_recv_is_given_up_ten_thousand_times() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::builder().data_dir(dir.path()).listen("127.0.0.1:0").start().await.unwrap();
    let log = node.sender("ticks").durability(Durability::Os).open().await.unwrap();
    let mut receiver = node
        .receiver(format!("{}/ticks", node.local_addr().unwrap()))
        .from(Start::Earliest)
        .open()
        .await
        .unwrap();
    let given_up = Arc::new(AtomicU64::new(0));
    let enough = Arc::clone(&given_up);
    let sending = tokio::spawn(async move {
        let mut count = 0u64;
        while enough.load(Ordering::Relaxed) < 10_000 {
            for _ in 0..3 {
                log.send(count.to_le_bytes()).await.unwrap();
                count += 1;
            }
            tokio::task::yield_now().await;
        }
        log.seal().await.unwrap();
        count
    });
    let mut expected = 0u64;
    loop {
        tokio::select! {
            biased;
            record = receiver.recv() => match record.unwrap() {
                Some(record) => {
                    assert_eq!(record.payload[..], expected.to_le_bytes());
                    expected += 1;
                }
                None => break,
            },
            () = tokio::task::yield_now() => {
                given_up.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
    assert_eq!(sending.await.unwrap(), expected);
}

#[tokio::test]
async fn a_send_that_is_given_up_was_not_sent() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::builder().data_dir(dir.path()).start().await.unwrap();
    let log = node.sender("given-up").durability(Durability::Os).open().await.unwrap();
    drop(log.send("never polled"));
    // So much that the disk cannot keep up: some sends are given up while they wait.
    let payload = vec![0u8; 1 << 20];
    let mut sent = 0;
    for _ in 0..200 {
        match tokio::time::timeout(Duration::ZERO, log.send(&payload)).await {
            Ok(result) => {
                result.unwrap();
                sent += 1;
            }
            Err(_) => tokio::task::yield_now().await,
        }
    }
    log.flush().await.unwrap();
    assert_eq!(node.info("given-up").await.unwrap().next.0, sent);
}
