//! A sensor that stores what it measures and forwards it whenever there is a network, each reading once:
//! `cargo run -p netchan-smol --example sensor`.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use netchan_smol::{Node, Offset, ProducerId, Retention, Start};

/// Who the sensor is, over all its restarts.
const SENSOR: ProducerId = ProducerId(*b"sensor in room 7");

/// How long the sensor waits for others before it goes to sleep.
const PATIENCE: Duration = Duration::from_secs(10);

/// Measures for a while, with no network at all: what is on the disk is safe.
async fn measure(data: &Path, readings: std::ops::Range<u32>) -> Result<(), Box<dyn Error>> {
    let node = Node::builder().data_dir(data).start().await?;
    let small = Retention { max_bytes: Some(64 << 20), ..Retention::default() };
    let log = node.sender("readings").retention(small).open().await?;
    for reading in readings {
        log.send(format!("{reading} lx")).await?;
    }
    node.shutdown(PATIENCE).await?; // what was sent is on the disk, and the directory free
    Ok(())
}

/// Forwards what the node of the house does not have yet, which it knows best itself. Says how much that was.
async fn forward(data: &Path, house: &str) -> Result<usize, Box<dyn Error>> {
    let node = Node::builder().data_dir(data).start().await?;
    let there = node.sender(format!("{house}/room7")).producer(SENSOR).open().await?;
    let next = Offset(there.producer().await?.next_sequence);
    let mut stored = node.receiver("readings").from(Start::Offset(next)).follow(false).open().await?;
    let mut count = 0;
    while let Some(record) = stored.recv().await? {
        there.send(record.payload).await?;
        count += 1;
    }
    there.flush().await?; // on the disk there, too
    node.shutdown(PATIENCE).await?;
    Ok(count)
}

fn main() -> Result<(), Box<dyn Error>> {
    smol::block_on(rooms())
}

async fn rooms() -> Result<(), Box<dyn Error>> {
    let (sensor, house) = (tempfile::tempdir()?, tempfile::tempdir()?);
    measure(sensor.path(), 0..5).await?;

    let node = Node::builder().data_dir(house.path()).listen("127.0.0.1:0").start().await?;
    let address = node.local_addr().ok_or("not listening")?.to_string();
    assert_eq!(forward(sensor.path(), &address).await?, 5);
    measure(sensor.path(), 5..8).await?;
    assert_eq!(forward(sensor.path(), &address).await?, 3);
    assert_eq!(forward(sensor.path(), &address).await?, 0);

    let mut count = 0;
    let mut receiver = node.receiver("room7").from(Start::Earliest).follow(false).open().await?;
    while let Some(record) = receiver.recv().await? {
        println!("{} {}", record.offset, String::from_utf8_lossy(&record.payload));
        assert_eq!(record.payload, format!("{count} lx"));
        count += 1;
    }
    assert_eq!(count, 8);
    Ok(())
}

#[test]
fn sensor() {
    main().expect("sensor");
}
