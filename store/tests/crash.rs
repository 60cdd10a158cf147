//! What a log promises when the power goes, the disk fails, or bits rot.

#![allow(clippy::unwrap_used)] // a panic is a failed test

#[path = "crash/found.rs"]
mod found;
mod rig;

use std::sync::Arc;

use netchan_proto::batch::{Batch, BatchBuilder, BatchHeader, Stamp};
use netchan_proto::{AsRecord, Durability, Epoch, Offset, Position, ProducerId, Start, Timestamp};
use netchan_store::disk::{Disk, Fault, SimDisk};
use netchan_store::{
    AppendError, Log, LogError, LogOptions, Mark, Retention, Store, StoreError, TruncatedAt, Verified,
    repair, verify,
};
use rig::*;

/// A published batch: base offset is the sequence, the seed is the producer.
fn published(producer: ProducerId, sequence: u64, texts: &[String]) -> Batch {
    let mut builder = BatchBuilder::new(Offset(sequence), None);
    for (index, text) in texts.iter().enumerate() {
        builder.push(Timestamp(index as i64), &text.as_record());
    }
    let stamp = Stamp { seed: &producer.0, epoch: Epoch(0), durable_offset: Offset(0), previous_crc: 0 };
    Batch::verify(builder.finish(stamp).1, &producer.0).unwrap()
}

fn numbered(range: std::ops::Range<u64>) -> Vec<String> {
    range.map(|n| format!("{n} {}", "x".repeat(usize::try_from(n * 37 % 300).unwrap()))).collect()
}

/// Does many things to a store until the power goes, and says what was acknowledged as durable of each channel.
fn workload(disk: &SimDisk, durability: Durability) -> (Vec<String>, Vec<(String, Offset)>) {
    let mut acked = Vec::new();
    let mut state = Vec::new();
    let mut run = || -> Option<()> {
        let store = try_open(disk).ok()?;
        let log = store.create_or_open(&name("a"), &small(durability)).ok()?;
        let texts = numbered(0..140);
        for (n, text) in texts.iter().enumerate() {
            log.append(&text.as_record()).ok()?;
            if n % 5 == 4 {
                commit(&store);
            }
            if n % 20 == 19 && durability != Durability::Sync {
                log.sync().ok()?;
            }
            acked.push(log.durable());
            if n == 30 || n == 90 {
                store.state().put(b"key", n.to_string().as_bytes()).ok()?;
                state.push((n.to_string(), log.durable()));
            }
            if n == 70 {
                store.create_or_open(&name("b"), &small(durability)).ok()?;
                store.delete(&name("b")).ok()?;
            }
        }
        log.sync().ok()?;
        acked.push(log.durable());
        store.close();
        Some(())
    };
    run();
    let durable = acked.last().copied().unwrap_or_default();
    (numbered(0..durable.0), state)
}

// NC-DSK-030, NC-DSK-040, NC-DSK-041
#[test]
fn a_power_cut_at_any_operation_loses_nothing_durable_and_serves_nothing_wrong() {
    for durability in [Durability::Sync, Durability::Os] {
        let whole = SimDisk::new(0);
        workload(&whole, durability);
        let operations = whole.operations();
        assert!(operations > 60, "{operations}");
        for cut in 1..=operations {
            let disk = SimDisk::new(cut);
            disk.cut_power_at(cut);
            let (durable, state) = workload(&disk, durability);
            disk.crash();
            // Recovery is cut short too, at each of its first operations in turn.
            disk.cut_power_at(1 + cut % 9);
            let _ = try_open(&disk).map(|store| store.open_existing(&name("a")).map(drop));
            disk.crash();
            let store = open(&disk);
            if let Some((value, _)) = state.last() {
                let found: u64 =
                    std::str::from_utf8(&store.state().get(b"key").unwrap()).unwrap().parse().unwrap();
                assert!(found >= value.parse().unwrap(), "cut at {cut}");
            }
            assert!(!store.contains(&name("b")) || durable.len() < 80, "cut at {cut}: deleted and back");
            let Some(log) = store.open_existing(&name("a")).unwrap() else {
                assert!(durable.is_empty(), "cut at {cut}: the channel is gone");
                continue;
            };
            let found = texts(&log);
            assert!(found.len() >= durable.len(), "cut at {cut}: {} of {}", found.len(), durable.len());
            assert_eq!(found, numbered(0..found.len() as u64), "cut at {cut}");
            // What was read once stays, though the power goes again.
            disk.crash();
            let store = open(&disk);
            let log = store.open_existing(&name("a")).unwrap().unwrap();
            assert_eq!(texts(&log), found, "cut at {cut}");
            assert_eq!(append(&log, "goes on"), Offset(found.len() as u64));
            assert!(log.sync().is_ok());
        }
    }
}

// NC-DSK-036, NC-DSK-045
#[test]
fn a_failed_sync_poisons_the_log_and_acknowledges_nothing() {
    let disk = SimDisk::new(3);
    let store = open(&disk);
    let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    append(&log, "durable");
    commit(&store);
    let seen = log.seen();
    append(&log, "not");
    disk.fail_sync(1);
    commit(&store);
    assert_eq!((log.durable(), log.visible()), (Offset(1), Offset(1)));
    assert!(with_cx(|cx| log.poll_changed(seen, cx)).is_ready());
    assert!(matches!(log.append(&"x".as_record()), Err(AppendError::Poisoned { .. })));
    assert!(matches!(log.sync(), Err(LogError::Poisoned { .. })));
    assert!(matches!(
        with_cx(|cx| log.poll_reached(Mark::Durable, Offset(2), cx)),
        std::task::Poll::Ready(Err(LogError::Poisoned { .. }))
    ));
    assert_eq!(texts(&log), ["durable"], "what was durable is still read");
    // Opened anew, what the system believed to be clean is written again: what is read now stays.
    let again = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    let trimming = log.set_retention(Retention { max_bytes: Some(1), ..Retention::default() });
    assert!(matches!(trimming, Err(StoreError::Closed)), "the files are the new opening's");
    let found = texts(&again);
    drop(store);
    disk.crash();
    let store = open(&disk);
    assert_eq!(texts(&store.open_existing(&name("a")).unwrap().unwrap()), found);
}

#[test]
fn a_failed_write_poisons_the_log_and_reopening_goes_on_without_a_gap() {
    let disk = SimDisk::new(3);
    let store = open(&disk);
    let log = store.create_or_open(&name("a"), &small(Durability::Os)).unwrap();
    for text in numbered(0..10) {
        append(&log, &text);
    }
    commit(&store);
    for text in numbered(10..20) {
        append(&log, &text);
    }
    disk.fail_write(1);
    commit(&store);
    assert!(log.poisoned().is_some());
    assert_eq!(texts(&log), numbered(0..10));
    let log = store.create_or_open(&name("a"), &small(Durability::Os)).unwrap();
    assert_eq!(texts(&log), numbered(0..10));
    assert_eq!(append(&log, "x"), Offset(10));
}

#[test]
fn a_nearly_full_volume_refuses_appends_and_takes_them_again() {
    let disk = SimDisk::new(3);
    disk.set_capacity(400 << 10);
    let clock = HandClock::default();
    let options = netchan_store::StoreOptions { min_free_percent: 5, ..options(&clock) };
    let store = Store::open(Arc::new(disk.clone()) as Arc<dyn Disk>, options).unwrap();
    let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    let mut taken = 0;
    let refused = loop {
        match log.append(&"x".repeat(500).as_record()) {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
        commit(&store);
        assert!(taken < 2000);
    };
    assert!(matches!(refused, AppendError::NoSpace { min_free_percent: 5 }), "{refused}");
    assert_eq!(log.durable(), Offset(taken), "what was taken is kept");
    disk.set_capacity(800 << 10);
    assert_eq!(append(&log, "again"), Offset(taken));
    assert!(log.sync().is_ok());
}

#[test]
fn on_a_full_disk_the_log_stalls_and_goes_on_by_itself_once_there_is_room() {
    let disk = SimDisk::new(3);
    let store = open(&disk);
    let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    append(&log, "x");
    commit(&store);
    disk.set_capacity(0);
    let large = "y".repeat(100_000);
    log.append(&large.as_record()).unwrap();
    commit(&store);
    assert_eq!((log.poisoned(), log.durable(), texts(&log)), (None, Offset(1), vec!["x".to_owned()]));
    assert!(matches!(log.append(&"z".as_record()), Err(AppendError::Stalled { .. })));
    assert!(matches!(log.sync(), Err(LogError::Stalled { .. })));
    assert!(matches!(log.seal(), Err(LogError::Stalled { .. })));
    disk.set_capacity(u64::MAX);
    commit(&store);
    assert_eq!((log.durable(), log.epoch()), (Offset(2), netchan_proto::Epoch(1)));
    assert_eq!(log.seal().unwrap(), Offset(2));
    store.close();
    let log = open(&disk).open_existing(&name("a")).unwrap().unwrap();
    assert_eq!(texts(&log), ["x".to_owned(), large]);
}

// A segment is made in four operations; the room ends in each of them, and the power goes a while later.
#[test]
fn a_disk_that_gets_full_at_a_roll_loses_nothing_durable_whatever_happens_next() {
    let mut lost = 0;
    for room in 0..40 {
        for cut in [None, Some(1), Some(2), Some(3), Some(5), Some(8)] {
            let disk = SimDisk::new(room);
            let store = open(&disk);
            let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
            let mut sent = Vec::new();
            let send = |log: &Log, sent: &mut Vec<String>| {
                let text = format!("{} {}", sent.len(), "x".repeat(1500));
                let taken = log.append(&text.as_record());
                commit(&store);
                if taken.is_ok() {
                    sent.push(text);
                }
            };
            (0..3).for_each(|_| send(&log, &mut sent));
            disk.set_capacity(disk.used() + room * 250);
            (0..10).for_each(|_| send(&log, &mut sent));
            assert_eq!(log.poisoned(), None);
            disk.set_capacity(u64::MAX);
            if let Some(cut) = cut {
                disk.cut_power_at(cut);
            }
            (0..4).for_each(|_| send(&log, &mut sent));
            let durable = log.durable();
            disk.crash();
            drop((store, log));
            let log = open(&disk).open_existing(&name("a")).unwrap().unwrap();
            let found = texts(&log);
            assert!(found.len() as u64 >= durable.0, "room {room} cut {cut:?}");
            assert_eq!(found, sent[..found.len()], "room {room} cut {cut:?}");
            assert!(cut.is_some() || found.len() == sent.len(), "room {room}");
            lost += sent.len() - found.len();
        }
    }
    assert!(lost > 0, "no cut came in time");
}

/// A log with several durable groups in its only segment.
fn some_groups(disk: &SimDisk) -> (Store, Log, Vec<String>) {
    let store = open(disk);
    let options = netchan_store::LogOptions::default();
    let log = store.create_or_open(&name("a"), &options).unwrap();
    let texts = numbered(0..40);
    for group in texts.chunks(10) {
        for text in group {
            append(&log, text);
        }
        commit(&store);
    }
    (store, log, texts)
}

// NC-DSK-041, NC-DSK-042
#[test]
fn a_torn_tail_is_cut_and_kept_aside() {
    let disk = SimDisk::new(4);
    let (store, log, texts_sent) = some_groups(&disk);
    let path = segment(&log, 0);
    drop((store, log));
    disk.crash();
    // The last group was half written when the power went.
    let mut bytes = disk.contents(&path).unwrap();
    let end = bytes.iter().rposition(|&byte| byte != 0).unwrap();
    bytes.truncate(end - 200);
    let torn = bytes.clone();
    disk.overwrite(&path, bytes);
    let store = open(&disk);
    let log = store.open_existing(&name("a")).unwrap().unwrap();
    assert_eq!(texts(&log), texts_sent[..30]);
    let dir = path.rsplit_once('/').unwrap().0;
    let aside: Vec<String> =
        disk.list(dir).unwrap().into_iter().filter(|name| name.ends_with(".bad")).collect();
    assert_eq!(aside.len(), 1);
    let kept = disk.contents(&format!("{dir}/{}", aside[0])).unwrap();
    assert!(torn.ends_with(&kept) && !kept.is_empty());
    drop((store, log));
    disk.crash();
    assert_eq!(disk.contents(&format!("{dir}/{}", aside[0])), Some(kept));
    let store = open(&disk);
    let log = store.open_existing(&name("a")).unwrap().unwrap();
    assert_eq!(append(&log, "goes on"), Offset(30));
    log.sync().unwrap();
    store.close();
    assert_eq!(texts(&open(&disk).open_existing(&name("a")).unwrap().unwrap()).len(), 31);
}

// NC-DSK-047
#[test]
fn on_a_full_disk_a_log_with_a_torn_tail_is_read_and_goes_on_once_there_is_room() {
    for durability in [Durability::Sync, Durability::Os] {
        let disk = SimDisk::new(14);
        let (store, log, texts_sent) = some_groups(&disk);
        let path = segment(&log, 0);
        let dir = path.rsplit_once('/').unwrap().0;
        drop((store, log));
        disk.crash();
        let mut bytes = disk.contents(&path).unwrap();
        let end = bytes.iter().rposition(|&byte| byte != 0).unwrap();
        bytes.truncate(end - 200);
        disk.overwrite(&path, bytes.clone());
        let store = open(&disk); // the directory's own files have room
        disk.set_capacity(disk.used());
        let kept = small(durability);
        let opened = match durability {
            Durability::Sync => store.open_existing(&name("a")).map(Option::unwrap),
            _ => {
                disk.set_capacity(disk.used() + 200); // for the meta with the other mode, and not for the tail
                store.create_or_open(&name("a"), &kept)
            }
        };
        let log = opened.unwrap();
        let is_there = |suffix: &str| disk.list(dir).unwrap().iter().any(|name| name.ends_with(suffix));
        assert_eq!(texts(&log), texts_sent[..30], "what is durable is read");
        assert_eq!((log.durable(), log.info().next), (Offset(30), Offset(30)));
        assert_eq!(store.list(None, "", 10).len(), 1);
        assert!(matches!(log.append(&"x".as_record()), Err(AppendError::Stalled { .. })));
        assert!(matches!(log.seal(), Err(LogError::Stalled { .. })) && log.sealed_at().is_none());
        // However often it is tried, rested and closed: not a byte of the tail is lost, and no half copy left.
        for _ in 0..5 {
            commit(&store);
            assert!(disk.contents(&path).unwrap().starts_with(&bytes) && !is_there(".bad"));
        }
        store.close();
        assert!(disk.contents(&path).unwrap().starts_with(&bytes) && !is_there(".bad"));
        drop((store, log));

        let store = open(&disk);
        let log = store.open_existing(&name("a")).unwrap().unwrap();
        assert!(matches!(log.append(&"x".as_record()), Err(AppendError::Stalled { .. })));
        disk.set_capacity(u64::MAX);
        commit(&store);
        assert!(is_there(".bad"), "set aside as soon as there is room");
        assert_eq!(append(&log, "goes on"), Offset(30));
        commit(&store);
        assert_eq!(log.durable(), Offset(31));
        disk.crash();
        drop((store, log));
        let log = open(&disk).open_existing(&name("a")).unwrap().unwrap();
        assert_eq!((texts(&log).len(), log.visible()), (31, Offset(31)));
    }
}

// NC-DSK-043, NC-DSK-044
#[test]
fn any_flipped_bit_below_the_durable_mark_is_told_and_cuts_nothing() {
    let disk = SimDisk::new(5);
    let (store, log, sent) = some_groups(&disk);
    let path = segment(&log, 0);
    store.close();
    let good = disk.contents(&path).unwrap();
    for at in (0..good.len()).step_by(61) {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        disk.overwrite(&path, bad.clone());
        let store = open(&disk);
        let log = store.open_existing(&name("a")).unwrap().unwrap();
        assert_eq!(log.durable(), Offset(40), "flip at {at}");
        let (records, holes) = read_from(&log, Offset(0), 1 << 20);
        for record in &records {
            assert_eq!(record.payload, sent[usize::try_from(record.offset.0).unwrap()], "flip at {at}");
        }
        let lost: u64 = holes.iter().map(|(from, to)| to.0 - from.0).sum();
        assert_eq!(records.len() as u64 + lost, 40, "flip at {at}: {holes:?}");
        assert!(lost <= 10, "flip at {at}: {holes:?}");
        assert_eq!(
            disk.contents(&path).unwrap()[..good.len()],
            bad[..],
            "flip at {at}: the file is as it was"
        );
        assert_eq!(append(&log, "goes on"), Offset(40));
        log.sync().unwrap();
        let (records, _) = read_from(&log, Offset(40), 1 << 20);
        assert_eq!(records[0].payload, "goes on", "flip at {at}");
        disk.crash(); // leave the state's mark as it was
        for name in disk.list(path.rsplit_once('/').unwrap().0).unwrap() {
            let other = format!("{}/{name}", path.rsplit_once('/').unwrap().0);
            if name != "meta" && other != path {
                disk.remove_file(&other).unwrap();
            }
        }
        disk.sync_dir(path.rsplit_once('/').unwrap().0).unwrap();
    }
}

// NC-DSK-031
#[test]
fn a_batch_of_another_history_of_the_same_log_is_not_taken() {
    let history = |second: &str| {
        let disk = SimDisk::new(5);
        let store = open(&disk);
        let log = store.create_or_open(&name("a"), &netchan_store::LogOptions::default()).unwrap();
        let mut ends = Vec::new();
        for text in ["first", second, "third"] {
            append(&log, text);
            commit(&store);
            ends.push(disk.contents(&segment(&log, 0)).unwrap().iter().rposition(|&byte| byte != 0).unwrap());
        }
        drop(store);
        disk.crash();
        let bytes = disk.contents(&segment(&log, 0)).unwrap();
        (disk, segment(&log, 0), bytes, ends)
    };
    let (disk, path, mut bytes, ends) = history("this");
    let (_, other_path, other, other_ends) = history("that");
    assert_eq!((&path, &ends), (&other_path, &other_ends), "the same log, until its second record");
    let third = (ends[1] + 1).next_multiple_of(8);
    bytes[third..].copy_from_slice(&other[third..]);
    disk.overwrite(&path, bytes);
    let log = open(&disk).open_existing(&name("a")).unwrap().unwrap();
    assert_eq!(texts(&log), ["first", "this"]);
}

// NC-DSK-042
#[test]
fn without_a_clean_close_later_batches_vouch_for_what_was_durable() {
    let disk = SimDisk::new(5);
    let (store, log, sent) = some_groups(&disk);
    let path = segment(&log, 0);
    drop((store, log));
    disk.crash();
    let good = disk.contents(&path).unwrap();
    let end = good.iter().rposition(|&byte| byte != 0).unwrap();
    for at in (4096..end).step_by(89) {
        let mut bad = good.clone();
        bad[at] ^= 4;
        disk.overwrite(&path, bad.clone());
        let log = open(&disk).open_existing(&name("a")).unwrap().unwrap();
        let (records, holes) = read_from(&log, Offset(0), 1 << 20);
        for record in &records {
            assert_eq!(record.payload, sent[usize::try_from(record.offset.0).unwrap()], "flip at {at}");
        }
        if log.visible() == Offset(40) {
            assert_eq!(disk.contents(&path).unwrap(), bad, "flip at {at}");
            assert!(holes.len() <= 1 && records.len() >= 30, "flip at {at}");
        } else {
            // Only of the last group nobody can say that it was durable.
            assert_eq!((log.visible(), records.len()), (Offset(30), 30), "flip at {at}");
        }
        drop(log);
        disk.crash();
    }
}

// NC-DSK-044
#[test]
fn damage_in_a_closed_segment_is_told_with_its_range() {
    let disk = SimDisk::new(5);
    let store = open(&disk);
    let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    let sent = numbered(0..200);
    for text in &sent {
        append(&log, text);
        commit(&store);
    }
    let path = segment(&log, 0);
    store.close();
    let good = disk.contents(&path).unwrap();
    let cuts = [0, 100, 4096, 5000, good.len() - 1];
    let cases = (0..good.len()).step_by(97).map(|at| {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        bad
    });
    for bad in cases.chain(cuts.map(|len| good[..len].to_vec())) {
        disk.overwrite(&path, bad);
        let store = open(&disk);
        let log = store.open_existing(&name("a")).unwrap().unwrap();
        for max in [100, 1 << 20] {
            let mut bodies = 0;
            let (mut at, mut holes) = (Offset(0), Vec::new());
            while at < log.visible() {
                match log.read(at, max) {
                    Ok(run) => {
                        assert!(run.first <= at && run.next > at);
                        bodies += run.bytes.len();
                        at = run.next;
                    }
                    Err(LogError::Damaged { from, to, .. }) => {
                        assert!(from == at && to > at);
                        holes.push((from, to));
                        at = to;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            assert!(bodies > 0 && at == Offset(200));
            for (from, to) in holes {
                assert!(to.0 - from.0 < 40, "{from} to {to}");
            }
        }
        store.close();
    }
}

#[test]
fn damaged_meta_is_made_again_and_removes_nothing() {
    let disk = SimDisk::new(5);
    let (store, log, sent) = some_groups(&disk);
    let meta = format!("channels/{}/meta", log.id());
    let id = log.id();
    store.close();
    for bad in [vec![], vec![0; 80], b"NCMETA01 and then rubbish".to_vec()] {
        disk.overwrite(&meta, bad);
        let store = open(&disk);
        let log = store.open_existing(&name("a")).unwrap().unwrap();
        assert_eq!((log.id(), texts(&log)), (id, sent.clone()));
        store.close();
    }
}

// NC-DSK-050, NC-DSK-051
#[test]
fn each_opening_that_appends_has_an_epoch_and_positions_beyond_its_end_are_truncated() {
    let disk = SimDisk::new(6);
    let mut position = None;
    let mut lost = false;
    for seed in 0..20u32 {
        let store = open(&disk);
        let log = store.create_or_open(&name("a"), &small(Durability::Os)).unwrap();
        if let Some(Position { epoch, offset, .. }) = position {
            let end = log.visible();
            let resolved = log.resolve(&Start::Resume(position.unwrap())).unwrap();
            if offset > end {
                lost = true;
                assert_eq!(resolved.truncated, Some(TruncatedAt { epoch, end }));
                assert_eq!(resolved.start, end);
            } else {
                assert_eq!((resolved.start, resolved.truncated), (offset, None));
            }
            // The same after other records have taken the place of the lost ones.
            for n in 0..30 {
                append(&log, &n.to_string());
            }
            commit(&store);
            let later = log.resolve(&Start::Resume(position.unwrap())).unwrap();
            assert_eq!((later.start, later.truncated), (resolved.start, resolved.truncated));
            assert_eq!(log.epoch_end(epoch), Some(end));
        }
        append(&log, "first");
        commit(&store);
        for n in 0..20 {
            append(&log, &format!("{seed} {n}"));
            commit(&store);
        }
        assert_eq!(log.epoch(), Epoch(seed + 1), "an epoch was visible, so it is not given again");
        position = Some(Position { log: log.id(), epoch: log.epoch(), offset: log.visible() });
        disk.crash();
    }
    assert!(lost, "the disk lost nothing in 20 power cuts");
}

// NC-DSK-060
#[test]
fn a_published_record_counts_once_over_crashes() {
    let disk = SimDisk::new(8);
    let producer = ProducerId([5; 16]);
    let sent = numbered(0..400);
    let mut random = fastrand::Rng::with_seed(8);
    loop {
        let store = open(&disk);
        let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
        let known = log.next_sequence(producer);
        assert_eq!(known, log.visible().0, "the table says what the log holds");
        if known == 400 {
            assert_eq!(texts(&log), sent);
            break;
        }
        // The publisher doesn't know which of its records arrived: it sends some again.
        let mut from = known.saturating_sub(random.u64(0..30));
        disk.cut_power_at(random.u64(3..25));
        while from < 400 && log.poisoned().is_none() {
            let to = (from + random.u64(1..20)).min(400);
            let before = log.queued();
            let batch = published(
                producer,
                from,
                &sent[usize::try_from(from).unwrap()..usize::try_from(to).unwrap()],
            );
            let Ok(appended) = log.append_batch(&log.claim(producer), &batch) else { break };
            let fresh = to.saturating_sub(before.0);
            assert_eq!(appended.count, fresh);
            assert_eq!(appended.first_offset, (fresh > 0).then_some(before));
            assert!(appended.end >= Offset(to));
            if fresh > 0 {
                assert_eq!(appended.first_sequence, before.0);
            }
            commit(&store);
            from = to;
        }
        drop((store, log));
        disk.crash();
    }
}

#[test]
fn local_and_published_records_share_a_log_and_keep_their_producers() {
    let disk = SimDisk::new(9);
    let store = open(&disk);
    let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    let (one, two) = (ProducerId([1; 16]), ProducerId([2; 16]));
    let texts_of = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    append(&log, "local");
    log.append_batch(&log.claim(one), &published(one, 0, &texts_of(&["a", "b"]))).unwrap();
    log.append_batch(&log.claim(one), &published(one, 2, &texts_of(&["c"]))).unwrap();
    log.append_batch(&log.claim(two), &published(two, 7, &texts_of(&["d"]))).unwrap();
    append(&log, "local");
    commit(&store);
    assert_eq!(texts(&log), ["local", "a", "b", "c", "d", "local"]);
    let run = log.read(Offset(0), 1 << 20).unwrap();
    let producers: Vec<_> = batches(log.id(), run.bytes).iter().map(Batch::producer).collect();
    assert_eq!(producers, [None, Some((one, 0)), Some((two, 7)), None]);
    assert_eq!((log.next_sequence(one), log.next_sequence(two)), (3, 8));
    store.close();
    let log = open(&disk).open_existing(&name("a")).unwrap().unwrap();
    assert_eq!((log.next_sequence(one), log.next_sequence(two)), (3, 8));
}

// NC-DSK-070
#[test]
fn the_state_log_keeps_the_last_value_over_compaction_and_power_cuts() {
    let disk = SimDisk::new(10);
    let value = |n: u32| vec![u8::try_from(n % 251).unwrap(); 40_000];
    for round in 0..6 {
        let store = open(&disk);
        for n in 0..60u32 {
            let key = format!("key/{}", n % 7);
            store.state().put(key.as_bytes(), &value(round * 60 + n)).unwrap();
        }
        store.state().put(b"gone", b"x").unwrap();
        store.state().remove(b"gone").unwrap();
        drop(store);
        disk.crash();
        let store = open(&disk);
        let found = store.state().scan(b"key/");
        assert_eq!(found.len(), 7);
        for (key, found) in found {
            let last = (0..60).rev().find(|n| key == format!("key/{}", n % 7)).unwrap();
            assert_eq!(found, value(round * 60 + last));
        }
        assert_eq!(store.state().get(b"gone"), None);
    }
    let size: usize = disk
        .list("state")
        .unwrap()
        .iter()
        .map(|name| disk.contents(&format!("state/{name}")).unwrap().len())
        .sum();
    assert!(size < 6 << 20, "{size}: never compacted");
}

/// What a receiver read and a power cut took is told as void, also when what took its place is trimmed meanwhile.
#[test]
fn a_roll_back_is_told_even_when_retention_has_passed_over_it() {
    for seed in 0..20 {
        let disk = SimDisk::new(seed);
        let store = open(&disk);
        let log = store.create_or_open(&name("a"), &small(Durability::Os)).unwrap();
        append(&log, "of the epoch's first, synced group");
        commit(&store);
        for _ in 0..20 {
            append(&log, "x");
            commit(&store);
        }
        let position = Position { log: log.id(), epoch: log.epoch(), offset: log.visible() };
        disk.crash();
        let store = open(&disk);
        let log = store.open_existing(&name("a")).unwrap().unwrap();
        let end = log.visible();
        if end >= position.offset {
            continue;
        }
        for _ in 0..300 {
            append(&log, &"y".repeat(200));
            commit(&store);
        }
        log.set_retention(Retention { max_bytes: Some(20 << 10), ..Retention::default() }).unwrap();
        assert!(log.first() > position.offset);
        let resolved = log.resolve(&Start::Resume(position)).unwrap();
        assert_eq!(resolved.truncated, Some(TruncatedAt { epoch: position.epoch, end }));
        assert_eq!((resolved.start, resolved.gap_from), (log.first(), Some(end)));
        // Behind the gap a position carries the epoch that stands there, and holds.
        let behind = Position { epoch: log.epoch_before(log.first()), offset: log.first(), ..position };
        assert_eq!(log.resolve(&Start::Resume(behind)).unwrap().truncated, None);
        return;
    }
    panic!("the disk lost nothing in 20 power cuts");
}

/// Bytes rot after they were written and read, too: what is behind the damage can still be reached.
#[test]
fn a_header_that_rots_while_the_log_is_open_hides_its_own_batch_only() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    for n in 0..200 {
        append(&log, &format!("{n} {}", "x".repeat(100)));
        commit(&store);
    }
    let files: Vec<String> = disk.list("channels").unwrap();
    let dir = format!("channels/{}", files[0]);
    let oldest = disk.list(&dir).unwrap().into_iter().filter(|name| name.ends_with(".log")).min().unwrap();
    let path = format!("{dir}/{oldest}");
    let run = log.read(Offset(3), 1).unwrap();
    let mut bytes = disk.contents(&path).unwrap();
    let at = bytes.windows(run.bytes.len()).position(|window| window == &run.bytes[..]).unwrap();
    bytes[at + 20] ^= 1;
    disk.overwrite(&path, bytes);
    assert!(matches!(log.read(Offset(3), 1), Err(LogError::Damaged { from: Offset(3), to: Offset(4), .. })));
    assert_eq!(log.read(Offset(4), 1).unwrap().first, Offset(4));
    assert_eq!(log.read(Offset(0), 1 << 20).unwrap().next, Offset(3));
    assert!(matches!(log.read(Offset(3), 1), Err(LogError::Damaged { from: Offset(3), to: Offset(4), .. })));
}

/// A body that rots is never served, and hides nothing but its own batch, whatever its bytes look like.
#[test]
fn a_body_that_rots_is_told_and_what_follows_is_served() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    for n in 0..200 {
        append(&log, &format!("{n} {}", "x".repeat(100)));
        commit(&store);
    }
    let channel = format!("channels/{}", disk.list("channels").unwrap()[0]);
    let oldest =
        disk.list(&channel).unwrap().into_iter().filter(|name| name.ends_with(".log")).min().unwrap();
    let path = format!("{channel}/{oldest}");
    let run = log.read(Offset(3), 1).unwrap();
    let mut bytes = disk.contents(&path).unwrap();
    let at = bytes.windows(run.bytes.len()).position(|window| window == &run.bytes[..]).unwrap();
    bytes[at + 80] ^= 1;
    disk.overwrite(&path, bytes);
    assert_eq!(log.read(Offset(0), 1 << 20).unwrap().next, Offset(3));
    for _ in 0..2 {
        assert!(matches!(
            log.read(Offset(3), 1),
            Err(LogError::Damaged { from: Offset(3), to: Offset(4), .. })
        ));
        assert_eq!(log.read(Offset(4), 1).unwrap().first, Offset(4));
    }
}

/// After a failed sync the system may believe pages to be on disk that are not: the head is written again with the rest.
#[test]
fn a_segment_whose_first_sync_failed_has_a_head_after_the_next_power_cut() {
    for seed in 0..20 {
        let disk = SimDisk::new(seed);
        let store = open(&disk);
        let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
        let mut failed = false;
        for n in 0..400 {
            if log.append(&format!("{n} {}", "x".repeat(100)).as_record()).is_err() {
                failed = true;
                break;
            }
            // The sync of the batches that make it roll, then that of the next segment's head.
            if n == 60 + seed {
                disk.fail_sync(1);
            }
            commit(&store);
        }
        assert!(failed, "the sync did not fail");
        store.close();
        let store = open(&disk);
        let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
        append(&log, "after");
        commit(&store);
        let (end, epoch) = (log.durable(), log.epoch());
        disk.crash();
        let store = open(&disk);
        let log = store.open_existing(&name("a")).unwrap().unwrap();
        assert_eq!((log.durable(), log.epoch()), (end, epoch), "seed {seed}");
    }
}

/// A seal whose sync failed is found when the log is opened again, and is shown: so it is on the disk by then.
#[test]
fn a_seal_that_was_found_after_its_sync_failed_outlives_the_next_power_cut() {
    for killed in [false, true] {
        for seed in 0..10 {
            let disk = SimDisk::new(seed);
            let store = open(&disk);
            let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
            append(&log, "x");
            commit(&store);
            disk.fail_sync(1);
            assert!(log.seal().is_err());
            let store = if killed {
                disk.kill();
                open(&disk)
            } else {
                store
            };
            let log = store.open_existing(&name("a")).unwrap().unwrap();
            assert_eq!(log.sealed_at(), Some(Offset(1)), "it is in the system's memory");
            drop((store, log));
            disk.crash();
            let log = open(&disk).open_existing(&name("a")).unwrap().unwrap();
            assert_eq!(log.sealed_at(), Some(Offset(1)), "it was shown");
        }
    }
}

// NC-DSK-035
#[test]
fn a_power_cut_brings_no_room_back_into_a_segment_that_is_closed() {
    for seed in 0..200 {
        let disk = SimDisk::new(seed);
        let store = open(&disk);
        let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
        for n in 0..30 {
            append(&log, &format!("{n} {}", "x".repeat(700)));
            commit(&store);
        }
        disk.crash();
        let dir = format!("channels/{}", log.id());
        let mut files: Vec<_> =
            disk.list(&dir).unwrap().into_iter().filter(|name| name.ends_with(".log")).collect();
        files.sort();
        assert!(files.len() > 3);
        for closed in &files[..files.len() - 1] {
            let bytes = disk.contents(&format!("{dir}/{closed}")).unwrap();
            let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
            assert!(
                bytes.len() < end + 8,
                "{closed} of {files:?}: {} bytes, and {end} are in use",
                bytes.len()
            );
        }
    }
}
