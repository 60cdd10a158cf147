//! A disk that gets full, at any byte and at any page: appends are refused cleanly, what is durable is read, and once
//! there is room the log goes on by itself, without a gap.
//!
//! Every test run takes a slice of the bytes; for all of them:
//!
//! ```console
//! $ NETCHAN_FULL=all cargo test --release -p netchan-store --test full -- --nocapture
//! ```

#![allow(clippy::unwrap_used)] // a panic is a failed test

mod rig;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use netchan_proto::{AsRecord, Durability, Offset};
use netchan_store::disk::{Disk, SimDisk};
use netchan_store::{AppendError, Log, LogError, LogOptions, Store};
use rig::{HandClock, commit, name, open, options, small, texts};

/// Appends until the log refuses, and says what it took. Twice the window at most.
fn fill(store: &Store, log: &Log, size: usize, window: usize) -> Vec<String> {
    let mut sent = texts(log);
    let mut bytes = 0;
    while bytes <= 2 * window {
        let text = format!("{} {}", sent.len(), "x".repeat(size + sent.len() % 7));
        match log.append(&text.as_record()) {
            Ok(offset) => assert_eq!(offset, Offset(sent.len() as u64)),
            Err(AppendError::Stalled { .. }) => return sent,
            Err(error) => panic!("{error}"),
        }
        bytes += text.len();
        sent.push(text);
        commit(store);
    }
    panic!("{bytes} bytes went into {window}");
}

/// What holds while nothing can be written.
fn is_stuck(log: &Log, sent: &[String]) {
    let durable = log.durable();
    assert!(log.poisoned().is_none() && log.shortage().is_some());
    assert!(matches!(log.append(&"more".as_record()), Err(AppendError::Stalled { .. })));
    assert!(matches!(log.sync(), Err(LogError::Stalled { .. })));
    assert_eq!((log.durable(), log.visible(), log.queued().0), (durable, durable, sent.len() as u64));
    assert_eq!(texts(log), sent[..usize::try_from(durable.0).unwrap()], "what is durable is read");
}

/// What holds once there is room.
fn goes_on(store: &Store, log: &Log, sent: &mut Vec<String>) {
    commit(store);
    assert_eq!(log.durable().0, sent.len() as u64, "what was queued is written by itself");
    sent.push("and on".to_owned());
    assert_eq!(log.append(&"and on".as_record()).unwrap().0, sent.len() as u64 - 1, "a gap");
    assert_eq!(log.sync().unwrap().0, sent.len() as u64);
    assert_eq!(texts(log), *sent);
}

// NC-DSK-022
#[test]
fn a_disk_that_is_full_at_any_byte_refuses_cleanly_and_the_log_goes_on_without_a_gap() {
    const WINDOW: usize = 64 << 10;
    let step = if std::env::var("NETCHAN_FULL").is_ok_and(|which| which == "all") { 1 } else { 89 };
    let base = SimDisk::new(1);
    let store = open(&base);
    store.create_or_open(&name("a"), &small(Durability::Sync)).unwrap();
    store.close();
    let next = AtomicU64::new(0);
    let work = || {
        loop {
            let free = next.fetch_add(1, Ordering::Relaxed) * step;
            if free >= WINDOW as u64 {
                return;
            }
            let disk = base.fork(free);
            let store = open(&disk);
            let log = store.open_existing(&name("a")).unwrap().unwrap();
            disk.set_capacity(disk.used() + free);
            let mut sent = fill(&store, &log, 700, WINDOW);
            is_stuck(&log, &sent);
            assert!(disk.used() <= base.used() + free, "{free} bytes free: more was taken");
            if free.is_multiple_of(3) {
                // The power goes while it is full.
                let durable = log.durable();
                let disk = disk.fork(free);
                disk.crash();
                let store = open(&disk);
                let log = store.open_existing(&name("a")).unwrap().unwrap();
                let found = texts(&log);
                assert!(found.len() as u64 >= durable.0 && found == sent[..found.len()]);
            }
            disk.set_capacity(u64::MAX);
            goes_on(&store, &log, &mut sent);
            drop((store, log));
            disk.crash();
            assert_eq!(texts(&open(&disk).open_existing(&name("a")).unwrap().unwrap()), sent, "{free}");
        }
    };
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
    });
    println!("full at {} of {WINDOW} bytes", (WINDOW as u64).div_ceil(step));
}

#[cfg(target_os = "linux")]
mod tmpfs {
    use std::fs;
    use std::path::Path;
    use std::process::Command;

    use std::io::IoSlice;

    use netchan_store::disk::{Open, RealDisk};

    use super::*;

    const PAGE: u64 = 4096;
    const WINDOW: usize = 1 << 20;
    const NAME: &str =
        "tmpfs::a_tmpfs_that_is_full_at_any_page_refuses_cleanly_and_the_log_goes_on_without_a_gap";
    const DIR: &str = "NETCHAN_TMPFS";

    /// Runs this test once more in namespaces of its own, with a small tmpfs at `dir`. False if the system allows none.
    fn again_with_a_tmpfs(dir: &Path) -> bool {
        let script =
            "mount -t tmpfs -o size=8m tmpfs \"$0\" || exit 77; exec \"$1\" --exact \"$2\" --nocapture";
        let status = Command::new("unshare")
            .args(["--map-root-user", "--mount", "sh", "-c", script])
            .arg(dir)
            .arg(std::env::current_exe().unwrap())
            .arg(NAME)
            .env(DIR, dir)
            .status();
        match status {
            Ok(status) if status.success() => true,
            Ok(status) if status.code() == Some(101) => panic!("it failed there"),
            other => {
                let required = std::env::var("NETCHAN_TOOLS").is_ok_and(|tools| tools == "required");
                assert!(!required, "no tmpfs of its own: {other:?}");
                println!("not run: no tmpfs of its own ({other:?})");
                false
            }
        }
    }

    #[test]
    fn a_tmpfs_that_is_full_at_any_page_refuses_cleanly_and_the_log_goes_on_without_a_gap() {
        let Some(dir) = std::env::var_os(DIR) else {
            again_with_a_tmpfs(tempfile::tempdir().unwrap().path());
            return;
        };
        for pages in 0..6 {
            written_short(Path::new(&dir), pages);
        }
        for page in 0..WINDOW as u64 / PAGE {
            full_at(Path::new(&dir), page);
        }
        println!("full at each of {} pages of a tmpfs", WINDOW as u64 / PAGE);
    }

    /// A write for which there is room in part only: it says so, what is there is a beginning of it, and once there is room
    /// it can be written whole.
    fn written_short(dir: &Path, pages: u64) {
        let disk = RealDisk::existing(dir).unwrap();
        assert_eq!(disk.root(), dir);
        let file = disk.open("short", Open::CreateNew).unwrap();
        let (filler, rest) = (dir.join("filler"), disk.space().unwrap().free - pages * PAGE);
        rustix::fs::fallocate(
            fs::File::create(&filler).unwrap(),
            rustix::fs::FallocateFlags::empty(),
            0,
            rest,
        )
        .unwrap();
        let bytes: Vec<u8> = (0..30_000_u32).map(|n| (n % 251) as u8).collect();
        let parts: Vec<IoSlice<'_>> = bytes.chunks(3001).map(IoSlice::new).collect();
        let full = file.write_all_at(&parts, 0).unwrap_err();
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull, "{full}");
        let there = fs::read(dir.join("short")).unwrap();
        assert!(there.len() as u64 <= pages * PAGE && bytes.starts_with(&there), "{}", there.len());
        fs::remove_file(&filler).unwrap();
        file.write_all_at(&parts, 0).unwrap();
        assert_eq!(fs::read(dir.join("short")).unwrap(), bytes);
        assert_eq!(disk.size("short").unwrap(), 30_000);
        disk.remove_file("short").unwrap();
    }

    fn full_at(dir: &Path, page: u64) {
        let data = dir.join("data");
        let disk = Arc::new(RealDisk::new(&data).unwrap());
        let open =
            || Store::open(Arc::clone(&disk) as Arc<dyn Disk>, options(&HandClock::default())).unwrap();
        let kept = LogOptions { segment_bytes: 96 << 10, ..small(Durability::Sync) };
        let store = open();
        let log = store.create_or_open(&name("a"), &kept).unwrap();
        let filler = dir.join("filler");
        let rest = disk.space().unwrap().free - page * PAGE;
        let file = fs::File::create(&filler).unwrap();
        rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, rest).unwrap();
        drop(file);
        assert_eq!(disk.space().unwrap().free, page * PAGE);
        let mut sent = fill(&store, &log, 3000, WINDOW);
        is_stuck(&log, &sent);
        fs::remove_file(&filler).unwrap();
        goes_on(&store, &log, &mut sent);
        store.close();
        drop((store, log));
        let store = open();
        assert_eq!(texts(&store.open_existing(&name("a")).unwrap().unwrap()), sent, "page {page}");
        store.close();
        fs::remove_dir_all(&data).unwrap();
    }
}
