//! `recv --output DIR/`: a file a channel, appended to.
//!
//! Owns what waits for each file, and how long each is. Where a file is, [`place`] knows. The order is that of
//! [`crate::position`]: before the first record goes into a file it is kept how long that was, and only what was written is kept as
//! received.

mod place;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use netchan_proto::{ChannelName, Position, Record};

pub(crate) use self::place::Place;
use crate::output::{Form, WRITE};
use crate::position::{Written, cut_back, length_of};

/// Files that are open at once.
const MOST_OPEN: usize = 64;
/// Memory for what waits that each file may keep.
const AT_HAND: usize = 1 << 10;

/// A directory that takes the records of several channels.
#[derive(Debug)]
pub(crate) struct Folder {
    place: Place,
    form: Form,
    files: BTreeMap<ChannelName, One>,
    /// Those for which something waits, and the position before it.
    waiting: Vec<(ChannelName, Option<Position>)>,
    bytes: usize,
    open: usize,
}

/// A channel's file.
#[derive(Debug, Default)]
struct One {
    file: Option<(File, PathBuf)>,
    /// How long it is, once that is known.
    length: Option<u64>,
    waits: Vec<u8>,
    /// Something waits, be it of no bytes.
    is_waiting: bool,
    /// The last record had no delimiter, with what waits and without.
    unterminated: bool,
    was_unterminated: bool,
}

impl Folder {
    /// Into files below `dir`, which is made if it is missing. Those of which something is kept are cut back to that.
    ///
    /// # Errors
    /// The directory cannot be made, or a file that was kept is not as it was left.
    pub(crate) fn open(dir: &Path, form: Form, kept: &BTreeMap<ChannelName, Written>) -> Result<Folder> {
        let place = Place::open(dir)?;
        let mut files = BTreeMap::new();
        for (channel, written) in kept {
            let (file, path) = place.file(channel)?;
            cut_back(&file, &path, written.length)?;
            let (length, unterminated) = (Some(written.length), written.unterminated);
            let one = One { length, unterminated, was_unterminated: unterminated, ..One::default() };
            files.insert(channel.clone(), one);
        }
        Ok(Folder { place, form, files, waiting: Vec::new(), bytes: 0, open: 0 })
    }

    /// Puts a record behind those that wait for its channel's file; `before` says its position, if it is the first of them.
    pub(crate) fn push(
        &mut self,
        channel: &ChannelName,
        record: &Record,
        before: impl FnOnce() -> Option<Position>,
    ) {
        if !self.files.contains_key(channel) {
            self.files.insert(channel.clone(), One::default());
        }
        let Some(one) = self.files.get_mut(channel) else { return };
        if !std::mem::replace(&mut one.is_waiting, true) {
            self.waiting.push((channel.clone(), before()));
        }
        self.form.is_of(channel);
        let had = one.waits.len();
        self.form.push_ended(&mut one.waits, record, &mut one.unterminated);
        self.bytes += one.waits.len() - had;
    }

    /// Whether what waits is to be written before more is pushed.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes >= WRITE
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Makes ready to write: all files are there, and it is known how long they are. Says whether that was not known of one.
    ///
    /// # Errors
    /// A file cannot be opened.
    pub(crate) fn prepare(&mut self) -> Result<bool> {
        let mut is_new = false;
        for (channel, _) in &self.waiting {
            let Some(one) = self.files.get_mut(channel) else { continue };
            if one.length.is_none() {
                let (file, path) = self.place.file(channel)?;
                one.length = Some(length_of(&file, &path)?);
                is_new = true;
            }
        }
        Ok(is_new)
    }

    /// The channels for which something waits, and the positions before that.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = &(ChannelName, Option<Position>)> {
        self.waiting.iter()
    }

    /// Writes all that waits.
    ///
    /// # Errors
    /// A file cannot be opened or written.
    pub(crate) fn write(&mut self) -> Result<()> {
        self.prepare()?;
        for (channel, _) in std::mem::take(&mut self.waiting) {
            if self.open >= MOST_OPEN {
                self.files.values_mut().for_each(|one| one.file = None);
                self.open = 0;
            }
            let Some(one) = self.files.get_mut(&channel) else { continue };
            let (file, path) = match &mut one.file {
                Some(file) => file,
                closed => {
                    self.open += 1;
                    closed.insert(self.place.file(&channel)?)
                }
            };
            let cannot = || format!("the output {} cannot be written", path.display());
            file.write_all(&one.waits).with_context(cannot)?;
            one.length = one.length.map(|length| length + one.waits.len() as u64);
            one.was_unterminated = one.unterminated;
            one.is_waiting = false;
            one.waits.clear();
            one.waits.shrink_to(AT_HAND);
        }
        self.bytes = 0;
        Ok(())
    }

    /// How long each file is, with what was written alone.
    pub(crate) fn written(&self) -> BTreeMap<ChannelName, Written> {
        let of = |(channel, one): (&ChannelName, &One)| {
            let written = Written { length: one.length?, unterminated: one.was_unterminated };
            Some((channel.clone(), written))
        };
        self.files.iter().filter_map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use netchan_proto::NewRecord;

    use super::*;
    use crate::output::tests::received;
    use crate::output::{Style, UNTERMINATED};
    use crate::shown::Shown;

    fn open(dir: &Path, kept: &BTreeMap<ChannelName, Written>) -> Result<Folder> {
        Folder::open(dir, Form::new(Style::Payload, b"\n".to_vec(), Shown::AsIs), kept)
    }

    fn channel(name: &str) -> ChannelName {
        ChannelName::new(name).unwrap()
    }

    #[test]
    fn each_channel_has_its_file_and_each_file_its_own_end() {
        let at = tempfile::tempdir().unwrap();
        let mut folder = open(at.path(), &BTreeMap::new()).unwrap();
        let open_end = NewRecord::new("two").header(UNTERMINATED, "");
        for (name, record) in
            [("a", NewRecord::new("one")), ("a/b", open_end), ("a", NewRecord::new("three"))]
        {
            folder.push(&channel(name), &received(&[record])[0], || None);
        }
        assert!(folder.prepare().unwrap() && !folder.prepare().unwrap(), "files are new once");
        folder.write().unwrap();
        assert_eq!(fs::read(at.path().join("a.log")).unwrap(), b"one\nthree\n");
        assert_eq!(fs::read(at.path().join("a/b.log")).unwrap(), b"two");
        folder.push(&channel("a/b"), &received(&[NewRecord::new("four")])[0], || None);
        assert!(folder.written()[&channel("a/b")].unterminated, "as long as that only waits");
        folder.write().unwrap();
        assert_eq!(fs::read(at.path().join("a/b.log")).unwrap(), b"two\nfour\n");
        assert_eq!(folder.written()[&channel("a/b")], Written { length: 9, unterminated: false });
    }

    #[test]
    fn files_are_cut_back_to_what_was_kept_and_what_is_shorter_is_refused() {
        let at = tempfile::tempdir().unwrap();
        fs::write(at.path().join("a.log"), "one\ntwo\nthr").unwrap();
        fs::write(at.path().join("b.log"), "from elsewhere\n").unwrap();
        let kept = |length| BTreeMap::from([(channel("a"), Written { length, unterminated: false })]);
        let mut folder = open(at.path(), &kept(4)).unwrap();
        for name in ["a", "b"] {
            folder.push(&channel(name), &received(&[NewRecord::new("more")])[0], || None);
        }
        folder.write().unwrap();
        assert_eq!(fs::read(at.path().join("a.log")).unwrap(), b"one\nmore\n");
        assert_eq!(fs::read(at.path().join("b.log")).unwrap(), b"from elsewhere\nmore\n");
        assert!(open(at.path(), &kept(10)).unwrap_err().to_string().contains("not the output"));
    }

    #[test]
    fn more_channels_than_files_may_be_open_are_all_written() {
        let at = tempfile::tempdir().unwrap();
        let mut folder = open(at.path(), &BTreeMap::new()).unwrap();
        let names: Vec<_> = (0..2 * MOST_OPEN + 1).map(|number| format!("c/{number}")).collect();
        for round in ["one", "two"] {
            for name in &names {
                folder.push(&channel(name), &received(&[NewRecord::new(round)])[0], || None);
            }
            folder.write().unwrap();
            assert!(folder.open <= MOST_OPEN);
        }
        for name in &names {
            assert_eq!(fs::read(at.path().join(format!("{name}.log"))).unwrap(), b"one\ntwo\n", "{name}");
        }
    }
}
