//! The position file of `recv --position`: where to go on after any end, SIGKILL included.
//!
//! Owns the file's form and how it is replaced. The order is: output first, position second. So a process that is
//! killed between the two gives the output of its last write again, and never leaves a record out. With
//! `--output` the position says how long the output was, and what lies behind that is cut off at the next start:
//! then nothing comes twice either. The file is not synced: after a power cut it may be an older one.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use netchan::ChannelPositions;
use netchan_proto::{ChannelName, Epoch, Offset, Position};
use serde_json::{Value, json};

/// What a position file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    /// The channel's name, so that one file is not used for two.
    pub(crate) channel: String,
    /// Where to go on.
    pub(crate) position: Position,
    /// Whether the record before it had no delimiter.
    pub(crate) unterminated: bool,
    /// With `--output`: the length of the output up to there, in bytes.
    pub(crate) length: Option<u64>,
}

impl Kept {
    fn to_json(&self) -> Value {
        let mut value = json!({
            "channel": self.channel,
            "log": self.position.log.to_string(),
            "epoch": self.position.epoch.0,
            "offset": self.position.offset.0,
        });
        if self.unterminated {
            value["unterminated"] = true.into();
        }
        if let Some(length) = self.length {
            value["length"] = length.into();
        }
        value
    }

    fn of_json(value: &Value) -> Option<Kept> {
        let optional = |name: &str| value.get(name).filter(|value| !value.is_null());
        Some(Kept {
            channel: value["channel"].as_str()?.to_owned(),
            position: Position {
                log: value["log"].as_str()?.parse().ok()?,
                epoch: Epoch(value["epoch"].as_u64()?.try_into().ok()?),
                offset: Offset(value["offset"].as_u64()?),
            },
            unterminated: optional("unterminated").map_or(Some(false), Value::as_bool)?,
            length: match optional("length") {
                Some(length) => Some(length.as_u64()?),
                None => None,
            },
        })
    }
}

/// What a position file says about the channels that match a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeptMany {
    /// The pattern, so that one file is not used for two.
    pub(crate) pattern: String,
    /// Where to go on, in each channel.
    pub(crate) positions: ChannelPositions,
    /// As in [`Kept`].
    pub(crate) unterminated: bool,
    /// As in [`Kept`].
    pub(crate) length: Option<u64>,
    /// With `--output DIR/`: the channels' files.
    pub(crate) files: BTreeMap<ChannelName, Written>,
}

/// What of a channel's own file was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    /// The file's length, in bytes.
    pub(crate) length: u64,
    /// As in [`Kept`].
    pub(crate) unterminated: bool,
}

impl KeptMany {
    fn to_json(&self) -> Value {
        let of = |(channel, position): (&ChannelName, &Position)| {
            let written = self.files.get(channel);
            let kept = Kept {
                channel: channel.to_string(),
                position: *position,
                unterminated: written.is_some_and(|written| written.unterminated),
                length: written.map(|written| written.length),
            };
            kept.to_json()
        };
        let channels: Vec<Value> = self.positions.iter().map(of).collect();
        let mut value = json!({ "pattern": self.pattern, "channels": channels });
        if self.unterminated {
            value["unterminated"] = true.into();
        }
        if let Some(length) = self.length {
            value["length"] = length.into();
        }
        value
    }

    fn of_json(value: &Value) -> Option<KeptMany> {
        let of = |value: &Value| {
            let kept = Kept::of_json(value)?;
            Some((ChannelName::new(&kept.channel).ok()?, kept))
        };
        let channels = value["channels"].as_array()?.iter().map(of).collect::<Option<Vec<_>>>()?;
        let written = |(channel, kept): &(ChannelName, Kept)| {
            let written = Written { length: kept.length?, unterminated: kept.unterminated };
            Some((channel.clone(), written))
        };
        Some(KeptMany {
            pattern: value["pattern"].as_str()?.to_owned(),
            files: channels.iter().filter_map(written).collect(),
            positions: channels.into_iter().map(|(channel, kept)| (channel, kept.position)).collect(),
            unterminated: value.get("unterminated").map_or(Some(false), Value::as_bool)?,
            length: match value.get("length") {
                Some(length) => Some(length.as_u64()?),
                None => None,
            },
        })
    }
}

/// A file that keeps a position.
#[derive(Debug)]
pub(crate) struct PositionFile {
    path: PathBuf,
    next: PathBuf,
}

impl PositionFile {
    /// The file at `path`, which need not exist.
    pub(crate) fn new(path: &Path) -> PositionFile {
        let mut next = path.as_os_str().to_owned();
        next.push(".next");
        PositionFile { path: path.to_owned(), next: next.into() }
    }

    /// What it says about `channel`; `None` if there is no such file yet.
    ///
    /// # Errors
    /// It cannot be read, is no position file, or one of another channel.
    pub(crate) fn load(&self, channel: &str) -> Result<Option<Kept>> {
        let path = self.path.display();
        let Some(kept) = self.read(Kept::of_json)? else { return Ok(None) };
        if kept.channel != channel {
            bail!(
                "{path} keeps a position in the channel {}, not in {channel}: use a file for each",
                kept.channel
            );
        }
        Ok(Some(kept))
    }

    /// What it says about the channels that match `pattern`; `None` if there is no such file yet.
    ///
    /// # Errors
    /// It cannot be read, is no position file of a pattern, or one of another.
    pub(crate) fn load_many(&self, pattern: &str) -> Result<Option<KeptMany>> {
        let path = self.path.display();
        let Some(kept) = self.read(KeptMany::of_json)? else { return Ok(None) };
        if kept.pattern != pattern {
            bail!(
                "{path} keeps positions for the pattern {}, not for {pattern}: use a file for each",
                kept.pattern
            );
        }
        Ok(Some(kept))
    }

    fn read<T>(&self, of_json: impl FnOnce(&Value) -> Option<T>) -> Result<Option<T>> {
        let path = self.path.display();
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(error).with_context(|| format!("the position file {path} cannot be read"));
            }
        };
        let kept = serde_json::from_str(&text).ok().and_then(|value| of_json(&value));
        kept.map(Some).with_context(|| {
            format!("{path} is not a position file; to begin anew, remove it and say where with --from")
        })
    }

    /// Replaces what it says. Whoever reads it finds the old or the new, never a part.
    pub(crate) fn save(&self, kept: &Kept) -> Result<()> {
        self.replace(&kept.to_json())
    }

    /// As [`save`](Self::save), for the channels that match a pattern.
    pub(crate) fn save_many(&self, kept: &KeptMany) -> Result<()> {
        self.replace(&kept.to_json())
    }

    fn replace(&self, value: &Value) -> Result<()> {
        let save = || {
            let mut file = File::create(&self.next)?;
            file.write_all(format!("{value}\n").as_bytes())?;
            drop(file);
            fs::rename(&self.next, &self.path)
        };
        save().with_context(|| format!("the position cannot be kept in {}", self.path.display()))
    }
}

/// Opens `--output`: behind what is in it, or, with a kept position, cut back to the length that belongs to it.
///
/// # Errors
/// It cannot be opened, or is shorter than the position says.
pub(crate) fn open_output(path: &Path, kept: Option<&Kept>) -> Result<(File, u64)> {
    open_output_at(path, kept.map(|kept| kept.length))
}

/// As [`open_output`], of which is known how long it is to be (`Some(None)`: it was kept without an output).
///
/// # Errors
/// As [`open_output`].
pub(crate) fn open_output_at(path: &Path, kept: Option<Option<u64>>) -> Result<(File, u64)> {
    let file = OpenOptions::new().append(true).create(true).open(path);
    let file = file.with_context(|| format!("the output {} cannot be opened", path.display()))?;
    let length = begin_at(&file, path, kept)?;
    Ok((file, length))
}

/// Makes an output as long as it is to be, see [`open_output_at`], and says how long that is.
///
/// # Errors
/// As [`open_output`].
pub(crate) fn begin_at(file: &File, path: &Path, kept: Option<Option<u64>>) -> Result<u64> {
    let Some(kept) = kept else { return length_of(file, path) };
    let Some(expected) = kept else {
        bail!("the position was kept without --output: it doesn't say how long {} should be", path.display());
    };
    cut_back(file, path, expected)?;
    Ok(expected)
}

/// How long an output is.
///
/// # Errors
/// That cannot be read.
pub(crate) fn length_of(file: &File, path: &Path) -> Result<u64> {
    let metadata =
        file.metadata().with_context(|| format!("the output {} cannot be read", path.display()))?;
    Ok(metadata.len())
}

/// Cuts an output back to the length that belongs to a position.
///
/// # Errors
/// It is shorter, or cannot be cut.
pub(crate) fn cut_back(file: &File, path: &Path, expected: u64) -> Result<()> {
    let length = length_of(file, path)?;
    if length < expected {
        bail!(
            "{} has {length} bytes, but the position belongs to {expected}: it is not the output that was written, or \
             a part of it is lost",
            path.display()
        );
    }
    if length > expected {
        file.set_len(expected).with_context(|| format!("{} cannot be cut back", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use netchan_proto::LogId;

    use super::*;

    fn kept(offset: u64) -> Kept {
        let position = Position { log: LogId([0xab; 16]), epoch: Epoch(3), offset: Offset(offset) };
        Kept { channel: "a/b".into(), position, unterminated: false, length: None }
    }

    #[test]
    fn what_is_kept_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let file = PositionFile::new(&dir.path().join("at"));
        assert_eq!(file.load("a/b").unwrap(), None);
        for kept in [
            kept(0),
            kept(u64::MAX),
            Kept { unterminated: true, ..kept(1) },
            Kept { length: Some(1 << 60), ..kept(2) },
        ] {
            file.save(&kept).unwrap();
            assert_eq!(file.load("a/b").unwrap(), Some(kept));
        }
        let left: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["at"]);
    }

    #[test]
    fn the_file_is_what_the_documentation_shows() {
        let value: Value = serde_json::from_str(
            r#"{"channel":"a/b","log":"abababababababababababababababab","epoch":3,"offset":42}"#,
        )
        .unwrap();
        assert_eq!(Kept::of_json(&value), Some(kept(42)));
        assert_eq!(kept(42).to_json(), value);
    }

    #[test]
    fn what_is_kept_of_many_channels_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let file = PositionFile::new(&dir.path().join("at"));
        assert_eq!(file.load_many("a/*").unwrap(), None);
        let positions = ["a/b", "a/c"].map(|name| (ChannelName::new(name).unwrap(), kept(7).position));
        let many = KeptMany {
            pattern: "a/*".into(),
            positions: positions.into_iter().collect(),
            unterminated: true,
            length: Some(9),
            files: BTreeMap::new(),
        };
        let written = Written { length: 3, unterminated: true };
        let files = BTreeMap::from([(ChannelName::new("a/c").unwrap(), written)]);
        for many in [
            KeptMany { unterminated: false, length: None, ..many.clone() },
            KeptMany { unterminated: false, length: None, files, ..many.clone() },
            many,
        ] {
            file.save_many(&many).unwrap();
            assert_eq!(file.load_many("a/*").unwrap(), Some(many));
        }
        assert!(file.load_many("b/*").unwrap_err().to_string().contains("for the pattern a/*"));
        assert!(file.load("a/b").unwrap_err().to_string().contains("not a position file"));
        file.save(&kept(1)).unwrap();
        assert!(file.load_many("a/*").unwrap_err().to_string().contains("not a position file"));
    }

    #[test]
    fn a_file_that_keeps_something_else_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("at");
        let file = PositionFile::new(&path);
        for text in ["", "{}", "7", r#"{"channel":"a/b","log":"ab","epoch":3,"offset":42}"#, "shopping list"]
        {
            fs::write(&path, text).unwrap();
            assert!(file.load("a/b").unwrap_err().to_string().contains("not a position file"), "{text}");
        }
        file.save(&kept(1)).unwrap();
        assert!(file.load("other").unwrap_err().to_string().contains("a position in the channel a/b"));
    }

    #[test]
    fn an_output_is_cut_back_to_its_position() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        fs::write(&path, "0123456789").unwrap();
        assert_eq!(open_output(&path, None).unwrap().1, 10);
        let at = |length| Kept { length: Some(length), ..kept(1) };
        let (mut file, length) = open_output(&path, Some(&at(4))).unwrap();
        assert_eq!(length, 4);
        file.write_all(b"x").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"0123x");
        assert!(open_output(&path, Some(&at(6))).is_err(), "shorter than the position says");
        assert!(open_output(&path, Some(&kept(1))).is_err(), "kept without --output");
    }
}
