//! Byte streams of any kind, called from either side.
#![allow(clippy::unwrap_used)]

use netchan_tokio::{ErrorKind, Node, Side, Start};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};

async fn node() -> (TempDir, Node) {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::builder().data_dir(dir.path()).start().await.unwrap();
    let log = node.sender("stream").open().await.unwrap();
    for i in 0..100 {
        log.send(i.to_string()).await.unwrap();
    }
    log.flush().await.unwrap();
    (dir, node)
}

async fn reads_all(receiver: &mut netchan_tokio::Receiver) {
    for i in 0..100 {
        assert_eq!(receiver.recv().await.unwrap().unwrap().payload, i.to_string());
    }
}

#[tokio::test]
async fn a_stream_that_the_user_brings_is_as_good_as_any() {
    let (_dir, node) = node().await;
    for side in [Side::Dialler, Side::Listener] {
        let (near, far) = tokio::io::duplex(1000);
        let serving = node.clone();
        let served = tokio::spawn(async move { serving.serve_stream(far, side.other()).await });
        let afar = Node::builder().start().await.unwrap();
        let mut receiver =
            afar.receiver("stream").from(Start::Earliest).over(near, side).open().await.unwrap();
        reads_all(&mut receiver).await;
        drop(receiver);
        served.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn when_the_only_stream_ends_so_does_the_receiver() {
    let (_dir, node) = node().await;
    let (near, far) = tokio::io::duplex(1000);
    let serving = node.clone();
    let served = tokio::spawn(async move { serving.serve_stream(far, Side::Listener).await });
    let mut receiver =
        node.receiver("stream").from(Start::Earliest).over(near, Side::Dialler).open().await.unwrap();
    reads_all(&mut receiver).await;
    served.abort();
    let error = receiver.recv().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
    assert!(receiver.recv().await.unwrap().is_none());
}

#[tokio::test]
async fn streams_are_made_anew_when_they_are_lost() {
    let (_dir, node) = node().await;
    let serving = node.clone();
    let afar = Node::builder().start().await.unwrap();
    let connect = move || {
        let serving = serving.clone();
        async move {
            let (near, far) = tokio::io::duplex(1000);
            tokio::spawn(async move {
                // Long enough for a part of it.
                let _ = tokio::time::timeout(
                    std::time::Duration::from_millis(300),
                    serving.serve_stream(far, Side::Listener),
                )
                .await;
            });
            Ok(near)
        }
    };
    let mut receiver =
        afar.receiver("stream").from(Start::Earliest).connect_with(connect.clone()).open().await.unwrap();
    reads_all(&mut receiver).await;
    let log = afar.sender("stream").connect_with(connect).open().await.unwrap();
    for i in 0..50 {
        log.send(format!("more {i}")).await.unwrap().durable().await.unwrap();
        assert_eq!(receiver.recv().await.unwrap().unwrap().payload, format!("more {i}"));
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_node_that_cannot_be_called_calls_its_receiver() {
    let (_dir, node) = node().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let calling = node.clone();
    let calls = tokio::spawn(async move { calling.dial(address).await });
    let afar = Node::builder().start().await.unwrap();
    let mut receiver =
        afar.receiver("stream").from(Start::Earliest).accept_on(listener).open().await.unwrap();
    reads_all(&mut receiver).await;
    calls.abort();
}

#[tokio::test]
async fn a_receiver_that_is_called_asks_for_the_token() {
    let (_dir, node) = node().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let careful = Node::builder().token("t").start().await.unwrap();
    let reading = tokio::spawn(async move {
        let mut receiver = careful.receiver("stream").accept_on(listener).open().await.unwrap();
        receiver.recv().await
    });
    assert_eq!(node.dial(address).await.unwrap_err().kind(), ErrorKind::Auth);
    reading.abort();
}

#[tokio::test]
async fn who_serves_a_stream_is_told_why_it_ended() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::builder().data_dir(dir.path()).token("right").start().await.unwrap();
    let (near, far) = tokio::io::duplex(1000);
    let served = tokio::spawn(async move { node.serve_stream(far, Side::Listener).await });
    let afar = Node::builder().token("wrong").start().await.unwrap();
    let mut receiver = afar.receiver("stream").over(near, Side::Dialler).open().await.unwrap();
    assert_eq!(receiver.recv().await.unwrap_err().kind(), ErrorKind::Auth);
    assert_eq!(served.await.unwrap().unwrap_err().kind(), ErrorKind::Auth);
}

#[tokio::test]
async fn who_speaks_something_else_is_told_and_shut_out() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let dir = tempfile::tempdir().unwrap();
    let node = Node::builder().data_dir(dir.path()).listen("127.0.0.1:0").start().await.unwrap();
    let mut stream = TcpStream::connect(node.local_addr().unwrap()).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(String::from_utf8_lossy(&answer).contains("HTTP"));
}
