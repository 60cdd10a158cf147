//! Which role and which rights a request needs.

use netchan_proto::conn::Event;
use netchan_proto::wire::{ErrorFrame, StreamId};
use netchan_proto::{ErrorCode, Permissions, Roles};

/// The stream of a request, the role that its side must have named, and the rights that it needs. `None`: it asks for nothing.
pub(super) fn needs(event: &Event) -> Option<(StreamId, Roles, Permissions)> {
    use Permissions as May;
    let (reads, publishes, none) = (Roles::RECEIVES, Roles::PUBLISHES, Roles::default());
    Some(match event {
        Event::OpenRequest(id, _) => (*id, reads, May::READ),
        Event::CursorTakeRequest(id, _) | Event::CursorCommitRequest(id, _) => (*id, reads, May::CURSORS),
        Event::CursorSetRequest(id, _) | Event::CursorDeleteRequest(id, _) => (*id, none, May::CURSORS),
        Event::PublishRequest(id, _) => (*id, publishes, May::PUBLISH),
        Event::SealRequest(id, _) => (*id, publishes, May::SEAL),
        Event::DeleteRequest(id, _) => (*id, publishes, May::DELETE),
        Event::CreateRequest(id, _) => (*id, publishes, May::CREATE),
        Event::ChangeRequest(id, _) => (*id, publishes, May::CHANGE),
        Event::TruncateRequest(id, _) => (*id, publishes, May::TRUNCATE),
        Event::StatRequest(id, _)
        | Event::DescribeRequest(id, _)
        | Event::ListRequest(id, _)
        | Event::CursorsRequest(id, _)
        | Event::WatchRequest(id, _) => (*id, none, May::READ),
        Event::StatusRequest(id) | Event::ReadersRequest(id, _) => (*id, none, May::STATUS),
        _ => return None,
    })
}

/// The peer may not do it, and is told nothing else.
pub(super) fn lacks(may: Permissions, needed: Permissions) -> ErrorFrame {
    let what = format!("the token does not give the right to {}", may.lacking(needed));
    ErrorFrame::new(ErrorCode::PERMISSION, what)
}
