//! Values from one node to another, encrypted on the way and where they are stored, in one program on smol: `cargo run -p netchan-smol --example typed`.

use netchan_smol::{EncryptionKey, ErrorKind, Node, Start};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
struct Order {
    article: String,
    cents: u32,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    smol::block_on(orders())
}

async fn orders() -> Result<(), Box<dyn std::error::Error>> {
    let data = tempfile::tempdir()?;
    let here = Node::builder().data_dir(data.path()).listen("127.0.0.1:0").start().await?;
    let address = here.local_addr().ok_or("not listening")?;
    let key = EncryptionKey::random()?; // both sides have it; nodes in between need not

    let orders = here.sender("orders").typed::<Order>().encrypt(&key).open().await?;
    for (article, cents) in [("coffee", 320), ("cake", 410)] {
        orders.send(&Order { article: article.into(), cents }).await?;
    }
    orders.seal().await?;

    // Whoever comes late, and has the key, has all of it.
    let there = Node::builder().start().await?;
    let target = format!("{address}/orders");
    let receiver = there.receiver(&target).from(Start::Earliest).typed::<Order>().encrypt(&key);
    let mut receiver = receiver.open().await?;
    let mut total = 0;
    while let Some(order) = receiver.recv().await? {
        println!("{} {:?}", order.record.offset, order.value);
        total += order.value.cents;
    }
    assert_eq!(total, 730);

    // Who takes the channel for something else is told so, before any of it comes.
    let plain = there.receiver(&target).typed::<Order>().open().await;
    assert_eq!(plain.map(|_| ()).map_err(|error| error.kind()), Err(ErrorKind::Content));
    Ok(())
}

#[test]
fn typed() {
    main().expect("typed");
}
