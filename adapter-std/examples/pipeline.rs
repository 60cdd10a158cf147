//! A pipeline of three processes, numbers, their squares and the sum of these, each with channels of its own:
//! `cargo run -p netchan-std --example pipeline`.

use std::error::Error;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use netchan_std::{Node, Start};

/// The first process sends numbers.
fn numbers() -> Result<(), Box<dyn Error>> {
    let data = tempfile::tempdir()?;
    let node = Node::builder().data_dir(data.path()).listen("127.0.0.1:0").start()?;
    let numbers = node.sender("numbers").open()?;
    for number in 1..=10 {
        numbers.send(number.to_string())?;
    }
    numbers.seal()?;
    serve(&node)
}

/// The second one receives them, and sends their squares.
fn squares(from: &str) -> Result<(), Box<dyn Error>> {
    let data = tempfile::tempdir()?;
    let node = Node::builder().data_dir(data.path()).listen("127.0.0.1:0").start()?;
    let mut numbers = node.receiver(format!("{from}/numbers")).from(Start::Earliest).open()?;
    let squares = node.sender("squares").open()?;
    while let Some(record) = numbers.recv()? {
        let number: u64 = std::str::from_utf8(&record.payload)?.parse()?;
        squares.send((number * number).to_string())?;
    }
    squares.seal()?;
    serve(&node)
}

/// The third one, which starts the others, adds them up.
fn sum(from: &str) -> Result<u64, Box<dyn Error>> {
    let node = Node::builder().start()?;
    let mut squares = node.receiver(format!("{from}/squares")).from(Start::Earliest).open()?;
    let mut sum = 0;
    while let Some(record) = squares.recv()? {
        sum += std::str::from_utf8(&record.payload)?.parse::<u64>()?;
    }
    Ok(sum)
}

fn main() -> Result<(), Box<dyn Error>> {
    // Which process this one is.
    match (std::env::var("STAGE").as_deref(), std::env::var("FROM")) {
        (Ok("numbers"), _) => numbers(),
        (Ok("squares"), Ok(from)) => squares(&from),
        _ => {
            let (numbers, address) = start("numbers", "")?;
            let (squares, address) = start("squares", &address)?;
            let sum = sum(&address)?;
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
