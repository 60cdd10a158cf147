//! Where a channel's files are, and how they are damaged.

use std::fs;
use std::path::{Path, PathBuf};

use super::Place;

/// The directory of a channel.
pub(crate) fn dir(place: &Place, name: &str) -> PathBuf {
    let channels = fs::read_dir(place.path("data/channels")).unwrap().map(|entry| entry.unwrap().path());
    let has_name = |dir: &PathBuf| {
        let meta = fs::read(dir.join("meta")).unwrap();
        meta[128..meta.len() - 4] == *name.as_bytes()
    };
    channels.into_iter().find(has_name).unwrap()
}

/// The first segment of a channel.
pub(crate) fn segment(place: &Place, name: &str) -> PathBuf {
    dir(place, name).join(format!("{:020}.log", 0))
}

/// Changes one bit of a file.
pub(crate) fn flip(path: &Path, byte: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[byte] ^= 1;
    fs::write(path, bytes).unwrap();
}
