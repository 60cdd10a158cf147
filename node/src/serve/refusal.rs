//! What a peer is told when something cannot be done.

use netchan_proto::wire::ErrorFrame;
use netchan_proto::{ErrorCode, Offset};

use crate::error::{Error, ErrorKind};

/// The ERROR frame for `error`.
pub(super) fn refuse(error: impl Into<Error>) -> ErrorFrame {
    let error = error.into();
    let frame = ErrorFrame::new(code_of(error.kind()), error.to_string());
    // A log that has failed is opened anew by who asks for it next.
    let retryable = frame.retryable || error.is_retryable() || error.kind() == ErrorKind::Poisoned;
    let at = match error.kind() {
        ErrorKind::Partitioned { count } => Some(Offset(count.into())),
        _ => frame.at,
    };
    ErrorFrame { retryable, at, ..frame }
}

/// The node will not get to it.
pub(super) fn not_done() -> ErrorFrame {
    ErrorFrame::new(ErrorCode::GOING_AWAY, "it was not done: the node is stopping; try again")
}

fn code_of(kind: ErrorKind) -> ErrorCode {
    match kind {
        ErrorKind::Sealed => ErrorCode::SEALED,
        ErrorKind::Deleted => ErrorCode::DELETED,
        ErrorKind::Superseded => ErrorCode::SUPERSEDED,
        ErrorKind::NoChannel => ErrorCode::NO_CHANNEL,
        ErrorKind::Partitioned { .. } => ErrorCode::PARTITIONED,
        ErrorKind::Exists => ErrorCode::EXISTS,
        ErrorKind::Auth => ErrorCode::AUTH_FAILED,
        ErrorKind::Denied | ErrorKind::Config => ErrorCode::DENIED,
        ErrorKind::Permission => ErrorCode::PERMISSION,
        ErrorKind::Version => ErrorCode::VERSION,
        ErrorKind::OtherLog => ErrorCode::OTHER_LOG,
        ErrorKind::Content => ErrorCode::CONTENT,
        ErrorKind::BeyondEnd => ErrorCode::OFFSET_BEYOND_END,
        ErrorKind::Filter => ErrorCode::FILTER,
        ErrorKind::NoCursor => ErrorCode::NO_CURSOR,
        ErrorKind::CursorTaken => ErrorCode::CURSOR_TAKEN,
        ErrorKind::CursorMoved => ErrorCode::CURSOR_MOVED,
        ErrorKind::CursorBack => ErrorCode::CURSOR_BACK,
        ErrorKind::TooManyCursors => ErrorCode::TOO_MANY_CURSORS,
        ErrorKind::Damaged => ErrorCode::DAMAGED,
        ErrorKind::DiskFull => ErrorCode::DISK_FULL,
        ErrorKind::Poisoned => ErrorCode::POISONED,
        ErrorKind::TooLarge | ErrorKind::Protocol => ErrorCode::MALFORMED,
        ErrorKind::Closed => ErrorCode::GOING_AWAY,
        ErrorKind::Io => ErrorCode::IO,
        _ => ErrorCode::INTERNAL,
    }
}
