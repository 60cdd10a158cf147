//! The simulated disk loses what it says it loses, and nothing else.

#![allow(clippy::unwrap_used)] // a panic is a failed test

use std::io::IoSlice;
use std::sync::Arc;

use netchan_store::disk::{Disk, DiskFile, Open, SimDisk};

fn write(disk: &SimDisk, path: &str, bytes: &[u8]) -> Arc<dyn DiskFile> {
    let file = disk.open(path, Open::CreateNew).unwrap();
    file.write_all_at(&[IoSlice::new(bytes)], 0).unwrap();
    file
}

#[test]
fn what_was_synced_survives_and_the_rest_may_not() {
    let (mut lost, mut kept) = (0, 0);
    for seed in 0..50 {
        let disk = SimDisk::new(seed);
        write(&disk, "a", b"synced").sync().unwrap();
        disk.sync_dir("").unwrap();
        let file = write(&disk, "b", b"not");
        disk.crash();
        assert_eq!(disk.contents("a").unwrap(), b"synced");
        match disk.contents("b") {
            Some(bytes) if bytes == b"not" => kept += 1,
            _ => lost += 1,
        }
        assert!(file.sync().is_err(), "a handle from before the cut");
    }
    assert!(lost > 0 && kept > 0);
}

#[test]
fn a_failed_sync_leaves_pages_that_look_clean() {
    let disk = SimDisk::new(1);
    let file = write(&disk, "a", b"12");
    disk.sync_dir("").unwrap();
    file.sync().unwrap();
    file.write_all_at(&[IoSlice::new(b"34")], 0).unwrap();
    disk.fail_sync(1);
    assert!(file.sync().is_err());
    assert!(file.sync().is_ok());
    assert_eq!(disk.contents("a").unwrap(), b"34");
    disk.crash();
    assert_eq!(disk.contents("a").unwrap(), b"12");
}

#[test]
fn the_power_goes_at_the_operation_that_was_asked_for() {
    let disk = SimDisk::new(2);
    disk.cut_power_at(2);
    let file = disk.open("a", Open::CreateNew).unwrap();
    assert!(file.write_all_at(&[IoSlice::new(b"x")], 0).is_err());
    assert!(disk.sync_dir("").is_err());
    disk.crash();
    assert!(disk.sync_dir("").is_ok());
}
