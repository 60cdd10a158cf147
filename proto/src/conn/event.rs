//! What a connection tells its owner, and how it fails.

use bytes::Bytes;

use crate::digest::Digest;
use crate::error_code::ErrorCode;
use crate::permissions::Permissions;
use crate::types::{ChannelName, NodeId, Offset};
use crate::wire::{
    CursorCommit, CursorInfo, CursorKey, CursorSet, CursorTake, Cursors, CursorsReply, Description, Done,
    End, ErrorFrame, Gap, GoAway, Keep, List, ListReply, LogInfo, NodeStatus, Open, Opened, Progress,
    PublishAck, PublishNote, PublishOpen, PublishOpened, Readers, ReadersReply, Roles, Seek, Seeked,
    StreamId, Truncate, Truncated, Watch, Watched,
};

/// Who is across.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its identity; [`NodeId::NONE`] if it did not say.
    pub node: NodeId,
    /// What it is there for.
    pub roles: Roles,
    /// What it may do: as the token says that it showed, and everything where none was asked for.
    pub may: Permissions,
}

/// Something happened on a connection, in the order it came.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The handshake is done: streams may be opened.
    Ready(Peer),
    /// The peer will soon stop.
    GoAway(GoAway),
    /// A stream of ours, or a request, is over with an error.
    StreamError(StreamId, ErrorFrame),

    /// To the receiver: reading begins.
    Opened(StreamId, Opened),
    /// To the receiver: the channel does not exist yet.
    Waiting(StreamId),
    /// To the receiver: a range of the run of batches.
    Data(StreamId, Bytes),
    /// To the receiver: how far the sender is.
    Progress(StreamId, Progress),
    /// To the receiver: records that are gone.
    Gap(StreamId, Gap),
    /// To the receiver: the log was rolled back.
    Truncated(StreamId, Truncated),
    /// To the receiver: reading goes on elsewhere.
    Seeked(StreamId, Seeked),
    /// To the receiver: what the sealed channel comes to.
    Digest(StreamId, Digest),
    /// To the receiver: it is to tell when its user has received all before this offset.
    Await(StreamId, Offset),
    /// To receiver or publisher: nothing more follows.
    End(StreamId, End),

    /// To the publisher: publishing begins.
    PublishOpened(StreamId, PublishOpened),
    /// To the publisher: records are written, or durable.
    PublishAck(StreamId, PublishAck),

    /// To who asked: what it asked for.
    StatReply(StreamId, LogInfo),
    /// To who asked: names.
    ListReply(StreamId, ListReply),
    /// To who asked: done.
    Done(StreamId, Done),
    /// To who asked: how the node is.
    StatusReply(StreamId, NodeStatus),
    /// To who asked: who reads and publishes.
    ReadersReply(StreamId, ReadersReply),
    /// To who asked: how the cursor is.
    CursorReply(StreamId, CursorInfo),
    /// To who asked: which cursors there are.
    CursorsReply(StreamId, CursorsReply),
    /// To who asked: how the channel is kept.
    Description(StreamId, Description),

    /// To who watches: channels there are.
    Watched(StreamId, Watched),

    /// To the side with the logs: somebody wants to read.
    OpenRequest(StreamId, Open),
    /// To the side with the logs: and now from elsewhere.
    SeekRequest(StreamId, Seek),
    /// To the side with the logs: enough.
    CloseRequest(StreamId),
    /// To the side with the logs: the receiver's user has received all before this offset.
    Received(StreamId, Offset),
    /// To who sends data or publishes: more credit came.
    Credit(StreamId),
    /// To the side with the logs: somebody wants to publish.
    PublishRequest(StreamId, PublishOpen),
    /// To the side with the logs: a range of the run of published batches.
    PublishData(StreamId, Bytes),
    /// To the side with the logs: a note to keep.
    NoteRequest(StreamId, PublishNote),
    /// To the side with the logs: the publisher is done.
    PublishCloseRequest(StreamId),
    /// To the side with the logs: about one channel.
    StatRequest(StreamId, ChannelName),
    /// To the side with the logs: which channels.
    ListRequest(StreamId, List),
    /// To the side with the logs: seal it.
    SealRequest(StreamId, ChannelName),
    /// To the side with the logs: delete it.
    DeleteRequest(StreamId, ChannelName),
    /// To the side with the logs: make it.
    CreateRequest(StreamId, Keep),
    /// To the side with the logs: keep it otherwise.
    ChangeRequest(StreamId, Keep),
    /// To the side with the logs: let its oldest records go.
    TruncateRequest(StreamId, Truncate),
    /// To the side with the logs: how it is kept.
    DescribeRequest(StreamId, ChannelName),
    /// To the side with the logs: how it is.
    StatusRequest(StreamId),
    /// To the side with the logs: who reads and publishes.
    ReadersRequest(StreamId, Readers),
    /// To the side with the logs: a cursor is somebody's.
    CursorTakeRequest(StreamId, CursorTake),
    /// To the side with the logs: and moves on.
    CursorCommitRequest(StreamId, CursorCommit),
    /// To the side with the logs: or anywhere.
    CursorSetRequest(StreamId, CursorSet),
    /// To the side with the logs: or goes.
    CursorDeleteRequest(StreamId, CursorKey),
    /// To the side with the logs: which cursors there are.
    CursorsRequest(StreamId, Cursors),
    /// To the side with the logs: which channels there are, and which come to be.
    WatchRequest(StreamId, Watch),
}

/// Why a connection is over. What is to be told to the peer stands in the output already.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// This side found a fault of the peer, or gave up on it.
    #[error("{code}: {text}")]
    Ours {
        /// The code told to the peer.
        code: ErrorCode,
        /// The text told to the peer.
        text: String,
    },
    /// The peer ended the connection with an error.
    #[error("the peer says {code}: {text}")]
    Theirs {
        /// The peer's code.
        code: ErrorCode,
        /// The peer's text, which is not to be trusted.
        text: String,
    },
    /// The byte stream ended.
    #[error("the connection was closed by the peer")]
    Closed,
}

impl ConnectionError {
    /// The code, where there is one.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            ConnectionError::Ours { code, .. } | ConnectionError::Theirs { code, .. } => Some(*code),
            ConnectionError::Closed => None,
        }
    }
}

/// The owner asked for one stream too many. Nothing was sent; try again when one is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the connection has as many streams open as it may")]
pub struct Full;
