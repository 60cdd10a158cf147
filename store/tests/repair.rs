//! What is damaged is set aside, what holds stays readable, what is lost is declared, and verify agrees: whatever was damaged,
//! and wherever the power goes meanwhile.
//!
//! Every test run takes a slice of the cuts; for the whole of them:
//!
//! ```console
//! $ NETCHAN_REPAIRS=all cargo test --release -p netchan-store --test repair -- --nocapture
//! ```

#![allow(clippy::unwrap_used)] // a panic is a failed test

mod rig;
#[path = "repair/steps.rs"]
mod steps;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use netchan_proto::{Durability, Offset};
use netchan_store::disk::{Disk, Fault, SimDisk};
use netchan_store::{Log, LogError, Repaired, Step, StoreError, Verified, repair, verify};
use proptest::prelude::*;
use rig::*;

/// Twenty-one records in batches of one to three: three segments, closed cleanly.
fn closed(is_sealed: bool) -> (SimDisk, Vec<String>, Vec<String>) {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    let mut sent = Vec::new();
    for n in 0..21 {
        let text = format!("{n} {}", "x".repeat(420));
        append(&log, &text);
        if n % 7 != 1 && n % 5 != 2 {
            commit(&store);
        }
        sent.push(text);
    }
    log.sync().unwrap();
    if is_sealed {
        log.seal().unwrap();
    }
    assert_eq!(log.info().segments, 3);
    let dir = format!("channels/{}", log.id());
    let mut files: Vec<_> =
        disk.list(&dir).unwrap().into_iter().map(|file| format!("{dir}/{file}")).collect();
    files.sort();
    store.close();
    (disk, files, sent)
}

fn repaired(disk: &dyn Disk, is_dry: bool) -> Vec<Repaired> {
    let mut done = Vec::new();
    repair(disk, &[], is_dry, |log| done.push(log), |_| ()).unwrap();
    done
}

fn verified(disk: &dyn Disk) -> Vec<Verified> {
    let mut found = Vec::new();
    verify(disk, &[], |log| found.push(log), |_| ()).unwrap();
    found
}

/// What can be read: offset and text, and the end and whether it is sealed.
type Readable = (BTreeMap<u64, String>, Offset, bool);

fn readable(log: &Log) -> Readable {
    let (records, _) = read_from(log, log.first(), 1 << 20);
    let text = |record: &netchan_proto::Record| String::from_utf8(record.payload.to_vec()).unwrap();
    (records.iter().map(|record| (record.offset.0, text(record))).collect(), log.visible(), log.is_sealed())
}

/// Opens, and says what can be read of the channel; `None` if it cannot be opened.
fn look(disk: &SimDisk) -> Option<Readable> {
    let store = try_open(disk).ok()?;
    let log = store.open_existing(&name("a")).ok()??;
    Some(readable(&log))
}

/// All files with their bytes.
fn everything(disk: &SimDisk, dir: &str) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in disk.list(dir).unwrap() {
        let path = if dir.is_empty() { entry } else { format!("{dir}/{entry}") };
        match disk.contents(&path) {
            Some(bytes) => {
                all.insert(path, bytes);
            }
            None => all.extend(everything(disk, &path)),
        }
    }
    all
}

/// Whether every byte of `bad` is in its place, or in a file beside it.
fn is_kept(disk: &SimDisk, path: &str, bad: &[u8]) -> bool {
    let beside = everything(disk, path.rsplit_once('/').map_or("", |(dir, _)| dir));
    let mut files = beside.iter().filter(|(name, _)| *name == path || name.ends_with(".bad"));
    files.any(|(_, bytes)| bytes.starts_with(bad))
}

/// Repairs, and holds what is there to what could be read before.
fn check(disk: &SimDisk, before: Option<&Readable>, context: &str) {
    let dry = disk.fork(1);
    let unchanged = everything(&dry, "");
    let would = repaired(&dry, true);
    assert_eq!(everything(&dry, ""), unchanged, "{context}: a dry run has changed something");
    assert_eq!(repaired(disk, false), would, "{context}: a dry run tells something else");
    assert!(would.iter().all(|log| log.left.is_empty()), "{context}: {would:?}");
    let again = repaired(disk, false);
    assert!(again.iter().all(Repaired::was_well), "{context}: once was not enough: {again:?}");
    for log in verified(disk) {
        assert!(log.holds(), "{context}: {log:?} after {would:?}");
    }
    let after = look(disk).unwrap_or_else(|| panic!("{context}: it cannot be opened"));
    if let Some((records, end, is_sealed)) = before {
        for (offset, text) in records {
            assert_eq!(after.0.get(offset), Some(text), "{context}: {offset} was there; {would:?}");
        }
        assert_eq!((after.1, after.2), (*end, *is_sealed), "{context}");
    }
}

fn all_cores(cases: u64, case: impl Fn(u64) + Sync) {
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let work = || {
            while let index = next.fetch_add(1, Ordering::Relaxed)
                && index < cases
            {
                case(index);
            }
        };
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
    });
}

// NC-DSK-100, NC-DSK-101, NC-DSK-102
#[test]
fn whichever_byte_is_damaged_repair_keeps_what_can_be_read_and_verify_holds_then() {
    for is_sealed in [false, true] {
        let (disk, files, sent) = closed(is_sealed);
        for path in &files {
            let good = disk.contents(path).unwrap();
            all_cores(good.len().div_ceil(97) as u64, |index| {
                let byte = usize::try_from(index * 97).unwrap();
                let mut bad = good.clone();
                bad[byte] ^= 1 << (byte % 8);
                let cut = good[..byte].to_vec();
                for (bad, what) in [(bad, "flipped"), (cut, "cut")] {
                    let context = format!("{path} {what} at {byte}, sealed: {is_sealed}");
                    let disk = disk.fork(index);
                    disk.overwrite(path, bad.clone());
                    let before = look(&disk.fork(index));
                    check(&disk, before.as_ref(), &context);
                    assert!(is_kept(&disk, path, &bad), "{context}: bytes are gone");
                    let (records, end, _) = look(&disk).unwrap();
                    assert_eq!(end.0, sent.len() as u64, "{context}");
                    assert!(records.iter().all(|(at, text)| sent[usize::try_from(*at).unwrap()] == *text));
                }
            });
        }
    }
}

/// Ways in which a channel's files are damaged, all at once in the last one.
fn damages(files: &[String]) -> Vec<Vec<(String, Bad)>> {
    let [first, second, newest, meta] = files else { panic!("{files:?}") };
    let one = |path: &String, bad| vec![(path.clone(), bad)];
    let mut all = vec![
        one(first, Bad::Flip(4096 + 70)),
        one(first, Bad::Flip(20)),
        one(second, Bad::Flip(5000)),
        one(second, Bad::Cut(6000)),
        one(second, Bad::Gone),
        one(second, Bad::Cut(100)),
        one(newest, Bad::Flip(4096 + 10)),
        one(newest, Bad::Cut(5000)),
        one(newest, Bad::Cut(0)),
        one(newest, Bad::Gone),
        one(newest, Bad::FlipLast),
        one(meta, Bad::Flip(20)),
        vec![
            (second.clone(), Bad::Flip(4100)),
            (second.clone(), Bad::Flip(5800)),
            (second.clone(), Bad::Flip(12)),
        ],
    ];
    all.push(all.iter().flatten().filter(|(_, bad)| matches!(bad, Bad::Flip(_))).cloned().collect());
    all
}

#[derive(Clone, Debug)]
enum Bad {
    Flip(usize),
    /// The last byte that is not zero.
    FlipLast,
    Cut(usize),
    Gone,
}

fn damage(disk: &SimDisk, bad: &[(String, Bad)]) {
    for (path, bad) in bad {
        let mut bytes = disk.contents(path).unwrap();
        match bad {
            Bad::Flip(at) => bytes[*at] ^= 1,
            Bad::FlipLast => {
                let last = bytes.iter().rposition(|byte| *byte != 0).unwrap();
                bytes[last] ^= 1;
            }
            Bad::Cut(at) => bytes.truncate(*at),
            Bad::Gone => {
                disk.remove_file(path).unwrap();
                disk.sync_dir(path.rsplit_once('/').unwrap().0).unwrap();
                continue;
            }
        }
        disk.overwrite(path, bytes);
    }
}

/// What was there before is there, whatever else is.
fn nothing_is_lost(disk: &SimDisk, (records, end, is_sealed): &Readable, context: &str) {
    let (now, now_end, now_sealed) = look(disk).unwrap_or_else(|| panic!("{context}: it cannot be opened"));
    let gone: Vec<_> =
        records.iter().filter(|(at, text)| now.get(at) != Some(text)).map(|(at, _)| at).collect();
    assert!(gone.is_empty(), "{context}: {gone:?} are gone");
    assert_eq!((now_end, now_sealed), (*end, *is_sealed), "{context}");
}

// NC-DSK-103
#[test]
fn the_power_may_go_at_every_operation_of_a_repair_and_of_what_follows_it() {
    let is_whole = std::env::var("NETCHAN_REPAIRS").is_ok_and(|which| which == "all");
    let (stride, subsets) = if is_whole { (1, 50) } else { (5, 6) };
    let operations = AtomicU64::new(0);
    for is_sealed in [false, true] {
        let (disk, files, _) = closed(is_sealed);
        let damages = damages(&files);
        all_cores(damages.len() as u64, |index| {
            let bad = &damages[usize::try_from(index).unwrap()];
            let disk = disk.fork(index);
            damage(&disk, bad);
            let before = look(&disk.fork(0)).unwrap();
            let damaged: Vec<_> =
                bad.iter().filter_map(|(path, _)| Some((path, disk.contents(path)?))).collect();
            let is_there = |disk: &SimDisk| damaged.iter().all(|(path, bytes)| is_kept(disk, path, bytes));
            for operation in (1 + index % stride..).step_by(stride as usize) {
                let cut = disk.fork(operation);
                cut.cut_power_at(operation);
                let done = repair(&cut, &[], false, |_| (), |_| ());
                assert_eq!(done.is_err(), !cut.is_on());
                if cut.is_on() {
                    break;
                }
                operations.fetch_add(1, Ordering::Relaxed);
                for subset in 0..subsets {
                    let context =
                        format!("{bad:?}, sealed: {is_sealed}, operation {operation}, subset {subset}");
                    let disk = cut.fork(operation << 16 ^ subset);
                    disk.crash();
                    assert!(is_there(&disk), "{context}: bytes are gone");
                    nothing_is_lost(&disk.fork(1), &before, &context);
                    // The power goes once more: in the next repair, in the opening that comes instead of it, or not.
                    let again = disk.fork(subset);
                    again.cut_power_at(1 + subset / 2);
                    match subset % 3 {
                        0 => drop(repair(&again, &[], false, |_| (), |_| ())),
                        1 => drop(look(&again)),
                        _ => {}
                    }
                    again.crash();
                    // Opening sets aside by itself, in pieces.
                    assert!(subset % 3 == 1 || is_there(&again), "{context}: bytes are gone");
                    nothing_is_lost(&again.fork(2), &before, &context);
                    check(&again, Some(&before), &context);
                }
            }
        });
    }
    let operations = operations.into_inner();
    println!(
        "{} cuts: {operations} operations of repairs, {subsets} survivor subsets each",
        operations * subsets
    );
    assert!(operations >= 400 / stride, "the power went too seldom");
}

/// What is not well when the disk fails instead of the power: the repair says so, and can be tried again.
#[test]
fn a_disk_that_fails_or_is_full_ends_a_repair_with_an_error_and_the_next_one_mends_all() {
    let (disk, files, _) = closed(false);
    for (index, bad) in damages(&files).iter().enumerate() {
        let disk = disk.fork(index as u64);
        damage(&disk, bad);
        let before = look(&disk.fork(0)).unwrap();
        for (step, fault) in [(3, Fault::Io), (5, Fault::NoSpace), (7, Fault::ReadOnly)] {
            for operation in (1 + index as u64 % step..).step_by(step as usize) {
                let context = format!("{bad:?}, {fault:?} at operation {operation}");
                let disk = disk.fork(operation);
                disk.fail_at(operation, fault);
                let done = repair(&disk, &[], false, |_| (), |_| ());
                if disk.is_to_fail() {
                    break;
                }
                disk.set_read_only(false);
                assert!(matches!(done, Ok(()) | Err(StoreError::Io { .. })), "{context}: {done:?}");
                nothing_is_lost(&disk.fork(1), &before, &context);
                check(&disk, Some(&before), &context);
            }
        }
    }
}

/// The whole of one damaged batch: what is done, what is told, what verify says, what a reader gets.
// NC-DSK-024, NC-DSK-102
#[test]
fn a_damaged_batch_becomes_a_declared_loss_between_what_holds() {
    let (disk, files, sent) = closed(false);
    let mut bytes = disk.contents(&files[1]).unwrap();
    let (base, at) = (7, 4096 + 64 + 30);
    assert!(files[1].ends_with(&format!("{base:020}.log")), "{files:?}");
    bytes[at] ^= 1;
    disk.overwrite(&files[1], bytes.clone());
    let found = verified(&disk);
    let (from, to) = found[0].problems.iter().find_map(|problem| problem.offsets).unwrap();
    assert_eq!(from, Offset(base));
    let done = repaired(&disk, false);
    let dir = files[1].rsplit_once('/').unwrap().0;
    let bad = format!("{}.bad", files[1]);
    let path = |base: u64| format!("{dir}/{base:020}.log");
    let next = 15;
    let steps = [
        Step::SetAside { path: files[1].clone(), to: bad.clone(), bytes: bytes.len() as u64 },
        Step::Declared { path: path(base), from, to },
        Step::Kept { path: path(to.0), records: next - to.0 },
    ];
    assert_eq!(done.len(), 2);
    assert_eq!(
        (done[0].name.clone(), &done[0].steps[..], done[0].more_steps),
        (Some(name("a")), &steps[..], 0)
    );
    assert_eq!(done[0].lost().collect::<Vec<_>>(), [(from, to)]);
    assert!(!done[0].was_well() && done[0].left.is_empty());
    assert!(done[1].was_well() && done[1].name.is_none());
    assert_eq!([&*done[0].dir, &*done[1].dir], [dir, "state"]);
    assert_eq!(disk.contents(&bad), Some(bytes));
    let found = verified(&disk);
    assert!(found[0].holds() && found[0].declared == [(from, to)], "{found:?}");
    assert_eq!(found[0].records + (to.0 - from.0), sent.len() as u64);
    // Who reads gets a gap there, once, and time is found on both sides of it.
    let store = open(&disk);
    let log = store.open_existing(&name("a")).unwrap().unwrap();
    for at in from.0..to.0 {
        match log.read(Offset(at), 1 << 20) {
            Err(LogError::Damaged { from, to: told, path, .. }) => {
                assert_eq!((from, told, path), (Offset(at), to, self::segment(&log, base)));
            }
            other => panic!("{other:?} at {at}"),
        }
    }
    let (records, holes) = read_from(&log, Offset(0), 1 << 20);
    assert_eq!(holes, [(from, to)]);
    for record in records {
        assert_eq!(log.resolve(&netchan_proto::Start::Time(record.timestamp)).unwrap().start, record.offset);
    }
    assert_eq!(append(&log, "on"), Offset(21));
    log.sync().unwrap();
}

// NC-DSK-025
#[test]
fn what_stands_behind_the_beginning_of_the_next_segment_is_not_read_and_goes_aside() {
    let (disk, files, sent) = closed(false);
    let good = disk.contents(&files[0]).unwrap();
    // A batch that holds, and that would come next.
    let second = disk.contents(&files[1]).unwrap();
    disk.overwrite(&files[0], [&good[..], &second[4096..]].concat());
    let (records, _, _) = look(&disk.fork(1)).unwrap();
    assert_eq!(records.len(), sent.len());
    let found = verified(&disk).swap_remove(0);
    assert_eq!((found.problems.len(), found.records), (1, sent.len() as u64), "{found:?}");
    let problem = &found.problems[0];
    assert_eq!((&problem.path, problem.byte, problem.offsets), (&files[0], good.len() as u64, None));
    check(&disk, look(&disk.fork(1)).as_ref(), "");
    assert_eq!(disk.contents(&files[0]), Some(good));
}

/// A log of another name, with records in the same places.
fn foreign(path: &str) -> Vec<u8> {
    let disk = SimDisk::new(2);
    let store = open(&disk);
    store.create_or_open(&name("other"), &small(Durability::Sync)).unwrap();
    let log = store.create_or_open(&name("another"), &small(Durability::Sync)).unwrap();
    append(&log, "of somebody else");
    log.sync().unwrap();
    store.close();
    let bytes = disk.contents(&segment(&log, 0)).unwrap();
    assert!(path.ends_with(".log"));
    bytes
}

// NC-DSK-104
#[test]
fn a_segment_of_another_log_goes_aside_wherever_it_stands() {
    let (whole, files, sent) = closed(false);
    let dir = files[0].rsplit_once('/').unwrap().0;
    let put = |path: &str| {
        let disk = whole.fork(1);
        let bytes = foreign(path);
        match disk.contents(path) {
            Some(_) => disk.overwrite(path, bytes.clone()),
            None => {
                let file = disk.open(path, netchan_store::disk::Open::CreateNew).unwrap();
                file.write_all_at(&[std::io::IoSlice::new(&bytes)], 0).unwrap();
            }
        }
        assert!(!verified(&disk).iter().all(Verified::holds), "{path}");
        let before = look(&disk.fork(1));
        check(&disk, before.as_ref(), path);
        assert!(is_kept(&disk, path, &bytes), "{path}");
        let found = verified(&disk).swap_remove(0);
        (found.records, found.declared)
    };
    assert_eq!(put(&files[0]), (14, vec![(Offset(0), Offset(7))]), "in the place of the first");
    assert_eq!(put(&files[1]), (13, vec![(Offset(7), Offset(15))]), "of the second");
    assert_eq!(put(&files[2]), (15, vec![(Offset(15), Offset(21))]), "of the newest");
    let all = (sent.len() as u64, vec![]);
    assert_eq!(put(&format!("{dir}/{:020}.log", 12)), all, "between others");
    assert_eq!(put(&format!("{dir}/{:020}.log", 30)), all, "after them");
}

// NC-DSK-105
#[test]
fn a_seal_that_is_damaged_is_made_again_with_its_digest() {
    let (disk, files, _) = closed(true);
    let sealed = verified(&disk)[0].digest;
    assert!(sealed.is_some());
    let good = disk.contents(&files[2]).unwrap();
    let mut bad = good.clone();
    let at = good.len() - 40;
    bad[at] ^= 1;
    disk.overwrite(&files[2], bad.clone());
    assert!(!verified(&disk)[0].holds());
    let done = repaired(&disk, false);
    let is_seal = |step: &Step| matches!(step, Step::Sealed { at: Offset(21), .. });
    assert!(done[0].steps.iter().any(is_seal) && done[0].lost().count() == 0, "{done:?}");
    let found = verified(&disk).swap_remove(0);
    assert!(found.holds() && found.sealed && found.digest == sealed, "{found:?}");
    let store = open(&disk);
    let log = store.open_existing(&name("a")).unwrap().unwrap();
    assert_eq!((log.sealed_at(), log.digest()), (Some(Offset(21)), Some(digest(&log))));
    let seal = seal_in(&disk, &files[2], log.id()).unwrap();
    let last = read_from(&log, Offset(20), 1 << 20).0.pop().unwrap();
    assert_eq!((last.offset, seal.base_time), (Offset(20), last.timestamp.plus_nanos(1)));
    // Where records are lost, nobody can say what all came to.
    drop((store, log));
    bad[4096 + 20] ^= 1;
    disk.overwrite(&files[2], bad);
    repaired(&disk, false);
    let found = verified(&disk).swap_remove(0);
    assert!(
        found.holds() && found.sealed && found.digest.is_none() && !found.declared.is_empty(),
        "{found:?}"
    );
}

// NC-DSK-104, NC-DSK-011
#[test]
fn a_damaged_identity_goes_aside_and_the_node_opens_with_another() {
    let (disk, _, _) = closed(false);
    let before = open(&disk.fork(1)).node_id();
    let mut bytes = disk.contents("node").unwrap();
    bytes[9] ^= 1;
    disk.overwrite("node", bytes.clone());
    assert!(try_open(&disk).is_err());
    let done = repaired(&disk, true);
    assert!(disk.contents("node").is_some(), "a dry run");
    let aside =
        Step::SetAside { path: "node".to_owned(), to: "node.bad".to_owned(), bytes: bytes.len() as u64 };
    assert_eq!((&*done[0].dir, &done[0].steps), ("", &vec![aside]));
    assert_eq!(repaired(&disk, false), done);
    assert_eq!(disk.contents("node.bad"), Some(bytes));
    assert_ne!(open(&disk).node_id(), before);
}

/// NC-DSK-106: what is left says what to do, and is as it was.
#[test]
fn what_cannot_be_mended_is_left_as_it_is_and_told() {
    let left = |disk: &SimDisk, words: &str| {
        let before = everything(disk, "");
        let done = repaired(disk, false);
        let told: Vec<_> = done.iter().flat_map(|log| &log.left).collect();
        assert!(told.iter().any(|left| left.what.contains(words)), "{words}: {done:?}");
        assert!(done.iter().all(|log| log.steps.is_empty()), "{words}: {done:?}");
        assert!(done.iter().all(|log| log.was_well() == log.left.is_empty()), "{words}: {done:?}");
        assert_eq!(everything(disk, ""), before, "{words}");
    };
    let (whole, files, _) = closed(false);
    let spoil = |disk: &SimDisk, path: &str, at: usize| {
        let mut bytes = disk.contents(path).unwrap();
        bytes[at] ^= 1;
        disk.overwrite(path, bytes);
    };
    // Neither meta nor head.
    let disk = whole.fork(1);
    files.iter().for_each(|path| spoil(&disk, path, 20));
    left(&disk, "nothing says which log it is");
    // A segment that stands in the midst of a batch.
    let disk = whole.fork(1);
    let bytes = disk.contents(&files[1]).unwrap();
    let records: Vec<u64> = {
        let store = open(&disk.fork(2));
        let log = store.open_existing(&name("a")).unwrap().unwrap();
        let run = log.read(Offset(0), 1 << 20).unwrap();
        let batches = batches(log.id(), run.bytes);
        batches
            .iter()
            .filter(|it| it.header().record_count > 1)
            .map(|it| it.header().base_offset.0 + 1)
            .collect()
    };
    let dir = files[0].rsplit_once('/').unwrap().0;
    let path = format!("{dir}/{:020}.log", records[0]);
    let file = disk.open(&path, netchan_store::disk::Open::CreateNew).unwrap();
    file.write_all_at(&[std::io::IoSlice::new(&bytes)], 0).unwrap();
    let done = repaired(&disk, true);
    assert!(done[0].left[0].what.contains("reaches into the next segment"), "{done:?}");
    // The state log's meta is another log's.
    let disk = whole.fork(1);
    disk.overwrite("state/meta", disk.contents(&files[3]).unwrap());
    left(&disk, "its meta is of another log");
    // More pieces than are made files of.
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let large = netchan_store::LogOptions { segment_bytes: 1 << 20, ..small(Durability::Sync) };
    let log = store.create_or_open(&name("a"), &large).unwrap();
    for n in 0..600 {
        append(&log, &n.to_string());
        commit(&store);
    }
    store.close();
    let path = segment(&log, 0);
    let mut bytes = disk.contents(&path).unwrap();
    batch_places(&bytes).iter().step_by(2).for_each(|at| bytes[at + 8] ^= 1);
    disk.overwrite(&path, bytes);
    left(&disk, "more than 256 pieces");
}

#[test]
fn a_directory_in_use_and_a_name_that_nobody_has_are_refused() {
    let (disk, _, _) = closed(false);
    let unknown = repair(&disk, &[name("nobody")], false, |_| (), |_| ());
    assert!(matches!(unknown, Err(StoreError::NoChannel { .. })));
    // One is looked at by its name, and the others are left alone.
    let mut done = Vec::new();
    let mut read = (0, 0);
    repair(&disk, &[name("a")], false, |log| done.push(log), |now| read = (now.read, now.total)).unwrap();
    assert!(
        done.len() == 1 && done[0].was_well() && read.0 == read.1 && read.1 > 12_000,
        "{done:?} {read:?}"
    );
    let store = open(&disk);
    let locked = repair(&disk, &[], true, |_| (), |_| ());
    assert!(matches!(locked, Err(StoreError::Locked { .. })));
    store.close();
    repaired(&disk, true);
}

// NC-DSK-102, NC-DSK-105
#[test]
fn of_a_log_without_a_segment_what_closing_noted_is_declared_lost() {
    for is_sealed in [false, true] {
        let (disk, files, _) = closed(is_sealed);
        let dir = files[0].rsplit_once('/').unwrap().0;
        files[..3].iter().for_each(|path| disk.remove_file(path).unwrap());
        disk.sync_dir(dir).unwrap();
        assert_eq!(verified(&disk)[0].problems[0].offsets, Some((Offset(0), Offset(21))));
        for operation in 1.. {
            let cut = disk.fork(operation);
            cut.cut_power_at(operation);
            let _ = repair(&cut, &[], false, |_| (), |_| ());
            if cut.is_on() {
                break;
            }
            cut.crash();
            check(&cut, None, &format!("operation {operation}"));
        }
        check(&disk, None, "");
        let found = verified(&disk).swap_remove(0);
        assert_eq!((found.declared, found.sealed), (vec![(Offset(0), Offset(21))], is_sealed));
        assert_eq!(found.digest, None, "nobody can say what it came to");
        let store = open(&disk);
        let log = store.open_existing(&name("a")).unwrap().unwrap();
        assert_eq!((log.first(), log.visible(), log.is_sealed()), (Offset(0), Offset(21), is_sealed));
        assert!(matches!(log.read(Offset(3), 100), Err(LogError::Damaged { to: Offset(21), .. })));
    }
    // One that was sealed before there was a record in it, and has lost its seal alone.
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    log.seal().unwrap();
    store.close();
    let path = segment(&log, 0);
    let good = disk.contents(&path).unwrap();
    disk.overwrite(&path, good[..4100].to_vec());
    let digest = log.digest();
    check(&disk, look(&disk.fork(1)).as_ref(), "");
    let found = verified(&disk).swap_remove(0);
    assert!(found.sealed && found.digest == digest && digest.is_some(), "{found:?}");
    // Or its segment with it.
    disk.remove_file(&path).unwrap();
    disk.sync_dir(path.rsplit_once('/').unwrap().0).unwrap();
    assert_eq!(repaired(&disk, true)[0].steps, [Step::Begun { path }]);
    check(&disk, None, "");
    let found = verified(&disk).swap_remove(0);
    assert!(found.sealed && found.digest == digest && found.declared.is_empty(), "{found:?}");
}

/// Where batches begin in a segment.
fn batch_places(bytes: &[u8]) -> Vec<usize> {
    (4096..bytes.len() - 4).step_by(8).filter(|at| bytes[*at..].starts_with(b"NCB1")).collect()
}

fn path_in(files: &[String], base: u64) -> String {
    format!("{}/{base:020}.log", files[0].rsplit_once('/').unwrap().0)
}

/// What two directories say that cannot both be so, and what was never made.
#[test]
fn of_two_channels_of_one_name_the_younger_is_told_and_of_none_nothing() {
    let (disk, files, _) = closed(false);
    let other = SimDisk::new(5);
    let store = open(&other);
    store.create_or_open(&name("b"), &small(Durability::Sync)).unwrap();
    let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    append(&log, "of another machine");
    log.sync().unwrap();
    store.close();
    let dir = format!("channels/{}", log.id());
    assert!(!files[0].starts_with(&dir));
    let put = |dir: &str, file: &str, bytes: Vec<u8>| {
        disk.create_dir(dir).unwrap();
        let file = disk.open(&format!("{dir}/{file}"), netchan_store::disk::Open::CreateNew).unwrap();
        file.write_all_at(&[std::io::IoSlice::new(&bytes)], 0).unwrap();
    };
    for file in other.list(&dir).unwrap() {
        put(&dir, &file, other.contents(&format!("{dir}/{file}")).unwrap());
    }
    // Making it was cut short.
    put(&format!("channels/{}", "ab".repeat(16)), "meta.tmp", vec![1, 2, 3]);
    let done = repaired(&disk, false);
    let of_a: Vec<_> = done.iter().filter(|log| log.name == Some(name("a"))).collect();
    assert_eq!((of_a.len(), done.len()), (2, 3), "{done:?}");
    assert!(
        of_a[0].was_well() && of_a[1].left[0].what.contains("an older channel has the same name"),
        "{done:?}"
    );
    // The state log's meta is gone, and its segments are of two logs.
    disk.remove_file("state/meta").unwrap();
    put("state", &format!("{:020}.log", 900), disk.contents(&files[0]).unwrap());
    let done = repaired(&disk, false);
    let left = &done.last().unwrap().left[0];
    assert!(left.path == "state" && left.what.contains("its segments are of several logs"), "{left:?}");
}

// NC-DSK-038
#[test]
fn the_digest_of_a_sealed_channel_is_told_beside_its_node_whatever_room_stands_behind_the_seal() {
    let (disk, files, _) = closed(true);
    let digest = verified(&disk)[0].digest;
    let told = |disk: &SimDisk| netchan_store::kept(disk, &name("a")).unwrap().unwrap().digest;
    assert!(digest.is_some() && told(&disk) == digest);
    let good = disk.contents(&files[2]).unwrap();
    for room in [1, 100_000, 300_000] {
        disk.overwrite(&files[2], [&good[..], &vec![0; room]].concat());
        assert_eq!(told(&disk), digest, "{room}");
    }
    let mut bad = good.clone();
    *bad.last_mut().unwrap() ^= 1;
    disk.overwrite(&files[2], bad);
    assert_eq!(told(&disk), None, "one that does not hold is not told");
    disk.overwrite(&files[2], vec![0; 10_000]);
    assert_eq!(told(&disk), None);
    assert_eq!(told(&closed(false).0), None, "it is not sealed");
}

#[test]
fn repairing_keeps_few_files_open_however_many_segments_there_are() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let log = store.create_or_open(&name("a"), &small(Durability::Os)).unwrap();
    for n in 0..300 {
        append(&log, &format!("{n} {}", "x".repeat(4000)));
        commit(&store);
    }
    assert_eq!(log.info().segments, 300);
    store.close();
    for base in [7, 200] {
        let path = segment(&log, base);
        let mut bytes = disk.contents(&path).unwrap();
        bytes[4200] ^= 1;
        disk.overwrite(&path, bytes);
    }
    disk.set_max_open_files(4);
    let done = repaired(&disk, false);
    let lost: Vec<_> = done[0].lost().map(|(from, to)| (from.0, to.0)).collect();
    assert_eq!(lost, [(7, 8), (200, 201)]);
    assert!(verified(&disk).iter().all(Verified::holds));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    // NC-DSK-100, NC-DSK-101
    #[test]
    fn whatever_is_damaged_repair_never_takes_what_an_opened_store_reads(
        is_sealed in any::<bool>(),
        is_closed in any::<bool>(),
        bad in prop::collection::vec((0..6usize, any::<prop::sample::Index>(), 0..5u8, 1..2000usize), 1..5),
    ) {
        let (disk, files, _) = closed(is_sealed);
        let mut files = files;
        files.push(format!("state/{:020}.log", 0));
        files.push("state/meta".to_owned());
        if !is_closed {
            // The marks that closing leaves are gone: what is at the end may be torn.
            disk.overwrite(&files[4], disk.contents(&files[4]).unwrap()[..4096].to_vec());
        }
        for (which, at, how, len) in &bad {
            let mut bytes = disk.contents(&files[*which]).unwrap();
            if bytes.is_empty() {
                continue;
            }
            let at = at.index(bytes.len());
            let end = (at + len).min(bytes.len());
            match how {
                0 => bytes[at] ^= 0x10,
                1 => bytes[at..end].fill(0),
                2 => bytes.truncate(at),
                3 => {
                    let to = bytes.len() - (end - at);
                    bytes.copy_within(at..end, to);
                }
                _ => bytes.resize(bytes.len() + len, 0xa5),
            }
            disk.overwrite(&files[*which], bytes);
        }
        let before = look(&disk.fork(1));
        let mut done = Vec::new();
        repair(&disk, &[], false, |log| done.push(log), |_| ()).unwrap();
        let after = look(&disk.fork(2));
        if let Some((records, end, is_sealed)) = before {
            let (now, now_end, now_sealed) = after.clone().unwrap();
            for (at, text) in &records {
                prop_assert_eq!(now.get(at), Some(text), "{} of {:?}", at, done);
            }
            prop_assert_eq!((now_end, now_sealed), (end, is_sealed), "{:?}", done);
        }
        let mut again = Vec::new();
        repair(&disk, &[], false, |log| again.push(log), |_| ()).unwrap();
        prop_assert!(again.iter().all(|log| log.steps.is_empty()), "{:?} after {:?}", again, done);
    }
}
