//! What a repair does, step by step, and what it leaves alone.

use super::*;

// NC-DSK-102
#[test]
fn a_segment_of_which_the_head_alone_is_left_is_declared_lost() {
    let bounds = [(0, 7), (7, 15), (15, 21)];
    for (index, (from, to)) in bounds.into_iter().enumerate() {
        let (disk, files, _) = closed(false);
        damage(&disk, &[(files[index].clone(), Bad::Cut(4096))]);
        assert!(!verified(&disk)[0].holds());
        check(&disk, look(&disk.fork(1)).as_ref(), &files[index]);
        assert_eq!(verified(&disk)[0].declared, [(Offset(from), Offset(to))]);
    }
}

/// A segment that ends too early, with nothing behind: what is left of it stays as it is.
// NC-DSK-101, NC-DSK-105
#[test]
fn what_holds_and_has_nothing_behind_it_stays_where_it_is() {
    let (whole, files, _) = closed(false);
    let bytes = whole.contents(&files[1]).unwrap();
    let at = batch_places(&bytes)[1];
    let disk = whole.fork(1);
    damage(&disk, &[(files[1].clone(), Bad::Cut(at))]);
    let (from, to) = verified(&disk)[0].problems[0].offsets.unwrap();
    assert!(from > Offset(7) && to == Offset(15));
    let done = repaired(&disk, false);
    assert_eq!(done[0].steps, [Step::Declared { path: path_in(&files, from.0), from, to }]);
    assert_eq!(disk.contents(&files[1]).unwrap(), bytes[..at]);

    // The newest one gets a place for what comes, and the seal stands there.
    for is_sealed in [false, true] {
        let (disk, files, _) = closed(is_sealed);
        let bytes = disk.contents(&files[2]).unwrap();
        let at = batch_places(&bytes)[1];
        damage(&disk, &[(files[2].clone(), Bad::Cut(at))]);
        let (from, to) = verified(&disk)[0].problems[0].offsets.unwrap();
        assert_eq!(to, Offset(21));
        let path = path_in(&files, to.0);
        let mut steps = vec![
            Step::Declared { path: path_in(&files, from.0), from, to },
            Step::Begun { path: path.clone() },
        ];
        if is_sealed {
            steps.push(Step::Sealed { path: path.clone(), at: to });
        }
        assert_eq!(repaired(&disk, false)[0].steps, steps);
        assert_eq!(disk.contents(&files[2]).unwrap(), bytes[..at]);
        // Once more, of what the repair has made.
        disk.remove_file(&path).unwrap();
        disk.sync_dir(path.rsplit_once('/').unwrap().0).unwrap();
        let declared = disk.contents(&path_in(&files, from.0));
        assert_eq!(repaired(&disk, false)[0].steps, steps[1..]);
        assert_eq!(disk.contents(&path_in(&files, from.0)), declared);
        check(&disk, look(&disk.fork(1)).as_ref(), "");
    }
}

/// Nothing stands behind what holds of the segment, and yet it does not stay as it is: a seal has to stand there.
// NC-DSK-105
#[test]
fn a_seal_that_was_cut_off_is_made_again() {
    let (disk, files, _) = closed(true);
    let sealed = verified(&disk)[0].digest;
    let at = *batch_places(&disk.contents(&files[2]).unwrap()).last().unwrap();
    damage(&disk, &[(files[2].clone(), Bad::Cut(at))]);
    assert!(!verified(&disk)[0].holds());
    let steps = &repaired(&disk, false)[0].steps;
    assert!(
        matches!(steps[..], [Step::SetAside { .. }, Step::Kept { .. }, Step::Sealed { at: Offset(21), .. }]),
        "{steps:?}"
    );
    let found = verified(&disk).swap_remove(0);
    assert!(
        found.holds() && found.sealed && found.digest == sealed && found.declared.is_empty(),
        "{found:?}"
    );
}

/// What stands behind the end of the newest segment may be torn, and belongs to nobody: opening looks at it.
#[test]
fn a_torn_tail_is_left_to_opening() {
    let (with_records, files, _) = closed(false);
    let empty = SimDisk::new(1);
    let store = open(&empty);
    let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    store.close();
    for (disk, path) in [(with_records, files[2].clone()), (empty, segment(&log, 0))] {
        let torn = [&disk.contents(&path).unwrap()[..], &[0xa5; 100]].concat();
        disk.overwrite(&path, torn.clone());
        assert!(repaired(&disk, false).iter().all(Repaired::was_well), "{path}");
        assert_eq!(disk.contents(&path), Some(torn));
        assert!(look(&disk).is_some());
    }
}

/// What is declared lost is told as ranges, and a hole between them as one.
// NC-DSK-024, NC-DSK-102
#[test]
fn ranges_that_are_declared_are_told_together_where_they_touch_and_what_stands_in_one_is_a_problem() {
    let head_only = |files: &[String], which: &[usize]| {
        which.iter().map(|index| (files[*index].clone(), Bad::Cut(4096))).collect::<Vec<_>>()
    };
    let range = |from, to| (Offset(from), Offset(to));
    for (which, declared) in [(&[0, 1][..], &[range(0, 15)][..]), (&[0, 2], &[range(0, 7), range(15, 21)])] {
        let (disk, files, _) = closed(false);
        damage(&disk, &head_only(&files, which));
        repaired(&disk, false);
        let found = verified(&disk).swap_remove(0);
        assert!(found.holds() && found.declared == declared, "{found:?}");
        assert_eq!(found.offsets, Some(range(0, 21)));
    }
    let (disk, files, _) = closed(false);
    damage(&disk, &head_only(&files, &[1]));
    repaired(&disk, false);
    let good = disk.contents(&files[1]).unwrap();
    disk.overwrite(&files[1], [&good[..], &[1]].concat());
    let found = verified(&disk).swap_remove(0);
    assert!(!found.holds() && found.problems[0].what.contains("has something in it"), "{found:?}");
    // The one behind it is gone: nothing says that those records are lost.
    disk.overwrite(&files[1], good);
    disk.remove_file(&files[2]).unwrap();
    let at = Offset(15);
    disk.sync_dir(files[2].rsplit_once('/').unwrap().0).unwrap();
    let store = open(&disk.fork(1));
    let log = store.open_existing(&name("a")).unwrap().unwrap();
    assert!(matches!(log.read(at, 100), Err(LogError::Damaged { from, to: Offset(21), .. }) if from == at));
    // Behind another hole another segment stands.
    let (disk, files, _) = closed(false);
    damage(&disk, &head_only(&files, &[0]));
    repaired(&disk, false);
    disk.remove_file(&files[1]).unwrap();
    let found = verified(&disk).swap_remove(0);
    let lost: Vec<_> = found.problems.iter().filter_map(|problem| problem.offsets).collect();
    assert_eq!((lost, found.declared), (vec![range(7, 15)], vec![range(0, 7)]), "{:?}", found.problems);
}

/// A record may hold bytes that look like a batch of its log, and is still one record that is lost where it rots.
// NC-DSK-044, NC-DSK-102
#[test]
fn what_stands_in_a_body_is_never_taken_for_a_batch() {
    use netchan_proto::batch::{BatchBuilder, Stamp};
    use netchan_proto::{AsRecord, Epoch, Timestamp};
    for is_newest in [false, true] {
        let disk = SimDisk::new(1);
        let store = open(&disk);
        let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
        append(&log, "first");
        commit(&store);
        let mut builder = BatchBuilder::new(Offset(5), None);
        builder.push(Timestamp(1), &"x".as_record());
        let id = log.id();
        let stamp = Stamp { seed: &id.0, epoch: Epoch(1), durable_offset: Offset(5), previous_crc: 0 };
        log.append(&builder.finish(stamp).1[..].as_record()).unwrap();
        commit(&store);
        for _ in 2..if is_newest { 8 } else { 40 } {
            append(&log, &"x".repeat(200));
            commit(&store);
        }
        assert_eq!(log.info().segments > 1, !is_newest);
        store.close();
        let path = segment(&log, 0);
        let mut bytes = disk.contents(&path).unwrap();
        let at = batch_places(&bytes)[1];
        bytes[at + 64] ^= 1;
        disk.overwrite(&path, bytes);
        let lost = (Offset(1), Offset(2));
        let problems = verified(&disk).swap_remove(0).problems;
        assert_eq!(problems.iter().filter_map(|problem| problem.offsets).collect::<Vec<_>>(), [lost]);
        let opened = open(&disk.fork(1)).open_existing(&name("a")).unwrap().unwrap();
        assert_eq!(read_from(&opened, Offset(0), 1 << 20).1, [lost]);
        assert_eq!(repaired(&disk, true)[0].lost().collect::<Vec<_>>(), [lost]);
        check(&disk, look(&disk.fork(2)).as_ref(), "");
    }
}

/// A power cut may give a closed segment the room back that was cut off it.
// NC-DSK-025
#[test]
fn zeros_behind_a_closed_segment_are_no_damage_however_many_and_anything_in_them_goes_aside() {
    let (whole, files, _) = closed(false);
    for zeros in [1, 5000, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20] {
        let disk = whole.fork(1);
        let good = disk.contents(&files[1]).unwrap();
        let room = [&good[..], &vec![0; zeros]].concat();
        disk.overwrite(&files[1], room.clone());
        assert!(repaired(&disk, false).iter().all(Repaired::was_well), "{zeros}");
        assert_eq!(disk.contents(&files[1]), Some(room.clone()));
        let bad = [&room[..], &[1]].concat();
        disk.overwrite(&files[1], bad.clone());
        check(&disk, look(&disk.fork(1)).as_ref(), &format!("{zeros}"));
        assert_eq!(disk.contents(&files[1]), Some(good));
        assert!(is_kept(&disk, &files[1], &bad), "{zeros}");
    }
}

// NC-DSK-046, NC-DSK-104
#[test]
fn a_segment_that_was_never_begun_goes_aside_and_nothing_stands_in_its_place() {
    // Made, and its head was not on disk yet.
    let (disk, files, _) = closed(false);
    let path = path_in(&files, 21);
    let file = disk.open(&path, netchan_store::disk::Open::CreateNew).unwrap();
    file.write_all_at(&[std::io::IoSlice::new(&[0; 4096])], 0).unwrap();
    let aside = Step::SetAside { path: path.clone(), to: format!("{path}.bad"), bytes: 4096 };
    assert_eq!(repaired(&disk, false)[0].steps, [aside]);
    check(&disk, look(&disk.fork(1)).as_ref(), "");
    // The only one there is, and another log's.
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    store.close();
    let path = segment(&log, 0);
    let bytes = foreign(&path);
    disk.overwrite(&path, bytes.clone());
    let aside = Step::SetAside { path: path.clone(), to: format!("{path}.bad"), bytes: bytes.len() as u64 };
    assert_eq!(repaired(&disk, false)[0].steps, [aside]);
    // Without any, it is as it was before its first segment was made: nothing is to be repaired.
    assert!(repaired(&disk, false).iter().all(Repaired::was_well));
    assert!(disk.contents(&path).is_none());
    assert_eq!(look(&disk), Some((BTreeMap::new(), Offset(0), false)));
}

#[test]
fn a_repair_that_fails_leaves_nothing_half_made_and_a_dry_one_removes_nothing() {
    let (disk, files, _) = closed(false);
    damage(&disk, &[(files[1].clone(), Bad::Flip(5000))]);
    let half_made = |disk: &SimDisk| {
        let all = everything(disk, "channels");
        all.into_keys().filter(|path| path.ends_with(".tmp")).collect::<Vec<_>>()
    };
    let mut failed = 0;
    for operation in 1.. {
        let disk = disk.fork(operation);
        disk.fail_at(operation, Fault::NoSpace);
        let done = repair(&disk, &[], false, |_| (), |_| ());
        if disk.is_to_fail() {
            break;
        }
        failed += u64::from(done.is_err());
        assert_eq!(half_made(&disk), Vec::<String>::new(), "operation {operation}");
    }
    assert!(failed > 5, "{failed}");
    // What somebody's power cut has left is there after a dry run, whether that comes to its end or not.
    let left = format!("{}.tmp", files[0]);
    let file = disk.open(&left, netchan_store::disk::Open::CreateNew).unwrap();
    file.write_all_at(&[std::io::IoSlice::new(b"half")], 0).unwrap();
    for operation in 1.. {
        let disk = disk.fork(operation);
        disk.fail_at(operation, Fault::Io);
        let _ = repair(&disk, &[], true, |_| (), |_| ());
        assert_eq!(half_made(&disk), std::slice::from_ref(&left), "operation {operation}");
        if disk.is_to_fail() {
            break;
        }
    }
}

// NC-DSK-013, NC-DSK-104
#[test]
fn a_meta_is_made_again_from_a_segment_of_the_log_though_another_ones_stands_before_it() {
    let (disk, files, _) = closed(false);
    damage(&disk, &[(files[3].clone(), Bad::Flip(20))]);
    disk.overwrite(&files[0], foreign(&files[0]));
    check(&disk, None, "");
    let found = verified(&disk).swap_remove(0);
    assert_eq!((found.name, found.declared), (Some(name("a")), vec![(Offset(0), Offset(7))]));
}

#[test]
fn steps_beyond_a_thousand_are_counted() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let options = netchan_store::LogOptions { segment_bytes: 20 << 10, ..small(Durability::Sync) };
    let log = store.create_or_open(&name("a"), &options).unwrap();
    while log.info().segments < 7 {
        append(&log, "x");
        commit(&store);
    }
    store.close();
    let dir = format!("channels/{}", log.id());
    let mut pieces = 0;
    for file in disk.list(&dir).unwrap().into_iter().filter(|file| file.ends_with(".log")) {
        let path = format!("{dir}/{file}");
        let mut bytes = disk.contents(&path).unwrap();
        let places = batch_places(&bytes);
        pieces += places.len();
        places.iter().step_by(2).for_each(|at| bytes[at + 20] ^= 1);
        disk.overwrite(&path, bytes);
    }
    let done = repaired(&disk, true);
    let told = done[0].steps.len() as u64 + done[0].more_steps;
    assert_eq!(done[0].steps.len(), 1000);
    assert!((pieces as u64..pieces as u64 + 20).contains(&told) && told > 1000, "{told} of {pieces} pieces");
}

#[test]
fn a_directory_in_which_no_store_was_opened_is_well() {
    let disk = SimDisk::new(1);
    disk.create_dir("channels").unwrap();
    assert_eq!(repaired(&disk, false), []);
}

// NC-DSK-044, NC-DSK-102
#[test]
fn batches_that_are_damaged_one_after_the_other_are_one_loss_and_one_that_stands_elsewhere_is_one_too() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    for n in 0..30 {
        append(&log, &format!("{n:02} {}", "x".repeat(400)));
        commit(&store);
    }
    store.close();
    let path = segment(&log, 0);
    let good = disk.contents(&path).unwrap();
    let places = batch_places(&good);
    let len = places[1] - places[0];
    let lost = |spoil: &dyn Fn(&mut Vec<u8>)| {
        let disk = disk.fork(1);
        let mut bytes = good.clone();
        spoil(&mut bytes);
        disk.overwrite(&path, bytes);
        let done = repaired(&disk, true).swap_remove(0);
        check(&disk, look(&disk.fork(2)).as_ref(), "");
        done.lost().map(|(from, to)| (from.0, to.0)).collect::<Vec<_>>()
    };
    let (one, two) = (places[1], places[2]);
    let header_and_body = |bytes: &mut Vec<u8>| {
        bytes[one + 20] ^= 1;
        bytes[two + 70] ^= 1;
    };
    assert_eq!(lost(&header_and_body), [(1, 3)]);
    assert_eq!(lost(&|bytes| bytes.copy_within(two..two + len, one)), [(1, 2)]);
    assert_eq!(lost(&|bytes| bytes.copy_within(one..one + len, two)), [(2, 3)]);
}

/// What was not durable may have survived in part.
// NC-DSK-040
#[test]
fn a_torn_tail_in_which_a_later_batch_holds_is_no_loss() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let log = store.create_or_open(&name("a"), &small(Durability::Os)).unwrap();
    for n in 0..5 {
        append(&log, &format!("{n}"));
        commit(&store);
    }
    assert_eq!((log.durable(), log.written()), (Offset(1), Offset(5)));
    disk.kill();
    drop((log, store));
    let path = format!("channels/{}/{:020}.log", disk.list("channels").unwrap()[0], 0);
    let mut bytes = disk.contents(&path).unwrap();
    let at = batch_places(&bytes)[2];
    bytes[at + 20] ^= 1;
    disk.overwrite(&path, bytes);
    assert!(repaired(&disk, false).iter().all(Repaired::was_well));
    assert!(verified(&disk).iter().all(Verified::holds));
    assert_eq!(look(&disk).unwrap().1, Offset(2));
}

// NC-DSK-102
#[test]
fn a_damaged_head_costs_no_record_of_a_log_that_was_not_closed() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    append(&log, "one");
    log.sync().unwrap();
    disk.kill();
    drop((log, store));
    let path = format!("channels/{}/{:020}.log", disk.list("channels").unwrap()[0], 0);
    damage(&disk, &[(path, Bad::Flip(20))]);
    check(&disk, look(&disk.fork(1)).as_ref(), "");
    assert_eq!(look(&disk).unwrap().0, BTreeMap::from([(0, "one".to_owned())]));
}

/// A producer's records count once, over a repair too.
// NC-DSK-061
#[test]
fn a_repair_keeps_what_is_known_of_producers() {
    use netchan_proto::batch::{Batch, BatchBuilder, Stamp};
    use netchan_proto::{AsRecord, Epoch, ProducerId, Timestamp};
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let log = store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    let producer = ProducerId([9; 16]);
    for n in 0..12 {
        let mut builder = BatchBuilder::new(Offset(n), None);
        builder.push(Timestamp(1), &"published".as_record());
        let stamp = Stamp { seed: &producer.0, epoch: Epoch(0), durable_offset: Offset(0), previous_crc: 0 };
        let batch = Batch::verify(builder.finish(stamp).1, &producer.0).unwrap();
        log.append_batch(&log.claim(producer), &batch).unwrap();
        commit(&store);
    }
    // Once more where the segment behind them has a head that does not hold.
    let other = disk.fork(5);
    {
        other.kill();
        let store = open(&other);
        let log = store.open_existing(&name("a")).unwrap().unwrap();
        while log.info().segments < 2 {
            append(&log, &"x".repeat(400));
            commit(&store);
        }
        let end = log.visible().0;
        store.close();
        let newest = (0..end).rev().map(|base| segment(&log, base)).find(|it| other.contents(it).is_some());
        damage(&other, &[(newest.unwrap(), Bad::Flip(20))]);
        assert!(repaired(&other, false)[0].lost().count() == 0);
        let store = open(&other);
        let log = store.open_existing(&name("a")).unwrap().unwrap();
        assert_eq!(log.next_sequence(producer), 12);
    }
    store.close();
    let path = segment(&log, 0);
    let mut bytes = disk.contents(&path).unwrap();
    let at = batch_places(&bytes)[3];
    bytes[at + 20] ^= 1;
    disk.overwrite(&path, bytes);
    assert_eq!(repaired(&disk, false)[0].lost().count(), 1);
    // From the heads that the repair has made, as well as from its batches.
    for spoilt in [false, true] {
        let store = open(&disk.fork(1));
        let log = store.open_existing(&name("a")).unwrap().unwrap();
        assert_eq!(log.next_sequence(producer), 12, "{spoilt}");
        store.close();
        let newest = (0..12).rev().map(|base| segment(&log, base)).find(|it| disk.contents(it).is_some());
        let mut bytes = disk.contents(newest.as_ref().unwrap()).unwrap();
        bytes[20] ^= 1;
        disk.overwrite(&newest.unwrap(), bytes);
    }
}
