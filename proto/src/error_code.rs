//! The numbers by which one side tells the other what went wrong (spec/11-errors.md).
//!
//! Owns the registry: number, name, whether trying again may help. Whether a code ends a stream or the connection
//! is said by the frame that carries it, not here.

use std::fmt;

/// A code of the wire. Codes this version does not know are kept as they are; from 0x8000 on they belong to
/// applications.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ErrorCode(pub u16);

macro_rules! registry {
    ($($(#[$doc:meta])* $name:ident = $number:literal;)*) => {
        impl ErrorCode {
            $($(#[$doc])* pub const $name: ErrorCode = ErrorCode($number);)*

            /// Every code with its name, by number.
            pub const ALL: &'static [(ErrorCode, &'static str)] = &[$((ErrorCode($number), stringify!($name)),)*];

            /// The name as the spec writes it; `None` for a code it does not know.
            pub fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

registry! {
    /// Nothing is wrong: a stream or connection ends because its side is done.
    NONE = 0x0000;
    /// The first eight bytes are not netchan's.
    PREFACE = 0x0101;
    /// A frame that cannot be read.
    MALFORMED = 0x0102;
    /// A frame that can be read, but not here or not now.
    PROTOCOL = 0x0103;
    /// A frame longer than the limit.
    FRAME_TOO_LARGE = 0x0104;
    /// A frame type or parameter that is unknown and may not be ignored.
    UNKNOWN_CRITICAL = 0x0105;
    /// The other side was silent too long.
    TIMEOUT = 0x0106;
    /// Too many control frames in too short a time.
    CALM = 0x0107;
    /// A fault on the side that tells it.
    INTERNAL = 0x0108;
    /// The side that tells it is about to stop.
    GOING_AWAY = 0x0109;
    /// No version in common.
    VERSION = 0x0201;
    /// A token is asked for.
    AUTH_REQUIRED = 0x0202;
    /// The token's proof does not hold.
    AUTH_FAILED = 0x0203;
    /// Not allowed to this peer.
    DENIED = 0x0204;
    /// The peer's token does not give it the right.
    PERMISSION = 0x0205;
    /// No channel has this name.
    NO_CHANNEL = 0x0301;
    /// A channel of this name exists already.
    EXISTS = 0x0302;
    /// As many streams are open as may be.
    TOO_MANY_STREAMS = 0x0303;
    /// A filter that cannot be read, costs too much on a record, or is not supported.
    FILTER = 0x0304;
    /// The stream exists, but cannot do this in its state.
    BAD_STATE = 0x0305;
    /// The channel is sealed: nothing more can be published.
    SEALED = 0x0306;
    /// The channel was deleted.
    DELETED = 0x0307;
    /// A newer stream of the same producer has taken over.
    SUPERSEDED = 0x0308;
    /// What the channel's payloads are is not what is to be published.
    CONTENT = 0x0309;
    /// No cursor of the channel has this name.
    NO_CURSOR = 0x030A;
    /// Another has taken the cursor.
    CURSOR_TAKEN = 0x030B;
    /// The cursor was set to another position.
    CURSOR_MOVED = 0x030C;
    /// The commit is before what was committed.
    CURSOR_BACK = 0x030D;
    /// There are as many cursors as may be.
    TOO_MANY_CURSORS = 0x030E;
    /// The channel has partitions, and other ones than were asked for.
    PARTITIONED = 0x030F;
    /// More bytes than the credit allows, or not at the position announced.
    FLOW = 0x0401;
    /// A start that lies past the channel's end.
    OFFSET_BEYOND_END = 0x0501;
    /// The position belongs to another log of the same name.
    OTHER_LOG = 0x0502;
    /// Records that were kept can no longer be read.
    DAMAGED = 0x0503;
    /// The volume is too full to append.
    DISK_FULL = 0x0701;
    /// The log cannot be written by this side.
    READ_ONLY = 0x0702;
    /// A write or sync failed before: the log takes nothing until the next OPEN or PUBLISH_OPEN opens it anew.
    POISONED = 0x0703;
    /// The disk answered with an error.
    IO = 0x0704;
}

impl ErrorCode {
    /// The first code that belongs to applications.
    pub const APPLICATION: ErrorCode = ErrorCode(0x8000);

    /// Whether the same request may succeed later, without anything changed by who asks.
    #[must_use]
    pub fn is_retryable(self) -> bool {
        matches!(
            self,
            ErrorCode::TIMEOUT
                | ErrorCode::CALM
                | ErrorCode::INTERNAL
                | ErrorCode::GOING_AWAY
                | ErrorCode::TOO_MANY_STREAMS
                | ErrorCode::SUPERSEDED
                | ErrorCode::DISK_FULL
                | ErrorCode::POISONED
        )
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "code {:#06x}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// NC-ERR-010
    #[test]
    fn codes_have_names_and_say_whether_to_retry() {
        assert_eq!(ErrorCode::CALM.to_string(), "CALM");
        assert_eq!(ErrorCode(0x9999).to_string(), "code 0x9999");
        let retryable: Vec<_> =
            ErrorCode::ALL.iter().filter(|(code, _)| code.is_retryable()).map(|(_, name)| *name).collect();
        assert_eq!(
            retryable,
            [
                "TIMEOUT",
                "CALM",
                "INTERNAL",
                "GOING_AWAY",
                "TOO_MANY_STREAMS",
                "SUPERSEDED",
                "DISK_FULL",
                "POISONED"
            ]
        );
    }
}
