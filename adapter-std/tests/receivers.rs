//! Waiting for receivers, for so long and no longer; and what is sent and received several at a time.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use netchan_std::{ErrorKind, Node, Offset, Start};

#[test]
fn who_waits_for_receivers_only_so_long_is_told_that_they_did_not_come_or_do_not_have_it() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::builder().data_dir(dir.path()).start().unwrap();
    let log = node.sender("awaited").open().unwrap();
    let short = Duration::from_millis(10);
    assert!(!log.ready().unwrap());
    assert_eq!(log.wait_until_ready_timeout(1, short).unwrap_err().kind(), ErrorKind::TimedOut);
    let mut receiver = node.receiver("awaited").from(Start::Earliest).open().unwrap();
    assert!(log.ready().unwrap());
    log.wait_until_ready_timeout(1, short).unwrap();
    log.send("x").unwrap();
    assert_eq!(log.done_timeout(short).unwrap_err().kind(), ErrorKind::TimedOut);
    assert_eq!(receiver.recv().unwrap().unwrap().payload, "x");
    let next = std::thread::spawn(move || receiver.recv().unwrap().unwrap().payload);
    assert_eq!(log.done_timeout(Duration::from_secs(60)).unwrap(), 1);
    log.send("y").unwrap();
    assert_eq!(next.join().unwrap(), "y");
}

#[test]
fn values_go_and_come_several_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::builder().data_dir(dir.path()).start().unwrap();
    let log = node.sender("values").typed::<(u8, String)>().open().unwrap();
    let values: Vec<_> = (0..10).map(|number| (number, number.to_string())).collect();
    assert!(log.send_batch(&[]).unwrap().is_none());
    assert_eq!(log.send_batch(&values).unwrap().unwrap().offset(), Some(Offset(9)));
    // One that is no value, in their midst.
    log.clone().into_inner().send("").unwrap();
    log.send_batch(&values).unwrap();
    log.send_to(0, &values[3]).unwrap();
    log.seal().unwrap();
    let receiver = node.receiver("values").from(Start::Earliest).typed::<(u8, String)>();
    let (mut receiver, mut got, mut wrong) = (receiver.open().unwrap(), Vec::new(), Vec::new());
    loop {
        let batch = receiver.recv_batch(7).unwrap();
        if batch.is_empty() {
            break;
        }
        for value in batch {
            match value {
                Ok(value) => got.push(value.value),
                Err(error) => wrong.push(error.kind()),
            }
        }
    }
    assert_eq!(got, [&values[..], &values[..], &values[3..4]].concat());
    assert_eq!(wrong, [ErrorKind::Decode { offset: Offset(10) }]);
}
