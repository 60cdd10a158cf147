//! Ways there that are no plain call over TCP: the socket of a data directory, streams that a program brings, calls from
//! the other side.

use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::sync::Mutex;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use netchan_node::Handle;
use netchan_node::words::{ErrorKind, Offset, Side, Start};

use crate::pair::{Pair, is_at_end, open, open_sender, payload, receives, send, start, try_start};
use crate::runtime::Runtime;

/// Several programs, one data directory, a Unix socket between them.
pub fn a_guest_works_through_the_socket_of_who_holds_the_directory<S: Runtime, R: Runtime>() {
    let pair = Pair::<S, R>::start();
    let second = try_start::<S>(Handle::builder().data_dir(pair.dir.path()));
    assert_eq!(second.unwrap_err().kind(), ErrorKind::Locked);
    let guest = start::<R>(Handle::builder().data_dir(pair.dir.path()).shared(true));
    assert!(pair.here.is_holder() && !guest.is_holder());
    let mut at_holder = open(pair.here.receiver("both").from(Start::Earliest));
    let mut at_guest = open(guest.receiver("both").from(Start::Earliest));
    R::durable(&send::<R>(&open_sender(guest.sender("both")), "from the guest")).unwrap();
    S::durable(&send::<S>(&pair.sender("both"), "from the holder")).unwrap();
    let both = || ["from the guest", "from the holder"].into_iter().map(|text| text.as_bytes().to_vec());
    receives::<S>(&mut at_holder, 0, both());
    receives::<R>(&mut at_guest, 0, both());
    assert_eq!(R::wait(|| guest.info("both")).unwrap().next, Offset(2));
    R::wait(|| guest.seal("both")).unwrap();
    is_at_end::<R>(&mut at_guest);
    R::wait(|| guest.delete("both")).unwrap();
    assert!(S::wait(|| pair.here.channels("")).unwrap().is_empty());
}

/// And nothing is lost on the way.
pub fn when_the_holder_goes_the_guest_takes_over<S: Runtime, R: Runtime>() {
    let dir = tempfile::tempdir().unwrap();
    let holder = start::<S>(Handle::builder().data_dir(dir.path()).shared(true));
    let guest = start::<R>(Handle::builder().data_dir(dir.path()).shared(true));
    let mut receiver = open(guest.receiver("baton").from(Start::Earliest));
    let log = open_sender(guest.sender("baton"));
    (0..200).for_each(|number| drop(send::<R>(&log, payload(number))));
    let stopping = thread::spawn(move || S::wait(|| holder.shutdown(Duration::from_secs(20))));
    (200..400).for_each(|number| drop(send::<R>(&log, payload(number))));
    receives::<R>(&mut receiver, 0, (0..400).map(payload));
    R::flush(&log).unwrap();
    stopping.join().unwrap().unwrap();
    assert!(guest.is_holder());
}

/// Whoever calls.
pub fn a_stream_that_the_program_brings_is_as_good_as_any<S: Runtime, R: Runtime>() {
    let pair = Pair::<S, R>::start();
    let log = pair.sender("brought");
    (0..200).for_each(|number| drop(send::<S>(&log, payload(number))));
    S::seal(&log).unwrap();
    for side in [Side::Dialler, Side::Listener] {
        let (near, far) = UnixStream::pair().unwrap();
        let serving = pair.here.clone();
        let served =
            thread::spawn(move || S::wait(move || serving.serve_stream(S::brought(far), side.other())));
        let brought = R::brought(near);
        let mut receiver = open(pair.there.receiver("brought").from(Start::Earliest).over(brought, side));
        receives::<R>(&mut receiver, 0, (0..200).map(payload));
        is_at_end::<R>(&mut receiver);
        drop(receiver);
        served.join().unwrap().unwrap();
    }
    // One that ends is no end of the channel.
    let (near, far) = UnixStream::pair().unwrap();
    let brought = R::brought(near);
    drop(far);
    let mut receiver = open(pair.there.receiver("brought").over(brought, Side::Dialler));
    assert_eq!(R::recv(&mut receiver).unwrap_err().kind(), ErrorKind::Unreachable);
    is_at_end::<R>(&mut receiver);
}

/// By the program's own closure.
pub fn streams_are_made_anew_when_they_are_lost<S: Runtime, R: Runtime>() {
    let pair = Pair::<S, R>::start();
    let (log, mut last) = (pair.sender("anew"), None);
    let (made, streams) = mpsc::channel::<UnixStream>();
    let made = Mutex::new(made);
    let connect = move || {
        let (near, far) = UnixStream::pair().unwrap();
        made.lock().unwrap().send(far).unwrap();
        R::attempt(near)
    };
    let serving = pair.here.clone();
    // Each ends when the next is made.
    let (cut, cuts) = mpsc::channel::<UnixStream>();
    thread::spawn(move || {
        for far in streams {
            cut.send(far.try_clone().unwrap()).unwrap();
            let serving = serving.clone();
            thread::spawn(move || S::wait(move || serving.serve_stream(S::brought(far), Side::Listener)));
        }
    });
    let mut receiver = open(pair.there.receiver("anew").from(Start::Earliest).connect_with(connect));
    for round in 0..3 {
        send::<S>(&log, payload(round));
        receives::<R>(&mut receiver, round, [payload(round)].into_iter());
        if let Some(stream) = cuts.try_iter().last() {
            last = Some(stream);
        }
        last.take().unwrap().shutdown(std::net::Shutdown::Both).unwrap();
    }
}

/// Roles stay, only the caller changes.
pub fn a_node_that_cannot_be_called_calls_its_receiver<S: Runtime, R: Runtime>() {
    let pair = Pair::<S, R>::start();
    let log = pair.sender("behind-nat");
    (0..200).for_each(|number| drop(send::<S>(&log, payload(number))));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let calling = pair.here.clone();
    let calls = thread::spawn(move || S::wait(move || calling.dial(address)));
    let listener = R::listener(listener);
    let mut receiver = open(pair.there.receiver("behind-nat").from(Start::Earliest).accept_on(listener));
    receives::<R>(&mut receiver, 0, (0..200).map(payload));
    S::wait(|| pair.here.shutdown(Duration::ZERO)).unwrap();
    calls.join().unwrap().unwrap();
}
