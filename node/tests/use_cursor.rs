//! Receivers that read by a cursor, against a served connection, over a wire that breaks anywhere.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

mod far;
mod house;
mod there;

use std::sync::Arc;
use std::task::Waker;

use far::{Across, Got, Near, Wire, node};
use house::{House, append, name};
use netchan_node::{
    Answer, Ask, Dialling, Error, ErrorKind, Lost, Machine, Next, Question, ReceiverCore, ReceiverOptions,
};
use netchan_proto::conn::Connection;
use netchan_proto::wire::{CursorKey, CursorSet};
use netchan_proto::{CursorName, Instant, Offset, Positions, Side, Start};
use there::There;

fn cursor() -> CursorName {
    CursorName::new("worker").unwrap()
}

fn key() -> CursorKey {
    CursorKey { channel: name("my_log"), cursor: cursor() }
}

fn filled(count: u64, seal: bool) -> Arc<House> {
    let house = House::new();
    let log = house.log("my_log");
    house.fill(&log, count, true);
    if seal {
        log.seal().unwrap();
    }
    Arc::new(house)
}

/// A receiver by the cursor, and how it is driven: until it has so many records, or has committed.
struct By {
    core: ReceiverCore,
    /// Records that it may take yet.
    wants: usize,
    commits: bool,
    outcome: Option<Result<(), Error>>,
}

impl By {
    fn cursor(start: Start) -> By {
        let options = ReceiverOptions {
            start,
            follow: false,
            cursor: Some(cursor()),
            ..ReceiverOptions::new(name("my_log"))
        };
        By { core: ReceiverCore::new(&node(), options), wants: 0, commits: false, outcome: None }
    }

    fn take(&mut self, wire: &mut Wire, there: &mut There, count: usize) -> Vec<Got> {
        self.wants = count;
        wire.run(self, there)
    }

    fn commit(&mut self, wire: &mut Wire, there: &mut There, to: impl Into<Positions>) -> Result<(), Error> {
        self.core.commit(to.into());
        (self.commits, self.outcome) = (true, None);
        wire.run(self, there);
        self.commits = false;
        self.outcome.take().expect("an outcome")
    }

    fn commit_all(&mut self, wire: &mut Wire, there: &mut There) -> Result<(), Error> {
        let position = self.core.position().expect("it has begun");
        self.commit(wire, there, position)
    }
}

impl Near for By {
    fn turn(&mut self, now: Instant, got: &mut Vec<Got>) -> bool {
        if self.commits && self.outcome.is_none() {
            self.core.work(now, Waker::noop());
            self.outcome = self.core.take_outcome();
            return self.outcome.is_some();
        }
        if self.wants == 0 {
            self.core.work(now, Waker::noop());
            return false;
        }
        match self.core.next(now) {
            Next::Record(record) => {
                self.wants -= 1;
                got.push(Got::Record(record.offset.0, String::from_utf8(record.payload.to_vec()).unwrap()));
            }
            Next::Error(error) => got.push(Got::Error(error.kind())),
            Next::Over => {
                self.wants = 0;
                got.push(Got::Over);
            }
            Next::Idle => return false,
        }
        true
    }
}

impl Machine for By {
    fn connection(&mut self) -> Option<&mut Connection> {
        self.core.connection()
    }
    fn work(&mut self, now: Instant, waker: &Waker) {
        self.core.work(now, waker);
    }
    fn deadline(&self) -> Option<Instant> {
        self.core.deadline()
    }
    fn handle_timeout(&mut self, now: Instant) {
        self.core.handle_timeout(now);
    }
    fn disconnected(&mut self, why: Lost, now: Instant) {
        self.core.disconnected(why, now);
    }
    fn is_over(&self) -> bool {
        self.core.is_over()
    }
}

impl Dialling for By {
    fn wants_dial(&self, now: Instant) -> bool {
        self.core.wants_dial(now)
    }
    fn connected(&mut self, side: Side, trusted: bool, now: Instant) {
        self.core.connected(side, trusted, now);
    }
}

fn records(range: std::ops::Range<u64>) -> Vec<Got> {
    range.map(|offset| Got::Record(offset, offset.to_string())).collect()
}

fn stands(house: &House) -> Option<u64> {
    Some(house.store.cursors().get(&key())?.position.only()?.offset.0)
}

fn set(there: &mut There, start: Start) {
    let ask = Ask::SetCursor(CursorSet { key: key(), start, make: false });
    assert!(matches!(asked(there, ask), Ok(Answer::Cursor(_))));
}

fn asked(there: &mut There, ask: Ask) -> Result<Answer, Error> {
    struct Asking(Question);
    impl Near for Asking {
        fn turn(&mut self, now: Instant, _: &mut Vec<Got>) -> bool {
            self.0.work(now, Waker::noop());
            false
        }
    }
    impl Machine for Asking {
        fn connection(&mut self) -> Option<&mut Connection> {
            self.0.connection()
        }
        fn work(&mut self, now: Instant, waker: &Waker) {
            self.0.work(now, waker);
        }
        fn deadline(&self) -> Option<Instant> {
            self.0.deadline()
        }
        fn handle_timeout(&mut self, now: Instant) {
            self.0.handle_timeout(now);
        }
        fn disconnected(&mut self, why: Lost, now: Instant) {
            self.0.disconnected(why, now);
        }
        fn is_over(&self) -> bool {
            self.0.is_over()
        }
    }
    impl Dialling for Asking {
        fn wants_dial(&self, now: Instant) -> bool {
            self.0.wants_dial(now)
        }
        fn connected(&mut self, side: Side, trusted: bool, now: Instant) {
            self.0.connected(side, trusted, now);
        }
    }
    let mut asking = Asking(Question::new(&node(), ask, "there"));
    Wire::new().run(&mut asking, there);
    asking.0.take_answer().expect("an answer")
}

/// NC-CUR-013: what was not committed comes again, to whoever takes it next, and what was does not.
#[test]
fn the_next_receiver_goes_on_where_the_last_one_committed() {
    let house = filled(10, true);
    let there = || There::new(Arc::clone(&house));
    let (mut a, mut wire, mut far) = (By::cursor(Start::Earliest), Wire::new(), there());
    assert_eq!(a.take(&mut wire, &mut far, 4), records(0..4));
    assert_eq!(stands(&house), Some(0), "nothing moves by what is received");
    let third = a.core.position().unwrap();
    assert_eq!(a.take(&mut wire, &mut far, 2), records(4..6));
    a.commit(&mut wire, &mut far, third).unwrap();
    assert_eq!(stands(&house), Some(4));
    assert_eq!(a.commit(&mut wire, &mut far, Positions::default()).unwrap_err().kind(), ErrorKind::Config);
    drop(a);

    let (mut b, mut wire, mut far) = (By::cursor(Start::Latest), Wire::new(), there());
    assert_eq!(b.take(&mut wire, &mut far, 9), [records(4..10), vec![Got::Over]].concat());
    // After the end too.
    b.commit_all(&mut wire, &mut far).unwrap();
    assert_eq!(stands(&house), Some(10));
    assert_eq!(b.commit(&mut wire, &mut far, third).unwrap_err().kind(), ErrorKind::CursorBack);
    // The connection may be gone by then.
    far.hang_up();
    b.commit_all(&mut wire, &mut far).unwrap();
    drop(b);
    let mut c = By::cursor(Start::Earliest);
    assert_eq!(c.take(&mut Wire::new(), &mut there(), 9), [Got::Over]);
}

/// NC-CUR-020: the later taker wins; the former is told, commits nothing, and receives nothing more.
#[test]
fn of_two_receivers_at_once_the_later_one_has_the_cursor() {
    let house = filled(10, false);
    let there = || There::new(Arc::clone(&house));
    let (mut a, mut a_wire, mut a_far) = (By::cursor(Start::Earliest), Wire::new(), there());
    assert_eq!(a.take(&mut a_wire, &mut a_far, 3), records(0..3));
    a.commit_all(&mut a_wire, &mut a_far).unwrap();
    assert_eq!(a.take(&mut a_wire, &mut a_far, 2), records(3..5));

    let (mut b, mut b_wire, mut b_far) = (By::cursor(Start::Earliest), Wire::new(), there());
    assert_eq!(b.take(&mut b_wire, &mut b_far, 1), records(3..4), "what was not committed comes again");
    let told = a.commit_all(&mut a_wire, &mut a_far).unwrap_err();
    assert_eq!((told.kind(), told.is_retryable()), (ErrorKind::CursorTaken, false));
    assert_eq!(stands(&house), Some(3));
    let last = a.take(&mut a_wire, &mut a_far, 9);
    assert_eq!(last, [Got::Error(ErrorKind::CursorTaken), Got::Over]);
    assert_eq!(a.commit_all(&mut a_wire, &mut a_far).unwrap_err().kind(), ErrorKind::CursorTaken);
    b.commit_all(&mut b_wire, &mut b_far).unwrap();
    assert_eq!(stands(&house), Some(4));

    // A connection that is made again takes nothing back from who came later.
    let mut c = By::cursor(Start::Earliest);
    assert_eq!(c.take(&mut Wire::new(), &mut there(), 1), records(4..5));
    b_far.hang_up();
    assert_eq!(b.take(&mut b_wire, &mut b_far, 1), records(4..5));
    assert_eq!(b.commit_all(&mut b_wire, &mut b_far).unwrap_err().kind(), ErrorKind::CursorTaken);
}

/// NC-CUR-019
#[test]
fn who_reads_by_a_cursor_that_is_set_goes_on_from_there() {
    let house = filled(10, false);
    let there = || There::new(Arc::clone(&house));
    for at_end in [false, true] {
        let (mut a, mut wire, mut far) = (By::cursor(Start::Earliest), Wire::new(), there());
        set_if_there(&house, &mut there(), Start::Earliest);
        let count = if at_end { 20 } else { 6 };
        let _ = a.take(&mut wire, &mut far, count);
        a.commit_all(&mut wire, &mut far).map_or_else(|error| panic!("{error}"), drop);
        set(&mut there(), Start::Offset(Offset(2)));
        let before = a.core.position().unwrap();
        let told = a.commit_all(&mut wire, &mut far).unwrap_err();
        assert_eq!((told.kind(), told.is_retryable()), (ErrorKind::CursorMoved, false));
        // What was read before is not committed any more: it would undo the move.
        let late = a.commit(&mut wire, &mut far, before).unwrap_err();
        assert_eq!((late.kind(), stands(&house)), (ErrorKind::CursorMoved, Some(2)));
        assert_eq!(a.take(&mut wire, &mut far, 3), records(2..5), "at the end: {at_end}");
        let late = a.commit(&mut wire, &mut far, before).unwrap_err();
        assert_eq!((late.kind(), stands(&house)), (ErrorKind::CursorMoved, Some(2)));
        a.commit_all(&mut wire, &mut far).unwrap();
        assert_eq!(stands(&house), Some(5));

        // Between the two somebody else took it.
        set(&mut there(), Start::Earliest);
        let mut b = By::cursor(Start::Earliest);
        assert_eq!(b.take(&mut Wire::new(), &mut there(), 1), records(0..1));
        assert_eq!(a.commit_all(&mut wire, &mut far).unwrap_err().kind(), ErrorKind::CursorTaken);

        assert!(matches!(asked(&mut there(), Ask::DeleteCursor(key())), Ok(Answer::Deleted)));
        let late = b.commit_all(&mut Wire::new(), &mut there());
        assert_eq!(late.unwrap_err().kind(), ErrorKind::NoCursor);
    }
}

/// To begin a round where the last one did.
fn set_if_there(house: &House, there: &mut There, start: Start) {
    if stands(house).is_some() {
        set(there, start);
    }
}

/// A lost connection, at any byte, neither loses a record nor has one come again that was committed, and a commit that was
/// under way is made once.
#[test]
fn a_wire_cut_after_any_byte_loses_nothing_and_moves_no_cursor_further_than_was_committed() {
    let play = |wire: &mut Wire| {
        let house = filled(12, true);
        let mut far = There::new(Arc::clone(&house));
        let mut a = By::cursor(Start::Earliest);
        let mut got = a.take(wire, &mut far, 5);
        a.commit_all(wire, &mut far).unwrap();
        assert_eq!(stands(&house), Some(5));
        got.extend(a.take(wire, &mut far, 4));
        a.commit_all(wire, &mut far).unwrap();
        assert_eq!(stands(&house), Some(9));
        got.extend(a.take(wire, &mut far, 4));
        a.commit_all(wire, &mut far).unwrap();
        assert_eq!(stands(&house), Some(12));
        assert_eq!(got, [records(0..12), vec![Got::Over]].concat());
    };
    let mut whole = Wire::new();
    play(&mut whole);
    let mut cuts = 0;
    for (to_near, bytes) in [(true, whole.passed_to_near), (false, whole.passed_to_far)] {
        for cut in 1..bytes {
            let mut wire = Wire { abrupt: cut % 2 == 0, step: 1 + cut % 97, ..Wire::new() };
            *(if to_near { &mut wire.to_near } else { &mut wire.to_far }) = cut;
            play(&mut wire);
            cuts += 1;
        }
    }
    assert!(cuts > 1000, "{cuts}");
}

/// NC-CUR-005, NC-CUR-010
#[test]
fn a_cursor_outlives_its_node_and_comes_before_its_channel() {
    let house = Arc::new(House::new());
    let (mut a, mut wire) = (By::cursor(Start::Latest), Wire::new());
    let mut far = There::new(Arc::clone(&house));
    assert_eq!(a.take(&mut wire, &mut far, 9), []);
    let log = house.log("my_log");
    house.fill(&log, 3, false);
    // It does not follow: what was there when it came to it.
    assert_eq!(a.take(&mut wire, &mut far, 2), records(0..2));
    a.commit_all(&mut wire, &mut far).unwrap();
    far.hang_up();
    house.store.close();
    let disk = house.disk.fork(3);
    disk.kill();
    let house = Arc::new(House::on(disk, None, |_| ()));
    let log = house.log("my_log");
    append(&log, "3");
    house.commit();
    let mut b = By::cursor(Start::Latest);
    let mut far = There::new(Arc::clone(&house));
    assert_eq!(b.take(&mut Wire::new(), &mut far, 9), [records(2..4), vec![Got::Over]].concat());
    // The first one goes on with the node that came after, and is not the one that has it.
    let late = a.commit_all(&mut wire, &mut There::new(Arc::clone(&house)));
    assert_eq!(late.unwrap_err().kind(), ErrorKind::CursorTaken);
}
