//! A disk that hangs.

use std::io::{IoSlice, Result};
use std::sync::{Arc, Condvar, Mutex};

use netchan_proto::Offset;
use netchan_store::disk::{Disk, DiskFile, DiskLock, Open, SimDisk, Space};
use netchan_store::{LogOptions, Store, StoreOptions};

use super::numbered;
use super::rig::{append, name, texts};

/// A disk whose preallocation waits until it is let go.
#[derive(Debug)]
struct Stalling {
    disk: SimDisk,
    gate: Arc<Gate>,
}

#[derive(Debug, Default)]
struct Gate {
    is_shut: Mutex<bool>,
    changed: Condvar,
}

impl Gate {
    fn set(&self, is_shut: bool) {
        *self.is_shut.lock().unwrap() = is_shut;
        self.changed.notify_all();
    }

    fn pass(&self) {
        let shut = self.is_shut.lock().unwrap();
        drop(self.changed.wait_while(shut, |is_shut| *is_shut).unwrap());
    }
}

impl Disk for Stalling {
    fn create_dir(&self, path: &str) -> Result<()> {
        self.disk.create_dir(path)
    }
    fn list(&self, path: &str) -> Result<Vec<String>> {
        self.disk.list(path)
    }
    fn open(&self, path: &str, how: Open) -> Result<Arc<dyn DiskFile>> {
        let file = self.disk.open(path, how)?;
        Ok(Arc::new(StallingFile { file, gate: Arc::clone(&self.gate) }))
    }
    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.disk.rename(from, to)
    }
    fn remove_file(&self, path: &str) -> Result<()> {
        self.disk.remove_file(path)
    }
    fn remove_dir(&self, path: &str) -> Result<()> {
        self.disk.remove_dir(path)
    }
    fn sync_dir(&self, path: &str) -> Result<()> {
        self.disk.sync_dir(path)
    }
    fn space(&self) -> Result<Space> {
        self.disk.space()
    }
    fn try_lock(&self, path: &str) -> Result<Option<Box<dyn DiskLock>>> {
        self.disk.try_lock(path)
    }
}

#[derive(Debug)]
struct StallingFile {
    file: Arc<dyn DiskFile>,
    gate: Arc<Gate>,
}

impl DiskFile for StallingFile {
    fn read_at(&self, into: &mut Vec<u8>, at: u64) -> Result<usize> {
        self.file.read_at(into, at)
    }
    fn write_all_at(&self, parts: &[IoSlice<'_>], at: u64) -> Result<()> {
        self.file.write_all_at(parts, at)
    }
    fn allocate(&self, len: u64) -> Result<()> {
        self.gate.pass();
        self.file.allocate(len)
    }
    fn set_len(&self, len: u64) -> Result<()> {
        self.file.set_len(len)
    }
    fn sync(&self) -> Result<()> {
        self.file.sync()
    }
    fn size(&self) -> Result<u64> {
        self.file.size()
    }
}

// 30
#[test]
fn while_preallocation_hangs_appends_are_queued_and_what_is_there_is_read() {
    let gate = Arc::new(Gate::default());
    let disk = Stalling { disk: SimDisk::new(1), gate: Arc::clone(&gate) };
    let options = StoreOptions { min_free_percent: 0, ..StoreOptions::default() };
    let store = Store::open(Arc::new(disk), options).unwrap();
    let log = store.create_or_open(&name("a"), &LogOptions::default()).unwrap();
    append(&log, "0");
    log.sync().unwrap();
    gate.set(true);
    // More than the room that is reserved: whoever writes it hangs, and nobody else.
    let sent = numbered(400, 1000);
    for text in &sent {
        append(&log, text);
    }
    assert_eq!((log.queued(), texts(&log)[0].as_str()), (Offset(401), "0"));
    assert!(log.durable() < Offset(401));
    gate.set(false);
    assert_eq!(log.sync().unwrap(), Offset(401));
    assert_eq!(texts(&log)[1..], sent);
    store.close();
}
