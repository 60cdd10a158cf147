//! Reading the same channel from several places, and going on where one stopped: `cargo run -p netchan-std --example rewind`.

use std::time::Duration;

use netchan_std::{Error, Node, Offset, Receiver, Start};

fn show(what: &str, receiver: Receiver) -> Result<Vec<String>, Error> {
    let texts = receiver.map(|record| Ok(String::from_utf8_lossy(&record?.payload).into_owned()));
    let texts = texts.collect::<Result<Vec<_>, Error>>()?;
    println!("{what:>24}: {}", texts.join(" "));
    Ok(texts)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let data = tempfile::tempdir()?;
    let node = Node::builder().data_dir(data.path()).start()?;
    let numbers = node.sender("numbers").open()?;
    for number in 0..10 {
        numbers.send(number.to_string())?;
    }
    numbers.flush()?;

    // Without `follow` a receiver ends at what is there now.
    let from = |start| node.receiver("numbers").from(start).follow(false).open();
    assert_eq!(show("all", from(Start::Earliest)?)?.len(), 10);
    assert_eq!(show("from offset 7", from(Start::Offset(Offset(7)))?)?, ["7", "8", "9"]);
    assert_eq!(show("the last two", from(Start::Last(2))?)?, ["8", "9"]);
    assert_eq!(show("of the last ten minutes", from(Start::Ago(Duration::from_secs(600)))?)?.len(), 10);

    // A position holds over restarts of either side: keep it with what you did with the records.
    let mut receiver = from(Start::Earliest)?;
    for _ in 0..4 {
        receiver.recv()?;
    }
    let position = receiver.position().ok_or("nothing was read")?;
    assert_eq!(show("after four of them", from(Start::Resume(position))?)?.len(), 6);
    Ok(())
}

#[test]
fn rewind() {
    main().expect("rewind");
}
