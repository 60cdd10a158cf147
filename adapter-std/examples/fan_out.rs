//! One sender, ten receivers, each at its own pace; the sender waits until all are there, and until all have everything:
//! `cargo run -p netchan-std --example fan_out`.

use std::thread;

use netchan_std::{Durability, Node, Start};

const RECORDS: usize = 10_000;
const RECEIVERS: usize = 10;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let data = tempfile::tempdir()?;
    let node = Node::builder().data_dir(data.path()).listen("127.0.0.1:0").start()?;
    let address = node.local_addr().ok_or("not listening")?;
    let ticks = node.sender("ticks").durability(Durability::Os).open()?;

    let receive = move || {
        let there = Node::builder().start()?;
        let mut receiver = there.receiver(format!("{address}/ticks")).from(Start::Earliest).open()?;
        let mut count = 0;
        loop {
            match receiver.recv_batch(1000)?.len() {
                0 => return Ok::<_, netchan_std::Error>(count), // the channel was sealed
                records => count += records,
            }
        }
    };
    let receivers: Vec<_> = (0..RECEIVERS).map(|_| thread::spawn(receive)).collect();
    ticks.wait_until_ready(RECEIVERS)?;
    ticks.send_batch((0..RECORDS).map(usize::to_le_bytes))?;
    assert_eq!(ticks.done()?, RECEIVERS);
    ticks.seal()?;
    for receiver in receivers {
        assert_eq!(receiver.join().map_err(|_| "a receiver panicked")??, RECORDS);
    }
    Ok(())
}

#[test]
fn fan_out() {
    main().expect("fan_out");
}
