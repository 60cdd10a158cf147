//! What a served connection logs: who comes and goes, at info; what is asked for and refused, at debug; who does wrong,
//! at warn.
//!
//! A peer decides how often: whoever writes the log must limit it. Names and texts are the peer's, and not to be trusted.

use netchan_proto::conn::{ConnectionError, Event};
use netchan_proto::wire::{ErrorFrame, StreamId};
use netchan_proto::{ErrorCode, NodeId};

use crate::machine::Lost;

/// Something came.
pub(super) fn event(peer: &str, event: &Event) {
    match event {
        Event::Ready(who) => {
            tracing::info!(peer, node = %who.node, roles = ?who.roles, "a peer is connected")
        }
        Event::OpenRequest(stream, open) => {
            let wait = open.wait;
            tracing::debug!(peer, stream = stream.0, channel = %open.name, start = ?open.start, wait, "OPEN");
        }
        Event::SeekRequest(stream, seek) => {
            tracing::debug!(peer, stream = stream.0, start = ?seek.start, "SEEK");
        }
        Event::CloseRequest(stream) => tracing::debug!(peer, stream = stream.0, "CLOSE"),
        Event::PublishRequest(stream, open) => {
            let (channel, producer, create) = (&open.name, &open.producer, open.create);
            tracing::debug!(peer, stream = stream.0, %channel, %producer, create, "PUBLISH_OPEN");
        }
        Event::NoteRequest(stream, note) => {
            tracing::debug!(peer, stream = stream.0, next = note.next_sequence, "PUBLISH_NOTE");
        }
        Event::PublishCloseRequest(stream) => tracing::debug!(peer, stream = stream.0, "PUBLISH_CLOSE"),
        Event::StatRequest(_, channel) => tracing::debug!(peer, %channel, "STAT"),
        Event::ListRequest(_, list) => {
            tracing::debug!(peer, prefix = list.prefix.as_str(), after = ?list.after, "LIST");
        }
        Event::SealRequest(_, channel) => tracing::info!(peer, %channel, "SEAL"),
        Event::DeleteRequest(_, channel) => tracing::info!(peer, %channel, "DELETE"),
        Event::CreateRequest(_, keep) => {
            tracing::info!(peer, channel = %keep.name, settings = ?keep.settings, "CREATE");
        }
        Event::ChangeRequest(_, keep) => {
            tracing::info!(peer, channel = %keep.name, settings = ?keep.settings, "CHANGE");
        }
        Event::TruncateRequest(_, truncate) => {
            tracing::info!(peer, channel = %truncate.name, before = ?truncate.before, "TRUNCATE");
        }
        Event::DescribeRequest(_, channel) => tracing::debug!(peer, %channel, "DESCRIBE"),
        Event::StatusRequest(_) => tracing::debug!(peer, "STATUS"),
        Event::ReadersRequest(_, readers) => tracing::debug!(peer, channel = ?readers.channel, "READERS"),
        Event::CursorTakeRequest(_, take) => tracing::debug!(peer, key = ?take.key, "CURSOR_TAKE"),
        Event::CursorCommitRequest(_, commit) => tracing::debug!(peer, key = ?commit.key, "CURSOR_COMMIT"),
        Event::CursorSetRequest(_, set) => tracing::info!(peer, key = ?set.key, "CURSOR_SET"),
        Event::CursorDeleteRequest(_, key) => tracing::info!(peer, ?key, "CURSOR_DELETE"),
        Event::CursorsRequest(_, asked) => tracing::debug!(peer, channel = ?asked.channel, "CURSORS"),
        Event::WatchRequest(stream, watch) => {
            tracing::debug!(peer, stream = stream.0, pattern = %watch.pattern, "WATCH");
        }
        Event::PublishData(stream, range) => {
            tracing::trace!(peer, stream = stream.0, bytes = range.len(), "PUBLISH");
        }
        _ => {}
    }
}

/// A stream or a request is answered by an error.
pub(super) fn refused(peer: &str, stream: StreamId, error: &ErrorFrame) {
    tracing::debug!(peer, stream = stream.0, code = %error.code, text = error.text, "ERROR");
}

/// The connection is over; `node` is across, if its handshake was done.
pub(super) fn ended(peer: &str, node: Option<NodeId>, why: &Lost) {
    use ConnectionError::{Ours, Theirs};
    match (why, node) {
        (Lost::Connection(Ours { code: ErrorCode::NONE | ErrorCode::GOING_AWAY, .. }), _) => {
            tracing::debug!(peer, %why, "a connection is ended");
        }
        (Lost::Connection(Ours { code: ErrorCode::TIMEOUT, .. }), Some(node)) => {
            tracing::info!(peer, %node, "a peer was silent for too long");
        }
        (Lost::Connection(Ours { .. }), Some(node)) => {
            tracing::warn!(peer, %node, %why, "a peer did wrong, and was cut off");
        }
        (_, Some(node)) => tracing::info!(peer, %node, %why, "a peer is gone"),
        (
            Lost::Connection(
                Ours { code: ErrorCode::AUTH_FAILED | ErrorCode::AUTH_REQUIRED, .. }
                | Theirs { code: ErrorCode::AUTH_FAILED | ErrorCode::AUTH_REQUIRED, .. },
            ),
            None,
        ) => tracing::warn!(peer, %why, "a caller without the token was turned away"),
        (Lost::Connection(Ours { code: ErrorCode::TIMEOUT, .. }), None) => {
            tracing::info!(peer, "a caller took too long to say who it is");
        }
        (Lost::Connection(Ours { .. }), None) => {
            tracing::warn!(peer, %why, "a caller does not speak this protocol, and was turned away");
        }
        (_, None) => tracing::debug!(peer, %why, "a caller left before it said who it is"),
    }
}
