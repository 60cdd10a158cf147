//! What a child process does. Each prints its address first if it listens, and its figures last.

use std::io::{BufRead, Write};
use std::process::ExitCode;
use std::time::Duration;

use netchan::{Durability, Node, Start};

use crate::raw::Delays;
use crate::{clock, raw};

type Failure = Box<dyn std::error::Error>;

/// Runs a role with its arguments.
pub(crate) fn run(role: &str, args: &[&str]) -> ExitCode {
    let done = match (role, args) {
        ("raw-send", [addr, size, count, pace]) => raw_send(addr, size, count, pace),
        ("raw-receive", [skip]) => raw_receive(skip),
        ("publish", [dir, durability, size, count, pace]) => publish(dir, durability, size, count, pace),
        ("serve", [dir]) => serve(dir),
        ("receive", [target, count, skip]) => receive(target, count, skip),
        _ => Err(format!("no role {role} with {} arguments", args.len()).into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{role}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn raw_send(addr: &str, size: &str, count: &str, pace: &str) -> Result<(), Failure> {
    let pace: u64 = pace.parse()?;
    Ok(raw::send(addr, size.parse()?, count.parse()?, (pace > 0).then_some(pace))?)
}

fn raw_receive(skip: &str) -> Result<(), Failure> {
    let skip: u64 = skip.parse()?;
    Ok(raw::receive(skip > 0, skip)?)
}

/// Says where, and waits until its standard input says go, or ends.
fn announce(node: &Node) -> Result<(), Failure> {
    let addr = node.local_addr().ok_or("the node does not listen")?;
    println!("{addr}");
    std::io::stdout().flush()?;
    Ok(())
}

fn wait_for_word() {
    let _ = std::io::stdin().lock().read_line(&mut String::new());
}

/// A node that sends `count` records into `bench` once it is told to, and stays until its input ends.
fn publish(dir: &str, durability: &str, size: &str, count: &str, pace: &str) -> Result<(), Failure> {
    let durability = if durability == "os" { Durability::Os } else { Durability::Sync };
    let (size, count, pace): (usize, u64, u64) = (size.parse()?, count.parse()?, pace.parse()?);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let node = Node::builder().data_dir(dir).listen("127.0.0.1:0").start().await?;
        let log = node.sender("bench").durability(durability).open().await?;
        announce(&node)?;
        tokio::task::block_in_place(wait_for_word);
        let mut payload = vec![b'x'; size];
        let begin = clock::now();
        if pace > 0 {
            tokio::task::block_in_place(|| {
                clock::paced(pace, count, |at| {
                    payload[..8].copy_from_slice(&at.to_le_bytes());
                    let _ = log.try_send(&payload);
                });
            });
        } else {
            for _ in 0..count {
                log.send(&payload).await?;
            }
        }
        log.flush().await?;
        println!("{}", clock::rate(count, clock::now() - begin));
        std::io::stdout().flush()?;
        tokio::task::block_in_place(wait_for_word);
        node.shutdown(Duration::from_secs(5)).await?;
        Ok(())
    })
}

/// A node that serves what is there until its input ends.
fn serve(dir: &str) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let node = Node::builder().data_dir(dir).listen("127.0.0.1:0").start().await?;
        announce(&node)?;
        tokio::task::block_in_place(wait_for_word);
        Ok(())
    })
}

/// Receives `count` records from the start, and says the rate from the first one on, or the delays.
fn receive(target: &str, count: &str, skip: &str) -> Result<(), Failure> {
    let (count, skip): (u64, u64) = (count.parse()?, skip.parse()?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let node = Node::builder().start().await?;
        let mut receiver = node.receiver(target).from(Start::Earliest).open().await?;
        let mut delays = Delays::new(skip);
        let mut begin = 0;
        for index in 0..count {
            let record = receiver.recv().await?.ok_or("the channel ended early")?;
            if index == 0 {
                begin = clock::now();
            }
            if skip > 0 {
                delays.note(&record.payload);
            }
            std::hint::black_box(&record.payload);
        }
        if skip > 0 {
            delays.print()
        } else {
            println!("{}", clock::rate(count, clock::now() - begin))
        }
        Ok(())
    })
}
