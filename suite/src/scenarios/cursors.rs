//! Places that the sender's node keeps.

use netchan_node::Handle;
use netchan_node::words::{Error, ErrorKind, Offset, Start};

use crate::pair::{Pair, is_at_end, listening, open, open_sender, payload, receives, send, start};
use crate::runtime::Runtime;

const LONG: std::time::Duration = std::time::Duration::from_secs(60);

fn kind(result: Result<(), Error>) -> ErrorKind {
    result.unwrap_err().kind()
}

/// From wherever it is read next, and whether or not the node was there all the time.
pub fn a_cursor_goes_on_where_it_was_committed_from_any_node<S: Runtime, R: Runtime>() {
    let Pair { here, there, address, dir } = Pair::<S, R>::start();
    let log = open_sender(here.sender("jobs"));
    (0..30).for_each(|number| drop(send::<S>(&log, payload(number))));
    S::flush(&log).unwrap();
    let target = format!("{address}/jobs");
    let mut far = open(there.receiver(&target).from(Start::Earliest).cursor("worker"));
    receives::<R>(&mut far, 0, (0..10).map(payload));
    let tenth = R::position(&far).unwrap();
    receives::<R>(&mut far, 10, (10..15).map(payload));
    R::commit(&mut far, tenth).unwrap();
    drop(far);

    // On the node itself: what was received and not committed comes again.
    let mut near = open(here.receiver("jobs").cursor("worker"));
    receives::<S>(&mut near, 10, (10..20).map(payload));
    let at = S::position(&near).unwrap();
    S::commit(&mut near, at).unwrap();
    assert_eq!(kind(S::commit(&mut near, tenth)), ErrorKind::CursorBack);
    let cursors = R::wait(|| there.cursors(&target)).unwrap();
    assert_eq!(cursors.len(), 1);
    assert_eq!((cursors[0].key.cursor.as_str(), cursors[0].position.only()), ("worker", Some(at)));
    drop((near, log));
    S::wait(|| here.shutdown(LONG)).unwrap();
    drop(here);

    let here = start::<S>(listening(dir.path()));
    let target = format!("{}/jobs", here.local_addr().unwrap());
    let mut far = open(there.receiver(&target).follow(false).cursor("worker"));
    receives::<R>(&mut far, 20, (20..30).map(payload));
    is_at_end::<R>(&mut far);
    let at = R::position(&far).unwrap();
    R::commit(&mut far, at).unwrap();
    let mut far = open(there.receiver(&target).follow(false).cursor("worker"));
    is_at_end::<R>(&mut far);
}

/// Nobody waits for anybody, and who came earlier is told.
pub fn of_two_who_read_by_one_cursor_the_later_one_has_it<S: Runtime, R: Runtime>() {
    let pair = Pair::<S, R>::start();
    let log = pair.sender("jobs");
    (0..30).for_each(|number| drop(send::<S>(&log, payload(number))));
    S::flush(&log).unwrap();
    let by_cursor = || pair.there.receiver(pair.target("jobs")).from(Start::Earliest).cursor("worker");
    let mut first = open(by_cursor());
    receives::<R>(&mut first, 0, (0..10).map(payload));
    let at = R::position(&first).unwrap();
    R::commit(&mut first, at).unwrap();

    let mut second = open(pair.here.receiver("jobs").from(Start::Earliest).cursor("worker"));
    receives::<S>(&mut second, 10, (10..12).map(payload));
    assert_eq!(kind(R::commit(&mut first, at)), ErrorKind::CursorTaken);
    assert_eq!(kind(R::recv(&mut first).map(drop)), ErrorKind::CursorTaken);
    is_at_end::<R>(&mut first);
    let at = S::position(&second).unwrap();
    S::commit(&mut second, at).unwrap();

    // Set while it is read, it is read from there.
    let set = R::wait(|| pair.there.set_cursor(pair.target("jobs"), "worker", Start::Last(4), false));
    assert_eq!(set.unwrap().position.only().unwrap().offset, Offset(26));
    assert_eq!(kind(S::commit(&mut second, at)), ErrorKind::CursorMoved);
    receives::<S>(&mut second, 26, (26..30).map(payload));
    let at = S::position(&second).unwrap();
    S::commit(&mut second, at).unwrap();

    R::wait(|| pair.there.delete_cursor(pair.target("jobs"), "worker")).unwrap();
    assert_eq!(kind(S::commit(&mut second, at)), ErrorKind::NoCursor);
    let gone = R::wait(|| pair.there.delete_cursor(pair.target("jobs"), "worker"));
    assert_eq!(kind(gone), ErrorKind::NoCursor);
    let unknown = R::wait(|| pair.there.set_cursor(pair.target("jobs"), "worker", Start::Earliest, false));
    assert_eq!(kind(unknown.map(drop)), ErrorKind::NoCursor);
    assert_eq!(R::wait(|| pair.there.cursors(pair.address.to_string())).unwrap(), []);

    let named = R::wait(|| pair.there.receiver(pair.target("jobs")).cursor("no name").open());
    assert_eq!(kind(named.map(drop)), ErrorKind::Target);
    let mut plain = pair.receiver("jobs");
    receives::<R>(&mut plain, 0, (0..1).map(payload));
    let at = R::position(&plain).unwrap();
    assert_eq!(kind(R::commit(&mut plain, at)), ErrorKind::Config, "it reads by no cursor");
    let nowhere = Handle::<S>::builder();
    let nowhere = start::<S>(nowhere);
    assert_eq!(kind(S::wait(|| nowhere.cursors("")).map(drop)), ErrorKind::Config);
}
