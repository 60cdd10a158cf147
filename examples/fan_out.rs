//! One sender, ten receivers, each at its own pace: `cargo run --release --example fan_out`.

use std::time::Instant;

use netchan::{Durability, Node, Start};

const RECORDS: u32 = 100_000;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let data = tempfile::tempdir()?;
    let node = Node::builder().data_dir(data.path()).listen("127.0.0.1:0").start().await?;
    let address = node.local_addr().ok_or("not listening")?;
    let ticks = node.sender("ticks").durability(Durability::Os).open().await?;

    let mut receivers = Vec::new();
    for number in 0..10 {
        let there = Node::builder().start().await?;
        let mut receiver = there.receiver(format!("{address}/ticks")).from(Start::Earliest).open().await?;
        receivers.push(tokio::spawn(async move {
            let (mut count, began) = (0, Instant::now());
            while let Some(record) = receiver.recv().await? {
                assert_eq!(record.offset.0, count);
                count += 1;
            }
            println!("receiver {number}: {count} records in {:?}", began.elapsed());
            Ok::<_, netchan::Error>(())
        }));
    }
    for i in 0..RECORDS {
        ticks.send(i.to_le_bytes()).await?;
    }
    ticks.seal().await?;
    for receiver in receivers {
        receiver.await??;
    }
    Ok(())
}
