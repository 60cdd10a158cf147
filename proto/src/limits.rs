//! Every number that a peer or a disk can run into, in one place (spec/12-limits.md).

use std::time::Duration;

/// Bytes of a channel's name.
pub const MAX_NAME: usize = 255;
/// Partitions of one channel.
pub const MAX_PARTITIONS: u16 = 1024;
/// Bytes of the names that say what a channel's payloads are.
pub const MAX_CONTENT: usize = 96;
/// Levels of a value in JSON, MessagePack or CBOR.
pub const MAX_NESTING: usize = 128;
/// Bytes of a record's payload: 16 MiB.
pub const MAX_PAYLOAD: usize = 16 << 20;
/// Bytes of a record's key: 64 KiB.
pub const MAX_KEY: usize = 64 << 10;
/// Bytes of a record's encoded headers, all together: 64 KiB.
pub const MAX_HEADERS: usize = 64 << 10;
/// Bytes of a batch's body: one record of the largest kind and the prefixes of the body.
pub const MAX_BODY: usize = MAX_PAYLOAD + MAX_KEY + MAX_HEADERS + 64;
/// Bytes of a stored batch: header (64), body, padding (8).
pub const MAX_BATCH: usize = 64 + MAX_BODY + 8;
/// Bytes at which a sender closes a batch, header counted: a batch of small records fits one DATA frame.
pub const BATCH_TARGET: usize = 64 << 10;
/// Records in one batch.
pub const MAX_BATCH_RECORDS: usize = 1 << 16;

/// Bytes of log that one DATA or PUBLISH frame carries.
pub const MAX_DATA: usize = 64 << 10;
/// Bytes of a frame's payload, whatever its type.
pub const MAX_FRAME: usize = MAX_DATA + 256;
/// Bytes of a frame's payload before the handshake is done.
pub const MAX_HANDSHAKE_FRAME: usize = 4 << 10;
/// Streams open at once on one connection.
pub const MAX_STREAMS: usize = 256;
/// Bytes of text in an ERROR frame.
pub const MAX_ERROR_TEXT: usize = 512;
/// Names in one LIST_REPLY.
pub const MAX_LIST: usize = 128;
/// Who reads and publishes, in one READERS_REPLY.
pub const MAX_READERS: usize = 128;
/// Bytes of the text that says where one of them calls from.
pub const MAX_PEER_TEXT: usize = 128;
/// Counters in one STATUS_REPLY.
pub const MAX_COUNTERS: usize = 512;
/// Bytes of a producer's note.
pub const MAX_NOTE: usize = 256;
/// SEEKs that may wait for their answer on one stream.
pub const MAX_SEEKS: usize = 64;
/// Notes that may wait to be kept on one stream.
pub const MAX_NOTES: usize = 64;
/// GAP, TRUNCATED and END frames that may wait for a receiver's user.
pub const MAX_TOLD: usize = 1024;
/// Bytes of a filter's text.
pub const MAX_FILTER: usize = 4096;
/// Terms, operators and list items of a filter.
pub const MAX_FILTER_NODES: usize = 64;
/// How deeply parentheses and `not` of a filter are nested.
pub const MAX_FILTER_DEPTH: usize = 8;
/// Steps of one JSON path of a filter.
pub const MAX_FILTER_PATH: usize = 16;
/// Elements of one pattern of a filter.
pub const MAX_FILTER_PATTERN: usize = 64;
/// Steps that judging one record may take: 16 times the bytes of the largest payload.
pub const MAX_FILTER_STEPS: u64 = 16 * MAX_PAYLOAD as u64;
/// Steps that judging takes in one turn of a stream, beyond which it waits for its next turn, or is done where others do not
/// wait for it: 256 Ki.
pub const FILTER_TURN: u64 = 256 << 10;
/// Steps after which a job that judges a run stops at the end of a batch: 64 Mi.
pub const FILTER_JOB: u64 = 64 << 20;
/// AWAITs on a stream that are not answered.
pub const MAX_AWAITS: usize = 64;
/// Bytes of a pattern of names.
pub const MAX_PATTERN: usize = 255;
/// Bytes of a cursor's name.
pub const MAX_CURSOR_NAME: usize = 64;
/// Logs in which a cursor has a position.
pub const MAX_CURSOR_POSITIONS: usize = 64;
/// Cursors in one CURSORS_REPLY.
pub const MAX_CURSORS: usize = 24;
/// Cursors of one channel.
pub const MAX_CHANNEL_CURSORS: usize = 1024;
/// Cursors of a node.
pub const MAX_NODE_CURSORS: usize = 16 << 10;
/// Settings in one CREATE, CHANGE or DESCRIPTION.
pub const MAX_SETTINGS: usize = 64;
/// Tokens of a node, each with what its holder may do.
pub const MAX_TOKENS: usize = 16;
/// Bytes of a token.
pub const MAX_TOKEN: usize = 1024;
/// Bytes waiting to be written before a connection takes no more data.
pub const MAX_OUTBOUND_BYTES: usize = 256 << 10;
/// The least that one read asks of the socket, and what any connection may have read and not parsed: 4 KiB.
pub const MIN_READ: usize = 4 << 10;
/// The most that one read asks of the socket: 256 KiB.
pub const MAX_READ: usize = 256 << 10;
/// Frames that make the other side work otherwise than by their data (requests, PING, what is ignored, CREDIT that answers
/// no data) that a peer may send per second, after a burst of four times as many.
pub const MAX_CONTROL_RATE: u32 = 500;

/// From the connection's first byte to the end of the handshake.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Silence after which a connection gives back the memory that a busy time has left.
pub const IDLE_TIME: Duration = Duration::from_secs(1);
/// Silence after which a PING is sent.
pub const PING_INTERVAL: Duration = Duration::from_secs(15);
/// Silence after a PING at which a receiver or publisher gives up a connection to its node.
pub const PEER_TIMEOUT: Duration = Duration::from_secs(20);
/// Silence after a PING at which a node gives up a connection: longer, because a receiver whose program is
/// busy with a record answers nothing, and is not to be taken for dead.
pub const SERVED_TIMEOUT: Duration = Duration::from_secs(600);

/// Credit that a receiver gives at first, and keeps topping up as records are consumed: 1 MiB.
pub const CREDIT_WINDOW: u64 = 1 << 20;
/// Credit of a publisher on a connection that has eight already: 64 KiB.
pub const SMALL_WINDOW: u64 = 64 << 10;
/// The least time between two PROGRESS frames of a stream.
pub const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);
/// Time that the peer has to read why a connection is over, before the byte stream is closed.
pub const LAST_WORDS: Duration = Duration::from_secs(1);
/// Channels that a receiver by pattern has open at once; others wait for a place.
pub const MAX_LANES: usize = 128;
/// Channels that a receiver by pattern knows at all.
pub const MAX_MATCHES: usize = 4096;
/// Records in a row of one of many channels, while others have some.
pub const LANE_TURN: usize = 64;
/// How long one of many channels has its place for sure while others wait for one, and what has failed rests.
pub const LANE_TIME: Duration = Duration::from_secs(1);
/// First wait before dialling again.
pub const BACKOFF_FIRST: Duration = Duration::from_millis(50);
/// Longest wait before dialling again.
pub const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// Connections that a node serves at once.
pub const MAX_CONNECTIONS: usize = 4096;
/// Connections at once whose handshake is not done.
pub const MAX_UNPROVEN: usize = 256;
/// Connections at once from one address.
pub const MAX_PER_ADDRESS: usize = 2048;
/// Connections at once that are told that there is no place for them; others beyond are just closed.
pub const MAX_TURNED_AWAY: usize = 64;
/// Bytes that a node holds for all its connections, beyond [`CONNECTION_COST`] each: 16 MiB.
pub const MAX_MEMORY: usize = 16 << 20;
/// Bytes of memory for runs that a node keeps for later ones, beside [`MAX_MEMORY`], while it has some in use: 4 MiB.
pub const MAX_SPARE: usize = 4 << 20;
/// Bytes of that which it keeps while it has none in use: 2 MiB.
pub const MAX_IDLE_SPARE: usize = 2 << 20;
/// Jobs of the disk that a node runs at once for its peers.
pub const MAX_NODE_JOBS: usize = 8;
/// What any connection may have waiting, uncounted: their number bounds it.
pub const CONNECTION_COST: usize = 8 << 10;
/// What a stream counts for.
pub const STREAM_COST: usize = 1 << 10;
/// Channels whose names a stream that watches is held against at a time, while nobody else may look at the channels.
pub const WATCH_NAMES: usize = 128;
/// How often the streams of a connection that watch look in one of its turns, all together.
pub const WATCH_LOOKS: usize = 4;
/// Where memory is short: how long a connection may hold some and move less than [`HOLD_BYTES`].
pub const HOLD_TIME: Duration = Duration::from_secs(10);
/// See [`HOLD_TIME`].
pub const HOLD_BYTES: usize = 64 << 10;
/// How long a batch larger than any window may take to come while others wait to send one.
pub const LARGE_TIME: Duration = Duration::from_secs(30);
