//! Files and directories: what of them is on disk, what is only in memory, and what is left of that after a power cut.

use std::collections::{BTreeMap, BTreeSet};

/// What survives or is lost as a whole.
pub(super) const SECTOR: usize = 512;

#[derive(Clone)]
pub(super) enum Inode {
    File(File),
    Dir(Dir),
}

#[derive(Clone, Default)]
pub(super) struct File {
    durable: Vec<u8>,
    pub(super) now: Vec<u8>,
    /// Sectors that differ, or may, and that a sync would write.
    dirty: BTreeSet<usize>,
    /// Counts writebacks that failed.
    errors: u64,
    /// Whether a sync has told of the last one.
    is_told: bool,
}

#[derive(Clone, Default)]
pub(super) struct Dir {
    pub(super) durable: BTreeMap<String, u64>,
    pub(super) now: BTreeMap<String, u64>,
    pub(super) pending: Vec<DirOperation>,
}

#[derive(Clone)]
pub(super) enum DirOperation {
    Link(String, u64),
    Unlink(String),
    Rename(String, String, u64),
}

impl DirOperation {
    fn apply(&self, entries: &mut BTreeMap<String, u64>) {
        match self {
            DirOperation::Link(name, inode) => {
                entries.insert(name.clone(), *inode);
            }
            DirOperation::Unlink(name) => {
                entries.remove(name);
            }
            DirOperation::Rename(from, to, inode) => {
                entries.remove(from);
                entries.insert(to.clone(), *inode);
            }
        }
    }
}

impl Dir {
    pub(super) fn apply(&mut self, operation: DirOperation) {
        operation.apply(&mut self.now);
        self.pending.push(operation);
    }

    pub(super) fn sync(&mut self) {
        self.pending.clear();
        self.durable.clone_from(&self.now);
    }

    pub(super) fn lose_all(&mut self) {
        self.pending.clear();
        self.now.clone_from(&self.durable);
    }

    pub(super) fn crash(&mut self, random: &mut fastrand::Rng) {
        for operation in std::mem::take(&mut self.pending) {
            if random.bool() {
                operation.apply(&mut self.durable);
            }
        }
        self.now.clone_from(&self.durable);
    }
}

impl File {
    /// A file that is on disk as it is.
    pub(super) fn durable(bytes: Vec<u8>) -> File {
        File { durable: bytes.clone(), now: bytes, ..File::default() }
    }

    fn touch(&mut self, from: usize, to: usize) {
        if from < to {
            self.dirty.extend(from / SECTOR..to.div_ceil(SECTOR));
        }
    }

    pub(super) fn set_len(&mut self, len: usize) {
        let had = self.now.len();
        self.now.resize(len, 0);
        self.touch(len.min(had), had);
    }

    pub(super) fn write(&mut self, bytes: &[u8], at: usize) {
        if bytes.is_empty() {
            return;
        }
        let end = at + bytes.len();
        if self.now.len() < end {
            self.now.resize(end, 0);
        }
        self.now[at..end].copy_from_slice(bytes);
        self.touch(at, end);
    }

    pub(super) fn sync(&mut self) {
        self.durable.resize(self.now.len(), 0);
        for sector in std::mem::take(&mut self.dirty) {
            let range = sector * SECTOR..((sector + 1) * SECTOR).min(self.now.len());
            if !range.is_empty() && range.start < self.now.len() {
                self.durable[range.clone()].copy_from_slice(&self.now[range]);
            }
        }
    }

    pub(super) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty() || self.now.len() != self.durable.len()
    }

    /// What was to be written is lost, looks clean, and is held against every handle there is.
    pub(super) fn lose_writeback(&mut self) {
        self.dirty.clear();
        self.errors += 1;
        self.is_told = false;
    }

    /// What a handle that is opened now has been told. Of an error that nobody was told yet it will be.
    pub(super) fn told_at_opening(&self) -> u64 {
        if self.is_told { self.errors } else { 0 }
    }

    /// Whether a handle that was told of `told` errors hears of one now.
    pub(super) fn tells(&mut self, told: &mut u64) -> bool {
        let is_news = *told != self.errors;
        *told = self.errors;
        self.is_told |= is_news;
        is_news
    }

    pub(super) fn lose_all(&mut self) {
        *self = File::durable(std::mem::take(&mut self.durable));
    }

    pub(super) fn crash(&mut self, random: &mut fastrand::Rng) {
        let (old, new) = (self.durable.len(), self.now.len());
        // A file that grew may have grown by a part.
        let len = match random.u8(..4) {
            0 if new > old => random.usize(old..=new).next_multiple_of(SECTOR).min(new),
            0 | 1 => old,
            _ => new,
        };
        let mut survived = std::mem::take(&mut self.durable);
        survived.resize(len, 0);
        for sector in std::mem::take(&mut self.dirty) {
            let start = sector * SECTOR;
            let end = (start + SECTOR).min(len);
            if start < end && random.bool() {
                let known = self.now.get(start..end.min(self.now.len())).unwrap_or_default();
                survived[start..end].fill(0);
                survived[start..start + known.len()].copy_from_slice(known);
            }
        }
        *self = File::durable(survived);
    }
}
