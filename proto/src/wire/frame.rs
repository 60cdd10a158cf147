//! The preface and the 16-byte frame header (spec/03-frames.md).
//!
//! Owns what stands before every payload, and the names of the frame types. Knows nothing of payloads.

use std::fmt;

use crate::auth::Side;
use crate::crc::crc32c;
use crate::error_code::ErrorCode;
use crate::limits::MAX_FRAME;

/// The first bytes each side sends. Text mode, HTTP and TLS all fail on them at once.
pub const PREFACE: [u8; 8] = *b"\x89NCH\r\n\x1a\n";
/// Bytes of a frame's header.
pub const FRAME_HEADER_LEN: usize = 16;

/// A stream's number on its connection; 0 is the connection itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u32);

impl StreamId {
    /// The connection itself.
    pub const CONNECTION: StreamId = StreamId(0);

    /// The first number that `side` gives to a stream it opens.
    #[must_use]
    pub fn first(side: Side) -> StreamId {
        match side {
            Side::Dialler => StreamId(1),
            Side::Listener => StreamId(2),
        }
    }

    /// The number its opener gives to the stream after this one, while there are any.
    #[must_use]
    pub fn next(self) -> Option<StreamId> {
        self.0.checked_add(2).map(StreamId)
    }

    /// Who opens streams of this number; nobody opens the connection.
    #[must_use]
    pub fn opener(self) -> Option<Side> {
        match self.0 {
            0 => None,
            odd if odd % 2 == 1 => Some(Side::Dialler),
            _ => Some(Side::Listener),
        }
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The type of a frame: any number, of which version 1 names some.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameType(pub u8);

/// Which streams a type of frame may travel on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Only on stream 0.
    Connection,
    /// Only on a stream of its own.
    Stream,
    /// On both.
    Any,
}

macro_rules! frame_types {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $scope:ident;)*) => {
        impl FrameType {
            $($(#[$doc])* pub const $name: FrameType = FrameType($number);)*

            /// Every type that version 1 names, by number.
            pub const ALL: &'static [FrameType] = &[$(FrameType($number),)*];

            /// The name as the spec writes it; `None` for a type that version 1 does not name.
            #[must_use]
            pub fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some(stringify!($name)),)*
                    _ => None,
                }
            }

            /// Which streams it may travel on; types that version 1 does not name travel on any.
            #[must_use]
            pub fn scope(self) -> Scope {
                match self.0 {
                    $($number => Scope::$scope,)*
                    _ => Scope::Any,
                }
            }
        }
    };
}

frame_types! {
    /// The dialler's first frame.
    HELLO = 0x01, Connection;
    /// The listener's answer.
    WELCOME = 0x02, Connection;
    /// The listener's other answer.
    REJECT = 0x03, Connection;
    /// A proof of the token.
    AUTH = 0x04, Connection;
    /// Asks for a sign of life.
    PING = 0x05, Connection;
    /// Gives it.
    PONG = 0x06, Connection;
    /// No new streams, please.
    GOAWAY = 0x07, Connection;
    /// The end of a stream or of the connection, for a reason.
    ERROR = 0x08, Any;
    /// Asks to read a channel.
    OPEN = 0x10, Stream;
    /// Reading begins.
    OPENED = 0x11, Stream;
    /// More bytes are welcome.
    CREDIT = 0x12, Stream;
    /// Read on from elsewhere.
    SEEK = 0x13, Stream;
    /// Reading goes on from there.
    SEEKED = 0x14, Stream;
    /// A range of the run of batches.
    DATA = 0x15, Stream;
    /// How far the sender has got.
    PROGRESS = 0x16, Stream;
    /// Records that are gone.
    GAP = 0x17, Stream;
    /// The position lay past the end of its epoch.
    TRUNCATED = 0x18, Stream;
    /// Nothing more follows.
    END = 0x19, Stream;
    /// Enough.
    CLOSE = 0x1A, Stream;
    /// The channel does not exist yet.
    WAITING = 0x1B, Stream;
    /// All before an offset has reached the receiver's user.
    RECEIVED = 0x1C, Stream;
    /// Asks to be told that.
    AWAIT = 0x1D, Stream;
    /// Asks to publish to a channel.
    PUBLISH_OPEN = 0x20, Stream;
    /// Publishing begins.
    PUBLISH_OPENED = 0x21, Stream;
    /// A range of the run of published batches.
    PUBLISH = 0x22, Stream;
    /// A published batch is written, or durable.
    PUBLISH_ACK = 0x23, Stream;
    /// A note to keep beside the sequence.
    PUBLISH_NOTE = 0x24, Stream;
    /// Enough, after the acknowledgements.
    PUBLISH_CLOSE = 0x25, Stream;
    /// Asks to make a channel.
    CREATE = 0x26, Stream;
    /// Asks to keep a channel otherwise.
    CHANGE = 0x27, Stream;
    /// Asks about one channel.
    STAT = 0x28, Stream;
    /// Tells about it.
    STAT_REPLY = 0x29, Stream;
    /// Asks for names.
    LIST = 0x2A, Stream;
    /// Tells them.
    LIST_REPLY = 0x2B, Stream;
    /// Asks to seal a channel.
    SEAL = 0x2C, Stream;
    /// Asks to delete a channel.
    DELETE = 0x2D, Stream;
    /// It is done.
    DONE = 0x2E, Stream;
    /// Asks to let a channel's oldest records go.
    TRUNCATE = 0x2F, Stream;
    /// Asks how the node is.
    STATUS = 0x30, Stream;
    /// Tells it.
    STATUS_REPLY = 0x31, Stream;
    /// Asks who reads and publishes.
    READERS = 0x32, Stream;
    /// Tells it.
    READERS_REPLY = 0x33, Stream;
    /// Asks for the channels that match a pattern, now and from now on.
    WATCH = 0x34, Stream;
    /// Tells some.
    WATCHED = 0x35, Stream;
    /// Asks how a channel is kept.
    DESCRIBE = 0x36, Stream;
    /// Tells it.
    DESCRIPTION = 0x37, Stream;
    /// Takes a cursor.
    CURSOR_TAKE = 0x38, Stream;
    /// Moves it on.
    CURSOR_COMMIT = 0x39, Stream;
    /// Moves it anywhere.
    CURSOR_SET = 0x3A, Stream;
    /// Removes it.
    CURSOR_DELETE = 0x3B, Stream;
    /// How it is then.
    CURSOR_REPLY = 0x3C, Stream;
    /// Asks which cursors there are.
    CURSORS = 0x3D, Stream;
    /// Tells it.
    CURSORS_REPLY = 0x3E, Stream;
    /// What a sealed channel comes to. Who does not know it goes on without.
    DIGEST = 0x81, Stream;
}

impl FrameType {
    /// Types that mean nothing, sent so that nobody forgets to ignore them.
    pub const GREASE: [FrameType; 8] = [
        FrameType(0x8B),
        FrameType(0x9B),
        FrameType(0xAB),
        FrameType(0xBB),
        FrameType(0xCB),
        FrameType(0xDB),
        FrameType(0xEB),
        FrameType(0xFB),
    ];

    /// Whether who does not know the type goes on without it.
    #[must_use]
    pub fn is_ignorable(self) -> bool {
        self.0 & 0x80 != 0
    }
}

impl fmt::Display for FrameType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "type {:#04x}", self.0),
        }
    }
}

impl fmt::Debug for FrameType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What stands before a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Bytes of the payload that follows.
    pub len: u32,
    /// What the payload is.
    pub kind: FrameType,
    /// Which stream it belongs to.
    pub stream: StreamId,
}

impl FrameHeader {
    /// Reads and checks a header. Its length is within [`MAX_FRAME`] then; during the handshake the caller
    /// holds it to the smaller limit with [`FrameHeader::within`].
    ///
    /// # Errors
    /// [`FrameError`], and nothing of the header may be believed then.
    pub fn decode(bytes: &[u8; FRAME_HEADER_LEN]) -> Result<FrameHeader, FrameError> {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        if word(12) != crc32c(&bytes[..12]) {
            return Err(FrameError::Crc);
        }
        if bytes[5..8] != [0; 3] {
            return Err(FrameError::Reserved);
        }
        FrameHeader { len: word(0), kind: FrameType(bytes[4]), stream: StreamId(word(8)) }.within(MAX_FRAME)
    }

    /// The header itself if its payload has at most `limit` bytes.
    ///
    /// # Errors
    /// [`FrameError::TooLarge`].
    pub fn within(self, limit: usize) -> Result<FrameHeader, FrameError> {
        if self.len as usize > limit { Err(FrameError::TooLarge { len: self.len, limit }) } else { Ok(self) }
    }

    /// Writes the header with its CRC.
    #[must_use]
    pub fn encode(&self) -> [u8; FRAME_HEADER_LEN] {
        let mut bytes = [0; FRAME_HEADER_LEN];
        bytes[..4].copy_from_slice(&self.len.to_le_bytes());
        bytes[4] = self.kind.0;
        bytes[8..12].copy_from_slice(&self.stream.0.to_le_bytes());
        let crc = crc32c(&bytes[..12]);
        bytes[12..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }
}

/// Why sixteen bytes are not a frame header. Each ends the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The header's CRC does not hold.
    #[error("the frame header's checksum does not hold")]
    Crc,
    /// A byte that must be zero is not.
    #[error("a reserved byte of the frame header is not zero")]
    Reserved,
    /// The payload would be longer than allowed.
    #[error("a frame of {len} bytes; {limit} is the most here")]
    TooLarge {
        /// The length announced, in bytes.
        len: u32,
        /// The limit, in bytes.
        limit: usize,
    },
}

impl FrameError {
    /// The code to tell the peer.
    #[must_use]
    pub fn code(self) -> ErrorCode {
        match self {
            FrameError::Crc | FrameError::Reserved => ErrorCode::MALFORMED,
            FrameError::TooLarge { .. } => ErrorCode::FRAME_TOO_LARGE,
        }
    }
}
