//! The one error that programs see: what happened, to what, and whether to try again.
//!
//! Owns the mapping from what the store and the peer say to a kind that code can match on. Knows nothing of who
//! raised it.

use std::fmt;

use netchan_proto::cursor::InvalidCursorName;
use netchan_proto::record::RecordTooLarge;
use netchan_proto::types::InvalidName;
use netchan_proto::wire::GapReason;
use netchan_proto::{Epoch, ErrorCode, FilterError, Offset, Partitions};
use netchan_store::{AppendError, CursorError, LogError, StoreError};

/// What went wrong, for code to match on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Records that were asked for are gone. Told once; reading goes on at `to`.
    Gap {
        /// The first one missing.
        from: Offset,
        /// The first one after the gap.
        to: Offset,
        /// Why they are gone.
        why: GapReason,
    },
    /// The log was rolled back behind the reader: what it read from `end` on, in `epoch`, is void. Told once;
    /// reading goes on at `end`.
    Truncated {
        /// The epoch that ended early.
        epoch: Epoch,
        /// Where it ended.
        end: Offset,
    },
    /// The channel is sealed and takes nothing more.
    Sealed,
    /// The channel was deleted.
    Deleted,
    /// Another publisher has taken over as the same producer.
    Superseded,
    /// No channel has this name.
    NoChannel,
    /// The channel has partitions, so many, and none of them is meant by what was asked for.
    Partitioned {
        /// How many it has; 0 if the other side does not say it.
        count: u16,
    },
    /// The token is missing or not the peer's.
    Auth,
    /// The peer does not allow it.
    Denied,
    /// The token does not give the right.
    Permission,
    /// A channel of this name is there, and is kept otherwise, or is another kind of channel than was asked for.
    Exists,
    /// The two sides speak no version in common.
    Version,
    /// The position is one in another log of the same name.
    OtherLog,
    /// The start lies past the channel's end.
    BeyondEnd,
    /// A text that is no filter, one that the other side does not take, or one that costs too much on a record.
    Filter,
    /// No cursor of the channel has this name.
    NoCursor,
    /// Another has taken the cursor: it alone moves it, and nothing more is received here.
    CursorTaken,
    /// The cursor was set to another position: nothing was committed, and receiving goes on there. Told once.
    CursorMoved,
    /// The commit is before what was committed.
    CursorBack,
    /// The channel, or the node, has as many cursors as may be.
    TooManyCursors,
    /// Records can no longer be read from the disk.
    Damaged,
    /// The volume is too full.
    DiskFull,
    /// A write or sync failed earlier: the channel has to be opened anew.
    Poisoned,
    /// A part of a record is over its limit.
    TooLarge,
    /// As much is waiting as may be.
    Full,
    /// The node, its store or the handle is closed.
    Closed,
    /// The other side does not keep to the protocol.
    Protocol,
    /// The other side cannot do it now, or did not answer in time.
    Busy,
    /// The disk failed.
    Io,
    /// Another program holds the data directory.
    Locked,
    /// What the channel's payloads are is not what they would be sent, or received, as.
    Content,
    /// A value that its codec, or a transform, does not take. Nothing was sent.
    Encode,
    /// A record that does not give a value: its codec, or a transform, does not take it, or the key is another. Told once;
    /// reading goes on with the next.
    Decode {
        /// The record's.
        offset: Offset,
    },
    /// A name or an address that cannot be one.
    Target,
    /// The other side cannot be reached, or the way to it broke.
    Unreachable,
    /// Settings that contradict each other or a rule.
    Config,
    /// It did not come in the time that was given. Nothing is lost: asking again goes on.
    TimedOut,
}

impl ErrorKind {
    /// Whether the same call may succeed later, without anything changed by the caller.
    #[must_use]
    pub fn is_retryable(self) -> bool {
        matches!(
            self,
            ErrorKind::Gap { .. }
                | ErrorKind::Truncated { .. }
                | ErrorKind::Decode { .. }
                | ErrorKind::DiskFull
                | ErrorKind::Full
                | ErrorKind::Busy
                | ErrorKind::Io
                | ErrorKind::Locked
                | ErrorKind::Unreachable
                | ErrorKind::TimedOut
        )
    }

    /// The kind of a code that a peer sent.
    fn of_code(code: ErrorCode) -> ErrorKind {
        match code {
            ErrorCode::VERSION => ErrorKind::Version,
            ErrorCode::AUTH_REQUIRED | ErrorCode::AUTH_FAILED => ErrorKind::Auth,
            ErrorCode::DENIED => ErrorKind::Denied,
            ErrorCode::PERMISSION => ErrorKind::Permission,
            ErrorCode::NO_CHANNEL => ErrorKind::NoChannel,
            ErrorCode::PARTITIONED => ErrorKind::Partitioned { count: 0 },
            ErrorCode::EXISTS => ErrorKind::Exists,
            ErrorCode::SEALED => ErrorKind::Sealed,
            ErrorCode::DELETED => ErrorKind::Deleted,
            ErrorCode::SUPERSEDED => ErrorKind::Superseded,
            ErrorCode::CONTENT => ErrorKind::Content,
            ErrorCode::OFFSET_BEYOND_END => ErrorKind::BeyondEnd,
            ErrorCode::OTHER_LOG => ErrorKind::OtherLog,
            ErrorCode::FILTER => ErrorKind::Filter,
            ErrorCode::NO_CURSOR => ErrorKind::NoCursor,
            ErrorCode::CURSOR_TAKEN => ErrorKind::CursorTaken,
            ErrorCode::CURSOR_MOVED => ErrorKind::CursorMoved,
            ErrorCode::CURSOR_BACK => ErrorKind::CursorBack,
            ErrorCode::TOO_MANY_CURSORS => ErrorKind::TooManyCursors,
            ErrorCode::DAMAGED => ErrorKind::Damaged,
            ErrorCode::DISK_FULL => ErrorKind::DiskFull,
            ErrorCode::POISONED => ErrorKind::Poisoned,
            ErrorCode::IO => ErrorKind::Io,
            code if code.is_retryable() => ErrorKind::Busy,
            _ => ErrorKind::Protocol,
        }
    }

    /// What a person can do about it, where the error itself does not say.
    fn advice(self) -> Option<&'static str> {
        match self {
            ErrorKind::Auth => Some("give the token that the other side was started with"),
            ErrorKind::Permission => Some("ask whoever runs that node for a token that does"),
            ErrorKind::Version => Some("one of the two programs is too old: update it"),
            ErrorKind::OtherLog => {
                Some("the channel was deleted and made again: start from an offset or a time instead")
            }
            _ => None,
        }
    }
}

/// What went wrong, to what. Its text is one line for people; [`kind`](Error::kind) is for code.
#[derive(Clone, PartialEq, Eq)]
pub struct Error(Box<Failure>);

/// Boxed: a result with an error in place moves in odd pieces, and each record that is received is moved in some.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Failure {
    kind: ErrorKind,
    what: String,
    retryable: bool,
}

impl Error {
    /// An error of this kind. `what` says what happened, and to what.
    pub fn new(kind: ErrorKind, what: impl Into<String>) -> Error {
        Error(Box::new(Failure { kind, what: what.into(), retryable: kind.is_retryable() }))
    }

    /// What a peer answered about `about` (a channel, an address).
    pub fn of_code(code: ErrorCode, at: Option<Offset>, text: &str, about: impl fmt::Display) -> Error {
        let mut what = format!("{about}: {code}");
        if !text.is_empty() {
            what.push_str(": ");
            // A peer's text does not get to steer a terminal.
            what.extend(text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }));
        }
        // A filter's text says by itself where it goes wrong.
        if let Some(at) = at.filter(|_| !matches!(code, ErrorCode::FILTER | ErrorCode::PARTITIONED)) {
            what.push_str(&format!(" (at offset {at})"));
        }
        let kind = match (ErrorKind::of_code(code), at) {
            (ErrorKind::Partitioned { .. }, Some(at)) => {
                ErrorKind::Partitioned { count: u16::try_from(at.0).unwrap_or(0) }
            }
            (kind, _) => kind,
        };
        Error(Box::new(Failure { kind, what, retryable: code.is_retryable() || kind.is_retryable() }))
    }

    /// The same, said of `about` (a channel, an address).
    #[must_use]
    pub fn about(mut self, about: impl fmt::Display) -> Error {
        self.0.what = format!("{about}: {}", self.0.what);
        self
    }

    /// What went wrong, for code to match on.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// How many partitions the channel has, where it is that which is wrong.
    #[must_use]
    pub fn partitions(&self) -> Option<Partitions> {
        match self.kind() {
            ErrorKind::Partitioned { count } => Partitions::new(count).ok(),
            _ => None,
        }
    }

    /// Whether the same call may succeed later, without anything changed by the caller.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.0.retryable
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure { kind, what, retryable } = &*self.0;
        f.debug_struct("Error").field("kind", kind).field("what", what).field("retryable", retryable).finish()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.what)?;
        match self.0.kind.advice() {
            Some(advice) => write!(f, "; {advice}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Error {
        let kind = match &error {
            StoreError::Locked { .. } => ErrorKind::Locked,
            StoreError::Damaged { .. } => ErrorKind::Damaged,
            StoreError::Closed => ErrorKind::Closed,
            StoreError::NoChannel { .. } => ErrorKind::NoChannel,
            StoreError::Partitioned { count, .. } => ErrorKind::Partitioned { count: count.get() },
            StoreError::Exists { .. } => ErrorKind::Exists,
            StoreError::Name(_) => ErrorKind::Target,
            _ => ErrorKind::Io,
        };
        Error::new(kind, error.to_string())
    }
}

impl From<AppendError> for Error {
    fn from(error: AppendError) -> Error {
        let kind = match &error {
            AppendError::Full => ErrorKind::Full,
            AppendError::Sealed { .. } => ErrorKind::Sealed,
            AppendError::Deleted => ErrorKind::Deleted,
            AppendError::Superseded => ErrorKind::Superseded,
            AppendError::Closed => ErrorKind::Closed,
            AppendError::Poisoned { .. } => ErrorKind::Poisoned,
            AppendError::NoSpace { .. } | AppendError::AtCeiling { .. } | AppendError::Stalled { .. } => {
                ErrorKind::DiskFull
            }
            AppendError::RecordTooLarge(_) => ErrorKind::TooLarge,
            AppendError::NotPublishable { .. } => ErrorKind::Protocol,
            _ => ErrorKind::Io,
        };
        Error::new(kind, error.to_string())
    }
}

impl From<LogError> for Error {
    fn from(error: LogError) -> Error {
        let kind = match &error {
            LogError::Trimmed { from, to } => {
                ErrorKind::Gap { from: *from, to: *to, why: GapReason::Retention }
            }
            LogError::Damaged { .. } => ErrorKind::Damaged,
            LogError::BeyondEnd { .. } => ErrorKind::BeyondEnd,
            LogError::OtherLog { .. } => ErrorKind::OtherLog,
            LogError::Sealed { .. } => ErrorKind::Sealed,
            LogError::Unsealable => ErrorKind::Denied,
            LogError::Deleted => ErrorKind::Deleted,
            LogError::Closed => ErrorKind::Closed,
            LogError::Poisoned { .. } => ErrorKind::Poisoned,
            LogError::Stalled { .. } => ErrorKind::DiskFull,
            _ => ErrorKind::Io,
        };
        Error::new(kind, error.to_string())
    }
}

impl From<CursorError> for Error {
    fn from(error: CursorError) -> Error {
        let kind = match &error {
            CursorError::NoCursor(_) => ErrorKind::NoCursor,
            CursorError::Taken(_) => ErrorKind::CursorTaken,
            CursorError::Moved(_) => ErrorKind::CursorMoved,
            CursorError::Back { .. } => ErrorKind::CursorBack,
            CursorError::TooMany { .. } => ErrorKind::TooManyCursors,
            CursorError::Log(error) => return error.clone().into(),
            CursorError::Store(error) => return error.clone().into(),
            _ => ErrorKind::Io,
        };
        Error::new(kind, error.to_string())
    }
}

impl From<RecordTooLarge> for Error {
    fn from(error: RecordTooLarge) -> Error {
        Error::new(ErrorKind::TooLarge, error.to_string())
    }
}

impl From<FilterError> for Error {
    fn from(error: FilterError) -> Error {
        Error::new(ErrorKind::Filter, format!("the filter cannot be read: {error}"))
    }
}

impl From<InvalidCursorName> for Error {
    fn from(error: InvalidCursorName) -> Error {
        Error::new(ErrorKind::Target, error.to_string())
    }
}

impl From<InvalidName> for Error {
    fn from(error: InvalidName) -> Error {
        Error::new(ErrorKind::Target, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_happened_to_what_and_what_to_do() {
        let error = Error::of_code(ErrorCode::AUTH_FAILED, None, "no\nway", "host:4747");
        assert_eq!(error.kind(), ErrorKind::Auth);
        assert!(!error.is_retryable());
        assert_eq!(
            error.to_string(),
            "host:4747: AUTH_FAILED: no\u{fffd}way; give the token that the other side was started with"
        );
    }

    #[test]
    fn what_a_peer_calls_retryable_is_retryable() {
        for (code, _) in ErrorCode::ALL.iter().filter(|(code, _)| code.is_retryable()) {
            assert!(Error::of_code(*code, None, "", "x").is_retryable(), "{code}");
        }
    }
}
