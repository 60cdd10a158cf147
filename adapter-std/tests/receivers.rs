//! Waiting for receivers, for so long and no longer.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use netchan_std::{ErrorKind, Node, Start};

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
