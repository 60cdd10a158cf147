//! Shutting down, dropping, starting again.

use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use netchan_node::Handle;
use netchan_node::words::{ErrorKind, NewRecord, Start};

use crate::pair::{Pair, open, open_sender, payload, receives, send, start, try_start};
use crate::runtime::Runtime;

/// Longer than anything here may take on a machine that is slow and busy.
const LONG: Duration = Duration::from_secs(60);

/// The directory is free again, and has everything.
pub fn what_was_sent_is_there_after_a_restart<S: Runtime, R: Runtime>() {
    let dir = tempfile::tempdir().unwrap();
    let mut id = None;
    for run in 0..3 {
        // One after the other, in both runtimes.
        let kept = |node_id| assert_eq!(*id.get_or_insert(node_id), node_id);
        if run % 2 == 0 { once::<S>(dir.path(), run, kept) } else { once::<R>(dir.path(), run, kept) }
    }
    let node = start::<R>(Handle::builder().data_dir(dir.path()));
    let mut receiver = open(node.receiver("kept").from(Start::Earliest));
    receives::<R>(&mut receiver, 0, (0..3).map(payload));
}

fn once<A: Runtime>(dir: &std::path::Path, run: u64, mut kept: impl FnMut(netchan_node::words::NodeId)) {
    let node = start::<A>(Handle::builder().data_dir(dir));
    kept(node.id());
    let log = open_sender(node.sender("kept"));
    send::<A>(&log, payload(run));
    assert_eq!(A::wait(|| node.shutdown(LONG)).unwrap(), Default::default());
    assert_eq!(A::send(&log, NewRecord::new("late")).map(|_| ()).unwrap_err().kind(), ErrorKind::Closed);
    let late = A::wait(|| node.sender("kept").open()).map(|_| ());
    assert_eq!(late.unwrap_err().kind(), ErrorKind::Closed);
}

/// All of it to who reads; not to who does not, nor to who is not there.
pub fn who_shuts_down_delivers_and_says_what_is_left<S: Runtime, R: Runtime>() {
    let pair = Pair::<S, R>::start();
    let (log, mut receiver) = (pair.sender("farewell"), pair.receiver("farewell"));
    (0..500).for_each(|number| drop(send::<S>(&log, payload(number))));
    let reading = thread::spawn(move || receives::<R>(&mut receiver, 0, (0..500).map(payload)));
    assert_eq!(S::wait(|| pair.here.shutdown(LONG)).unwrap(), Default::default());
    reading.join().unwrap();
    // The door is closed.
    assert!(TcpStream::connect(pair.address).is_err());

    let unsent = open_sender(pair.there.sender(pair.target("nobody")));
    (0..7).for_each(|number| drop(send::<R>(&unsent, payload(number))));
    let left = R::wait(|| pair.there.shutdown(Duration::from_millis(1))).unwrap();
    assert_eq!((left.connections, left.records), (1, 7));
}

/// Also in the midst of everything, on a thread that is of no runtime.
pub fn handles_are_dropped_at_any_time_without_waiting<S: Runtime, R: Runtime>() {
    let Pair { here, there, address, dir } = Pair::<S, R>::start();
    let log = open_sender(here.sender("dropped"));
    let sent = send::<S>(&log, payload(0));
    let publisher = open_sender(there.sender(format!("{address}/dropped")));
    send::<R>(&publisher, payload(1));
    let mut receiver = open(there.receiver(format!("{address}/dropped")).from(Start::Earliest));
    receives::<R>(&mut receiver, 0, [payload(0)].into_iter());
    let began = Instant::now();
    // As many as can be had, in an order that suits nobody.
    drop((here.clone(), sent, there.clone(), receiver, publisher, log.clone(), there));
    drop((here, log));
    assert!(began.elapsed() < LONG);
    // And all was kept. The last of it may be under way still.
    let here = loop {
        match try_start::<S>(Handle::builder().data_dir(dir.path())) {
            Err(error) if error.kind() == ErrorKind::Locked => thread::yield_now(),
            node => break node.unwrap(),
        }
    };
    let mut receiver = open(here.receiver("dropped").from(Start::Earliest));
    receives::<S>(&mut receiver, 0, [payload(0)].into_iter());
}

/// Neither a door nor a connection.
pub fn nothing_is_left_of_nodes_that_are_gone<S: Runtime, R: Runtime>() {
    for round in 0..5 {
        let pair = Pair::<S, R>::start();
        let (log, mut receiver) = (pair.sender("gone"), pair.receiver("gone"));
        send::<S>(&log, payload(round));
        receives::<R>(&mut receiver, 0, [payload(round)].into_iter());
        let Pair { here, there, address, dir } = pair;
        match round % 2 {
            0 => drop(S::wait(|| here.shutdown(Duration::ZERO)).unwrap()),
            _ => drop((here, log)),
        }
        drop((receiver, there));
        // Dropping waits for nothing: the door is closed soon.
        let began = Instant::now();
        while TcpStream::connect(address).is_ok() {
            assert!(began.elapsed() < LONG, "somebody listens still");
            thread::yield_now();
        }
        let again = loop {
            match try_start::<R>(Handle::builder().data_dir(dir.path())) {
                Err(error) if error.kind() == ErrorKind::Locked => {
                    assert!(began.elapsed() < LONG, "somebody holds the directory still");
                    thread::yield_now();
                }
                node => break node.unwrap(),
            }
        };
        let mut receiver = open(again.receiver("gone").from(Start::Earliest));
        receives::<R>(&mut receiver, 0, [payload(round)].into_iter());
    }
}
