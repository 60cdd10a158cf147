//! The one connection that a receiver or a publisher has to its node: lost, waited for, dialled again.
//!
//! Owns when to dial, and what a failure means: that the connection is made again, or that it never will be of use. It
//! knows nothing of what the connection is for. Who dials is the driver; see [`crate::Machine`].

use std::sync::Arc;
use std::time::Duration;

use netchan_proto::backoff::Backoff;
use netchan_proto::conn::{Connection, ConnectionConfig, ConnectionError, Event as Frame};
use netchan_proto::limits::{BACKOFF_MAX, LAST_WORDS, PEER_TIMEOUT};
use netchan_proto::wire::ErrorFrame;
use netchan_proto::{ErrorCode, Instant, Roles, Side};

use crate::error::{Error, ErrorKind};
use crate::machine::Lost;
use crate::node::Node;

#[derive(Debug)]
enum State {
    /// Nothing is to be done before `until`.
    Resting { until: Instant },
    /// To be dialled now, or being dialled.
    Due,
    /// There is one.
    Up { connection: Box<Connection> },
    /// It has failed, and may have last words to be written before `until`.
    Failed { connection: Box<Connection>, why: Error, until: Instant },
    /// There was the last one.
    Over,
}

/// A connection that is made again when it is lost.
#[derive(Debug)]
pub(crate) struct Redial {
    node: Node,
    roles: Roles,
    backoff: Backoff,
    state: State,
    /// Since when it has been of use.
    useful_since: Option<Instant>,
}

impl Redial {
    /// To be dialled at once, by `node`, as one that has `roles`.
    pub(crate) fn new(node: &Node, roles: Roles) -> Redial {
        let backoff = Backoff::new(node.seed());
        Redial { node: node.clone(), roles, backoff, state: State::Due, useful_since: None }
    }

    /// Whether there is a connection that has not failed.
    pub(crate) fn is_up(&self) -> bool {
        matches!(self.state, State::Up { .. })
    }

    pub(crate) fn connection(&mut self) -> Option<&mut Connection> {
        match &mut self.state {
            State::Up { connection } | State::Failed { connection, .. } => Some(connection),
            _ => None,
        }
    }

    /// Takes one frame off the connection; nothing, if there is none. Who dials has no channels: what the other side
    /// asks for is refused here, and given all the same, so that the caller's budget counts it.
    pub(crate) fn poll_frame(&mut self, now: Instant) -> Option<Result<Frame, ConnectionError>> {
        let connection = self.connection()?;
        let frame = connection.poll_event(now).transpose()?;
        if let Ok(
            Frame::OpenRequest(id, _)
            | Frame::PublishRequest(id, _)
            | Frame::StatRequest(id, _)
            | Frame::ListRequest(id, _)
            | Frame::SealRequest(id, _)
            | Frame::DeleteRequest(id, _)
            | Frame::StatusRequest(id)
            | Frame::ReadersRequest(id, _)
            | Frame::CursorTakeRequest(id, _)
            | Frame::CursorCommitRequest(id, _)
            | Frame::CursorSetRequest(id, _)
            | Frame::CursorDeleteRequest(id, _)
            | Frame::CursorsRequest(id, _)
            | Frame::WatchRequest(id, _)
            | Frame::CreateRequest(id, _)
            | Frame::ChangeRequest(id, _)
            | Frame::TruncateRequest(id, _)
            | Frame::DescribeRequest(id, _),
        ) = &frame
        {
            let refusal = ErrorFrame::new(ErrorCode::DENIED, "this side has no channels");
            connection.stream_error(*id, refusal);
        }
        Some(frame)
    }

    pub(crate) fn wants_dial(&self, now: Instant) -> bool {
        match self.state {
            State::Resting { until } => until <= now,
            State::Due => true,
            State::Up { .. } | State::Failed { .. } | State::Over => false,
        }
    }

    /// A byte stream is up. An earlier connection, if there is one, is forgotten.
    pub(crate) fn connected(&mut self, side: Side, trusted: bool, now: Instant) {
        let config = ConnectionConfig {
            side,
            node: self.node.id(),
            roles: self.roles,
            nonce: self.node.nonce(),
            token: self.node.token().cloned(),
            grants: Arc::default(),
            trusted,
            peer_timeout: PEER_TIMEOUT,
        };
        let connection = Box::new(Connection::new(config, now));
        self.state = State::Up { connection };
        self.useful_since = None;
    }

    /// The stream that the connection was made for is open.
    pub(crate) fn mark_useful(&mut self, now: Instant) {
        self.useful_since.get_or_insert(now);
    }

    /// Something came that only a working peer sends: the next loss is the first of a new row.
    pub(crate) fn mark_progress(&mut self) {
        self.backoff.reset();
    }

    /// The connection is of no use any more: it may say its last words, until the driver reports it gone.
    pub(crate) fn fail(&mut self, why: Error, now: Instant) {
        self.state = match std::mem::replace(&mut self.state, State::Over) {
            State::Up { connection } => State::Failed { connection, why, until: now.plus(LAST_WORDS) },
            other => other,
        };
    }

    /// The connection is gone, or could not be had. Gives the reason known first, and how long to wait before the next
    /// is dialled; nothing if none is wanted.
    pub(crate) fn lost(&mut self, why: Error, now: Instant) -> Option<(Error, Duration)> {
        let why = match std::mem::replace(&mut self.state, State::Over) {
            State::Over => return None,
            State::Failed { why, .. } => why,
            _ => why,
        };
        if self.useful_since.take().is_some_and(|since| now.since(since) > BACKOFF_MAX) {
            self.backoff.reset();
        }
        let wait = self.backoff.next_wait();
        self.state = State::Resting { until: now.plus(wait) };
        Some((why, wait))
    }

    /// No connection is wanted before [`wake_up`](Self::wake_up).
    pub(crate) fn finish(&mut self) {
        self.state = State::Over;
    }

    /// A connection is wanted again, after [`finish`](Self::finish).
    pub(crate) fn wake_up(&mut self) {
        if matches!(self.state, State::Over) {
            self.state = State::Due;
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Resting { until } | State::Failed { until, .. } => Some(*until),
            State::Up { connection } => connection.deadline().map(|(at, _)| at),
            State::Due | State::Over => None,
        }
    }

    /// It is `now`.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Passed {
        match &mut self.state {
            State::Resting { until } if *until <= now => self.state = State::Due,
            State::Failed { until, .. } if *until <= now => return Passed::Unheard,
            State::Up { connection } => {
                if let Err(error) = connection.handle_timeout(now) {
                    return Passed::Silent(error);
                }
            }
            _ => {}
        }
        Passed::Nothing
    }
}

/// What a passed deadline means for the owner.
#[derive(Debug)]
pub(crate) enum Passed {
    /// All is well.
    Nothing,
    /// The peer said nothing for too long.
    Silent(ConnectionError),
    /// The last words of a failed connection went unread: it is lost.
    Unheard,
}

/// Whether no other byte stream can be had, or would fare better.
pub(crate) fn is_final(lost: &Lost) -> bool {
    match lost {
        Lost::Final(_) => true,
        Lost::Connection(error) => error.code().is_some_and(is_final_for_connection),
        _ => false,
    }
}

/// Whether `code`, as the end of a whole connection, says that no other connection will fare better.
pub(crate) fn is_final_for_connection(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::VERSION | ErrorCode::AUTH_REQUIRED | ErrorCode::AUTH_FAILED | ErrorCode::DENIED)
}

/// What a lost byte stream is to programs.
pub(crate) fn error_of(lost: &Lost, about: impl std::fmt::Display) -> Error {
    match lost {
        Lost::Connection(error) => error_of_connection(error, about),
        lost => Error::new(ErrorKind::Unreachable, lost.to_string()).about(about),
    }
}

/// What a failed connection is to programs.
pub(crate) fn error_of_connection(error: &ConnectionError, about: impl std::fmt::Display) -> Error {
    match error {
        ConnectionError::Ours { code, text } | ConnectionError::Theirs { code, text } => {
            Error::of_code(*code, None, text, about)
        }
        closed => Error::new(ErrorKind::Unreachable, closed.to_string()).about(about),
    }
}
