//! Lets each operation of a script fail once, in each way there is: nothing durable is lost, nothing wrong is read, nothing
//! is told durable that is not, and once the disk is well again the channel goes on where it was.

use std::sync::atomic::{AtomicU64, Ordering};

use netchan_proto::{AsRecord, Offset};
use netchan_store::disk::{Fault, SimDisk};
use netchan_store::{Log, LogError, Store};

use super::check::{check, whole};
use super::life;
use super::rig::{commit, name};
use super::script::{CHANNEL, Script, Told, play_to_failure};

/// Scripts that every test run takes.
const SLICE: u64 = 6;
/// They let each so manieth operation fail.
const STRIDE: u64 = 5;
/// What survives the power cut after a failure.
const SUBSETS: u64 = 6;

const FAULTS: [Fault; 4] = [Fault::Io, Fault::NoSpace, Fault::ReadOnly, Fault::Writeback];

struct Where(u64, u64, Fault);

impl Drop for Where {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("this was script {}, operation {}, {:?}", self.0, self.1, self.2);
        }
    }
}

/// False: the script has no so many operations.
fn fails(seed: u64, operation: u64, fault: Fault) -> bool {
    let _where = Where(seed, operation, fault);
    let script = Script::new(seed);
    let disk = SimDisk::new(seed);
    disk.fail_at(operation, fault);
    let (told, open) = play_to_failure(&disk, &script);
    if disk.is_to_fail() {
        return false;
    }
    if let Some((_, log)) = &open
        && told.exists
        && !told.is_going
    {
        // What it shows it shows still, whatever has failed.
        assert!(log.visible() >= told.durable.min(Offset(told.sent.len() as u64)));
        whole(log, &told);
        if fault == Fault::ReadOnly {
            nothing_moves(&disk, log);
        }
    }
    disk.set_read_only(false);
    // The disk is well again. The power goes now;
    for subset in 0..SUBSETS {
        let disk = disk.fork(seed << 32 ^ operation << 8 ^ subset);
        disk.crash();
        check(&disk, &told, subset == 0);
    }
    // or the process is killed, and the power goes in its next life;
    let next = disk.fork(seed << 32 ^ operation << 8);
    next.kill();
    let later = life::live(&next, &script, told.clone());
    next.crash();
    check(&next, &later, true);
    // or it goes on.
    if let Some((store, log)) = open
        && told.exists
        && !told.is_going
        && !told.is_sealing
    {
        let told = go_on(&store, &log, told, fault);
        drop((store, log));
        disk.crash();
        check(&disk, &told, true);
    }
    true
}

/// What a log says of itself does not change while nothing can.
fn nothing_moves(disk: &SimDisk, log: &Log) {
    let marks = |log: &Log| (log.first(), log.visible(), log.durable(), log.sealed_at());
    let before = marks(log);
    let used = disk.used();
    let _ = log.append(&"into the void".as_record());
    let _ = log.sync();
    let _ = log.seal();
    assert_eq!((marks(log), disk.used()), (before, used));
}

/// The channel takes records again: by itself where something was short, opened anew where it had failed.
fn go_on(store: &Store, log: &Log, mut told: Told, fault: Fault) -> Told {
    commit(store);
    let had_failed = log.poisoned().is_some();
    let durable = log.durable();
    let open = || store.open_existing(&name(CHANNEL));
    // A writeback of another of its files may have failed too, and is told once.
    let log = match open().or_else(|_| open()) {
        Ok(log) => log.expect("the channel is there"),
        // Its store was closed, or what failed was its state log's.
        Err(error) => {
            assert!(matches!(error, netchan_store::StoreError::Closed), "{error}");
            return told;
        }
    };
    assert!(log.poisoned().is_none());
    if had_failed {
        assert!(log.visible() >= durable && log.visible().0 <= told.sent.len() as u64);
        told.sent.truncate(usize::try_from(log.visible().0).unwrap());
        told.seen = told.seen.filter(|seen| seen.offset <= log.visible());
        told.is_sealed = log.is_sealed();
        told.is_sealing = log.is_sealed();
    }
    assert_eq!(log.queued().0, told.sent.len() as u64, "a gap, or something twice");
    if log.append(&"goes on".as_record()).is_ok() {
        told.sent.push("goes on".to_owned());
        told.durable = match log.sync() {
            Ok(durable) => durable,
            // A writeback failed behind, and nothing has asked for a sync since.
            Err(LogError::Poisoned { .. }) if !had_failed && fault == Fault::Writeback => {
                return go_on(store, &log, told, fault);
            }
            Err(error) => panic!("{error}"),
        };
        assert_eq!(told.durable.0, told.sent.len() as u64);
    } else {
        assert!(log.is_sealed());
    }
    told
}

// NC-DSK-036, NC-DSK-045
#[test]
fn whatever_operation_fails_nothing_durable_is_lost_and_the_channel_goes_on() {
    let wanted = std::env::var("NETCHAN_FAULTS").map_or(SLICE, |scripts| scripts.parse().unwrap());
    let stride = if wanted > SLICE { 1 } else { STRIDE };
    let (scripts, count) = (AtomicU64::new(0), AtomicU64::new(0));
    let work = || {
        loop {
            let seed = scripts.fetch_add(1, Ordering::Relaxed);
            if seed >= wanted {
                return;
            }
            for operation in (1 + seed % stride..).step_by(stride as usize) {
                if !FAULTS.iter().all(|fault| fails(seed, operation, *fault)) {
                    break;
                }
                count.fetch_add(FAULTS.len() as u64, Ordering::Relaxed);
            }
        }
    };
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
    });
    println!("{} failures of operations of {wanted} scripts", count.into_inner());
}
