//! Two nodes, each in its runtime, and what comes from one to the other.

use std::net::SocketAddr;
use std::path::Path;

use fastrand::Rng;
use netchan_node::words::{Error, NewRecord, Offset, Start};
use netchan_node::{Handle, NodeBuilder, ReceiverBuilder, SenderBuilder};
use tempfile::TempDir;

use crate::runtime::Runtime;

/// A node that has channels and listens, in the runtime `S`; one that has none, in the runtime `R`.
#[derive(Debug)]
pub struct Pair<S: Runtime, R: Runtime> {
    /// Has the channels.
    pub here: Handle<S>,
    /// Has none.
    pub there: Handle<R>,
    /// Where `here` listens.
    pub address: SocketAddr,
    /// Where `here` has its data. Removed last.
    pub dir: TempDir,
}

impl<S: Runtime, R: Runtime> Pair<S, R> {
    /// Both, started.
    pub fn start() -> Pair<S, R> {
        let dir = tempfile::tempdir().unwrap();
        let here = start(listening(dir.path()));
        let there = start(Handle::builder());
        let address = here.local_addr().unwrap();
        Pair { here, there, address, dir }
    }

    /// A channel of `here`, as `there` names it.
    pub fn target(&self, name: &str) -> String {
        format!("{}/{name}", self.address)
    }

    /// A sender of `here`.
    pub fn sender(&self, name: &str) -> S::Sender {
        open_sender(self.here.sender(name))
    }

    /// A receiver of `there`, from the first record on.
    pub fn receiver(&self, name: &str) -> R::Receiver {
        open(self.there.receiver(self.target(name)).from(Start::Earliest))
    }
}

/// A node with data in `dir` that listens on loopback.
pub(crate) fn listening<S: Runtime>(dir: &Path) -> NodeBuilder<S> {
    Handle::builder().data_dir(dir).listen("127.0.0.1:0")
}

pub(crate) fn start<A: Runtime>(builder: NodeBuilder<A>) -> Handle<A> {
    try_start(builder).unwrap()
}

pub(crate) fn try_start<A: Runtime>(builder: NodeBuilder<A>) -> Result<Handle<A>, Error> {
    A::wait(|| builder.start())
}

pub(crate) fn open<A: Runtime>(builder: ReceiverBuilder<A>) -> A::Receiver {
    A::wait(|| builder.open()).unwrap()
}

pub(crate) fn open_sender<A: Runtime>(builder: SenderBuilder<A>) -> A::Sender {
    A::wait(|| builder.open()).unwrap()
}

/// Sends it, and waits for nothing.
pub(crate) fn send<A: Runtime>(sender: &A::Sender, payload: impl Into<Vec<u8>>) -> A::Sent {
    A::send(sender, NewRecord::new(payload.into())).unwrap()
}

/// Receives records with these payloads, the first at this offset.
#[track_caller]
pub(crate) fn receives<A: Runtime>(
    receiver: &mut A::Receiver,
    from: u64,
    payloads: impl Iterator<Item = Vec<u8>>,
) {
    for (offset, payload) in (from..).zip(payloads) {
        let record = A::recv(receiver).unwrap().expect("a record before the end");
        assert_eq!(record.offset, Offset(offset));
        assert!(record.payload == payload, "record {offset} is {:?}", record.payload);
    }
}

#[track_caller]
pub(crate) fn is_at_end<A: Runtime>(receiver: &mut A::Receiver) {
    assert!(A::recv(receiver).unwrap().is_none());
    assert!(A::recv(receiver).unwrap().is_none());
}

/// Records of very different sizes, the same for every call.
pub fn payload(number: u64) -> Vec<u8> {
    let mut dice = Rng::with_seed(number);
    let len = match dice.u8(..100) {
        0 => dice.usize(..200_000),
        1..10 => dice.usize(..5_000),
        _ => dice.usize(..100),
    };
    let mut payload = number.to_le_bytes().to_vec();
    payload.resize(8 + len, number as u8);
    payload
}
