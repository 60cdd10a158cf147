//! How soon a receiver by pattern has the first record of a channel that was made after it began: two nodes over loopback, one channel
//! after the other, in the durability that channels have unless they are told another (`sync`).
//! `cargo run --release --example pickup -- [--check]`; with `--check` it is an error if one takes longer than 100 ms.

use std::error::Error;
use std::time::{Duration, Instant};

use netchan::{Node, Start};

/// With more than `MAX_LANES` (128) a receiver reads some at a time, and one that is made waits for its turn.
const CHANNELS: usize = 100;
const MOST: Duration = Duration::from_millis(100);

async fn run(channels: usize) -> Result<Vec<Duration>, Box<dyn Error>> {
    let data = tempfile::tempdir()?;
    let here = Node::builder().data_dir(data.path()).listen("127.0.0.1:0").start().await?;
    let address = here.local_addr().ok_or("not listening")?;
    let there = Node::builder().start().await?;
    let mut receiver = there.receiver_of(format!("{address}/made/*")).from(Start::Latest).open().await?;
    let mut times = Vec::new();
    for number in 0..channels {
        let began = Instant::now();
        let log = here.sender(format!("made/{number}")).open().await?;
        log.send(number.to_string()).await?;
        let received = receiver.recv().await?.ok_or("the receiver has ended")?;
        times.push(began.elapsed());
        assert_eq!(received.record.payload, number.to_string().as_bytes());
        log.close().await?;
    }
    times.sort();
    Ok(times)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let times = run(CHANNELS).await?;
    let (median, last) = (times[times.len() / 2], times[times.len() - 1]);
    println!(
        "{CHANNELS} channels: the first record of each is received {median:.1?} (median) to {last:.1?} (most) after it was made"
    );
    if std::env::args().any(|arg| arg == "--check") && last > MOST {
        return Err(format!("a channel that is made is picked up later than {MOST:?}").into());
    }
    Ok(())
}

#[tokio::test]
async fn each_channel_that_is_made_is_picked_up() {
    assert_eq!(run(5).await.expect("it is received").len(), 5);
}
