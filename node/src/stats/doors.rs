//! Who came in, and who did not.

use netchan_proto::ErrorCode;
use netchan_proto::conn::ConnectionError;

use super::tally::tally;
use crate::machine::Lost;

tally! {
    /// Counted once a connection.
    Doors {
        /// Served, whatever became of it.
        accepted = CONNECTIONS_ACCEPTED,
        /// All places were taken.
        turned_away_full = TURNED_AWAY_FULL,
        /// All places of those who have not shaken hands were taken.
        turned_away_unproven = TURNED_AWAY_UNPROVEN,
        /// All places of one address were taken.
        turned_away_address = TURNED_AWAY_ADDRESS,
        /// The operating system's fault.
        accepts_failed = ACCEPTS_FAILED,
        /// The handshake was done.
        proven = HANDSHAKES_DONE,
        /// No token, or the wrong one.
        denied = HANDSHAKES_DENIED,
        /// Another protocol, or rubbish.
        foreign = HANDSHAKES_FOREIGN,
        /// Too slow.
        late = HANDSHAKES_LATE,
        /// Gone in the middle.
        left = HANDSHAKES_LEFT,
        /// Wrong after the handshake.
        at_fault = PEERS_AT_FAULT,
        /// Silent after the handshake.
        silent = PEERS_SILENT,
    }
}

impl Doors {
    /// A connection is over; it was `proven` or never came so far.
    pub(crate) fn ended(&self, why: &Lost, proven: bool) {
        let (ours, theirs) = match why {
            Lost::Connection(ConnectionError::Ours { code, .. }) => (Some(*code), None),
            Lost::Connection(ConnectionError::Theirs { code, .. }) => (None, Some(*code)),
            _ => (None, None),
        };
        let count = match (ours, theirs, proven) {
            (Some(ErrorCode::GOING_AWAY), ..) | (None, _, true) => return,
            (Some(ErrorCode::TIMEOUT), _, true) => &self.silent,
            (Some(_), _, true) => &self.at_fault,
            // Who has no token says so itself.
            (Some(ErrorCode::AUTH_FAILED), ..) | (_, Some(ErrorCode::AUTH_REQUIRED), _) => &self.denied,
            (Some(ErrorCode::TIMEOUT), ..) => &self.late,
            // Others needed its seat.
            (Some(ErrorCode::CALM), ..) => &self.turned_away_unproven,
            (Some(_), ..) => &self.foreign,
            (None, ..) => &self.left,
        };
        count.add(1);
    }
}
