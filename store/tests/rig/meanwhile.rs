//! A disk on which something happens just before a file is opened to be read: what another thread or process would do meanwhile.

use std::fmt;
use std::io::Result;
use std::sync::{Arc, Mutex};

use netchan_store::disk::{Disk, DiskFile, DiskLock, Open, SimDisk, Space};

type Hook = Box<dyn FnOnce() -> Result<()> + Send>;

pub(crate) struct Meanwhile {
    pub(crate) disk: SimDisk,
    hook: Mutex<Option<(String, Hook)>>,
}

impl Meanwhile {
    pub(crate) fn new(disk: SimDisk) -> Meanwhile {
        Meanwhile { disk, hook: Mutex::default() }
    }

    /// Lets it happen once, before the next file is opened whose path ends like that. An error of it is the opening's.
    pub(crate) fn on_open(&self, suffix: &str, hook: impl FnOnce() -> Result<()> + Send + 'static) {
        *self.hook.lock().unwrap() = Some((suffix.to_owned(), Box::new(hook)));
    }
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
        self.disk.open(path, how)
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
