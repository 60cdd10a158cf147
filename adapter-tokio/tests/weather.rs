//! What holds over a network that cuts, stalls and dribbles: everything, once, in order.
#![allow(clippy::unwrap_used)]

mod proxy;

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use netchan_tokio::{Durability, Node, Offset, Side, Start};
use proxy::{Dice, Proxy, Weather};
use tempfile::TempDir;

const RECORDS: u64 = 3000;

async fn node() -> (TempDir, Node, SocketAddr) {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::builder().data_dir(dir.path()).listen("127.0.0.1:0").start().await.unwrap();
    let address = node.local_addr().unwrap();
    (dir, node, address)
}

/// Records of very different sizes, the same for every call.
fn payload(i: u64) -> Vec<u8> {
    let mut dice = Dice(i);
    let len = match dice.below(100) {
        0 => dice.below(200_000),
        1..10 => dice.below(5_000),
        _ => dice.below(100),
    };
    let mut payload = i.to_le_bytes().to_vec();
    payload.resize(8 + len as usize, i as u8);
    payload
}

async fn receives_everything(weather: Weather, records: u64, seed: u64) -> u64 {
    let (_dir, node, address) = node().await;
    let proxy = Proxy::start(address, weather, seed).await;
    let afar = Node::builder().start().await.unwrap();
    let target = format!("{}/weathered", proxy.address);
    let mut receiver = afar.receiver(target).from(Start::Earliest).window(128 << 10).open().await.unwrap();
    let log = node.sender("weathered").durability(Durability::Os).open().await.unwrap();
    let sending = tokio::spawn(async move {
        for i in 0..records {
            log.send(payload(i)).await.unwrap();
        }
        log.seal().await.unwrap();
    });
    for i in 0..records {
        let record = receiver.recv().await.unwrap().unwrap();
        assert_eq!(record.offset, Offset(i));
        assert!(record.payload == payload(i), "record {i} of seed {seed}");
    }
    assert!(receiver.recv().await.unwrap().is_none());
    sending.await.unwrap();
    proxy.connections.load(Ordering::Relaxed)
}

async fn delivers_everything(weather: Weather, records: u64, seed: u64) -> u64 {
    let (_dir, node, address) = node().await;
    let proxy = Proxy::start(address, weather, seed).await;
    let afar = Node::builder().start().await.unwrap();
    let log = afar.sender(format!("{}/weathered", proxy.address)).open().await.unwrap();
    for i in 0..records {
        log.send(payload(i)).await.unwrap();
    }
    log.flush().await.unwrap();
    assert_eq!(log.seal().await.unwrap(), Offset(records));
    let mut receiver = node.receiver("weathered").from(Start::Earliest).open().await.unwrap();
    for i in 0..records {
        assert!(receiver.recv().await.unwrap().unwrap().payload == payload(i), "record {i} of seed {seed}");
    }
    assert!(receiver.recv().await.unwrap().is_none());
    proxy.connections.load(Ordering::Relaxed)
}

#[tokio::test]
async fn a_receiver_resumes_by_itself_wherever_it_is_cut_off() {
    for seed in 0..3 {
        let connections = receives_everything(Weather::Cuts { within: 1 << 20 }, RECORDS, seed).await;
        assert!(connections > 3, "nothing was cut: {connections} connections");
    }
}

#[tokio::test]
async fn a_receiver_resumes_when_half_of_a_connection_ends() {
    let connections = receives_everything(Weather::HalfCloses { within: 400 << 10 }, RECORDS, 11).await;
    assert!(connections > 1, "nothing was cut: {connections} connections");
}

#[tokio::test]
async fn a_receiver_reads_what_comes_in_crumbs() {
    receives_everything(Weather::Dribbles, 500, 12).await;
}

#[tokio::test]
async fn a_sender_delivers_once_wherever_it_is_cut_off() {
    for seed in 20..23 {
        let connections = delivers_everything(Weather::Cuts { within: 1 << 20 }, RECORDS, seed).await;
        assert!(connections > 3, "nothing was cut: {connections} connections");
    }
}

#[tokio::test]
async fn a_sender_delivers_what_goes_in_crumbs() {
    delivers_everything(Weather::Dribbles, 500, 31).await;
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
