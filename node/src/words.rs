//! What programs use beside the handles, the same with every runtime: each adapter gives these on.

pub use crate::error::{Error, ErrorKind};
pub use crate::event::Event;
#[cfg(feature = "sink")]
pub use crate::handles::ValueSink;
pub use crate::handles::{
    Left, PartitionedBuilder, PartitionedSender, PatternBuilder, PatternReceiver, Typed, TypedBuilder,
    TypedPatternReceiver,
};
pub use crate::publisher::Producer;
pub use crate::receiver::{ChannelPositions, MERGE_WINDOW, Received};
#[cfg(feature = "sink")]
pub use crate::sender::RecordSink;
pub use crate::target::{Target, parse_pattern};
#[cfg(feature = "cbor")]
pub use crate::typed::Cbor;
#[cfg(feature = "json")]
pub use crate::typed::Json;
#[cfg(feature = "messagepack")]
pub use crate::typed::MessagePack;
#[cfg(feature = "postcard")]
pub use crate::typed::Postcard;
#[cfg(feature = "zstd")]
pub use crate::typed::Zstd;
pub use crate::typed::{Beside, Codec, CodecError, Lz4, Raw, ReceivedValue, Transform, Value};
#[cfg(feature = "encryption")]
pub use crate::typed::{Encryption, EncryptionKey};
pub use netchan_proto::wire::{
    Before, Counter, CounterKind, CounterUnit, Counters, CursorInfo, CursorKey, Description, GapReason,
    NodeStatus, Note, ReaderInfo, ReaderKind, ReadersReply,
};
pub use netchan_proto::{
    AsRecord, ChannelName, Compression, Content, CursorName, Durability, Epoch, Filter, FilterError, LogId,
    LogInfo, NewRecord, NodeId, Offset, Partitions, Pattern, Permissions, Position, Positions, ProducerId,
    Record, RecordRef, Settings, Side, Start, Timestamp,
};
pub use netchan_store::{LogOptions, Retention, StoreOptions, WhenFull};
