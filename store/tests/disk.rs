//! The simulated disk loses what it says it loses, and nothing else.

#![allow(clippy::unwrap_used)] // a panic is a failed test

use std::collections::BTreeSet;
use std::io::{ErrorKind, IoSlice};
use std::sync::Arc;

use netchan_store::disk::{Disk, DiskFile, Fault, Open, SimDisk};

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

#[test]
fn a_failed_writeback_is_told_once_to_each_handle_that_was_open_and_to_a_later_one_only_if_nobody_heard() {
    let disk = SimDisk::new(1);
    let writer = write(&disk, "a", b"12");
    writer.sync().unwrap();
    disk.sync_dir("").unwrap();
    let other = disk.open("a", Open::Write).unwrap();
    writer.write_all_at(&[IoSlice::new(b"34")], 0).unwrap();
    disk.lose_writeback();
    // Nobody was told yet: who opens now will be.
    let late = disk.open("a", Open::Write).unwrap();
    for handle in [&writer, &other, &late] {
        assert!(handle.sync().is_err());
        assert!(handle.sync().is_ok(), "told once");
    }
    let later = disk.open("a", Open::Write).unwrap();
    assert!(later.sync().is_ok(), "told to others before it was opened");
    assert_eq!(disk.contents("a").unwrap(), b"34", "until the power goes");
    disk.crash();
    assert_eq!(disk.contents("a").unwrap(), b"12");
}

#[test]
fn a_full_disk_takes_what_fits_and_says_so() {
    let disk = SimDisk::new(1);
    disk.set_capacity(5);
    let file = disk.open("a", Open::CreateNew).unwrap();
    let error = file.write_all_at(&[IoSlice::new(b"123"), IoSlice::new(b"456")], 0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    assert_eq!(disk.contents("a").unwrap(), b"12345");
    file.write_all_at(&[IoSlice::new(b"xyz")], 2).unwrap(); // in its place
    assert_eq!(file.allocate(9).unwrap_err().kind(), ErrorKind::StorageFull);
    disk.set_capacity(9);
    file.allocate(9).unwrap();
    assert_eq!(disk.contents("a").unwrap(), b"12xyz\0\0\0\0");
}

#[test]
fn nothing_changes_on_a_read_only_disk_and_what_was_not_written_back_is_lost() {
    let disk = SimDisk::new(1);
    let file = write(&disk, "a", b"12");
    disk.sync_dir("").unwrap();
    file.sync().unwrap();
    disk.set_read_only(true);
    file.sync().unwrap();
    let is_refused = |done: std::io::Result<()>| {
        assert_eq!(done.unwrap_err().kind(), ErrorKind::ReadOnlyFilesystem);
    };
    is_refused(file.write_all_at(&[IoSlice::new(b"34")], 0));
    is_refused(file.allocate(100));
    is_refused(file.set_len(0));
    is_refused(disk.open("a", Open::Write).map(drop));
    is_refused(disk.open("b", Open::CreateNew).map(drop));
    is_refused(disk.create_dir("c"));
    is_refused(disk.rename("a", "b"));
    is_refused(disk.remove_file("a"));
    is_refused(disk.try_lock("LOCK").map(drop));
    assert_eq!(disk.list("").unwrap(), ["a"]);
    disk.set_read_only(false);
    file.write_all_at(&[IoSlice::new(b"34")], 0).unwrap();
    disk.set_read_only(true);
    is_refused(file.sync());
    disk.set_read_only(false);
    file.sync().unwrap();
    disk.crash();
    assert_eq!(disk.contents("a").unwrap(), b"12");
}

#[test]
fn the_operation_that_is_to_fail_fails_and_no_other() {
    for (fault, kind) in [(Fault::Io, None), (Fault::NoSpace, Some(ErrorKind::StorageFull))] {
        let disk = SimDisk::new(1);
        let file = write(&disk, "a", b"1234");
        file.sync().unwrap();
        let is_failed = |done: std::io::Result<()>| {
            let error = done.unwrap_err();
            assert!(kind.is_none_or(|kind| error.kind() == kind), "{error}");
            assert!(!disk.is_to_fail());
        };
        disk.fail_at(1, fault);
        is_failed(file.write_all_at(&[IoSlice::new(b"abcd")], 0));
        assert_eq!(disk.contents("a").unwrap(), b"ab34", "half of it is written");
        disk.fail_at(2, fault);
        file.set_len(2).unwrap();
        is_failed(disk.rename("a", "b"));
        assert!(disk.contents("a").is_some() && disk.contents("b").is_none());
        disk.fail_at(1, fault);
        is_failed(disk.sync_dir(""));
        disk.fail_at(1, fault);
        is_failed(file.sync());
        file.sync().unwrap();
        disk.sync_dir("").unwrap();
        disk.crash();
        let left = disk.contents("a").unwrap();
        assert!(left.starts_with(b"12") && !left.starts_with(b"ab"), "{left:?}");
    }
}

/// Each of three sectors and of three entries of a directory survives by itself, and so does the file's length.
#[test]
fn any_subset_of_sectors_and_of_entries_survives_a_cut() {
    let (mut sectors, mut entries, mut lengths) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for seed in 0..400 {
        let disk = SimDisk::new(seed);
        let file = write(&disk, "a", &[1; 1536]);
        file.sync().unwrap();
        disk.sync_dir("").unwrap();
        file.write_all_at(&[IoSlice::new(&[2; 1536])], 0).unwrap();
        file.set_len(4096).unwrap();
        disk.rename("a", "b").unwrap();
        write(&disk, "c", b"");
        disk.create_dir("d").unwrap();
        disk.crash();
        let mut names = disk.list("").unwrap();
        names.sort();
        let path = if names.contains(&"b".to_owned()) { "b" } else { "a" };
        let bytes = disk.contents(path).unwrap();
        sectors.insert([bytes[0], bytes[512], bytes[1024]]);
        assert!(bytes[..1536].chunks(512).all(|sector| sector.iter().all(|byte| *byte == sector[0])));
        lengths.insert(bytes.len());
        entries.insert(names.join(""));
    }
    assert_eq!((sectors.len(), entries.len()), (8, 8), "{entries:?}");
    assert!(lengths.contains(&1536) && lengths.contains(&4096) && lengths.len() > 4, "{lengths:?}");
}

#[test]
fn a_kill_loses_nothing_and_of_all_that_is_lost_nothing_survives_that_was_not_synced() {
    let disk = SimDisk::new(7);
    for seed in 0..10 {
        let disk = SimDisk::new(seed);
        write(&disk, "a", b"its entry was not synced").sync().unwrap();
        disk.lose_all();
        assert_eq!(disk.contents("a"), None);
    }
    let synced = write(&disk, "a", b"synced");
    synced.sync().unwrap();
    disk.sync_dir("").unwrap();
    synced.write_all_at(&[IoSlice::new(b"SYNCED and more")], 0).unwrap();
    write(&disk, "b", b"not");
    let killed = disk.fork(1);
    killed.kill();
    assert_eq!(killed.contents("a").unwrap(), b"SYNCED and more");
    assert_eq!(killed.contents("b").unwrap(), b"not");
    disk.lose_all();
    assert_eq!((disk.contents("a"), disk.contents("b")), (Some(b"synced".to_vec()), None));
    // What was killed where the power was to go has its power still.
    killed.cut_power_at(1);
    assert!(killed.is_on() && killed.sync_dir("").is_err() && !killed.is_on());
    assert!(killed.open("a", Open::Read).is_err());
    killed.kill();
    assert!(killed.is_on() && killed.sync_dir("").is_ok());
    assert_eq!(killed.contents("b").unwrap(), b"not");
    assert!(!format!("{killed:?}").is_empty());
}

#[test]
fn what_is_read_is_counted_and_is_as_much_as_there_is_room_for() {
    let disk = SimDisk::new(8);
    let file = write(&disk, "a", b"0123456789");
    let mut into = Vec::with_capacity(4);
    into.extend_from_slice(b"x");
    let room = into.capacity() - 1;
    assert_eq!(file.read_at(&mut into, 2).unwrap(), room.min(8));
    assert_eq!(into[1..], b"23456789"[..room.min(8)]);
    assert_eq!(file.read_at(&mut into, 2).unwrap(), 0, "it is full");
    let mut rest = Vec::with_capacity(100);
    assert_eq!((file.read_at(&mut rest, 5).unwrap(), &rest[..]), (5, &b"56789"[..]));
    assert_eq!(file.read_at(&mut rest, 10).unwrap(), 0);
    assert_eq!(disk.bytes_read(), room.min(8) as u64 + 5);
}

#[test]
fn a_directory_that_has_nothing_to_sync_is_synced_on_a_read_only_disk_too() {
    let disk = SimDisk::new(9);
    write(&disk, "a", b"x").sync().unwrap();
    disk.set_read_only(true);
    assert!(disk.sync_dir("").is_err());
    disk.set_read_only(false);
    disk.sync_dir("").unwrap();
    disk.set_read_only(true);
    disk.sync_dir("").unwrap();
    disk.set_read_only(false);
    disk.fail_at(1, Fault::Io);
    assert!(disk.sync_dir("").is_err(), "another error is told");
}

#[test]
fn of_every_other_stretch_of_a_file_comes_a_piece_without_waiting_and_of_the_rest_nothing() {
    let disk = SimDisk::new(3);
    let bytes: Vec<u8> = (0..20_u32 << 10).map(|n| (n / 7 % 251) as u8).collect();
    let file = write(&disk, "a", &bytes);
    let mut into = [0; 1000];
    // Stretches are of 6 KiB, pieces of 700 bytes.
    for (at, len) in [(0, 700), (5000, 700), (6144 - 10, 10), (6143, 1), (12_288, 700), (18_432 - 300, 300)] {
        let before = disk.bytes_read();
        assert_eq!(file.read_at_now(&mut into, at as u64).unwrap(), len, "at {at}");
        assert_eq!(into[..len], bytes[at..at + len]);
        assert_eq!(disk.bytes_read() - before, len as u64);
    }
    for at in [6144, 12_287, 18_432] {
        assert_eq!(file.read_at_now(&mut into, at).unwrap_err().kind(), ErrorKind::WouldBlock, "at {at}");
    }
}
