//! One sender, ten receivers, each at its own pace; the sender waits until all are there, and until all have everything:
//! `cargo run -p netchan-smol --example fan_out`.

use netchan_smol::{Durability, Node, Start};

const RECORDS: usize = 10_000;
const RECEIVERS: usize = 10;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    smol::block_on(fan())
}

async fn fan() -> Result<(), Box<dyn std::error::Error>> {
    let data = tempfile::tempdir()?;
    let node = Node::builder().data_dir(data.path()).listen("127.0.0.1:0").start().await?;
    let address = node.local_addr().ok_or("not listening")?;
    let ticks = node.sender("ticks").durability(Durability::Os).open().await?;

    let receive = move || async move {
        let there = Node::builder().start().await?;
        let mut receiver = there.receiver(format!("{address}/ticks")).from(Start::Earliest).open().await?;
        let mut count = 0;
        loop {
            match receiver.recv_batch(1000).await?.len() {
                0 => return Ok::<_, netchan_smol::Error>(count), // the channel was sealed
                records => count += records,
            }
        }
    };
    let receivers: Vec<_> = (0..RECEIVERS).map(|_| smol::spawn(receive())).collect();
    ticks.wait_until_ready(RECEIVERS).await?;
    ticks.send_batch((0..RECORDS).map(usize::to_le_bytes)).await?;
    assert_eq!(ticks.done().await?, RECEIVERS);
    ticks.seal().await?;
    for receiver in receivers {
        assert_eq!(receiver.await?, RECORDS);
    }
    Ok(())
}

#[test]
fn fan_out() {
    main().expect("fan_out");
}
