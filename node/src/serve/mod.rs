//! A connection that is served: peers read and publish this node's logs over it. (Skeleton.)

use std::task::Waker;

use netchan_proto::conn::{Connection, ConnectionConfig};
use netchan_proto::limits::SERVED_TIMEOUT;
use netchan_proto::{Instant, Side};

use crate::job::Job;
use crate::machine::{Lost, Machine};
use crate::node::Node;

/// One served connection.
#[derive(Debug)]
pub struct Served {
    connection: Connection,
}

impl Served {
    /// Serves a byte stream that has just come up. `side` says who called; `trusted`, that the way it came proves
    /// who is across, so no token is asked for.
    #[must_use]
    pub fn new(node: &Node, side: Side, trusted: bool, now: Instant) -> Served {
        let config = ConnectionConfig {
            side,
            node: node.id(),
            roles: node.roles(),
            nonce: node.nonce(),
            token: node.token().cloned(),
            trusted,
            peer_timeout: SERVED_TIMEOUT,
        };
        Served { connection: Connection::new(config, now) }
    }
}

impl Machine for Served {
    fn connection(&mut self) -> Option<&mut Connection> {
        Some(&mut self.connection)
    }

    fn work(&mut self, _now: Instant, _waker: &Waker) {}

    fn take_job(&mut self) -> Option<Job> {
        None
    }

    fn deadline(&self) -> Option<Instant> {
        self.connection.deadline().map(|(at, _)| at)
    }

    fn handle_timeout(&mut self, _now: Instant) {}

    fn disconnected(&mut self, _why: Lost, _now: Instant) {}

    fn is_over(&self) -> bool {
        self.connection.is_over()
    }
}
