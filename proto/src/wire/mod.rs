//! Frames as bytes and as values (spec/03-frames.md).
//!
//! Owns the form of everything that goes over a connection but the batches inside DATA and PUBLISH, which are
//! [`crate::batch`]'s. Reading checks limits and reserved bytes before it believes anything; it never panics, and
//! never allocates more than a small multiple of the payload. What may be sent when is not known here.
//!
//! | room | holds |
//! |---|---|
//! | `frame` | preface, header, types, stream numbers |
//! | `handshake` | HELLO, WELCOME, REJECT, AUTH |
//! | `control` | GOAWAY, ERROR |
//! | `stream`, `start` | reading a channel, and from where |
//! | `publish` | publishing to one |
//! | `request` | STAT, LIST, SEAL, DELETE |
//! | `cursor` | CURSOR_TAKE and its kin |
//! | `admin` | CREATE, CHANGE, TRUNCATE, DESCRIBE |
//! | `status`, `counter` | STATUS, READERS; what a node counts |
//! | `watch` | WATCH: which channels there are and come to be |
//! | `params` | what later versions add |
//! | `message` | one value for any frame |
//! | `parse` | fields |

mod admin;
mod control;
mod counter;
mod cursor;
mod frame;
mod handshake;
mod message;
mod params;
mod parse;
mod publish;
mod request;
mod start;
mod status;
mod stream;
mod watch;

pub use admin::{Before, Description, Keep, Truncate};
pub use control::{ErrorFrame, GoAway};
pub use counter::{Counter, CounterKind, CounterUnit, Counters};
pub use cursor::{CursorCommit, CursorInfo, CursorKey, CursorSet, CursorTake, Cursors, CursorsReply};
pub use frame::{FRAME_HEADER_LEN, FrameError, FrameHeader, FrameType, PREFACE, Scope, StreamId};
pub use handshake::{Auth, AuthMethod, Hello, MAX_VERSIONS, Reject, Roles, VERSION, Welcome};
pub use message::{DATA_PREFIX_LEN, DecodeError, Message, data_prefix};
pub use publish::{AckLevel, Note, NoteTooLong, PublishAck, PublishNote, PublishOpen, PublishOpened};
pub use request::{Done, List, ListReply, LogInfo, NamePrefix};
pub use start::Start;
pub use status::{NodeStatus, ReaderInfo, ReaderKind, Readers, ReadersReply};
pub use stream::{End, Gap, GapReason, Open, Opened, Progress, Range, Seek, Seeked, Truncated};
pub use watch::{Made, Watch, Watched};
