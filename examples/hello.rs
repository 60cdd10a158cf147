//! A channel from one node to another, in one program: `cargo run --example hello`.

use netchan::{Node, Start};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let data = tempfile::tempdir()?;
    let here = Node::builder().data_dir(data.path()).listen("127.0.0.1:0").start().await?;
    let address = here.local_addr().ok_or("not listening")?;

    // The receiver may come first: it waits for the channel.
    let there = Node::builder().start().await?;
    let mut receiver = there.receiver(format!("{address}/greetings")).from(Start::Earliest).open().await?;

    let greetings = here.sender("greetings").open().await?;
    for name in ["world", "disk", "network"] {
        let sent = greetings.send(format!("hello, {name}")).await?;
        sent.durable().await?;
    }
    greetings.seal().await?;

    while let Some(record) = receiver.recv().await? {
        println!("{} {}", record.offset, String::from_utf8_lossy(&record.payload));
    }
    Ok(())
}

#[test]
fn hello() {
    main().expect("hello");
}
