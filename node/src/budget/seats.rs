//! Seats for connections.
//!
//! Who has not proved itself cannot keep out who can: when too many are in their handshake, the one that has taken longest
//! goes, and an honest one needs one round trip. One address cannot take all the seats, and the socket in the data
//! directory has seats of its own.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use super::Budget;
use crate::sync::Mutex;
use crate::wake::{Bell, lock};

/// Why there is no seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TurnedAway {
    /// All seats are taken.
    #[error("this node has as many connections as it may; try again later")]
    Full,
    /// Those of one address are.
    #[error("this node has as many connections from this address as it may; try again later")]
    Address,
}

/// The seats of one node.
#[derive(Debug, Default)]
pub(super) struct Seats(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    strangers: usize,
    trusted: usize,
    by_address: HashMap<IpAddr, usize>,
    unproven: usize,
    /// Those and some that are not unproven any more, oldest first.
    candidates: VecDeque<Weak<State>>,
}

/// How far a connection is, for who looks for one that can go.
#[derive(Debug, Default)]
struct State {
    stage: AtomicU8,
    bell: OnceLock<Arc<Bell>>,
}

const UNPROVEN: u8 = 0;
const PROVEN: u8 = 1;
const WITHDRAWN: u8 = 2;

/// A seat of one connection. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Seat {
    budget: Budget,
    from: Option<IpAddr>,
    trusted: bool,
    state: Arc<State>,
}

impl Seats {
    pub(super) fn admit(
        &self,
        budget: &Budget,
        from: Option<IpAddr>,
        trusted: bool,
    ) -> Result<Seat, TurnedAway> {
        let limits = budget.limits();
        let mut table = lock(&self.0);
        let table = &mut *table;
        let count = if trusted { &mut table.trusted } else { &mut table.strangers };
        if *count >= limits.connections {
            return Err(TurnedAway::Full);
        }
        let from = from.map(network);
        if let Some(from) = from {
            let same = table.by_address.entry(from).or_default();
            if *same >= limits.per_address {
                return Err(TurnedAway::Address);
            }
            *same += 1;
        }
        *count += 1;
        let state = Arc::new(State::default());
        if !trusted {
            if table.unproven >= limits.unproven {
                table.withdraw_oldest();
            }
            table.unproven += 1;
            table.candidates.push_back(Arc::downgrade(&state));
            if table.candidates.len() > 2 * limits.unproven.max(16) {
                table.candidates.retain(|state| state.upgrade().is_some_and(|state| state.is(UNPROVEN)));
            }
        }
        Ok(Seat { budget: budget.clone(), from, trusted, state })
    }
}

/// Whom an address stands for: who has one of IPv6 has all that differ from it in the last 64 bits.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

impl Table {
    fn withdraw_oldest(&mut self) {
        let unproven = |state: Weak<State>| state.upgrade().filter(|state| state.is(UNPROVEN));
        if let Some(oldest) = std::iter::from_fn(|| self.candidates.pop_front()).find_map(unproven) {
            oldest.stage.store(WITHDRAWN, Ordering::Release);
            self.unproven -= 1;
            if let Some(bell) = oldest.bell.get() {
                bell.ring();
            }
        }
    }
}

impl State {
    fn is(&self, stage: u8) -> bool {
        self.stage.load(Ordering::Acquire) == stage
    }
}

impl Seat {
    /// Rings `bell` when the seat is withdrawn.
    pub(crate) fn ring_when_withdrawn(&self, bell: &Arc<Bell>) {
        let _ = self.state.bell.set(Arc::clone(bell));
        if self.is_withdrawn() {
            bell.ring();
        }
    }

    /// The handshake is done.
    pub(crate) fn prove(&self) {
        let mut table = lock(&self.budget.0.seats.0);
        if !self.trusted && self.state.is(UNPROVEN) {
            self.state.stage.store(PROVEN, Ordering::Release);
            table.unproven -= 1;
        }
    }

    /// Others want it, and whoever has it has not proved itself.
    pub(crate) fn is_withdrawn(&self) -> bool {
        self.state.is(WITHDRAWN)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.prove(); // whoever is gone is in no handshake
        let mut table = lock(&self.budget.0.seats.0);
        let table = &mut *table;
        let count = if self.trusted { &mut table.trusted } else { &mut table.strangers };
        *count -= 1;
        if let Some(from) = &self.from
            && let Some(same) = table.by_address.get_mut(from)
        {
            *same -= 1;
            if *same == 0 {
                table.by_address.remove(from);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Limits;

    const HERE: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));
    const THERE: Option<IpAddr> = Some(IpAddr::V6(std::net::Ipv6Addr::LOCALHOST));

    fn budget() -> Budget {
        Budget::new(Limits { connections: 10, unproven: 3, per_address: 6, ..Limits::default() })
    }

    fn proven(budget: &Budget, from: Option<IpAddr>) -> Result<Seat, TurnedAway> {
        budget.admit(from, false).inspect(Seat::prove)
    }

    /// NC-LIM-009
    #[test]
    fn places_are_given_up_to_the_limit_by_address_and_in_all_and_come_back() {
        let budget = budget();
        let mut here: Vec<Seat> = (0..6).map(|_| proven(&budget, HERE).unwrap()).collect();
        assert_eq!(proven(&budget, HERE).unwrap_err(), TurnedAway::Address);
        let there: Vec<Seat> = (0..4).map(|_| proven(&budget, THERE).unwrap()).collect();
        assert_eq!(proven(&budget, THERE).unwrap_err(), TurnedAway::Full);
        let through_the_socket: Vec<Seat> = (0..10).map(|_| budget.admit(None, true).unwrap()).collect();
        assert!(budget.admit(None, true).is_err());
        here.pop();
        assert!(proven(&budget, THERE).is_ok());
        drop((here, there, through_the_socket));
        assert!(lock(&budget.0.seats.0).by_address.is_empty());
    }

    /// NC-LIM-009
    #[test]
    fn all_addresses_of_one_ipv6_network_are_one() {
        let budget = budget();
        let at = |last: &str| Some(last.parse().unwrap());
        let hosts: Vec<Seat> =
            (0..6).map(|host| proven(&budget, at(&format!("2001:db8::{host}"))).unwrap()).collect();
        assert_eq!(proven(&budget, at("2001:db8::ffff:0:0:9")).unwrap_err(), TurnedAway::Address);
        assert!(proven(&budget, at("2001:db8:0:1::")).is_ok());
        drop(hosts);
        assert!(lock(&budget.0.seats.0).by_address.is_empty());
    }

    /// NC-LIM-010
    #[test]
    fn when_too_many_are_in_their_handshake_the_oldest_goes_and_nobody_else() {
        let budget = budget();
        let known = proven(&budget, HERE).unwrap();
        let mut waiting: Vec<Seat> = (0..3).map(|_| budget.admit(THERE, false).unwrap()).collect();
        assert!(!waiting.iter().any(Seat::is_withdrawn));
        waiting.push(budget.admit(THERE, false).unwrap());
        assert_eq!(waiting.iter().map(Seat::is_withdrawn).collect::<Vec<_>>(), [true, false, false, false]);
        waiting[1].prove();
        waiting.push(budget.admit(THERE, false).unwrap());
        assert!(!waiting[2].is_withdrawn(), "one had become free");
        drop(waiting.remove(0));
        waiting.push(budget.admit(THERE, false).unwrap());
        assert!(waiting[1].is_withdrawn() && !waiting[0].is_withdrawn() && !known.is_withdrawn());
        drop((waiting, known));
        assert_eq!(lock(&budget.0.seats.0).unproven, 0);
    }

    #[test]
    fn a_storm_of_callers_leaves_nothing_behind() {
        let budget = Budget::new(Limits { connections: 10, unproven: 3, ..Limits::default() });
        for _ in 0..1000 {
            drop(budget.admit(HERE, false).unwrap());
        }
        let table = lock(&budget.0.seats.0);
        assert!(table.candidates.len() <= 32 && table.unproven == 0 && table.strangers == 0);
    }
}
