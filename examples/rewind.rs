//! Reading the same channel from several places, and going on where one stopped: `cargo run --example rewind`.

use std::time::Duration;

use netchan::{Node, Offset, Receiver, Start};

async fn show(what: &str, receiver: &mut Receiver) -> Result<(), netchan::Error> {
    print!("{what:>22}:");
    while let Some(record) = receiver.recv().await? {
        print!(" {}", String::from_utf8_lossy(&record.payload));
    }
    println!();
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let data = tempfile::tempdir()?;
    let node = Node::builder().data_dir(data.path()).start().await?;
    let numbers = node.sender("numbers").open().await?;
    for i in 0..10 {
        numbers.send(i.to_string()).await?;
    }
    numbers.flush().await?;

    // Without `follow` a receiver ends at what is there now.
    let from = |start| node.receiver("numbers").from(start).follow(false).open();
    show("all", &mut from(Start::Earliest).await?).await?;
    show("from offset 7", &mut from(Start::Offset(Offset(7))).await?).await?;
    show("the last two", &mut from(Start::Last(2)).await?).await?;
    show("of the last ten minutes", &mut from(Start::Ago(Duration::from_secs(600))).await?).await?;

    // A position holds over restarts of either side: keep it with what you did with the records.
    let mut receiver = from(Start::Earliest).await?;
    for _ in 0..4 {
        receiver.recv().await?;
    }
    let position = receiver.position().ok_or("nothing was read")?;
    show("after four of them", &mut from(Start::Resume(position)).await?).await?;
    Ok(())
}
