//! What happens to a connection, and what is missing of its records, in words for who watches.

use netchan::{Durability, Error, ErrorKind, Event, Target};

use crate::amounts::counted;
use crate::exit::Exit;
use crate::status::Status;

/// Says what happened on the way to `target`.
pub(crate) fn tell(event: &Event, target: &Target, status: Status) {
    match event {
        Event::Waiting => {
            status.say_often("waiting", format_args!("{target} does not exist yet: waiting for it"))
        }
        Event::Lost { why, retry_in } => {
            let why = why.to_string();
            let why = why.strip_prefix(&format!("{}: ", target.name)).unwrap_or(&why);
            status.say_often("lost", format_args!("{target}: {why}; again in {retry_in:.1?}"));
        }
        Event::GoingAway { .. } => {
            status.say_often("going away", format_args!("{target}: the other side is about to stop"))
        }
        Event::Opened { durability, .. } => {
            let safe = match durability {
                Durability::Sync => "durable",
                _ => "written (not yet durable)",
            };
            status.say(format_args!("{target}: connected; records are told and shown once they are {safe}"));
        }
        Event::Resumed { .. } => {
            status.say_often("resumed", format_args!("{target}: connected again, and going on"))
        }
        Event::Sealed { end } => {
            status.say(format_args!("{target}: complete, sealed after {}", counted(end.0, "record")));
        }
        Event::RolledBack { from, to } => status.warn_often(
            "rolled back",
            format_args!(
                "{target}: {} that were acknowledged as written are lost by a power cut there",
                counted(to - from, "record")
            ),
        ),
        // gaps and roll-backs of a receiver are told with the records
        _ => {}
    }
}

/// Tells that records are missing. Says what that is at the end.
///
/// # Errors
/// It is something else that went wrong.
pub(crate) fn missing(error: Error, status: Status) -> Result<Exit, Error> {
    let (kind, exit) = match error.kind() {
        ErrorKind::Gap { .. } => ("gap", Exit::Gap),
        ErrorKind::Truncated { .. } => ("truncated", Exit::Truncated),
        _ => return Err(error),
    };
    status.warn_often(kind, error);
    Ok(exit)
}
