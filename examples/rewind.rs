//! Reading the same channel from several places, and going on where one stopped: `cargo run --example rewind`.

use std::time::Duration;

use netchan::{Error, Node, Offset, Receiver, Start};

async fn show(what: &str, mut receiver: Receiver) -> Result<Vec<String>, Error> {
    let mut texts = Vec::new();
    while let Some(record) = receiver.recv().await? {
        texts.push(String::from_utf8_lossy(&record.payload).into_owned());
    }
    println!("{what:>24}: {}", texts.join(" "));
    Ok(texts)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let data = tempfile::tempdir()?;
    let node = Node::builder().data_dir(data.path()).start().await?;
    let numbers = node.sender("numbers").open().await?;
    for number in 0..10 {
        numbers.send(number.to_string()).await?;
    }
    numbers.flush().await?;

    // Without `follow` a receiver ends at what is there now.
    let from = |start| node.receiver("numbers").from(start).follow(false).open();
    assert_eq!(show("all", from(Start::Earliest).await?).await?.len(), 10);
    assert_eq!(show("from offset 7", from(Start::Offset(Offset(7))).await?).await?, ["7", "8", "9"]);
    assert_eq!(show("the last two", from(Start::Last(2)).await?).await?, ["8", "9"]);
    let minutes = Start::Ago(Duration::from_secs(600));
    assert_eq!(show("of the last ten minutes", from(minutes).await?).await?.len(), 10);

    // A position holds over restarts of either side: keep it with what you did with the records.
    let mut receiver = from(Start::Earliest).await?;
    for _ in 0..4 {
        receiver.recv().await?;
    }
    let position = receiver.position().ok_or("nothing was read")?;
    assert_eq!(show("after four of them", from(Start::Resume(position)).await?).await?.len(), 6);
    Ok(())
}

#[test]
fn rewind() {
    main().expect("rewind");
}
