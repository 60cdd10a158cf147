//! What holds over a network that falls silent. What cuts and dribbles is the suite's.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::time::Duration;

use netchan_tokio::{Node, Side, Start};
use tempfile::TempDir;

async fn node() -> (TempDir, Node, SocketAddr) {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::builder().data_dir(dir.path()).listen("127.0.0.1:0").start().await.unwrap();
    let address = node.local_addr().unwrap();
    (dir, node, address)
}

/// A network that takes everything in and lets nothing out is found out by silence.
#[tokio::test(start_paused = true)]
async fn a_stalled_connection_is_given_up() {
    let (near, far) = tokio::io::duplex(1 << 20);
    let node = Node::builder().start().await.unwrap();
    let mut far = Some(far);
    let mut attempts = 0;
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let mut near = Some(near);
    let opening = node.receiver("silent").connect_with(move || {
        attempts += 1;
        tell.send(attempts).unwrap();
        let stream = near.take().ok_or(std::io::ErrorKind::ConnectionRefused);
        async move { Ok(stream?) }
    });
    let opened = tokio::spawn(async move {
        let mut receiver = opening.open().await.unwrap();
        receiver.recv().await
    });
    assert_eq!(told.recv().await, Some(1));
    let began = tokio::time::Instant::now();
    assert_eq!(told.recv().await, Some(2));
    assert!(began.elapsed() > Duration::from_secs(5) && began.elapsed() < Duration::from_secs(60));
    drop(far.take());
    opened.abort();
}

/// The same in the middle of a channel: the receiver asks for a sign of life, hears nothing, and resumes elsewhere.
#[tokio::test(start_paused = true)]
async fn a_receiver_resumes_after_its_connection_falls_silent() {
    let (_dir, node, _) = node().await;
    let log = node.sender("silenced").open().await.unwrap();
    log.send("before").await.unwrap().durable().await.unwrap();
    let (silence, silenced) = tokio::sync::watch::channel(false);
    let serving = node.clone();
    let connect = move || {
        let (near, mut middle) = tokio::io::duplex(1000);
        let (mut onward, far) = tokio::io::duplex(1000);
        let (serving, mut silenced) = (serving.clone(), silenced.clone());
        tokio::spawn(async move { serving.serve_stream(far, Side::Listener).await });
        tokio::spawn(async move {
            let is_first = !*silenced.borrow();
            tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut middle, &mut onward) => return,
                _ = silenced.wait_for(|&silent| silent && is_first) => {}
            }
            // Open, and mute.
            std::future::pending::<()>().await;
            drop((middle, onward));
        });
        async move { Ok(near) }
    };
    let afar = Node::builder().start().await.unwrap();
    let mut receiver =
        afar.receiver("silenced").from(Start::Earliest).connect_with(connect).open().await.unwrap();
    assert_eq!(receiver.recv().await.unwrap().unwrap().payload, "before");
    silence.send_replace(true);
    log.send("after").await.unwrap().durable().await.unwrap();
    let began = tokio::time::Instant::now();
    assert_eq!(receiver.recv().await.unwrap().unwrap().payload, "after");
    assert!(began.elapsed() > Duration::from_secs(10) && began.elapsed() < Duration::from_secs(90));
}
