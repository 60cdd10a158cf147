//! A node that calls its receivers and publishers, because they cannot reach it: the roles stay, only the caller
//! changes.
//!
//! Owns when to call again, and when no call will help. Each connection is served as one that was accepted.

use std::task::Waker;

use netchan_proto::backoff::Backoff;
use netchan_proto::conn::{Connection, ConnectionError};
use netchan_proto::limits::BACKOFF_MAX;
use netchan_proto::{Instant, Side};

use super::Served;
use crate::error::Error;
use crate::job::Job;
use crate::machine::{Dialling, Lost, Machine};
use crate::node::Node;
use crate::redial::{error_of, is_final_for_connection};

/// Serves a peer that is called, again and again.
#[derive(Debug)]
pub struct Calling {
    node: Node,
    who: String,
    backoff: Backoff,
    served: Option<Served>,
    since: Instant,
    next_call: Instant,
    error: Option<Error>,
}

impl Calling {
    /// Calls at once. `who` is called, for errors to say.
    #[must_use]
    pub fn new(node: &Node, who: impl Into<String>, now: Instant) -> Calling {
        let backoff = Backoff::new(node.seed());
        Calling {
            node: node.clone(),
            who: who.into(),
            backoff,
            served: None,
            since: now,
            next_call: now,
            error: None,
        }
    }

    /// Why no further call can help, if so.
    #[must_use]
    pub fn error(&self) -> Option<&Error> {
        self.error.as_ref()
    }

    /// The connection as it is served, while there is one.
    pub fn served(&mut self) -> Option<&mut Served> {
        self.served.as_mut()
    }
}

impl Dialling for Calling {
    fn wants_dial(&self, now: Instant) -> bool {
        self.served.is_none() && !self.is_over() && self.next_call <= now
    }

    fn connected(&mut self, side: Side, trusted: bool, now: Instant) {
        self.since = now;
        self.served = Some(Served::new(&self.node, side, trusted, now).called_from(&*self.who));
    }
}

impl Machine for Calling {
    fn connection(&mut self) -> Option<&mut Connection> {
        self.served.as_mut().and_then(Served::connection)
    }

    fn work(&mut self, now: Instant, waker: &Waker) {
        if let Some(served) = &mut self.served {
            served.work(now, waker);
        }
    }

    fn take_job(&mut self) -> Option<Job> {
        self.served.as_mut().and_then(Served::take_job)
    }

    fn deadline(&self) -> Option<Instant> {
        match &self.served {
            Some(served) => served.deadline(),
            None if self.is_over() => None,
            None => Some(self.next_call),
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        if let Some(served) = &mut self.served {
            served.handle_timeout(now);
        }
    }

    fn disconnected(&mut self, why: Lost, now: Instant) {
        let served = self.served.take();
        let was_up = served.is_some();
        let why = served.and_then(|served| served.ended().cloned()).unwrap_or(why);
        if let Lost::Connection(ConnectionError::Ours { code, .. } | ConnectionError::Theirs { code, .. }) =
            &why
            && is_final_for_connection(*code)
        {
            tracing::warn!(peer = self.who, %why, "who is called will not have it: no other call would help");
            self.error = Some(error_of(&why, &self.who));
            return;
        }
        if was_up && now.since(self.since) > BACKOFF_MAX {
            self.backoff.reset();
        }
        let retry_in = self.backoff.next_wait();
        tracing::info!(peer = self.who, %why, ?retry_in, "who is called is lost, or was not to be had");
        self.next_call = now.plus(retry_in);
    }

    fn is_over(&self) -> bool {
        self.error.is_some() || (self.served.is_none() && self.node.is_stopping())
    }
}
