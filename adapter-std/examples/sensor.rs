//! A sensor that stores what it measures and forwards it whenever there is a network, each reading once:
//! `cargo run -p netchan-std --example sensor`.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use netchan_std::{Node, Offset, ProducerId, Retention, Start};

/// Who the sensor is, over all its restarts.
const SENSOR: ProducerId = ProducerId(*b"sensor in room 7");

/// How long the sensor waits for others before it goes to sleep.
const PATIENCE: Duration = Duration::from_secs(10);

/// Measures for a while, with no network at all: what is on the disk is safe.
fn measure(data: &Path, readings: std::ops::Range<u32>) -> Result<(), Box<dyn Error>> {
    let node = Node::builder().data_dir(data).start()?;
    let small = Retention { max_bytes: Some(64 << 20), ..Retention::default() };
    let log = node.sender("readings").retention(small).open()?;
    for reading in readings {
        log.send(format!("{reading} lx"))?;
    }
    node.shutdown(PATIENCE)?; // what was sent is on the disk, and the directory free
    Ok(())
}

/// Forwards what the node of the house does not have yet, which it knows best itself. Says how much that was.
fn forward(data: &Path, house: &str) -> Result<usize, Box<dyn Error>> {
    let node = Node::builder().data_dir(data).start()?;
    let there = node.sender(format!("{house}/room7")).producer(SENSOR).open()?;
    let next = Offset(there.producer()?.next_sequence);
    let stored = node.receiver("readings").from(Start::Offset(next)).follow(false).open()?;
    let mut count = 0;
    for record in stored {
        there.send(record?.payload)?;
        count += 1;
    }
    there.flush()?; // on the disk there, too
    node.shutdown(PATIENCE)?;
    Ok(count)
}

fn main() -> Result<(), Box<dyn Error>> {
    let (sensor, house) = (tempfile::tempdir()?, tempfile::tempdir()?);
    measure(sensor.path(), 0..5)?;

    let node = Node::builder().data_dir(house.path()).listen("127.0.0.1:0").start()?;
    let address = node.local_addr().ok_or("not listening")?.to_string();
    assert_eq!(forward(sensor.path(), &address)?, 5);
    measure(sensor.path(), 5..8)?;
    assert_eq!(forward(sensor.path(), &address)?, 3);
    assert_eq!(forward(sensor.path(), &address)?, 0);

    let mut count = 0;
    for record in node.receiver("room7").from(Start::Earliest).follow(false).open()? {
        let record = record?;
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
