//! `recv --output DIR --files`: a file a record, named by its offset.
//!
//! Owns the names and how a file appears: whole, or not at all. A record that was written before a SIGKILL kept its position from
//! being kept is written again, to the same name and with the same bytes, so nothing comes twice. A file of that name with
//! other bytes belongs to something else, and is not replaced.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use netchan_proto::Record;

use crate::output::{Form, WRITE};

/// Records after which the position is kept at the latest.
const AT_MOST: u64 = 256;

/// A directory that takes records.
#[derive(Debug)]
pub(crate) struct Files {
    dir: PathBuf,
    form: Form,
    scratch: Vec<u8>,
    /// Records and bytes since the position was kept.
    records: u64,
    bytes: usize,
}

impl Files {
    /// Into `dir`, which is made if it is missing.
    pub(crate) fn open(dir: &Path, form: Form) -> Result<Files> {
        fs::create_dir_all(dir).with_context(|| format!("the directory {} cannot be made", dir.display()))?;
        Ok(Files { dir: dir.to_owned(), form, scratch: Vec::new(), records: 0, bytes: 0 })
    }

    /// Whether the position is to be kept before the next record is written.
    pub(crate) fn is_full(&self) -> bool {
        self.records >= AT_MOST || self.bytes >= WRITE
    }

    /// The position was kept.
    pub(crate) fn kept(&mut self) {
        (self.records, self.bytes) = (0, 0);
    }

    /// Writes a record into its file.
    ///
    /// # Errors
    /// It cannot be written, or there is a file of that name with something else in it.
    pub(crate) fn write(&mut self, record: &Record) -> Result<()> {
        self.scratch.clear();
        self.form.push(&mut self.scratch, record);
        // one huge record must not hold its memory for ever
        self.scratch.shrink_to((4 * WRITE).max(self.scratch.len()));
        let name = name(record);
        let path = self.dir.join(&name);
        let cannot = || format!("{} cannot be written", path.display());
        match holds(&path, &self.scratch).with_context(cannot)? {
            Some(true) => {}
            Some(false) => bail!(
                "{} is there already, with something else in it: use a directory for each channel",
                path.display()
            ),
            None => self.make(&path, &name).with_context(cannot)?,
        }
        self.records += 1;
        self.bytes += self.scratch.len();
        Ok(())
    }

    /// A part that a SIGKILL left behind is replaced when its record comes again.
    fn make(&self, path: &Path, name: &str) -> std::io::Result<()> {
        let part = self.dir.join(format!(".{name}.part"));
        let made = fs::write(&part, &self.scratch).and_then(|()| fs::rename(&part, path));
        if made.is_err() {
            let _ = fs::remove_file(&part);
        }
        made
    }
}

/// Twenty digits: names are in the order of the records.
fn name(record: &Record) -> String {
    format!("{:020}", record.offset.0)
}

/// Whether there is a file, with exactly these bytes.
fn holds(path: &Path, bytes: &[u8]) -> std::io::Result<Option<bool>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if file.metadata()?.len() != bytes.len() as u64 {
        return Ok(Some(false));
    }
    let mut found = Vec::with_capacity(bytes.len());
    file.take(bytes.len() as u64).read_to_end(&mut found)?;
    Ok(Some(found == bytes))
}

#[cfg(test)]
mod tests {
    use netchan_proto::NewRecord;

    use super::*;
    use crate::output::Style;
    use crate::output::tests::received;
    use crate::shown::Shown;

    fn files(dir: &Path) -> Files {
        Files::open(dir, Form::new(Style::Payload, b"\n".to_vec(), Shown::AsIs)).unwrap()
    }

    fn names(dir: &Path) -> Vec<String> {
        let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn each_record_has_a_file_with_its_payload_and_nothing_else() {
        let place = tempfile::tempdir().unwrap();
        let dir = place.path().join("a/b");
        let mut out = files(&dir);
        for record in received(&[NewRecord::new("one"), NewRecord::new("")]) {
            out.write(&record).unwrap();
            out.write(&record).unwrap();
        }
        drop(out);
        assert_eq!(names(&dir), ["00000000000000000007", "00000000000000000008"]);
        assert_eq!(fs::read(dir.join("00000000000000000007")).unwrap(), b"one");
    }

    #[test]
    fn a_file_with_something_else_in_it_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let record = &received(&[NewRecord::new("one")])[0];
        for other in ["two", "one\n", ""] {
            fs::write(dir.path().join(name(record)), other).unwrap();
            let error = files(dir.path()).write(record).unwrap_err().to_string();
            assert!(error.contains("something else"), "{error}");
            assert_eq!(fs::read_to_string(dir.path().join(name(record))).unwrap(), other);
        }
    }
}
