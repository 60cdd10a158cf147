//! A channel from one node to another, in one program of plain threads: `cargo run -p netchan-std --example hello`.

use netchan_std::{Node, Start};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let data = tempfile::tempdir()?;
    let here = Node::builder().data_dir(data.path()).listen("127.0.0.1:0").start()?;
    let address = here.local_addr().ok_or("not listening")?;

    // The receiver may come first: it waits for the channel.
    let receiving = std::thread::spawn(move || -> Result<_, netchan_std::Error> {
        let there = Node::builder().start()?;
        let receiver = there.receiver(format!("{address}/greetings")).from(Start::Earliest).open()?;
        receiver.collect::<Result<Vec<_>, _>>()
    });

    let greetings = here.sender("greetings").open()?;
    for name in ["world", "disk", "network"] {
        let sent = greetings.send(format!("hello, {name}"))?;
        sent.durable()?;
    }
    greetings.seal()?;

    for record in receiving.join().map_err(|_| "the receiver panicked")?? {
        println!("{} {}", record.offset, String::from_utf8_lossy(&record.payload));
    }
    Ok(())
}

#[test]
fn hello() {
    main().expect("hello");
}
