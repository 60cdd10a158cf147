//! Dropping what a program holds waits for no disk and starts no thread, however busy the disk is.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "this is about threads"
)]

use std::fmt;
use std::io::{self, IoSlice};
use std::sync::mpsc;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use netchan_node::{Node, NodeConfig, Sender};
use netchan_proto::{AsRecord, ChannelName, Offset};
use netchan_store::disk::{Disk, DiskFile, DiskLock, Open, SimDisk, Space};
use netchan_store::{LogOptions, Store, StoreOptions};

/// Longer than anything here takes on a machine that is slow and busy.
const LONG: Duration = Duration::from_secs(60);

/// Where syncs wait while it is closed.
#[derive(Debug, Default)]
struct Gate {
    is_closed: Mutex<(bool, usize)>,
    moved: Condvar,
}

impl Gate {
    fn pass(&self) {
        let mut state = self.is_closed.lock().unwrap();
        state.1 += 1;
        self.moved.notify_all();
        while state.0 {
            state = self.moved.wait(state).unwrap();
        }
        state.1 -= 1;
    }

    fn close(&self) {
        self.is_closed.lock().unwrap().0 = true;
    }

    fn open(&self) {
        self.is_closed.lock().unwrap().0 = false;
        self.moved.notify_all();
    }

    fn wait_for_one(&self) {
        let mut state = self.is_closed.lock().unwrap();
        while state.1 == 0 {
            state = self.moved.wait(state).unwrap();
        }
    }
}

/// A disk that can be made to stand still in its syncs.
#[derive(Debug)]
struct Stuck(SimDisk, Arc<Gate>);

struct StuckFile(Arc<dyn DiskFile>, Arc<Gate>);

impl fmt::Debug for StuckFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Disk for Stuck {
    fn create_dir(&self, path: &str) -> io::Result<()> {
        self.0.create_dir(path)
    }
    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        self.0.list(path)
    }
    fn open(&self, path: &str, how: Open) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(StuckFile(self.0.open(path, how)?, Arc::clone(&self.1))))
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.rename(from, to)
    }
    fn remove_file(&self, path: &str) -> io::Result<()> {
        self.0.remove_file(path)
    }
    fn remove_dir(&self, path: &str) -> io::Result<()> {
        self.0.remove_dir(path)
    }
    fn sync_dir(&self, path: &str) -> io::Result<()> {
        self.1.pass();
        self.0.sync_dir(path)
    }
    fn space(&self) -> io::Result<Space> {
        self.0.space()
    }
    fn try_lock(&self, path: &str) -> io::Result<Option<Box<dyn DiskLock>>> {
        self.0.try_lock(path)
    }
}

impl DiskFile for StuckFile {
    fn read_at(&self, into: &mut Vec<u8>, at: u64) -> io::Result<usize> {
        self.0.read_at(into, at)
    }
    fn write_all_at(&self, parts: &[IoSlice<'_>], at: u64) -> io::Result<()> {
        self.0.write_all_at(parts, at)
    }
    fn allocate(&self, len: u64) -> io::Result<()> {
        self.0.allocate(len)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
    fn sync(&self) -> io::Result<()> {
        self.1.pass();
        self.0.sync()
    }
    fn size(&self) -> io::Result<u64> {
        self.0.size()
    }
}

/// One test at a time: threads of the process are counted.
static ALONE: Mutex<()> = Mutex::new(());

fn options() -> StoreOptions {
    StoreOptions { min_free_percent: 0, ..StoreOptions::default() }
}

#[cfg(target_os = "linux")]
fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

#[cfg(not(target_os = "linux"))]
fn threads() -> usize {
    0
}

#[test]
fn who_drops_everything_waits_for_no_disk_and_starts_no_thread_and_all_is_kept() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (disk, gate) = (SimDisk::new(1), Arc::new(Gate::default()));
    let name = ChannelName::new("dropped").unwrap();
    let stuck = Stuck(disk.clone(), Arc::clone(&gate));
    let store = Store::open(Arc::new(stuck), options()).unwrap();
    let node = Node::new(NodeConfig { store: Some(store.clone()), ..NodeConfig::default() }).unwrap();
    let log = node.open_log(&name, &LogOptions::default()).unwrap();
    log.append(&"written".as_record()).unwrap();
    log.sync().unwrap();
    gate.close();
    let sender = Sender::local(log.clone());
    let sent = sender.try_send("under way").unwrap();
    gate.wait_for_one();
    sender.try_send("queued").unwrap();
    let reached = sent.durable();
    let (done, dropped) = mpsc::channel();
    let before = threads();
    let dropping = thread::spawn(move || {
        drop((reached, sent, sender.clone(), node.clone(), log, store));
        drop((node, sender));
        // With this thread; and whoever was idle may have ended.
        done.send(threads() <= before + 1).unwrap();
    });
    let starts_none = dropped.recv_timeout(LONG).expect("it waits for the disk");
    assert!(starts_none);
    gate.open();
    dropping.join().unwrap();
    // The committer is on its way out, and what was sent is written by then.
    let store = loop {
        match Store::open(Arc::new(disk.clone()), options()) {
            Ok(store) => break store,
            Err(_) => thread::yield_now(),
        }
    };
    let log = store.existing(&name).or_else(|| store.open_existing(&name).unwrap()).unwrap();
    assert_eq!(log.durable(), Offset(3));
}

#[test]
fn who_closes_a_store_while_another_does_finds_it_closed() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (disk, gate) = (SimDisk::new(2), Arc::new(Gate::default()));
    let stuck = Stuck(disk.clone(), Arc::clone(&gate));
    let store = Store::open(Arc::new(stuck), options()).unwrap();
    let log = store.create_or_open(&ChannelName::new("closed").unwrap(), &LogOptions::default()).unwrap();
    gate.close();
    log.append(&"under way".as_record()).unwrap();
    gate.wait_for_one();
    let turn = Arc::new(Mutex::new(()));
    let closing = [store.clone(), store].map(|store| {
        let (disk, turn) = (disk.clone(), Arc::clone(&turn));
        thread::spawn(move || {
            store.close();
            let _turn = turn.lock().unwrap();
            // Its lock is given back.
            Store::open(Arc::new(disk), options()).unwrap().close();
        })
    });
    thread::sleep(Duration::from_millis(50)); // so that both are there; nothing that holds depends on it
    gate.open();
    for closing in closing {
        closing.join().unwrap();
    }
}
