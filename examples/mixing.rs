//! Three runtimes in one process, each with a part of the work: tokio sends, smol passes on, a plain thread receives:
//! `cargo run --example mixing`.

use std::error::Error;
use std::thread;

use netchan::{Node, Start};

/// On smol: what comes from there goes on, in capitals.
async fn pass_on(from: String, to: netchan_smol::Sender) -> Result<(), netchan_smol::Error> {
    let node = netchan_smol::Node::builder().start().await?;
    let mut words = node.receiver(from).from(Start::Earliest).open().await?;
    while let Some(word) = words.recv().await? {
        to.send(word.payload.to_ascii_uppercase()).await?;
    }
    to.seal().await.map(drop)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (data, more) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let here = Node::builder().data_dir(data.path()).listen("127.0.0.1:0").start().await?;
    let words = here.sender("words").open().await?;
    let from = format!("{}/words", here.local_addr().ok_or("not listening")?);

    let (told, address) = tokio::sync::oneshot::channel();
    let data = more.path().to_owned();
    let smol = thread::spawn(move || {
        smol::block_on(async {
            let node = netchan_smol::Node::builder().data_dir(data).listen("127.0.0.1:0").start().await?;
            let to = node.sender("loud").open().await?;
            let _ = told.send(node.local_addr());
            let done = to.clone();
            pass_on(from, to).await?;
            // All that came is sent on; who reads it is served until it has it.
            done.flush().await?;
            Ok::<_, netchan_smol::Error>(node)
        })
    });
    let loud = format!("{}/loud", address.await?.ok_or("not listening")?);
    let plain = thread::spawn(move || {
        let node = netchan_std::Node::builder().start()?;
        node.receiver(loud).from(Start::Earliest).open()?.collect::<Result<Vec<_>, _>>()
    });
    for word in ["three", "runtimes", "one", "process"] {
        words.send(word).await?;
    }
    words.seal().await?;

    let records = plain.join().map_err(|_| "the receiver panicked")??;
    let node = smol.join().map_err(|_| "what passes on panicked")??;
    let words: Vec<_> = records.iter().map(|record| String::from_utf8_lossy(&record.payload)).collect();
    println!("{}", words.join(" "));
    assert_eq!(words, ["THREE", "RUNTIMES", "ONE", "PROCESS"]);
    drop(node);
    Ok(())
}

#[test]
fn mixing() {
    main().expect("mixing");
}
