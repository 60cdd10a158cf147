//! How channels of this node are kept: made, changed, truncated, told. All of it may block on the disk.

use netchan_proto::wire::{Before, Description, Keep, Truncate};
use netchan_proto::{ChannelName, LogOptions, Offset, Partitions, Settings, Start};
use netchan_store::{Kept, Log, MAX_SEGMENT_BYTES, MIN_SEGMENT_BYTES};

use crate::error::{Error, ErrorKind};
use crate::node::Node;

impl Node {
    /// Makes a channel that is kept as is said, and otherwise as those that a publisher makes. One that is there and is
    /// kept so is as good. Of one with partitions it tells of the first. Blocks.
    ///
    /// # Errors
    /// [`ErrorKind::Exists`] if it is there and is kept otherwise, and what the disk says.
    pub fn create(&self, keep: &Keep) -> Result<Description, Error> {
        let options = wanted(&keep.settings, self.created_options());
        let count = options.partitions.filter(|_| keep.name.partition().is_none());
        let log = match count.and_then(|count| Partitions::new(count.get()).ok()) {
            Some(count) => self.make_partitions(&keep.name, count, &options)?,
            None => self.open_log(&keep.name, &options)?,
        };
        let kept = kept(&log)?;
        if wanted(&keep.settings, &kept.options) != kept.options {
            let what = "there is a channel of this name, and it is kept otherwise";
            return Err(Error::new(ErrorKind::Exists, what).about(&keep.name));
        }
        Ok(description(&log, kept))
    }

    /// Keeps a channel otherwise from now on, as far as is said, and trims what may go then. Durable when it returns.
    /// Blocks.
    ///
    /// # Errors
    /// [`ErrorKind::NoChannel`]; [`ErrorKind::Denied`] for what is said once, when a channel is made; and what the disk
    /// says.
    pub fn change(&self, keep: &Keep) -> Result<Description, Error> {
        let log = self.existing_log(&keep.name)?;
        if let Some((setting, _)) = keep.settings.iter().find(|(setting, _)| !setting.may_change()) {
            let what = format!("{} is said when a channel is made, and stays", setting.name());
            return Err(Error::new(ErrorKind::Denied, what).about(&keep.name));
        }
        log.change(&keep.settings).map_err(|error| Error::from(error).about(&keep.name))?;
        Ok(description(&log, kept(&log)?))
    }

    /// Lets the oldest records of a channel go. Durable when it returns. Blocks.
    ///
    /// # Errors
    /// [`ErrorKind::NoChannel`]; [`ErrorKind::BeyondEnd`] for an offset after the visible end: nothing was changed; and what
    /// the disk says.
    pub fn truncate(&self, truncate: &Truncate) -> Result<Description, Error> {
        let name = &truncate.name;
        let log = self.existing_log(name)?;
        let before = match truncate.before {
            Before::Offset(offset) if offset > log.visible() => {
                let what =
                    format!("offset {offset} is beyond the end, {}; nothing was changed", log.visible());
                return Err(Error::new(ErrorKind::BeyondEnd, what).about(name));
            }
            Before::Offset(offset) => offset,
            Before::Time(time) => {
                log.resolve(&Start::Time(time)).map_err(|error| Error::from(error).about(name))?.start
            }
        };
        if before > Offset::ZERO {
            log.truncate_before(before).map_err(|error| Error::from(error).about(name))?;
        }
        Ok(description(&log, kept(&log)?))
    }

    /// How a channel is kept. Blocks.
    ///
    /// # Errors
    /// [`ErrorKind::NoChannel`], and what the disk says.
    pub fn describe(&self, name: &ChannelName) -> Result<Description, Error> {
        let log = self.existing_log(name)?;
        Ok(description(&log, kept(&log)?))
    }
}

/// `options` with what is said, as a log can be kept.
fn wanted(settings: &Settings, options: &LogOptions) -> LogOptions {
    let mut options = settings.over(options);
    options.segment_bytes = options.segment_bytes.clamp(MIN_SEGMENT_BYTES, MAX_SEGMENT_BYTES);
    options
}

fn kept(log: &Log) -> Result<Kept, Error> {
    log.kept().map_err(|error| Error::from(error).about(log.name()))
}

fn description(log: &Log, kept: Kept) -> Description {
    Description {
        name: log.name().clone(),
        log: kept.log,
        start: kept.start,
        digest: kept.digest,
        settings: Settings::from(&kept.options),
        content: kept.content,
    }
}
