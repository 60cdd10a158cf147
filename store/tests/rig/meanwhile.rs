//! A disk on which something happens just before a file is opened to be read, written or synced: what another thread or process would do
//! meanwhile.
#![allow(dead_code)] // each test file uses its part

use std::fmt;
use std::io::{IoSlice, Result};
use std::sync::{Arc, Mutex};

use netchan_store::disk::{Disk, DiskFile, DiskLock, Open, SimDisk, Space};

type Hook = Box<dyn FnOnce() -> Result<()> + Send>;

pub(crate) struct Meanwhile {
    pub(crate) disk: SimDisk,
    hook: Mutex<Option<(String, Hook)>>,
    on_sync: Arc<Mutex<Option<Hook>>>,
    on_write: Arc<Mutex<Option<Hook>>>,
}

impl Meanwhile {
    pub(crate) fn new(disk: SimDisk) -> Meanwhile {
        Meanwhile { disk, hook: Mutex::default(), on_sync: Arc::default(), on_write: Arc::default() }
    }

    /// Lets it happen once, before the next file is opened whose path ends like that. An error of it is the opening's.
    pub(crate) fn on_open(&self, suffix: &str, hook: impl FnOnce() -> Result<()> + Send + 'static) {
        *self.hook.lock().unwrap() = Some((suffix.to_owned(), Box::new(hook)));
    }

    /// Lets it happen once, before a file is synced next.
    pub(crate) fn on_sync(&self, hook: impl FnOnce() + Send + 'static) {
        *self.on_sync.lock().unwrap() = Some(well(hook));
    }

    /// Lets it happen once, before a file is written next.
    pub(crate) fn on_write(&self, hook: impl FnOnce() + Send + 'static) {
        *self.on_write.lock().unwrap() = Some(well(hook));
    }
}

fn well(hook: impl FnOnce() + Send + 'static) -> Hook {
    Box::new(|| {
        hook();
        Ok(())
    })
}

impl fmt::Debug for Meanwhile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.disk.fmt(f)
    }
}

impl Disk for Meanwhile {
    fn create_dir(&self, path: &str) -> Result<()> {
        self.disk.create_dir(path)
    }
    fn list(&self, path: &str) -> Result<Vec<String>> {
        self.disk.list(path)
    }
    fn open(&self, path: &str, how: Open) -> Result<Arc<dyn DiskFile>> {
        let is_it = |(suffix, _): &mut (String, Hook)| how == Open::Read && path.ends_with(&**suffix);
        let hook = self.hook.lock().unwrap().take_if(is_it);
        hook.map_or(Ok(()), |(_, hook)| hook())?;
        let file = self.disk.open(path, how)?;
        let (on_sync, on_write) = (Arc::clone(&self.on_sync), Arc::clone(&self.on_write));
        Ok(Arc::new(File { file, on_sync, on_write }))
    }
    fn size(&self, path: &str) -> Result<u64> {
        self.disk.size(path)
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

struct File {
    file: Arc<dyn DiskFile>,
    on_sync: Arc<Mutex<Option<Hook>>>,
    on_write: Arc<Mutex<Option<Hook>>>,
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.file.fmt(f)
    }
}

impl DiskFile for File {
    fn read_at(&self, into: &mut Vec<u8>, at: u64) -> Result<usize> {
        self.file.read_at(into, at)
    }
    fn write_all_at(&self, parts: &[IoSlice<'_>], at: u64) -> Result<()> {
        let hook = self.on_write.lock().unwrap().take();
        hook.map_or(Ok(()), |hook| hook())?;
        self.file.write_all_at(parts, at)
    }
    fn allocate(&self, len: u64) -> Result<()> {
        self.file.allocate(len)
    }
    fn set_len(&self, len: u64) -> Result<()> {
        self.file.set_len(len)
    }
    fn sync(&self) -> Result<()> {
        let hook = self.on_sync.lock().unwrap().take();
        hook.map_or(Ok(()), |hook| hook())?;
        self.file.sync()
    }
    fn size(&self) -> Result<u64> {
        self.file.size()
    }
}
