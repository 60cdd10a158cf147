//! The state log: what it says after damage, and after its end.

#![allow(clippy::unwrap_used)] // a panic is a failed test

mod rig;

use netchan_store::StoreError;
use netchan_store::disk::{Disk, SimDisk};
use rig::*;

/// NC-DSK-044, NC-DSK-070: damage takes the changes that it hit, and none before or after them.
#[test]
fn a_damaged_change_is_left_out_and_those_on_both_sides_of_it_hold() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    for n in 0..9_u8 {
        store.state().put(&[b'k', n], &[n]).unwrap();
    }
    store.state().put(b"last", b"before").unwrap();
    store.state().put(b"last", b"after").unwrap();
    store.close();
    let path = format!("state/{:020}.log", 0);
    let good = disk.contents(&path).unwrap();
    let places: Vec<usize> =
        (4096..good.len()).step_by(8).filter(|at| good[*at..].starts_with(b"NCB1")).collect();
    assert_eq!(places.len(), 11);
    for (batch, in_header) in [(0, true), (4, true), (4, false), (8, false)] {
        let disk = disk.fork(batch as u64);
        let mut bad = good.clone();
        bad[places[batch] + if in_header { 20 } else { 70 }] ^= 1;
        disk.overwrite(&path, bad.clone());
        for look in 0..2 {
            let store = open(&disk);
            for n in 0..9_u8 {
                let expected = (usize::from(n) != batch).then_some(vec![n]);
                let value = store.state().get(&[b'k', n]).map(|value| value.to_vec());
                assert_eq!(value, expected, "batch {batch}, key {n}, look {look}");
            }
            assert_eq!(store.state().get(b"last").unwrap(), &b"after"[..]);
            assert_eq!(store.state().scan(b"k").len(), 8);
            store.close();
        }
        assert_eq!(disk.contents(&path).unwrap()[..bad.len()], bad, "opening has changed it");
        // Repaired, it says the same.
        netchan_store::repair(&disk, &[], false, |_| (), |_| ()).unwrap();
        let store = open(&disk);
        assert_eq!(store.state().scan(b"k").len(), 8);
        assert_eq!(store.state().get(b"last").unwrap(), &b"after"[..]);
    }
}

#[test]
fn a_store_that_is_closed_takes_no_change_and_no_channel() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    store.create_or_open(&name("a"), &small(netchan_proto::Durability::Sync)).unwrap();
    store.state().put(b"key", b"value").unwrap();
    store.close();
    store.close();
    let files =
        |disk: &SimDisk| (disk.list("channels").unwrap(), disk.contents(&format!("state/{:020}.log", 0)));
    let before = files(&disk);
    assert!(matches!(store.state().put(b"key", b"other"), Err(StoreError::Closed)));
    assert!(matches!(store.state().remove(b"key"), Err(StoreError::Closed)));
    for channel in ["a", "b"] {
        let opened = store.create_or_open(&name(channel), &small(netchan_proto::Durability::Sync));
        assert!(matches!(opened, Err(StoreError::Closed)), "{opened:?}");
    }
    assert!(matches!(store.open_existing(&name("a")), Err(StoreError::Closed)));
    assert!(matches!(store.delete(&name("a")), Err(StoreError::Closed)));
    assert!(matches!(store.delete(&name("b")), Err(StoreError::NoChannel { .. })));
    assert_eq!(files(&disk), before);
    let store = open(&disk);
    assert_eq!(store.state().get(b"key").unwrap(), &b"value"[..]);
    assert!(store.contains(&name("a")) && !store.contains(&name("b")));
}

/// What is set again and again is written over, but not each time: as little is written as was set, and a little more.
#[test]
fn the_state_log_is_compacted_when_most_of_it_is_stale_and_not_before() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let state = store.state();
    let value = vec![7; 10_000];
    for n in 0..300_u32 {
        state.put(&n.to_le_bytes(), &value).unwrap();
    }
    // Three megabytes that count.
    let before = disk.operations();
    for n in 0..50_u32 {
        state.put(&n.to_le_bytes(), &value).unwrap();
    }
    let operations = disk.operations() - before;
    assert!(operations < 50 * 6, "{operations}");
    assert!(disk.used() < 8 << 20, "{}", disk.used());
    // Most of it goes: what is left is written once, soon.
    for n in 0..300_u32 {
        state.remove(&n.to_le_bytes()).unwrap();
    }
    for n in 0..400_u32 {
        state.put(b"one", &n.to_le_bytes()).unwrap();
    }
    assert!(disk.used() < 1 << 20, "{}", disk.used());
    for n in 0..2000_u32 {
        state.put(b"one", &[&value[..1000], &n.to_le_bytes()].concat()).unwrap();
        assert!(disk.used() < 5 << 20, "{}", disk.used());
    }
    store.close();
    let store = open(&disk);
    assert_eq!(store.state().scan(b"").len(), 1);
    assert!(store.state().get(b"one").unwrap().ends_with(&1999_u32.to_le_bytes()));
}

/// Long keys are not counted for more than they are.
#[test]
fn the_state_log_is_not_compacted_while_all_of_it_counts() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    for n in 0..6000_u32 {
        let key = [&[b'k'; 100][..], &n.to_le_bytes()].concat();
        store.state().put(&key, &[7; 100]).unwrap();
    }
    assert!(disk.used() > 1 << 20, "{}", disk.used());
    assert_eq!(disk.list("state").unwrap().iter().filter(|name| name.ends_with(".log")).count(), 1);
    assert!(disk.contents(&format!("state/{:020}.log", 0)).is_some());
}
