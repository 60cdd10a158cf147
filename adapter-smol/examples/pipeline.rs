//! A pipeline of three processes, numbers, their squares and the sum of these, each with channels of its own:
//! `cargo run -p netchan-smol --example pipeline`.

use std::error::Error;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use netchan_smol::{Node, Start};

/// The first process sends numbers.
async fn numbers() -> Result<(), Box<dyn Error>> {
    let data = tempfile::tempdir()?;
    let node = Node::builder().data_dir(data.path()).listen("127.0.0.1:0").start().await?;
    let numbers = node.sender("numbers").open().await?;
    for number in 1..=10 {
        numbers.send(number.to_string()).await?;
    }
    numbers.seal().await?;
    serve(&node)
}

/// The second one receives them, and sends their squares.
async fn squares(from: &str) -> Result<(), Box<dyn Error>> {
    let data = tempfile::tempdir()?;
    let node = Node::builder().data_dir(data.path()).listen("127.0.0.1:0").start().await?;
    let mut numbers = node.receiver(format!("{from}/numbers")).from(Start::Earliest).open().await?;
    let squares = node.sender("squares").open().await?;
    while let Some(record) = numbers.recv().await? {
        let number: u64 = std::str::from_utf8(&record.payload)?.parse()?;
        squares.send((number * number).to_string()).await?;
    }
    squares.seal().await?;
    serve(&node)
}

/// The third one, which starts the others, adds them up.
async fn sum(from: &str) -> Result<u64, Box<dyn Error>> {
    let node = Node::builder().start().await?;
    let mut squares = node.receiver(format!("{from}/squares")).from(Start::Earliest).open().await?;
    let mut sum = 0;
    while let Some(record) = squares.recv().await? {
        sum += std::str::from_utf8(&record.payload)?.parse::<u64>()?;
    }
    Ok(sum)
}

fn main() -> Result<(), Box<dyn Error>> {
    smol::block_on(stage())
}

async fn stage() -> Result<(), Box<dyn Error>> {
    // Which process this one is.
    match (std::env::var("STAGE").as_deref(), std::env::var("FROM")) {
        (Ok("numbers"), _) => numbers().await,
        (Ok("squares"), Ok(from)) => squares(&from).await,
        _ => {
            let (numbers, address) = start("numbers", "")?;
            let (squares, address) = start("squares", &address)?;
            let sum = sum(&address).await?;
            println!("{sum}");
            assert_eq!(sum, 385);
            // They end when their input does, and that is closed here.
            [numbers, squares].iter_mut().try_for_each(|child| child.wait().map(drop))?;
            Ok(())
        }
    }
}

/// Says where this process listens, and stays until its input ends.
fn serve(node: &Node) -> Result<(), Box<dyn Error>> {
    println!("\nlistening on {}", node.local_addr().ok_or("not listening")?);
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Starts this program as another stage. Says where it listens.
fn start(stage: &str, from: &str) -> Result<(Child, String), Box<dyn Error>> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--exact", "pipeline", "--nocapture"]); // for when this is run as a test
    command.env("STAGE", stage).env("FROM", from).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn()?;
    let mut output = BufReader::new(child.stdout.take().ok_or("no output")?);
    let mut line = String::new();
    while output.read_line(&mut line)? > 0 {
        if let Some(address) = line.trim_end().strip_prefix("listening on ") {
            child.stdout = Some(output.into_inner());
            return Ok((child, address.to_owned()));
        }
        line.clear();
    }
    Err(format!("{stage} did not start").into())
}

#[test]
fn pipeline() {
    main().expect("pipeline");
}
